// SPDX-License-Identifier: GPL-2.0

//! How the kernel takes the text of a file apart: `lib/kstrtox.c` and `sysfs_streq()`, written from
//! their documentation.

use crate::rules::{
    Rule,
    Rules, //
};

/// Why a text is no number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// `EINVAL`: it is something else.
    Form,
    /// `ERANGE`: it is too large or too small.
    Range,
}

/// What the kernel's functions see: all up to the first NUL.
pub fn c_string<'a>(text: &'a [u8], rules: &Rules) -> &'a [u8] {
    if rules.is_broken(Rule::NulEnds) {
        return text;
    }
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Digits in the base that the prefix tells, and a newline if need be.
fn digits(text: &[u8], rules: &Rules) -> Result<u64, Bad> {
    let (text, base) = match text {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (&text[2..], 16),
        [b'0', ..] if !rules.is_broken(Rule::OctalPrefix) => (text, 8),
        _ => (text, 10),
    };
    let value_of = |byte: &u8| char::from(*byte).to_digit(base);
    let values: Vec<u32> = text.iter().map_while(value_of).collect();
    let number = values.iter().try_fold(0u64, |number, value| {
        number
            .checked_mul(u64::from(base))?
            .checked_add(u64::from(*value))
    });
    // What follows is looked at only if the digits are not too many.
    let number = number.ok_or(Bad::Range)?;
    match (values.len(), &text[values.len()..]) {
        (1.., b"" | b"\n") => Ok(number),
        _ => Err(Bad::Form),
    }
}

/// `kstrtoull()` with base 0.
pub fn unsigned(text: &[u8], rules: &Rules) -> Result<u64, Bad> {
    digits(text.strip_prefix(b"+").unwrap_or(text), rules)
}

/// `kstrtoll()` with base 0.
pub fn signed(text: &[u8], rules: &Rules) -> Result<i64, Bad> {
    match text.strip_prefix(b"-") {
        Some(rest) => 0i64
            .checked_sub_unsigned(digits(rest, rules)?)
            .ok_or(Bad::Range),
        None => i64::try_from(unsigned(text, rules)?).map_err(|_| Bad::Range),
    }
}

/// `kstrtobool()`: the first letter tells, of `on` and `off` the second.
pub fn boolean(text: &[u8]) -> Option<bool> {
    match text.to_ascii_lowercase().as_slice() {
        [b'e' | b'y' | b't' | b'1', ..] | [b'o', b'n', ..] => Some(true),
        [b'd' | b'n' | b'f' | b'0', ..] | [b'o', b'f', ..] => Some(false),
        _ => None,
    }
}

/// `sysfs_streq()`: a newline behind a word does not count.
pub fn is_word(text: &[u8], word: &str) -> bool {
    text.strip_suffix(b"\n").unwrap_or(text) == word.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { broken: None };

    #[test]
    fn numbers() {
        for (text, number) in [
            ("42\n", Ok(42)),
            ("+42", Ok(42)),
            ("0x2a", Ok(42)),
            ("0X2A\n", Ok(42)),
            ("052\n", Ok(42)),
            ("0", Ok(0)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616x", Err(Bad::Range)),
            ("08", Err(Bad::Form)),
            ("0x", Err(Bad::Form)),
            ("", Err(Bad::Form)),
            ("\n", Err(Bad::Form)),
            ("-1", Err(Bad::Form)),
            ("++1", Err(Bad::Form)),
            (" 1", Err(Bad::Form)),
            ("1 ", Err(Bad::Form)),
            ("1\n\n", Err(Bad::Form)),
        ] {
            assert_eq!(unsigned(text.as_bytes(), &RULES), number, "{text:?}");
        }
        for (text, number) in [
            ("-1\n", Ok(-1)),
            ("-0", Ok(0)),
            ("+5", Ok(5)),
            ("-+5", Err(Bad::Form)),
            ("--5", Err(Bad::Form)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("9223372036854775808", Err(Bad::Range)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("-9223372036854775809", Err(Bad::Range)),
        ] {
            assert_eq!(signed(text.as_bytes(), &RULES), number, "{text:?}");
        }
    }

    #[test]
    fn words() {
        assert_eq!(boolean(b"oFx"), Some(false));
        assert_eq!(boolean(b"o"), None);
        assert_eq!(boolean(b"1e3"), Some(true));
        assert_eq!(boolean(b""), None);
        assert!(is_word(b"on", "on"));
        assert!(is_word(b"on\n", "on"));
        assert!(!is_word(b"on\n\n", "on"));
        assert!(!is_word(b" on", "on"));
        assert_eq!(c_string(b"12\x003", &RULES), b"12");
        assert_eq!(c_string(b"\0", &RULES), b"");
    }
}
