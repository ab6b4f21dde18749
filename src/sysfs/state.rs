// SPDX-License-Identifier: GPL-2.0

//! The file `state`: commands that start and stop a kdamond, apply parameters to it, and fetch its
//! results.

use super::{
    contexts::ContextsDir,
    kobject::{
        Input,
        Page,
        Value, //
    },
    list::Structure,
    tried_regions::WalkRecorder,
    values::{
        Number,
        Words, //
    },
};
use crate::{
    errno::ecanceled,
    glue::log::Because,
    kdamond::{
        now,
        Context,
        Kdamond,
        Params, //
    },
    series, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};

/// A command that can be written to `state`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    On,
    Off,
    Commit,
    CommitQuotaGoals,
    UpdateStats,
    UpdateTriedBytes,
    UpdateTriedRegions,
    ClearTriedRegions,
    UpdateEffectiveQuotas,
    UpdateTunedIntervals,
}

impl Words for Command {
    const WORDS: &'static [(&'static CStr, Self)] = &[
        (c"on", Self::On),
        (c"off", Self::Off),
        (c"commit", Self::Commit),
        (c"commit_schemes_quota_goals", Self::CommitQuotaGoals),
        (c"update_schemes_stats", Self::UpdateStats),
        (c"update_schemes_tried_bytes", Self::UpdateTriedBytes),
        (c"update_schemes_tried_regions", Self::UpdateTriedRegions),
        (c"clear_schemes_tried_regions", Self::ClearTriedRegions),
        (
            c"update_schemes_effective_quotas",
            Self::UpdateEffectiveQuotas,
        ),
        (c"update_tuned_intervals", Self::UpdateTunedIntervals),
    ];
}

/// The file `state`, with the kdamond and the directories that its commands use.
pub(super) struct State {
    kdamond: Arc<Kdamond>,
    /// Whether the last `on` succeeded. If it did not, commands that need a running kdamond fail
    /// with `EINVAL`.
    started: Atomic<bool>,
    /// Held while the kdamond is being started. Only [`Self::end`] waits for it, all other users
    /// try to acquire it and fail with `EBUSY`.
    starting: Pin<KBox<Mutex<()>>>,
    /// The structure lock for the directories below the directory of the kdamond. The file `state`
    /// is not one of them, so a command may wait for this lock.
    structure: Arc<Structure>,
    contexts: Arc<ContextsDir>,
    refresh_ms: Arc<Number<u32>>,
}

impl State {
    /// Creates the value of the file. Fails with `ENOMEM`.
    pub(super) fn new(
        kdamond: Arc<Kdamond>,
        structure: Arc<Structure>,
        contexts: Arc<ContextsDir>,
        refresh_ms: Arc<Number<u32>>,
    ) -> Result<Self> {
        Ok(Self {
            kdamond,
            started: Atomic::new(false),
            starting: KBox::pin_init(new_mutex!((), "damon_sysfs_starting"), GFP_KERNEL)?,
            structure,
            contexts,
            refresh_ms,
        })
    }

    /// Closes the structure lock, so that the kdamond cannot be started and no directory can be
    /// added below it.
    ///
    /// Does not wait. Fails with `EBUSY` if the kdamond runs or is being started, or if directories
    /// below it are being changed.
    pub(super) fn retire(&self) -> Result {
        let _starting = self.starting.try_lock().ok_or(EBUSY)?;
        if self.kdamond.is_running() {
            return Err(EBUSY);
        }
        self.structure.try_change()?.close();
        Ok(())
    }

    /// Reverts [`Self::retire`].
    pub(super) fn reinstate(&self) {
        self.structure.reopen();
    }

    /// Closes the structure lock and stops the kdamond, for unloading.
    ///
    /// Sleeps until a start and a change of directories that are under way have finished, and until
    /// the thread of the kdamond has ended.
    pub(super) fn end(&self) {
        let starting = self.starting.lock();
        if let Ok(change) = self.structure.change() {
            change.close();
        }
        drop(starting);
        // Fails only if the kdamond does not run.
        let _ = self.kdamond.stop();
    }

