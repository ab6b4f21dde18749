// SPDX-License-Identifier: GPL-2.0

//! The text of files: what a reader gets, and what a writer gave.
//!
//! Text is taken apart by the functions that the kernel's C code uses, so that the same is accepted
//! and refused.

use super::Place;
use core::{
    fmt,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::to_result,
    page::PAGE_SIZE,
    prelude::*,
    str::{
        kstrtobool,
        CStrExt, //
    },
    sync::atomic::{
        Atomic,
        AtomicType,
        Relaxed, //
    },
};

/// What a reader of a file gets: one page at the most, of which the last byte stays free. Text that
/// does not fit is cut off.
pub struct Page<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Page<'a> {
    fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    /// # Safety
    ///
    /// `buf` must point to a page of initialised memory that nobody else accesses for `'a`.
    pub(super) unsafe fn from_raw(buf: *mut c_char) -> Self {
        // SAFETY: By the safety requirements of this function.
        Self::new(unsafe { core::slice::from_raw_parts_mut(buf, PAGE_SIZE) })
    }

    /// The number of bytes written.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes bytes as they are.
    pub(in crate::sysfs) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.bytes.len().saturating_sub(1);
        let free = self.bytes.get_mut(self.len..end).unwrap_or_default();
        let mut written = 0usize;
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = *from;
            written = written.wrapping_add(1);
        }
        // No more than what was free.
        self.len = self.len.wrapping_add(written);
    }

    /// Writes a line of bytes.
    pub(in crate::sysfs) fn line(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
        self.bytes(b"\n");
    }

    /// Writes a line with yes or no.
    pub fn flag(&mut self, yes: bool) {
        self.line(if yes { b"Y" } else { b"N" });
    }

    /// Writes a line with numbers, and commas in between.
    pub fn numbers(&mut self, numbers: impl Iterator<Item = impl fmt::Display>) -> Result {
        let mut comma = "";
        for number in numbers {
            fmt::Write::write_fmt(self, format_args!("{comma}{number}")).map_err(|_| EINVAL)?;
            comma = ",";
        }
        self.bytes(b"\n");
        Ok(())
    }

    /// Writes a line with a number.
    pub fn number(&mut self, number: impl fmt::Display) -> Result {
        fmt::Write::write_fmt(self, format_args!("{number}\n")).map_err(|_| EINVAL)
    }
}

impl fmt::Write for Page<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// What was written to a file.
pub(in crate::sysfs) struct Input<'a> {
    text: &'a CStr,
    place: Place<'a>,
}

impl<'a> Input<'a> {
    pub(super) fn new(text: &'a CStr, place: Place<'a>) -> Self {
        Self { text, place }
    }

    /// The directory that the file is in.
    pub(in crate::sysfs) fn place(&self) -> Place<'a> {
        self.place
    }

    /// The bytes as they are, up to the first NUL.
    pub(in crate::sysfs) fn bytes(&self) -> &'a [u8] {
        bytes(self.text)
    }

    /// A number: decimal, hexadecimal with `0x` or octal with `0`, and a newline if need be.
    ///
    /// Fails with `EINVAL` if it is none, with `ERANGE` if it is too large for `T`.
    pub(in crate::sysfs) fn number<T: Integer>(&self) -> Result<T> {
        T::parse(self.text)
    }

    /// Yes or no, in one of the ways in which the kernel spells them. Fails with `EINVAL`.
    pub(in crate::sysfs) fn boolean(&self) -> Result<bool> {
        kstrtobool(self.text)
    }

    /// Whether it is this word, with a newline behind it or without.
    pub(in crate::sysfs) fn is(&self, word: &CStr) -> bool {
        same_word(self.text, word)
    }
}

