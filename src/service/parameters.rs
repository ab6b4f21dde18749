// SPDX-License-Identifier: GPL-2.0

//! Module parameters that the user can change while the module is loaded.
//!
//! The parameters of [`module!`](kernel::macros::module) are set only when the module is loaded.
//! [`parameters!`](crate::parameters!) defines [`Parameter`]s that also have files in
//! `/sys/module/…/parameters/`, which can be read and written later. [`Number`] and [`Flag`] only
//! store a value.
//!
//! There is no type for string parameters.
//!
//! The kernel holds the parameter lock of the module (`kernel_param_lock()`) while it calls the
//! get() and set() callbacks of a parameter. [`Held`] is the proof of that.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use crate::{
    debug,
    glue::text::{
        c_str,
        Integer,
        Page, //
    },
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings as c,
    error::from_result,
    ffi::{
        c_char,
        c_int, //
    },
    module_param::KernelParam,
    prelude::*,
    str::kstrtobool,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// Proof that the parameter lock of a module is held.
///
/// # Invariants
///
/// The current task holds the parameter lock of the module, and no other `Held` for this lock
/// exists during that time.
pub struct Held(*mut c::module);

impl Held {
    /// Returns whether this is the lock of `module`.
    pub(super) fn is_of(&self, module: &ThisModule) -> bool {
        ptr::eq(self.0, module.as_ptr())
    }
}

/// A module parameter.
///
/// Both methods run in the context of the task that accesses the parameter, with the parameter lock
/// held, and may sleep.
pub trait Parameter: Sync + 'static {
    /// The text that [`Self::store`] gets for a name without a value, as `skip_anon` in
    /// `insmod damon_reclaim.ko skip_anon`. `None` if a value must be given.
    const WITHOUT_VALUE: Option<&'static CStr> = None;

    /// Parses `text` and stores the value. If it fails, the old value is kept.
    ///
    /// Called for a write to the file, and for a value that is given when the module is loaded. The
    /// latter is possible also if the mode of the file has no write permission.
    fn store(&self, text: &CStr, held: &mut Held) -> Result;

    /// Writes the value to `page`, for a read of the file.
    fn show(&self, page: &mut Page<'_>, held: &mut Held) -> Result;
}

/// A parameter that stores a number. It accepts the same text as C parameters of this type:
/// decimal, hexadecimal with the prefix `0x`, or octal with the prefix `0`.
pub struct Number<T: Integer>(Atomic<T>);

impl<T: Integer> Number<T> {
    /// Creates a parameter with this initial value.
    pub const fn new(number: T) -> Self {
        Self(Atomic::new(number))
    }

    /// Returns the current value. Needs no lock.
    pub fn get(&self) -> T {
        T::load(&self.0)
    }

    /// Sets the value. Needs no lock.
    pub fn set(&self, number: T) {
        T::store(&self.0, number);
    }
}

impl<T: Integer + 'static> Parameter for Number<T> {
    fn store(&self, text: &CStr, _: &mut Held) -> Result {
        self.set(T::parse(text)?);
        Ok(())
    }

    fn show(&self, page: &mut Page<'_>, _: &mut Held) -> Result {
        page.number(self.get())
    }
}

/// The value of a switch that is given without one, as in `param_set_bool()`.
pub(super) const YES: &CStr = c"1";

/// A parameter that stores a boolean. It accepts the text that `kstrtobool()` accepts.
pub struct Flag(Atomic<bool>);

impl Flag {
    /// Creates a parameter with this initial value.
    pub const fn new(set: bool) -> Self {
        Self(Atomic::new(set))
    }

    /// Returns the current value. Needs no lock.
    pub fn get(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Sets the value. Needs no lock.
    pub fn set(&self, yes: bool) {
        self.0.store(yes, Relaxed);
    }
}

impl Parameter for Flag {
    const WITHOUT_VALUE: Option<&'static CStr> = Some(YES);

    fn store(&self, text: &CStr, _: &mut Held) -> Result {
        self.set(kstrtobool(text)?);
        Ok(())
    }