    /// Executes a command. All commands but `off` fail with `EINVAL` if there is no context.
    /// Further errors are documented at the function of the command.
    fn run(&self, command: Command) -> Result {
        if command != Command::Off {
            let context = self.contexts.only();
            context.because("contexts/nr_contexts: there is no context")?;
        }
        match command {
            Command::On => self.on(),
            Command::Off => self.off(),
            Command::Commit => self.commit(),
            Command::CommitQuotaGoals => self.commit_quota_goals(),
            Command::UpdateStats => self.publish(publish_stats),
            Command::UpdateTriedBytes => self.update_tried(true),
            Command::UpdateTriedRegions => self.update_tried(false),
            Command::ClearTriedRegions => {
                let change = self.structure.change()?;
                self.contexts.only()?.schemes.clear_tried_regions(&change)
            }
            Command::UpdateEffectiveQuotas => self.publish(publish_quotas),
            Command::UpdateTunedIntervals => self.publish(publish_intervals),
        }
    }

    /// Starts the kdamond with the parameters in the files.
    ///
    /// Fails with `EBUSY` if it runs or is being started, and with the errors of
    /// [`ContextDir::params`](super::contexts::ContextDir::params) and [`Kdamond::start`].
    fn on(&self) -> Result {
        let _starting = self.starting.try_lock().ok_or(EBUSY)?;
        if self.kdamond.is_running() {
            return Err(EBUSY);
        }
        self.started.store(false, Relaxed);
        let started = self.kdamond.start(self.params()?);
        started.because(
            "state: cannot create the thread, or the operations reject regions or goals",
        )?;
        self.started.store(true, Relaxed);
        match self.kdamond.call_repeatedly(self.refresh()) {
            Err(ENOMEM) => {
                self.kdamond.stop()?;
                Err(ENOMEM)
            }
            // The other error is that the kdamond has ended, as it does when all its targets have.
            _ => Ok(()),
        }
    }

    /// Stops the kdamond and waits until its thread has ended.
    ///
    /// Fails with `EINVAL` if the last `on` did not succeed. Up to Linux 7.2 fails with `EPERM` if
    /// the kdamond had ended already.
    fn off(&self) -> Result {
        match self.kdamond()?.stop() {
            // The kdamond had ended already. The in-tree DAMON returns an error for that only up to
            // Linux 7.2.
            Err(EPERM) if series::OFF_AFTER_END => Ok(()),
            result => result,
        }
    }

    /// Returns the kdamond, which may have ended. Fails with `EINVAL` if the last `on` did not
    /// succeed.
    fn kdamond(&self) -> Result<&Kdamond> {
        if self.started.load(Relaxed) {
            Ok(&self.kdamond)
        } else {
            Err(EINVAL).because("state: the last 'on' did not succeed, or there was none")
        }
    }

    /// Builds the parameters from the files. Sleeps until the structure lock is free.
    fn params(&self) -> Result<Params> {
        // A list is empty while it is being replaced. The structure lock makes sure that parameters
        // are not built from that state.
        let _change = self.structure.change()?;
        self.contexts.only()?.params()
    }

    /// Applies the parameters in the files to the running kdamond.
    ///
    /// Fails with `EINVAL` if the last `on` did not succeed, with `ECANCELED` if the kdamond has
    /// ended, and with the errors of [`ContextDir::params`](super::contexts::ContextDir::params)
    /// and [`Kdamond::commit`].
    fn commit(&self) -> Result {
        let kdamond = self.kdamond()?;
        if !kdamond.is_running() {
            return Err(ecanceled());
        }
        let params = self.params()?;
        let committed = kdamond.commit(params);
        committed
            .because("state: targets, regions or goals conflict with those that run, or it ended")
    }

    /// Applies the quota goals in the files to the schemes of the running kdamond.
    fn commit_quota_goals(&self) -> Result {
        let kdamond = self.kdamond()?;
        let goals = {
            // As in `params`: a list of goals is empty while it is being replaced.
            let _change = self.structure.change()?;
            self.contexts.only()?.schemes.goals()?
        };
        kdamond.call(move |context| context.commit_goals(goals))?
    }