/// The C string at a place. `None` does not happen.
///
/// `CStr::from_char_ptr` adds without a look at the sum.
///
/// # Safety
///
/// There must be a C string, for all of `'a`, that nobody changes.
pub(super) unsafe fn c_str<'a>(text: NonNull<c_char>) -> Option<&'a CStr> {
    // SAFETY: The caller promises that it is a C string.
    let len = unsafe { bindings::strlen(text.as_ptr()) };
    // SAFETY: It is that long, with the NUL behind it.
    let text =
        unsafe { core::slice::from_raw_parts(text.as_ptr().cast::<u8>(), len.saturating_add(1)) };
    CStr::from_bytes_until_nul(text).ok()
}

/// The bytes of a C string, without the NUL.
// `CStr::to_bytes` takes one from a length, for which the compiler wants a way to panic.
pub(in crate::sysfs) fn bytes(text: &CStr) -> &[u8] {
    let with_nul = text.to_bytes_with_nul();
    with_nul.split_last().map_or(&[], |(_, bytes)| bytes)
}

fn same_word(text: &CStr, word: &CStr) -> bool {
    // SAFETY: Both are C strings, and they are only read.
    unsafe { bindings::sysfs_streq(text.as_char_ptr(), word.as_char_ptr()) }
}

/// A number that a file can hold.
pub trait Integer: AtomicType + fmt::Display {
    /// Takes a text apart. See [`Input::number`].
    fn parse(text: &CStr) -> Result<Self>;

    /// Reads a cell.
    fn load(cell: &Atomic<Self>) -> Self;

    /// Writes a cell.
    fn store(cell: &Atomic<Self>, number: Self);
}

macro_rules! integer {
    ($type:ty, $parse:ident) => {
        impl Integer for $type {
            fn parse(text: &CStr) -> Result<Self> {
                let mut number = 0;
                // SAFETY: `text` is a C string, and the result goes to our variable. Base 0 is the
                // one in which a prefix tells the base.
                to_result(unsafe { bindings::$parse(text.as_char_ptr(), 0, &raw mut number) })?;
                Ok(number)
            }

            fn load(cell: &Atomic<Self>) -> Self {
                cell.load(Relaxed)
            }

            fn store(cell: &Atomic<Self>, number: Self) {
                cell.store(number, Relaxed);
            }
        }
    };
}

integer!(u64, kstrtoull);
integer!(i64, kstrtoll);
integer!(u32, kstrtouint);
integer!(i32, kstrtoint);

#[kunit_tests(damon_rs_sysfs_text)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_the_kernel_takes_for_one() {
        assert_eq!(u64::parse(c"42\n"), Ok(42));
        assert_eq!(u64::parse(c"+42"), Ok(42));
        assert_eq!(u64::parse(c"0x2a"), Ok(42));
        assert_eq!(u64::parse(c"052\n"), Ok(42));
        assert_eq!(u64::parse(c"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(i32::parse(c"-1\n"), Ok(-1));
        for bad in [
            c"", c"\n", c" 42", c"42 ", c"4 2", c"-1", c"42\n\n", c"x", c"0x",
        ] {
            assert_eq!(u64::parse(bad), Err(EINVAL));
        }
        assert_eq!(u64::parse(c"18446744073709551616"), Err(ERANGE));
        assert_eq!(u32::parse(c"4294967296"), Err(ERANGE));
        assert_eq!(i32::parse(c"2147483648"), Err(ERANGE));
        assert_eq!(i32::parse(c"-2147483648"), Ok(i32::MIN));
    }

    #[test]
    fn a_word_may_end_with_a_newline() {
        assert!(same_word(c"on\n", c"on"));
        assert!(same_word(c"on", c"on"));
        assert!(!same_word(c"on\n\n", c"on"));
        assert!(!same_word(c" on", c"on"));
        assert!(!same_word(c"onn", c"on"));
        assert!(!same_word(c"", c"on"));
    }

    #[test]
    fn a_page_takes_what_fits() -> Result {
        let mut memory = [0; 8];
        let mut page = Page::new(&mut memory);
        page.number(12u64)?;
        assert_eq!(page.len(), 3);
        page.line(b"3456");
        page.line(b"78");
        assert_eq!(page.len(), 7);
        assert_eq!(&memory, b"12\n3456\0");
        Ok(())
    }
}