    fn show(&self, page: &mut Page<'_>, _: &mut Held) -> Result {
        page.flag(self.get());
        Ok(())
    }
}

/// A read-only parameter that shows several numbers, separated by commas as in C array parameters.
/// A store fails with `EACCES`.
pub struct Numbers<T: Integer, const N: usize>([Number<T>; N]);

impl<T: Integer, const N: usize> Numbers<T, N> {
    /// Creates a parameter with these initial values.
    pub const fn new(numbers: [Number<T>; N]) -> Self {
        Self(numbers)
    }

    /// Returns the numbers, which the module updates with [`Number::set`].
    pub fn each(&self) -> &[Number<T>] {
        &self.0
    }
}

impl<T: Integer + 'static, const N: usize> Parameter for Numbers<T, N> {
    fn store(&self, _: &CStr, _: &mut Held) -> Result {
        Err(EACCES)
    }

    fn show(&self, page: &mut Page<'_>, _: &mut Held) -> Result {
        page.numbers(self.0.iter().map(Number::get))
    }
}

/// A guard of the parameter lock that the module has acquired itself. Dropping it releases the
/// lock.
pub(super) struct Locked(Held);

impl Locked {
    /// Acquires the parameter lock of the module that calls this. Sleeps.
    pub(super) fn new(module: &'static ThisModule) -> Self {
        let module = module.as_ptr();
        // SAFETY: `module` points to the `struct module` of the module that called this function,
        // so it is loaded. Its init and exit functions may sleep, so may this call.
        unsafe { c::kernel_param_lock(module) };
        // INVARIANT: The lock was just acquired. Every other `Held` for it lives only while another
        // task holds the lock.
        Self(Held(module))
    }

    /// Returns the proof that the lock is held.
    pub(super) fn held(&mut self) -> &mut Held {
        &mut self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: `Self::new` acquired the lock on this task, and it is released only here.
        unsafe { c::kernel_param_unlock(self.0 .0) };
    }
}

/// The callbacks for parameters of type `P`.
struct Calls<P>(PhantomData<P>);

impl<P: Parameter> Calls<P> {
    const TABLE: c::kernel_param_ops = c::kernel_param_ops {
        flags: if P::WITHOUT_VALUE.is_some() {
            c::KERNEL_PARAM_OPS_FL_NOARG
        } else {
            0
        },
        set: Some(Self::set),
        get: Some(Self::get),
        free: None,
    };

    /// The set() callback.
    ///
    /// # Safety
    ///
    /// - `text` must be null or point to a NUL-terminated string that is valid and not changed
    ///   during the call.
    /// - `param` must meet the requirements of [`Self::of`].
    unsafe extern "C" fn set(text: *const c_char, param: *const c::kernel_param) -> c_int {
        from_result(|| {
            let text = match NonNull::new(text.cast_mut()) {
                // SAFETY: `text` is not null, so by the requirements of this function it points to
                // a NUL-terminated string that is valid and not changed during the call.
                Some(text) => unsafe { c_str(text) },
                None => P::WITHOUT_VALUE,
            };
            let text = text.ok_or(EINVAL)?;
            // SAFETY: `param` meets the requirements of `of` by those of this function.
            let (parameter, mut held) = unsafe { Self::of(param) };
            parameter.store(text, &mut held).inspect_err(|err| {
                // SAFETY: `param` is valid by the requirements of this function. `entry` set its
                // name to a static NUL-terminated string.
                let name =
                    unsafe { NonNull::new((*param).name.cast_mut()).and_then(|its| c_str(its)) };
                let (name, errno) = (name.unwrap_or(c"?"), err.to_errno());
                debug!("parameter {name}: refused with error {errno}: {text:?}");
            })?;
            Ok(0)
        })
    }

    /// The get() callback.
    ///
    /// # Safety
    ///
    /// - `buffer` must point to a page of initialized memory that only this call accesses.
    /// - `param` must meet the requirements of [`Self::of`].
    unsafe extern "C" fn get(buffer: *mut c_char, param: *const c::kernel_param) -> c_int {
        from_result(|| {
            // SAFETY: By the requirements of this function `buffer` is an initialized page that
            // only this call accesses. sysfs clears it before the call.
            let mut page = unsafe { Page::from_raw(buffer) };
            // SAFETY: `param` meets the requirements of `of` by those of this function.
            let (parameter, mut held) = unsafe { Self::of(param) };
            parameter.show(&mut page, &mut held)?;
            // CAST: `PAGE_SIZE` fits into a `c_int`.
            Ok(page.len() as c_int)
        })
    }