    /// Runs `publish` on the kdamond, which writes results to the files. Waits until it is done.
    fn publish(&self, publish: fn(&ContextsDir, &Context)) -> Result {
        let contexts = self.contexts.clone();
        self.kdamond()?
            .call(move |context| publish(&contexts, context))
    }

    /// Replaces the content of the `tried_regions/` directories. `bytes_only`: only `total_bytes`,
    /// without directories of regions.
    ///
    /// Fails with `ECANCELED` if the directories of the schemes were replaced while the kdamond
    /// worked on the request.
    fn update_tried(&self, bytes_only: bool) -> Result {
        let context = self.contexts.only()?;
        let schemes = context.schemes.data();
        let generation = schemes.dirs.generation();
        let recorder =
            self.collect_regions(|| WalkRecorder::new(schemes.dirs.len(), bytes_only))?;

        let change = self.structure.change()?;
        let is_same = Arc::ptr_eq(schemes, self.contexts.only()?.schemes.data())
            && generation == schemes.dirs.generation();
        if !is_same {
            // The results belong to directories that were removed.
            return Err(ecanceled());
        }
        schemes.show_tried_regions(&change, &recorder)
    }

    /// Collects the regions that the schemes are applied to.
    ///
    /// Uses the results of the last aggregation if they are sufficient
    /// ([`show_latest`](crate::engine::Context::show_latest)). Otherwise waits for the next apply
    /// interval of each scheme.
    fn collect_regions(&self, new: impl Fn() -> Result<WalkRecorder>) -> Result<WalkRecorder> {
        let kdamond = self.kdamond()?;
        let mut recorder = new()?;
        let latest = kdamond.call(move |context| {
            let shown = context.show_latest(&mut recorder);
            shown.then_some(recorder)
        })?;
        match latest {
            Some(recorder) => Ok(recorder),
            None => kdamond.walk(new()?),
        }
    }

    /// Returns the function that the kdamond calls at every tick. It updates the files of results
    /// every `refresh_ms` milliseconds, or never if that is zero.
    fn refresh(&self) -> impl FnMut(&mut Context) + Send + 'static {
        let contexts = self.contexts.clone();
        let refresh_ms = self.refresh_ms.clone();
        let mut last = now();
        move |context| {
            let us = u64::from(refresh_ms.get()).saturating_mul(1000);
            if us == 0 || now() < last.after_micros(us) {
                return;
            }
            last = now();
            publish_intervals(&contexts, context);
            publish_stats(&contexts, context);
            publish_quotas(&contexts, context);
        }
    }
}

// The functions below run on the kdamond, so they must not acquire the structure lock. They hold a
// list lock only to get the data of a directory. If that directory is removed meanwhile, its data
// is still valid: the values are stored, but no file shows them.

/// Stores the statistics of all schemes in the files.
fn publish_stats(contexts: &ContextsDir, context: &Context) {
    if let Ok(only) = contexts.only() {
        for (scheme, state) in only.schemes.dirs.iter().zip(context.schemes()) {
            scheme.stats.set(state.stat());
        }
    }
}

/// Stores the effective quotas of all schemes in the files.
fn publish_quotas(contexts: &ContextsDir, context: &Context) {
    if let Ok(only) = contexts.only() {
        for (scheme, state) in only.schemes.dirs.iter().zip(context.schemes()) {
            scheme.quotas.effective_bytes.set(state.quota().effective());
        }
    }
}

/// Stores the current sampling and aggregation intervals in the files.
fn publish_intervals(contexts: &ContextsDir, context: &Context) {
    if let Ok(only) = contexts.only() {
        let attrs = context.attrs();
        only.attrs.set_tuned(attrs.sample(), attrs.aggr());
    }
}

impl Value for State {
    fn show(&self, page: &mut Page<'_>) -> Result {
        page.line(if self.kdamond.is_running() {
            b"on"
        } else {
            b"off"
        });
        Ok(())
    }

    fn store(&self, input: &Input<'_>) -> Result {
        self.run(Command::parse(input)?)
    }
}
