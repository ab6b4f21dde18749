// SPDX-License-Identifier: GPL-2.0

//! The kdamond's loop: requests, pauses, and the time from one sampling tick to the next.
//!
//! ```text
//!        ┌────────────► consume the wakeup: calls, walks, stop
//!        │                   │
//!        │  paused, or all   │
//!        │  schemes are      │
//!        │  inactive: sleep ◄┤ no sample is prepared: prepare one
//!        │        │          │
//!        ├────────┘          ▼
//!        │              is it due? ──no──► sleep until it is, or until a wakeup ─┐
//!        │                   │ yes                   │ it is                     │ a wakeup
//!        │                   ▼                       ▼                           │
//!        │    tick: see `Context::begin_tick` and `Context::finish_tick`         │
//!        └───────────────────┴───────────────────────────────────────────────────┘
//! ```

use super::{
    mailbox::{
        Inbox,
        Repeat, //
    },
    moment::Moment,
    queue::Queue,
    thread::wakeup,
    walk, //
};
use crate::engine::{
    Context,
    Events,
    Operations,
    SystemMetrics,
    Walker, //
};

/// The state of a running kdamond.
pub(crate) struct Kdamond<O: Operations, E: Events, M: SystemMetrics> {
    // Dropped in this order: the walk is cancelled and the context is dropped before the mailbox
    // closes with `inbox`. Nothing of the context remains when the kdamond does not run any more.
    walk: Option<walk::Request>,
    repeats: Queue<dyn Repeat<Context<O>>>,
    context: Context<O>,
    events: E,
    metrics: M,
    /// Time at which the outstanding samples were prepared. `None` at the start and while no
    /// samples are taken.
    prepared: Option<Moment>,
    /// A lower bound of the current time. The clock is only read if the bound does not show that a
    /// tick is due.
    passed: Moment,
    inbox: Inbox<Context<O>>,
}

impl<O: Operations + 'static, E: Events, M: SystemMetrics> Kdamond<O, E, M> {
    /// Creates the state from a context and the inbox of its mailbox.
    pub(crate) fn new(
        context: Context<O>,
        inbox: Inbox<Context<O>>,
        events: E,
        metrics: M,
    ) -> Self {
        Self {
            walk: None,
            repeats: Queue::new(),
            context,
            events,
            metrics,
            prepared: None,
            passed: Moment::from_nanos(0),
            inbox,
        }
    }

    /// Runs until a stop is requested or no target is valid any more.
    pub(crate) fn run(mut self) {
        self.context.start();
        while self.serve_requests() && self.context.any_target_valid() {
            match self.context.rests(&self.metrics) {
                Some(interval) => {
                    self.repeat_calls();
                    self.rest(interval.0);
                }
                None => self.work(),
            }
        }
        self.cancel_walk();
        // Mistake: repeating calls are never dropped.
        if cfg!(model_mistake = "repeat_kept") {
            core::mem::forget(self.repeats.take());
        }
    }

    /// Consumes the pending wakeup and serves the requests it was for. Returns `false` if a stop
    /// was requested.
    fn serve_requests(&mut self) -> bool {
        if !self.inbox.wakeup().consume() {
            return true;
        }
        self.inbox.serve_calls(&mut self.context);
        self.repeats.append(self.inbox.take_repeats());
        // Mistake: a walk that was abandoned before it was taken stays.
        if cfg!(model_mistake = "abandoned_before_the_look") {
            self.cancel_abandoned_walk();
        }
        if self.walk.is_none() {
            self.walk = self.inbox.take_walk();
            self.context.begin_walk();
        }
        // After `take_walk()`: a walk that is abandoned at once comes with one wakeup.
        if !cfg!(model_mistake = "abandoned_before_the_look") {
            self.cancel_abandoned_walk();
        }
        let stop = self.inbox.stop_requested();
        // Mistake: the wakeup is consumed after its reasons were checked.
        if cfg!(model_mistake = "answered_after_the_look") {
            self.inbox.wakeup().consume();
        }
        !stop
    }

    fn repeat_calls(&mut self) {
        self.repeats.for_each(|call| call.tick(&mut self.context));
    }

    /// Sleeps for some microseconds, or until a wakeup. The outstanding samples are dropped,
    /// because the time since their preparation is not a sampling interval.
    fn rest(&mut self, micros: u64) {
        // Mistake: a paused kdamond keeps its walk.
        if !cfg!(model_mistake = "walk_left_in_a_pause") {
            self.cancel_walk();
        }
        self.prepared = None;
        let wakeup = self.inbox.wakeup();
        wakeup.sleep_until(wakeup::now().after_micros(micros));
    }

    /// Runs a tick if it is due, and otherwise sleeps until it is.
    fn work(&mut self) {
        if self.context.schemes().is_empty() {
            self.cancel_walk();
        }
        match self.prepared {
            None => self.context.prepare(),
            Some(prepared) => {
                // At least 1 us: an interval of zero must not occupy the CPU.
                let due = prepared.after_micros(self.context.attrs().sample().0.max(1));
                if self.passed < due && !self.inbox.wakeup().sleep_until(due) {
                    // Repeated wakeups cannot delay the tick: once it is due, this does not sleep.
                    self.passed = wakeup::now();
                    return;
                }
                // No wakeup is pending, so the checks before the sleep are still valid. A target
                // that has ended during the sleep gets one more sample, which finds no access.
                self.tick();
            }
        }
        self.passed = wakeup::now();
        self.prepared = Some(self.passed);
    }

    /// Runs one sampling tick.
    fn tick(&mut self) {
        let tick = self.context.begin_tick();
        self.repeat_calls();
        let visitor = self.walk.as_mut().and_then(|walk| walk.visitor());
        // Shortens the lifetime of the trait object, which `Option` alone does not.
        let visitor = visitor.map(|visitor| visitor as &mut dyn Walker);
        let (context, events) = (&mut self.context, &mut self.events);
        if context.finish_tick(tick, events, &self.metrics, visitor) {
            self.end_walk(|mut walk| walk.finish());
        }
    }

    /// Ends the walk under way by `end`. Another walk can be registered before the caller of this
    /// one is woken up.
    fn end_walk(&mut self, end: impl FnOnce(walk::Request)) {
        let Some(walk) = self.walk.take() else {
            return;
        };
        // Mistake: the request ends before the next walk can be registered.
        if cfg!(model_mistake = "ended_before_room_is_made") {
            end(walk);
            return self.inbox.end_walk();
        }
        self.inbox.end_walk();
        end(walk);
    }

    fn cancel_walk(&mut self) {
        self.end_walk(drop);
    }

    fn cancel_abandoned_walk(&mut self) {
        if self.walk.as_ref().is_some_and(|walk| walk.is_abandoned()) {
            self.cancel_walk();
        }
    }
}
