// SPDX-License-Identifier: GPL-2.0

//! The text of attribute files: the output of show() and the input of store().
//!
//! Input is parsed by the functions that C code of the kernel uses, so both accept the same text.

use core::{
    fmt,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::to_result,
    page::PAGE_SIZE,
    prelude::*,
    str::CStrExt,
    sync::atomic::{
        Atomic,
        AtomicType,
        Relaxed, //
    },
};

/// The output buffer of a show() call. It holds up to `PAGE_SIZE - 1` bytes. Text that does not fit
/// is cut off.
pub struct Page<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Page<'a> {
    fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    /// Creates an empty page from the buffer of a show() call.
    ///
    /// # Safety
    ///
    /// `buf` must point to `PAGE_SIZE` bytes of initialized memory that is accessed only through
    /// the result for all of `'a`.
    pub(crate) unsafe fn from_raw(buf: *mut c_char) -> Self {
        // SAFETY: By the safety requirements of this function `PAGE_SIZE` bytes are initialized and
        // accessed only through this slice for all of `'a`.
        Self::new(unsafe { core::slice::from_raw_parts_mut(buf, PAGE_SIZE) })
    }

    /// Returns the number of bytes written.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends bytes without a newline.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.bytes.len().saturating_sub(1);
        let free = self.bytes.get_mut(self.len..end).unwrap_or_default();
        let mut written = 0usize;
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = *from;
            written = written.wrapping_add(1);
        }
        // Does not wrap: `written` is at most the number of free bytes.
        self.len = self.len.wrapping_add(written);
    }

    /// Appends bytes and a newline.
    pub(crate) fn line(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
        self.bytes(b"\n");
    }

    /// Appends a line with `Y` for `true` or `N` for `false`.
    pub fn flag(&mut self, yes: bool) {
        self.line(if yes { b"Y" } else { b"N" });
    }

    /// Appends a line with numbers that are separated by commas. Fails only if formatting a number
    /// fails.
    pub fn numbers(&mut self, numbers: impl Iterator<Item = impl fmt::Display>) -> Result {
        let mut comma = "";
        for number in numbers {
            fmt::Write::write_fmt(self, format_args!("{comma}{number}")).map_err(|_| EINVAL)?;
            comma = ",";
        }
        self.bytes(b"\n");
        Ok(())
    }

    /// Appends a line with a number. Fails only if formatting the number fails.
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

/// Returns the C string that `text` points to. The result is never `None`.
///
/// Replaces `CStr::from_char_ptr`, which can panic on overflow of an addition.
///
/// # Safety
///
/// `text` must point to a NUL-terminated string that is valid and not changed for all of `'a`.
pub(crate) unsafe fn c_str<'a>(text: NonNull<c_char>) -> Option<&'a CStr> {
    // SAFETY: By the safety requirements of this function `text` is NUL-terminated.
    let len = unsafe { bindings::strlen(text.as_ptr()) };
    // SAFETY: `strlen()` found a NUL byte behind `len` bytes, and by the safety requirements of
    // this function these bytes are valid and not changed for all of `'a`.
    let text =
        unsafe { core::slice::from_raw_parts(text.as_ptr().cast::<u8>(), len.saturating_add(1)) };
    CStr::from_bytes_until_nul(text).ok()
}

/// Returns the bytes of a C string without the NUL byte.
// Not `CStr::to_bytes`: the compiler keeps a panic for its subtraction.
pub(crate) fn bytes(text: &CStr) -> &[u8] {
    let with_nul = text.to_bytes_with_nul();
    with_nul.split_last().map_or(&[], |(_, bytes)| bytes)
}

pub(crate) fn same_word(text: &CStr, word: &CStr) -> bool {
    // SAFETY: Both pointers are to NUL-terminated strings, which the function only reads.
    unsafe { bindings::sysfs_streq(text.as_char_ptr(), word.as_char_ptr()) }
}

/// An integer type that a file or module parameter can hold.
pub trait Integer: AtomicType + fmt::Display {
    /// Parses a number in the format and with the errors of the `kstrto…()` function of its type.
    fn parse(text: &CStr) -> Result<Self>;

    /// Loads the number with relaxed ordering.
    fn load(cell: &Atomic<Self>) -> Self;

    /// Stores the number with relaxed ordering.
    fn store(cell: &Atomic<Self>, number: Self);
}

macro_rules! integer {
    ($type:ty, $parse:ident) => {
        impl Integer for $type {
            fn parse(text: &CStr) -> Result<Self> {
                let mut number = 0;
                // Base 0 selects the base by the prefix of the text.
                // SAFETY: `text` is NUL-terminated, and `number` is a valid local variable of the
                // type that the function writes.
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
    fn numbers_are_parsed_as_the_kernel_does() {
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
    fn a_page_drops_lines_that_do_not_fit() -> Result {
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
