// SPDX-License-Identifier: GPL-2.0

//! Parameters of modules, under `/sys/module/…/parameters/`, that can be changed at any time.
//!
//! Those of [`module!`](kernel::macros::module) are set as the module is loaded, and never again. A
//! module that is made of a kdamond and some knobs wants more: [`parameters!`](crate::parameters!)
//! lists its [`Parameter`]s, [`Number`] and [`Flag`] are those that are only remembered, and a
//! [`Switch`] is what turns a [`Service`] on and off.
//!
//! The kernel holds a lock of the module whenever it calls a parameter's functions. A [`Switch`]
//! uses that lock for the service, so that files, loading and unloading do not meet. A kdamond must
//! not wait for it, as its stop is waited for with it held.
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

/// The lock that the kernel holds while it calls a parameter's functions.
///
/// # Invariants
///
/// The lock of the parameters of this module is held by us, and this is the only value that says so.
pub struct Held(*mut c::module);

/// Something that a module is told by its user, or tells him.
pub trait Parameter: Sync + 'static {
    /// Takes a text, when the module is loaded or later. On failure the old value stays.
    ///
    /// A file without write permission is still set by who loads the module.
    fn store(&self, text: &CStr, held: &mut Held) -> Result;

    /// Writes what a reader of the file gets.
    fn show(&self, page: &mut Page<'_>, held: &mut Held) -> Result;
}

/// A number. Takes what the kernel's own parameters of this type take: decimal, hexadecimal with
/// `0x` or octal with `0`.
pub struct Number<T: Integer>(Atomic<T>);

impl<T: Integer> Number<T> {
    /// A parameter with this value to begin with.
    pub const fn new(number: T) -> Self {
        Self(Atomic::new(number))
    }

    /// The value now.
    pub fn get(&self) -> T {
        T::load(&self.0)
    }

    /// Changes the value, for readers to see.
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

/// Yes or no.
pub struct Flag(Atomic<bool>);

impl Flag {
    /// A parameter with this value to begin with.
    pub const fn new(set: bool) -> Self {
        Self(Atomic::new(set))
    }

