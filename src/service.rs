// SPDX-License-Identifier: GPL-2.0

//! Services: a module that runs one kdamond and is controlled by its parameters.
//!
//! A [`Switch`] starts and stops a [`Service`]. It protects its state with the parameter lock of
//! the module, which serializes parameter accesses, loading and unloading. The kdamond is stopped
//! with the lock held, so no code that runs on the kdamond may acquire it.
//!
//! [`service_module!`](crate::service_module!) defines a module that has no other code, and
//! [`parameters!`](crate::parameters!) its parameters.

mod parameters;

pub use crate::glue::text::{
    Integer,
    Page, //
};
pub use parameters::{
    bytes,
    entry,
    Flag,
    Held,
    Number,
    Numbers,
    Parameter, //
};

use parameters::YES;

use crate::{
    errno::ecanceled,
    kdamond::Kdamond, //
};
use core::cell::UnsafeCell;
use kernel::{
    prelude::*,
    str::kstrtobool, //
};
use parameters::Locked;

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
        let state = self.state(held.held())?;
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
        if !held.is_of(self.module) {
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

    fn set_enabled(&self, on: bool, held: &mut Held) -> Result {
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
        if let Ok(state) = self.0.state(held.held()) {
            *state = State::Unloading;
        }
    }
}

/// The parameter `enabled`: shows whether the kdamond of the service is running. A store starts or
/// stops the service.
pub struct Enabled<S: Service>(pub &'static Switch<S>);

impl<S: Service> Parameter for Enabled<S> {
    const WITHOUT_VALUE: Option<&'static CStr> = Some(YES);

    fn store(&self, text: &CStr, held: &mut Held) -> Result {
        self.0.set_enabled(kstrtobool(text)?, held)
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
    const WITHOUT_VALUE: Option<&'static CStr> = Some(YES);

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

/// Defines a module that runs a [`Service`](Service) and has no other code.
///
/// The first line names the static [`Switch`](Switch) that is defined, and the
/// type of the service. `name` is the name of the module on a kernel without the in-tree DAMON, and
/// `beside` the name on a kernel with it. [`parameters!`](crate::parameters!) then lists the
/// parameters of the module.
#[macro_export]
macro_rules! service_module {
    (
        $switch:ident: $service:ty,
        name: $name:tt,
        beside: $beside:tt,
        description: $text:tt $(,)?
    ) => {
        #[cfg(not(CONFIG_DAMON))]
        ::kernel::prelude::module! {
            type: ServiceModule,
            name: $name,
            authors: ["The damon-rs developers"],
            description: $text,
            license: "GPL",
        }

        #[cfg(CONFIG_DAMON)]
        ::kernel::prelude::module! {
            type: ServiceModule,
            name: $beside,
            authors: ["The damon-rs developers"],
            description: $text,
            license: "GPL",
        }

        static $switch: $crate::service::Switch<$service> =
            $crate::service::Switch::new($crate::this_module!());

        /// The loaded module. Dropping it ends the service.
        struct ServiceModule {
            _loaded: $crate::service::Loaded<$service>,
        }

        impl ::kernel::Module for ServiceModule {
            fn init(_: &'static ::kernel::ThisModule) -> ::kernel::error::Result<Self> {
                Ok(Self {
                    _loaded: $switch.load()?,
                })
            }
        }
    };
}
