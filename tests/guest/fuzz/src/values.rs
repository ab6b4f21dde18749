// SPDX-License-Identifier: GPL-2.0

//! Texts to write: good ones in usual and in strange spelling, and all kinds of bad ones.

use crate::class::{
    Bits,
    Class,
    COMMANDS,
    PAGE,
    VOCABULARY, //
};
use fastrand::Rng;

/// The most directories that a list is given.
const MANY: u64 = 24;

/// A text for a file. `pids` are numbers of processes to try, `room` tells whether the tree may
/// grow.
pub fn text(rng: &mut Rng, class: &Class, pids: &[i64], room: bool) -> Vec<u8> {
    let mut text = match rng.u8(0..100) {
        0..45 => good(rng, class, pids, room),
        45..60 => match class {
            Class::Words(own) => {
                let word = stranger(rng, own);
                line(rng, word)
            }
            Class::Switch | Class::Text => good(rng, class, pids, room),
            _ => {
                let number = small(rng, class, pids, room);
                spelled(rng, number)
            }
        },
        60..75 => limit(rng, class),
        75..85 => {
            let words = rng.choice(VOCABULARY).copied();
            let word = word(words, rng);
            line(rng, word)
        }
        _ => garbage(rng),
    };
    if rng.u8(0..100) < 6 {
        mutate(rng, &mut text);
    }
    text
}

/// A text with a newline, mostly.
fn line(rng: &mut Rng, text: String) -> Vec<u8> {
    let end = if rng.u8(0..5) == 0 { "" } else { "\n" };
    format!("{text}{end}").into_bytes()
}

/// A word that other files take, of those that have all that this one has, if there are such.
fn stranger(rng: &mut Rng, own: &[&str]) -> String {
    let shares =
        |list: &&&[&str]| list.len() > own.len() && own.iter().all(|word| list.contains(word));
    let kin = VOCABULARY.iter().find(shares);
    let list = kin
        .or_else(|| rng.choice(VOCABULARY))
        .copied()
        .unwrap_or_default();
    let others: Vec<_> = list.iter().filter(|word| !own.contains(word)).collect();
    rng.choice(others)
        .map_or(String::new(), |word| (*word).to_string())
}

fn word(words: Option<&[&str]>, rng: &mut Rng) -> String {
    let word = words.and_then(|words| rng.choice(words));
    word.map_or(String::new(), |word| (*word).to_owned())
}

/// A text that the file takes.
fn good(rng: &mut Rng, class: &Class, pids: &[i64], room: bool) -> Vec<u8> {
    match class {
        Class::Words(words) => {
            let word = word(Some(words), rng);
            line(rng, word)
        }
        Class::State => {
            let word = rng.choice(COMMANDS).map_or("", |(word, _)| word).to_owned();
            line(rng, word)
        }
        Class::Switch => {
            let word = rng.choice(["Y", "N", "1", "0", "yes", "no", "on", "off", "true", "f"]);
            line(rng, word.unwrap_or("Y").to_owned())
        }
        Class::Text => text_value(rng),
        _ => {
            let number = small(rng, class, pids, room);
            line(rng, number.to_string())
        }
    }
}

fn text_value(rng: &mut Rng) -> Vec<u8> {
    let length = match rng.u8(0..8) {
        0 => rng.usize(PAGE - 4..PAGE + 6),
        1 => rng.usize(0..2 * PAGE),
        _ => rng.usize(0..40),
    };
    let mut text: Vec<u8> = (0..length).map(|_| rng.u8(32..127)).collect();
    if rng.bool() {
        text.push(b'\n');
    }
    text
}

/// A number that the file is likely to take.
fn small(rng: &mut Rng, class: &Class, pids: &[i64], room: bool) -> i128 {
    match class {
        Class::Count { most } => {
            let limit = match (rng.u8(0..50), room) {
                (_, false) => 1,
                (0, true) => MANY,
                _ => 3,
            };
            i128::from(rng.u64(0..=limit.min(*most)))
        }
        Class::Number {
            bits: Bits::I32, ..
        } if rng.bool() => rng.choice(pids).map_or(0, |pid| i128::from(*pid)),
        Class::Number {
            bits: Bits::I32, ..
        } => i128::from(rng.i32(-3..100)),
        _ => {
            let bits = rng.u32(0..=63);
            i128::from(rng.u64(0..=u64::MAX >> bits))
        }
    }
}

/// A number in one of its spellings, most of which the kernel takes.
fn spelled(rng: &mut Rng, number: i128) -> Vec<u8> {
    let sign = if number < 0 { "-" } else { "" };
    let n = number.unsigned_abs();
    let text = match rng.u8(0..10) {
        0 => format!("{sign}0x{n:x}"),
        1 => format!("{sign}0X{n:X}"),
        2 => format!("{sign}0{n:o}"),
        3 => format!("{sign}000{n:o}"),
        4 => format!("+{sign}{n}"),
        5 => format!("{sign}0x{n:040x}"),
        6 => format!("{sign}{n}\0 and more"),
        7 => format!("{sign}{n}\n\0\n"),
        8 => format!("{sign}0{n}"),
        _ => format!("{sign}{n:0width$o}", width = rng.usize(1..PAGE + 10)),
    };
    line(rng, text)
}

/// A number at or beyond a limit.
fn limit(rng: &mut Rng, class: &Class) -> Vec<u8> {
    let power = *rng
        .choice(&[0, 8, 15, 16, 31, 32, 63, 64, 65, 100])
        .unwrap_or(&0);
    let mut number = (1i128 << power) + i128::from(rng.i8(-2..=2));
    if rng.u8(0..4) == 0 {
        number = -number;
    }
    // Hundreds of directories would be made, and all of them checked.
    if matches!(class, Class::Count { .. }) && (5..=1 << 20).contains(&number) {
        number += 1 << 31;
    }
    match rng.u8(0..3) {
        0 => spelled(rng, number),
        _ => line(rng, number.to_string()),
    }
}

/// What nothing should take, or almost nothing.
fn garbage(rng: &mut Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 24] = [
        b"",
        b"\n",
        b" ",
        b"\n\n",
        b" \n",
        b"\0",
        b"\n\0",
        b"-",
        b"+",
        b"++1",
        b"--1",
        b"+-1",
        b"-+1",
        b"0x",
        b"0xg",
        b"08",
        b"1 2",
        b"1,",
        b"1.5",
        b"1e3",
        b" 3",
        b"3 ",
        b"3\t",
        b"\xff\xfe",
    ];
    match rng.u8(0..8) {
        0 => {
            let length = rng.usize(0..64);
            (0..length).map(|_| rng.u8(..)).collect()
        }
        1 => {
            let byte = *rng.choice(b"x0 9\n\0").unwrap_or(&b'x');
            vec![
                byte;
                *rng.choice(&[1, 100, PAGE - 1, PAGE, PAGE + 1, 5000, 70_000])
                    .unwrap_or(&1)
            ]
        }
        2 => [
            rng.choice(PIECES).unwrap_or_default(),
            rng.choice(PIECES).unwrap_or_default(),
        ]
        .concat(),
        _ => rng.choice(PIECES).map_or(Vec::new(), <[u8]>::to_vec),
    }
}

fn mutate(rng: &mut Rng, text: &mut Vec<u8>) {
    let at = rng.usize(0..=text.len());
    match rng.u8(0..3) {
        0 => text.insert(at, rng.u8(..)),
        1 if at < text.len() => drop(text.remove(at)),
        _ if at < text.len() => text[at] ^= 1 << rng.u8(0..8),
        _ => text.push(b'\n'),
    }
}