    /// The value now.
    pub fn get(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Changes the value, for readers to see.
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

/// A row of numbers that the module tells. Reads as the kernel's own parameters of many values do:
/// with commas in between.
pub struct Numbers<T: Integer, const N: usize>([Number<T>; N]);

impl<T: Integer, const N: usize> Numbers<T, N> {
    /// A parameter of these values to begin with.
    pub const fn new(numbers: [Number<T>; N]) -> Self {
        Self(numbers)
    }

    /// The values, to be changed for readers to see.
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

/// What a module does while it is enabled. Dropping it ends it, and sleeps until that is done.
pub trait Service: Send + Sized + 'static {
    /// Begins, with the parameters as they are now.
    fn start() -> Result<Self>;

    /// Takes over the parameters as they are now. Fails with `EINVAL` if the service cannot.
    fn commit(&self) -> Result {
        Err(EINVAL)
    }

    /// The kdamond that does it.
    fn kdamond(&self) -> &Kdamond;
}

/// Where the module of a [`Switch`] is in its life.
enum State<S> {
    /// Parameters are being set, nothing can be started yet.
    Loading { enable: bool },
    /// It is there. The service stays when its kdamond ends by itself, until it is started anew.
    Loaded {
        service: Option<S>,
        /// Whether there has been one.
        was_on: bool,
    },
    /// It is being unloaded: files may still be open.
    Unloading,
}

/// Turns a [`Service`] on and off, by parameters of its module: [`Enabled`], [`CommitInputs`] and
/// [`KdamondPid`] are views of it. To be [loaded](Self::load) when the module is.
pub struct Switch<S> {
    module: &'static ThisModule,
    /// Only who has the lock of the module's parameters gets at it.
    state: UnsafeCell<State<S>>,
}

// SAFETY: The state is reached under a lock only, so that a switch hands its service from thread to
// thread, but to no two at a time.
unsafe impl<S: Send> Sync for Switch<S> {}

impl<S: Service> Switch<S> {
    /// A switch of this module, off until its user says otherwise.
    pub const fn new(module: &'static ThisModule) -> Self {
        Self {
            module,
            state: UnsafeCell::new(State::Loading { enable: false }),
        }
    }

    /// Has parameters do something from now on until the result is dropped, and starts the service
    /// if it is enabled. Fails as that does.
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

    /// What is on, if anything, for a parameter of the module's own.
    pub fn service<'a>(&'a self, held: &'a mut Held) -> Option<&'a S> {
        match self.state(held) {
            Ok(State::Loaded { service, .. }) => service.as_ref(),
            _ => None,
        }
    }

    /// Fails with `EINVAL` if it is another module's lock that is held.
    fn state<'a>(&'a self, held: &'a mut Held) -> Result<&'a mut State<S>> {
        if !ptr::eq(held.0, self.module.as_ptr()) {
            return Err(EINVAL);
        }
        // SAFETY: The lock is held by the type invariants of `Held`. There is one such value for
        // it, which is borrowed as long as the result lives.
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
                // An earlier one ends before the next begins.
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

/// A [`Switch`] at work. To be kept in the module: dropping it ends the service.
pub struct Loaded<S: Service>(&'static Switch<S>);

impl<S: Service> Drop for Loaded<S> {
    fn drop(&mut self) {
        let mut held = Locked::new(self.0.module);
        if let Ok(state) = self.0.state(&mut held.0) {
            *state = State::Unloading;
        }
    }
}

/// The parameter `enabled`: whether the service's kdamond runs, and makes it so.
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

/// The parameter `commit_inputs`: yes has the service take over the parameters, then it is no again.
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
            // As the in-tree ones, which keep what they were given then.
            State::Loaded { was_on: true, .. } => Err(ecanceled()),
            _ => Err(EINVAL),
        }
    }

    fn show(&self, page: &mut Page<'_>, _: &mut Held) -> Result {
        page.flag(false);
        Ok(())
    }
}

/// The parameter `kdamond_pid`: the number of the service's thread, or -1.
pub struct KdamondPid<S: Service>(pub &'static Switch<S>);

impl<S: Service> Parameter for KdamondPid<S> {
    /// The kernel's command line could, and is not refused.
    fn store(&self, _: &CStr, _: &mut Held) -> Result {
        Ok(())
    }

    fn show(&self, page: &mut Page<'_>, held: &mut Held) -> Result {
        let service = self.0.service(held);
        let pid = service.and_then(|service| service.kdamond().pid());
        page.number(pid.unwrap_or(-1))
    }
}

/// The lock of a module's parameters, taken by us.
struct Locked(Held);

impl Locked {
    fn new(module: &'static ThisModule) -> Self {
        let module = module.as_ptr();
        // SAFETY: It is the module that this code, or whoever called it, is part of.
        unsafe { c::kernel_param_lock(module) };
        // INVARIANT: We have just taken the lock.
        Self(Held(module))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: We have taken the lock, and not given it back yet.
        unsafe { c::kernel_param_unlock(self.0 .0) };
    }
}

/// What the kernel calls for a type of parameters.
struct Calls<P>(PhantomData<P>);

impl<P: Parameter> Calls<P> {
    const TABLE: c::kernel_param_ops = c::kernel_param_ops {
        flags: 0,
        set: Some(Self::set),
        get: Some(Self::get),
        free: None,
    };

    /// # Safety
    ///
    /// The kernel's, for a parameter that [`entry`] has made: the lock of the module's parameters is
    /// held.
    unsafe extern "C" fn set(text: *const c_char, param: *const c::kernel_param) -> c_int {
        from_result(|| {
            let text = NonNull::new(text.cast_mut()).ok_or(EINVAL)?;
            // SAFETY: The kernel hands over a C string.
            let text = unsafe { c_str(text) }.ok_or(EINVAL)?;
            // SAFETY: By the requirements of this function.
            let (parameter, mut held) = unsafe { Self::of(param) };
            parameter.store(text, &mut held).inspect_err(|err| {
                // SAFETY: As above. The name is a C string of the module's.
                let name =
                    unsafe { NonNull::new((*param).name.cast_mut()).and_then(|its| c_str(its)) };
                let (name, errno) = (name.unwrap_or(c"?"), err.to_errno());
                debug!("parameter {name}: refused with error {errno}: {text:?}");
            })?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for [`Self::set`], and `buffer` must be a page that nobody else uses meanwhile.
    unsafe extern "C" fn get(buffer: *mut c_char, param: *const c::kernel_param) -> c_int {
        from_result(|| {
            // SAFETY: By the requirements of this function. The kernel's page is initialised.
            let mut page = unsafe { Page::from_raw(buffer) };
            // SAFETY: As above.
            let (parameter, mut held) = unsafe { Self::of(param) };
            parameter.show(&mut page, &mut held)?;
            // CAST: A page has fewer bytes than a number can count.
            Ok(page.len() as c_int)
        })
    }

    /// # Safety
    ///
    /// As for [`Self::set`].
    unsafe fn of(param: *const c::kernel_param) -> (&'static P, Held) {
        // SAFETY: The kernel hands over an entry of the module's table, which `entry` has made for
        // a parameter of this type that is there as long as the module.
        let parameter = unsafe { &*(*param).__bindgen_anon_1.arg.cast::<P>() };
        // SAFETY: As above.
        let module = unsafe { (*param).mod_ };
        // INVARIANT: The kernel holds the lock, and calls one function at a time.
        (parameter, Held(module))
    }
}

/// An entry of a module's table of parameters. For [`parameters!`](crate::parameters!).
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

/// The bytes of a text of known length. For [`parameters!`](crate::parameters!).
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

/// The module that this is expanded in, as a constant. For the macros of this crate: what
/// [`module!`](kernel::macros::module) makes of it goes by another name in each kernel series.
#[doc(hidden)]
#[macro_export]
macro_rules! this_module {
    () => {{
        const MODULE: ::kernel::ThisModule = {
            extern "C" {
                static __this_module: ::kernel::types::Opaque<::kernel::bindings::module>;
            }
            // SAFETY: This is the `THIS_MODULE` of the C API.
            unsafe { ::kernel::ThisModule::from_ptr(__this_module.get()) }
        };
        &MODULE
    }};
}

/// States the parameters of a module: mode, name, [`Parameter`] and what it is. To be used behind
/// [`module!`](kernel::macros::module) or
/// [`service_module!`](crate::service_module!), in the same file.
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