    /// Returns the parameter of an entry, and the proof that its parameter lock is held.
    ///
    /// # Safety
    ///
    /// - `param` must point to a `kernel_param` that [`entry`] created for a parameter of type `P`,
    ///   and the module of the parameter must stay loaded while the result is used.
    /// - The current task must hold the parameter lock of that module while the `Held` exists, and
    ///   no other `Held` for this lock may exist.
    unsafe fn of(param: *const c::kernel_param) -> (&'static P, Held) {
        // SAFETY: By the requirements of this function `entry` set `arg` to a `&'static P`, which
        // is valid while the module is loaded.
        let parameter = unsafe { &*(*param).__bindgen_anon_1.arg.cast::<P>() };
        // SAFETY: `param` is valid by the requirements of this function.
        let module = unsafe { (*param).mod_ };
        // INVARIANT: By the requirements of this function the lock is held and there is no other
        // `Held` for it.
        (parameter, Held(module))
    }
}

/// Creates an entry of the parameter table of a module. For [`parameters!`](crate::parameters!).
///
/// # Safety
///
/// `module` must be the module whose table the entry is put into. The kernel calls the callbacks of
/// the entry with the parameter lock of `module` held only in this case, and [`Held`] relies on it.
#[doc(hidden)]
pub const unsafe fn entry<P: Parameter>(
    module: &'static ThisModule,
    name: &'static CStr,
    mode: u16,
    parameter: &'static P,
) -> KernelParam {
    KernelParam::new(c::kernel_param {
        name: kernel::str::as_char_ptr_in_const_context(name),
        mod_: module.as_ptr(),
        ops: &Calls::<P>::TABLE,
        perm: mode,
        level: -1,
        flags: 0,
        __bindgen_anon_1: c::kernel_param__bindgen_ty_1 {
            arg: ptr::from_ref(parameter).cast_mut().cast::<c_void>(),
        },
    })
}

/// Returns the first `N` bytes of `text` as an array. For [`parameters!`](crate::parameters!).
#[doc(hidden)]
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = text.as_bytes()[at];
        at += 1;
    }
    bytes
}

/// Expands to a `&'static ThisModule` of the module that contains the invocation.
///
/// For the macros of this crate. [`module!`](kernel::macros::module) defines such a constant too,
/// but under a name that differs between kernel series.
#[doc(hidden)]
#[macro_export]
macro_rules! this_module {
    () => {{
        const MODULE: ::kernel::ThisModule = {
            extern "C" {
                static __this_module: ::kernel::types::Opaque<::kernel::bindings::module>;
            }
            // SAFETY: `__this_module` is the `struct module` of the module that contains this code,
            // as `THIS_MODULE` in C. It is valid while that code can run.
            unsafe { ::kernel::ThisModule::from_ptr(__this_module.get()) }
        };
        &MODULE
    }};
}

/// Defines the parameters of a module: for each the mode of its file, the name, the type and a
/// reference to the [`Parameter`], and the description that modinfo shows.
///
/// To be used in the file that contains [`module!`](kernel::macros::module) or
/// [`service_module!`](crate::service_module!), behind it.
///
/// ```ignore
/// static TARGET_PID: Number<i32> = Number::new(0);
///
/// damon::parameters! {
///     0o600 target_pid: Number<i32> = &TARGET_PID, "process to monitor";
/// }
/// ```
#[macro_export]
macro_rules! parameters {
    ($($mode:literal $name:ident: $type:ty = $parameter:expr, $text:literal;)+) => {
        $(const _: () = {
            static PARAMETER: &$type = $parameter;

            #[link_section = "__param"]
            #[used]
            static ENTRY: ::kernel::module_param::KernelParam =
                // SAFETY: The section `__param` of a module is its parameter table, and
                // `this_module!()` is the module that contains this code.
                unsafe {
                    $crate::service::entry(
                        $crate::this_module!(),
                        ::kernel::c_str!(stringify!($name)),
                        $mode,
                        PARAMETER,
                    )
                };

            const TEXT: &str = concat!("parm=", stringify!($name), ":", $text, "\0");

            #[link_section = ".modinfo"]
            #[used]
            static MODINFO: [u8; TEXT.len()] = $crate::service::bytes(TEXT);
        };)+
    };
}
