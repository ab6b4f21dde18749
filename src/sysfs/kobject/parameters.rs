// SPDX-License-Identifier: GPL-2.0

//! Module parameters that the user can change while the module is loaded.
//!
//! The parameters of [`module!`](kernel::macros::module) are set only when the module is loaded.
//! [`parameters!`](crate::parameters!) defines [`Parameter`]s that also have files in
//! `/sys/module/…/parameters/`, which can be read and written later. [`Number`] and [`Flag`] only
//! store a value. A [`Switch`] starts and stops a [`Service`]: a kdamond that a module runs while
//! it is enabled.
//!
//! Parameters without a value (`KERNEL_PARAM_OPS_FL_NOARG`) are not supported, and there is no type
//! for string parameters.
//!
//! The kernel holds the parameter lock of the module (`kernel_param_lock()`) while it calls the
//! get() and set() callbacks of a parameter. A [`Switch`] protects its state with the same lock,
//! which serializes parameter accesses, loading and unloading. The kdamond is stopped with the lock
//! held, so no code that runs on the kdamond may acquire it.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use super::text::c_str;
pub use super::text::{
    Integer,
    Page, //
};
use crate::{
    debug,
    kdamond::{
        ecanceled,
        Kdamond, //
    },
};
use core::{
    cell::UnsafeCell,
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

/// A module parameter.
///
/// Both methods run in the context of the task that accesses the parameter, with the parameter lock
/// held, and may sleep.
pub trait Parameter: Sync + 'static {
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

/// A running service of a module. Dropping it stops the service and sleeps until it has stopped.
///
/// The functions are called with the parameter lock held and may sleep.
pub trait Service: Send + Sized + 'static {
    /// Starts the service with the current values of the parameters.
    fn start() -> Result<Self>;

    /// Applies the current values of the parameters to the running service. The default fails with
    /// `EINVAL`, for services that do not support it.
    fn commit(&self) -> Result {
        Err(EINVAL)
    }

    /// Returns the kdamond for the parameters [`Enabled`] and [`KdamondPid`].
    fn kdamond(&self) -> &Kdamond;
}

/// The state of the module of a [`Switch`].
enum State<S> {
    /// The module is being loaded. Parameters can be set, but the service cannot be started yet.
    Loading { enable: bool },
    /// The module is loaded. `service` is kept when its kdamond ends by itself, until the next
    /// start.
    Loaded {
        service: Option<S>,
        /// Whether the service was ever started.
        was_on: bool,
    },
    /// The module is being unloaded. Files of parameters may still be open.
    Unloading,
}

/// Starts and stops a [`Service`] by the parameters of its module: [`Enabled`], [`CommitInputs`]
/// and [`KdamondPid`] access a switch. The module calls [`Self::load`] from its init function.
pub struct Switch<S> {
    module: &'static ThisModule,
    /// Protected by the parameter lock of `module`.
    state: UnsafeCell<State<S>>,
}

// SAFETY: The state is only accessed with the parameter lock held, so two threads never access it
// at the same time. `S: Send` allows each of them to access and to drop the service.
unsafe impl<S: Send> Sync for Switch<S> {}

impl<S: Service> Switch<S> {
    /// Creates a switch of `module` that is off.
    pub const fn new(module: &'static ThisModule) -> Self {
        Self {
            module,
            state: UnsafeCell::new(State::Loading { enable: false }),
        }
    }

    /// Activates the switch until the result is dropped: from now on, a store to [`Enabled`] starts
    /// or stops the service. Starts the service if `enabled` was set while the module was loaded.
    ///
    /// Acquires the parameter lock and sleeps. Fails with the error of [`Service::start`].
    pub fn load(&'static self) -> Result<Loaded<S>> {
        let mut held = Locked::new(self.module);
        let state = self.state(&mut held.0)?;
        if let State::Loading { enable } = *state {
            let service = if enable { Some(S::start()?) } else { None };
            *state = State::Loaded {
                service,
                was_on: enable,
            };
        }
        Ok(Loaded(self))
    }

    /// Returns the service for parameters that the module defines itself. `None` if it was not
    /// started, was turned off, or `held` is of another module. The kdamond of the service may have
    /// ended.
    pub fn service<'a>(&'a self, held: &'a mut Held) -> Option<&'a S> {
        match self.state(held) {
            Ok(State::Loaded { service, .. }) => service.as_ref(),
            _ => None,
        }
    }

