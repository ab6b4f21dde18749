// SPDX-License-Identifier: GPL-2.0

//! `state`: turns a kdamond on and off, and carries parameters and results to and fro.

use super::{
    contexts::Contexts,
    kobject::{
        Input,
        Page,
        Value, //
    },
    list::Structure,
    tried_regions::{
        self,
        Seen, //
    },
    values::{
        Number,
        Words, //
    },
};
use crate::{
    bindings,
    kdamond::{
        ecanceled,
        now,
        Context,
        Kdamond,
        Params, //
    },
    mm::log::Because,
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

/// What can be written to `state`.
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

/// The file `state`, and what it works on.
pub(super) struct State {
    kdamond: Arc<Kdamond>,
    /// Whether the last `on` has succeeded. If not, there is nothing to ask anybody for.
    started: Atomic<bool>,
    /// Held while the kdamond is being started. Others than [`Self::end`] do not wait for it.
    starting: Pin<KBox<Mutex<()>>>,
    /// For the directories below the kdamond's, to which `state` does not belong: a command may
    /// wait for it.
    structure: Arc<Structure>,
    contexts: Arc<Contexts>,
    refresh_ms: Arc<Number<u32>>,
}

impl State {
    pub(super) fn new(
        kdamond: Arc<Kdamond>,
        structure: Arc<Structure>,
        contexts: Arc<Contexts>,
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

    /// Makes sure that the kdamond neither runs nor is going to, and that nothing is added below.
    /// Fails with `EBUSY`.
    pub(super) fn retire(&self) -> Result {
        let _starting = self.starting.try_lock().ok_or(EBUSY)?;
        if self.kdamond.is_running() {
            return Err(EBUSY);
        }
        self.structure.try_change()?.close();
        Ok(())
    }

    /// Takes [`Self::retire`] back.
    pub(super) fn reinstate(&self) {
        self.structure.reopen();
    }

    /// As [`Self::retire`], whatever it takes. Waits for the kdamond's end.
    pub(super) fn end(&self) {
        let starting = self.starting.lock();
        if let Ok(change) = self.structure.change() {
            change.close();
        }
        drop(starting);
        // It is as good if it does not run.
        let _ = self.kdamond.stop();
    }

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
                tried_regions::clear(&change, &self.contexts.only()?.schemes)
            }
            Command::UpdateEffectiveQuotas => self.publish(publish_quotas),
            Command::UpdateTunedIntervals => self.publish(publish_intervals),
        }
    }

    fn on(&self) -> Result {
        let _starting = self.starting.try_lock().ok_or(EBUSY)?;
        if self.kdamond.is_running() {
            return Err(EBUSY);
        }
        self.started.store(false, Relaxed);
        let started = self.kdamond.start(self.params()?);
        started.because("state: no thread, or regions and goals do not fit the operations")?;
        self.started.store(true, Relaxed);
        match self.kdamond.call_repeatedly(self.refresh()) {
            Err(ENOMEM) => {
                self.kdamond.stop()?;
                Err(ENOMEM)
            }
            // It may have ended at once, as a kdamond does when its targets do.
            _ => Ok(()),
        }
    }

    fn off(&self) -> Result {
        match self.kdamond()?.stop() {
            // It had ended already. In-tree that is an error up to Linux 7.2.
            Err(EPERM) if bindings::DAMON_RS_SINCE_7_3 => Ok(()),
            result => result,
        }
    }

    /// The kdamond, if the last `on` has succeeded. Fails with `EINVAL`.
    fn kdamond(&self) -> Result<&Kdamond> {
        match self.started.load(Relaxed) {
            true => Ok(&self.kdamond),
            false => Err(EINVAL).because("state: the kdamond was never on, or not with success"),
        }
    }

    fn params(&self) -> Result<Params> {
        // A list that is being replaced looks empty. That is not what the user wants to have.
        let _change = self.structure.change()?;
        self.contexts.only()?.params()
    }

    fn commit(&self) -> Result {
        let kdamond = self.kdamond()?;
        if !kdamond.is_running() {
            return Err(ecanceled());
        }
        let params = self.params()?;
        let committed = kdamond.commit(params);
        committed.because("state: targets, regions or goals do not fit what runs, or it has ended")
    }

    fn commit_quota_goals(&self) -> Result {
        let kdamond = self.kdamond()?;
        let goals = {
            // As with all parameters: a list that is being replaced looks empty.
            let _change = self.structure.change()?;
            self.contexts.only()?.schemes.goals()?
        };
        kdamond.call(move |context| context.commit_goals(goals))?
    }

    /// Has the kdamond write results to files.
    fn publish(&self, publish: fn(&Contexts, &Context)) -> Result {
        let contexts = self.contexts.clone();
        self.kdamond()?
            .call(move |context| publish(&contexts, context))
    }

    fn update_tried(&self, bytes_only: bool) -> Result {
        let context = self.contexts.only()?;
        let schemes = context.schemes.data();
        let generation = schemes.dirs.generation();
        let seen = self.see_regions(|| Seen::new(schemes, bytes_only))?;

        let change = self.structure.change()?;
        let is_same = Arc::ptr_eq(schemes, self.contexts.only()?.schemes.data())
            && generation == schemes.dirs.generation();
        if !is_same {
            // The schemes that were asked for are not there any more.
            return Err(ecanceled());
        }
        seen.show(&change, schemes)
    }

    /// What schemes are tried on: as it was at the last aggregation, if that tells, else as it is
    /// within the next interval of each scheme.
    fn see_regions(&self, new: impl Fn() -> Result<Seen>) -> Result<Seen> {
        let kdamond = self.kdamond()?;
        let mut seen = new()?;
        let latest = kdamond.call(move |context| {
            let shown = context.show_latest(&mut seen);
            shown.then_some(seen)
        })?;
        match latest {
            Some(seen) => Ok(seen),
            None => kdamond.walk(new()?),
        }
    }

    /// What the kdamond does at every tick, to keep the files up to date.
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

// These run on the kdamond. They take no lock for longer than a look at a list, and need none: if
// somebody removes a directory meanwhile, its values are written and not seen.

fn publish_stats(contexts: &Contexts, context: &Context) {
    if let Ok(only) = contexts.only() {
        for (scheme, state) in only.schemes.dirs.iter().zip(context.schemes()) {
            scheme.stats.set(state.stat());
        }
    }
}

fn publish_quotas(contexts: &Contexts, context: &Context) {
    if let Ok(only) = contexts.only() {
        for (scheme, state) in only.schemes.dirs.iter().zip(context.schemes()) {
            scheme.quotas.effective_bytes.set(state.quota().effective());
        }
    }
}

fn publish_intervals(contexts: &Contexts, context: &Context) {
    if let Ok(only) = contexts.only() {
        let attrs = context.attrs();
        only.attrs.set_tuned(attrs.sample(), attrs.aggr());
    }
}

impl Value for State {
    fn show(&self, page: &mut Page<'_>) -> Result {
        page.line(match self.kdamond.is_running() {
            true => b"on",
            false => b"off",
        });
        Ok(())
    }

    fn store(&self, input: &Input<'_>) -> Result {
        self.run(Command::parse(input)?)
    }
}
