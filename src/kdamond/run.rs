// SPDX-License-Identifier: GPL-2.0

//! The kdamond's loop: requests, pauses, and the time from one sampling tick to the next.
//!
//! ```text
//!        ┌────────────► answer the bell: calls, walks, stop
//!        │                   │
//!        │  paused, or all   │
//!        │  schemes rest ◄───┤
//!        │  sleep            │ no sample is prepared: prepare one
//!        │        │          │
//!        ├────────┘          ▼
//!        │             is it time? ──no──► sleep until it is, or the bell rings ──┐
//!        │                   │ yes                   │ it is                     │ it has rung
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
    thread::bell,
    walk, //
};
use crate::engine::{
    Context,
    Events,
    Machine,
    Operations,
    Walker, //
};

/// A paused kdamond looks this often whether its targets are still there.
const PAUSED_CHECK_US: u64 = 1_000_000;

/// A kdamond at work.
pub(crate) struct Kdamond<O: Operations, E: Events, M: Machine> {
    // In the order in which they go: who waits for the walk hears of its end before the mailbox
    // closes, and once it is closed nothing of the context is left.
    walk: Option<walk::Request>,
    repeats: Queue<dyn Repeat<Context<O>>>,
    context: Context<O>,
    events: E,
    machine: M,
    /// When the outstanding sample was prepared. `None` at the start and while paused.
    prepared: Option<Moment>,
    /// A moment that has passed. The clock is not asked for more than is needed to know what is due.
    passed: Moment,
    inbox: Inbox<Context<O>>,
}

impl<O: Operations + 'static, E: Events, M: Machine> Kdamond<O, E, M> {
    /// Brings a context and its mailbox together.
    pub(crate) fn new(
        context: Context<O>,
        inbox: Inbox<Context<O>>,
        events: E,
        machine: M,
    ) -> Self {
        Self {
            walk: None,
            repeats: Queue::new(),
            context,
            events,
            machine,
            prepared: None,
            passed: Moment::from_nanos(0),
            inbox,
        }
    }

    /// Runs until it is asked to stop, or none of the targets is left.
    pub(crate) fn run(mut self) {
        self.context.start();
        while self.answer() && self.context.any_target_valid() {
            if self.context.paused() {
                self.context.stand_still(&self.machine);
                self.repeat_calls();
                self.rest(PAUSED_CHECK_US);
                continue;
            }
            self.context.go_on(&self.machine);
            match self.context.check_watermarks(&self.machine) {
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

    /// Serves what the bell was rung for. `false` when asked to stop.
    fn answer(&mut self) -> bool {
        if !self.inbox.bell().answer() {
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
        // Behind the taking: the bell rings once for a walk that comes and is given up at once.
        if !cfg!(model_mistake = "abandoned_before_the_look") {
            self.cancel_abandoned_walk();
        }
        let stop = self.inbox.stop_requested();
        // Mistake: the ring is forgotten after the look at what it was for.
        if cfg!(model_mistake = "answered_after_the_look") {
            self.inbox.bell().answer();
        }
        !stop
    }

    fn repeat_calls(&mut self) {
        self.repeats.for_each(|call| call.tick(&mut self.context));
    }

    /// Nothing but to wait, for some microseconds. The outstanding sample is given up: how long it would be is not up to
    /// the sampling interval any more.
    fn rest(&mut self, micros: u64) {
        // Mistake: a paused kdamond keeps its walk.
        if !cfg!(model_mistake = "walk_left_in_a_pause") {
            self.cancel_walk();
        }
        self.prepared = None;
        let bell = self.inbox.bell();
        bell.sleep_until(bell::now().after_micros(micros));
    }

    /// Takes a sample when it is time, else waits for that.
    fn work(&mut self) {
        if self.context.schemes().is_empty() {
            self.cancel_walk();
        }
        match self.prepared {
            None => self.context.prepare(),
            Some(prepared) => {
                // At least a microsecond, so that an interval of zero leaves the CPU to others.
                let due = prepared.after_micros(self.context.attrs().sample().0.max(1));
                if self.passed < due && !self.inbox.bell().sleep_until(due) {
                    // Whoever rings again and again does not put it off.
                    self.passed = bell::now();
                    return;
                }
                // What was looked at before the sleep is as it was, for nobody has rung. A target that
                // has ended meanwhile has one more sample, in which nothing is accessed.
                self.tick();
            }
        }
        self.passed = bell::now();
        self.prepared = Some(self.passed);
    }

    /// One sampling tick.
    fn tick(&mut self) {
        let tick = self.context.begin_tick();
        self.repeat_calls();
        let visitor = self.walk.as_mut().and_then(|walk| walk.visitor());
        // Shortens the lifetime of the trait object, which `Option` alone does not.
        let visitor = visitor.map(|visitor| visitor as &mut dyn Walker);
        let walked = self
            .context
            .finish_tick(tick, &mut self.events, &self.machine, visitor);
        if walked {
            if let Some(mut walk) = self.walk.take() {
                // Mistake: the caller learns of the end before there is room for the next walk.
                if cfg!(model_mistake = "finished_before_room_is_made") {
                    walk.finish();
                }
                self.inbox.end_walk();
                walk.finish();
            }
        }
    }

    fn cancel_walk(&mut self) {
        if let Some(walk) = self.walk.take() {
            // Mistake: as above, for a walk that is cancelled.
            if cfg!(model_mistake = "cancelled_before_room_is_made") {
                drop(walk);
                self.inbox.end_walk();
                return;
            }
            self.inbox.end_walk();
            drop(walk);
        }
    }

    fn cancel_abandoned_walk(&mut self) {
        if self.walk.as_ref().is_some_and(|walk| walk.is_abandoned()) {
            self.cancel_walk();
        }
    }
}