    /// Returns the state. Fails with `EINVAL` if `held` is the lock of another module.
    fn state<'a>(&'a self, held: &'a mut Held) -> Result<&'a mut State<S>> {
        if !ptr::eq(held.0, self.module.as_ptr()) {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariants of `Held` the parameter lock of `self.module` is held, and
        // `held` is the only value for it. It is mutably borrowed while the result lives, so there
        // is no other reference to the state.
        Ok(unsafe { &mut *self.state.get() })
    }

    fn is_on(&self, held: &mut Held) -> bool {
        self.service(held)
            .is_some_and(|service| service.kdamond().is_running())
    }

    fn turn(&self, on: bool, held: &mut Held) -> Result {
        let running = self.is_on(held);
        match self.state(held)? {
            State::Loading { enable } => *enable = on,
            State::Loaded { service, was_on } if on != running => {
                // Stops an earlier service before the next one is started.
                *service = None;
                if on {
                    *service = Some(S::start()?);
                    *was_on = true;
                }
            }
            State::Loaded { .. } => {}
            State::Unloading => return Err(ENODEV),
        }
        Ok(())
    }
}

/// An active [`Switch`], to be kept in the module. Dropping it stops the service; later stores to
/// [`Enabled`] fail with `ENODEV`. Dropping it acquires the parameter lock and sleeps.
pub struct Loaded<S: Service>(&'static Switch<S>);

impl<S: Service> Drop for Loaded<S> {
    fn drop(&mut self) {
        let mut held = Locked::new(self.0.module);
        if let Ok(state) = self.0.state(&mut held.0) {
            *state = State::Unloading;
        }
    }
}

/// The parameter `enabled`: shows whether the kdamond of the service is running. A store starts or
/// stops the service.
pub struct Enabled<S: Service>(pub &'static Switch<S>);

impl<S: Service> Parameter for Enabled<S> {
    fn store(&self, text: &CStr, held: &mut Held) -> Result {
        self.0.turn(kstrtobool(text)?, held)
    }

    fn show(&self, page: &mut Page<'_>, held: &mut Held) -> Result {
        page.flag(self.0.is_on(held));
        Ok(())
    }
}

/// The parameter `commit_inputs`: storing `Y` applies the current values of the parameters to the
/// running service. Always reads as `N`.
pub struct CommitInputs<S: Service>(pub &'static Switch<S>);

impl<S: Service> Parameter for CommitInputs<S> {
    fn store(&self, text: &CStr, held: &mut Held) -> Result {
        if !kstrtobool(text)? {
            return Ok(());
        }
        match self.0.state(held)? {
            State::Loaded {
                service: Some(service),
                ..
            } => service.commit(),
            // As the in-tree modules, where `damon_call()` on the stopped context returns this.
            State::Loaded { was_on: true, .. } => Err(ecanceled()),
            _ => Err(EINVAL),
        }
    }

    fn show(&self, page: &mut Page<'_>, _: &mut Held) -> Result {
        page.flag(false);
        Ok(())
    }
}

/// The parameter `kdamond_pid`: shows the PID of the kdamond of the service, or -1 if it does not
/// run.
pub struct KdamondPid<S: Service>(pub &'static Switch<S>);

impl<S: Service> Parameter for KdamondPid<S> {
    /// Ignores a value that is given when the module is loaded.
    fn store(&self, _: &CStr, _: &mut Held) -> Result {
        Ok(())
    }

    fn show(&self, page: &mut Page<'_>, held: &mut Held) -> Result {
        let service = self.0.service(held);
        let pid = service.and_then(|service| service.kdamond().pid());
        page.number(pid.unwrap_or(-1))
    }
}

/// A guard of the parameter lock that the module has acquired itself. Dropping it releases the
/// lock.
struct Locked(Held);

impl Locked {
    fn new(module: &'static ThisModule) -> Self {
        let module = module.as_ptr();
        // SAFETY: `module` points to the `struct module` of the module that called this function,
        // so it is loaded. Its init and exit functions may sleep, so may this call.
        unsafe { c::kernel_param_lock(module) };
        // INVARIANT: The lock was just acquired. Every other `Held` for it lives only while another
        // task holds the lock.
        Self(Held(module))
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
        flags: 0,
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
            let text = NonNull::new(text.cast_mut()).ok_or(EINVAL)?;
            // SAFETY: `text` is not null, so by the requirements of this function it points to a
            // NUL-terminated string that is valid and not changed during the call.
            let text = unsafe { c_str(text) }.ok_or(EINVAL)?;
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
#[doc(hidden)]
pub const fn entry<P: Parameter>(
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
                $crate::sysfs::parameters::entry(
                    $crate::this_module!(),
                    ::kernel::c_str!(stringify!($name)),
                    $mode,
                    PARAMETER,
                );

            const TEXT: &str = concat!("parm=", stringify!($name), ":", $text, "\0");

            #[link_section = ".modinfo"]
            #[used]
            static MODINFO: [u8; TEXT.len()] = $crate::sysfs::parameters::bytes(TEXT);
        };)+
    };
}
