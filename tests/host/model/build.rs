// SPDX-License-Identifier: GPL-2.0

//! Makes the variants: the kdamond's files with one mistake each.

use std::{
    env,
    fmt::Write,
    fs,
    path::PathBuf, //
};

/// The files that a variant has its own copy of.
const FILES: [&str; 7] = [
    "handle", "mailbox", "registry", "reply", "requests", "run", "walk",
];

/// Replaces `.1`, which must be there exactly `.3` times, by `.2` in file `.0`.
type Change = (&'static str, &'static str, &'static str, usize);

const VARIANTS: &[(&str, &[Change])] = &[
    // A walk is ended before there is room for the next one.
    (
        "ended_before_room_is_made",
        &[(
            "run",
            "            self.inbox.end_walk();\n            drop(walk);",
            "            drop(walk);\n            self.inbox.end_walk();",
            1,
        ), (
            "run",
            "                self.inbox.end_walk();\n                walk.finish();",
            "                walk.finish();\n                self.inbox.end_walk();",
            1,
        )],
    ),
    // As above, and whatever is in the slot afterwards is thrown out, as in the discussion.
    (
        "next_walk_thrown_out",
        &[(
            "run",
            "                self.inbox.end_walk();\n                walk.finish();",
            "                walk.finish();\n                self.inbox.end_walk();",
            1,
        ), (
            "mailbox",
            "            if matches!(walk, Walking::Underway) {\n                *walk = Walking::None;\n            }",
            "            *walk = Walking::None;",
            1,
        ), (
            "mailbox",
            "                walk: walk @ Walking::None,\n",
            "                walk: walk @ (Walking::None | Walking::Underway),\n",
            1,
        )],
    ),
    // The same, where requests that are dropped do not end by themselves.
    (
        "next_walk_lost",
        &[(
            "run",
            "                self.inbox.end_walk();\n                walk.finish();",
            "                walk.finish();\n                self.inbox.end_walk();",
            1,
        ), (
            "mailbox",
            "            if matches!(walk, Walking::Underway) {\n                *walk = Walking::None;\n            }",
            "            *walk = Walking::None;",
            1,
        ), (
            "mailbox",
            "                walk: walk @ Walking::None,\n",
            "                walk: walk @ (Walking::None | Walking::Underway),\n",
            1,
        ), (
            "reply",
            "        self.end(Outcome::Cancelled);",
            "",
            1,
        )],
    ),
    // Whether a kdamond runs is looked at, and then, under another hold of the lock, the request
    // is registered.
    (
        "registered_after_the_check",
        &[(
            "mailbox",
            "            // Unlocked before `link` is dropped: it was declared earlier.\n            State::Stopped { .. } => return Err(ecanceled()),\n",
            "            State::Stopped { .. } => core::mem::forget(link),\n",
            1,
        ), (
            "mailbox",
            "        let mut state = self.state.lock();\n        match &mut *state {\n            State::Stopped { .. } => core::mem::forget(link),\n",
            "        if !self.is_running() {\n            return Err(ecanceled());\n        }\n        let mut state = self.state.lock();\n        match &mut *state {\n            State::Stopped { .. } => core::mem::forget(link),\n",
            1,
        )],
    ),
    // The bell is rung before there is anything to do.
    (
        "rung_before_registered",
        &[(
            "mailbox",
            "        drop(state);\n        self.bell.ring();\n        waiter.wait()",
            "        drop(state);\n        waiter.wait()",
            1,
        ), (
            "mailbox",
            "        let mut state = self.state.lock();\n        match &mut *state {\n            // Unlocked",
            "        self.bell.ring();\n        let mut state = self.state.lock();\n        match &mut *state {\n            // Unlocked",
            1,
        )],
    ),
    // The ring is forgotten after looking at what it was for.
    (
        "answered_after_the_look",
        &[(
            "run",
            "        !self.inbox.stop_requested()\n",
            "        let stop = self.inbox.stop_requested();\n        self.inbox.bell().answer();\n        !stop\n",
            1,
        )],
    ),
    // Who waits for the end is not told.
    (
        "end_not_told",
        &[("mailbox", "        self.mailbox.state.notify_all();\n", "", 1)],
    ),
    // What is registered at the end is forgotten.
    (
        "forgotten_at_the_end",
        &[("mailbox", "        cancel(cancelled);", "        core::mem::forget(cancelled);", 1)],
    ),
    // Who asks for a stop waits for whatever run there is.
    (
        "stop_waits_for_any_run",
        &[(
            "mailbox",
            "State::Running { run, .. } if run == its",
            "State::Running { .. }",
            1,
        )],
    ),
    // A request that was served is cancelled on top.
    (
        "ended_twice",
        &[("reply", "            Outcome::Open => {\n                *outcome = end;", "            Outcome::Open | Outcome::Served(_) => {\n                *outcome = end;", 1)],
    ),
    // Nobody cancels walks of a paused kdamond.
    (
        "walk_left_in_a_pause",
        &[("run", "        self.cancel_walk();\n        self.prepared = None;", "        self.prepared = None;", 1)],
    ),
    // A repeating call is kept for good.
    (
        "repeat_kept",
        &[("mailbox", "        while let Some(mut link) = rest {\n            rest = link.next.take();\n        }", "        while let Some(mut link) = rest {\n            rest = link.next.take();\n            core::mem::forget(link);\n        }", 1)],
    ),
    // A walk that a signal has called its caller away from is not given up.
    (
        "abandoned_in_silence",
        &[("requests", "            self.requests.0.wake();\n", "", 1)],
    ),
    // The same, where it was given up before the kdamond has come to it.
    (
        "abandoned_before_the_look",
        &[(
            "run",
            "        if self.walk.is_none() {\n            self.walk = self.inbox.take_walk();",
            "        if self.walk.as_ref().is_some_and(|walk| walk.is_abandoned()) {\n            self.cancel_walk();\n        }\n        if self.walk.is_none() {\n            self.walk = self.inbox.take_walk();",
            1,
        ), (
            "run",
            "        // Behind the taking: the bell rings once for a walk that comes and is given up at once.\n        if self.walk.as_ref().is_some_and(|walk| walk.is_abandoned()) {\n            self.cancel_walk();\n        }\n",
            "",
            1,
        )],
    ),
    // A mailbox can be opened while it is open.
    (
        "opened_twice",
        &[(
            "mailbox",
            "            State::Running { .. } => Err(EBUSY),\n            State::Stopped { last } => {",
            "            State::Running { run: last, .. } | State::Stopped { last } => {",
            1,
        )],
    ),
    // Between the opening of the mailbox and the making of the thread nobody is told that there
    // will be one.
    (
        "started_unannounced",
        &[("handle", "&mut *self.thread.lock(), Slot::Starting { run });", "&mut *self.thread.lock(), Slot::Ended);", 1)],
    ),
    // The next run's thread takes the place of one that has not returned.
    (
        "restarted_without_waiting",
        &[(
            "handle",
            "        self.reap(run.saturating_sub(1));\n",
            "",
            1,
        ), (
            "handle",
            "            is_first: matches!(earlier, Slot::Never),\n",
            "            is_first: matches!(earlier, Slot::Never) || { core::mem::forget(earlier); false },\n",
            1,
        )],
    ),
    // A start that fails leaves its mark.
    (
        "failed_start_kept",
        &[("handle", "        *self.kdamond.thread.lock() = slot;\n", "        if !matches!(slot, Slot::Never) {\n            *self.kdamond.thread.lock() = slot;\n        }\n", 1)],
    ),
    // A start that fails leaves the mailbox open.
    (
        "left_open",
        &[(
            "handle",
            "        let inbox = self.requests.0.open()?;\n",
            "        let inbox = core::mem::ManuallyDrop::new(self.requests.0.open()?);\n",
            1,
        ), (
            "handle",
            "run::Kdamond::new(context, inbox, TraceEvents, ThisMachine)",
            "run::Kdamond::new(context, core::mem::ManuallyDrop::into_inner(inbox), TraceEvents, ThisMachine)",
            1,
        )],
    ),
    // Who stops it waits for the mailbox only.
    (
        "stopped_without_waiting",
        &[("handle", "        self.reap(run);\n        result\n", "        result\n", 1)],
    ),
    // Who finds that somebody else waits for the thread does not.
    (
        "left_to_the_other",
        &[("handle", "Slot::Starting { run } | Slot::Ending { run } if", "Slot::Starting { run } if", 1)],
    ),
    // Who finds that it has ended by itself does not wait for the thread.
    (
        "ended_without_waiting",
        &[("handle", "        self.reap(run);\n        result\n", "        result?;\n        self.reap(run);\n        Ok(())\n", 1)],
    ),
    // Who stops it waits for whatever thread is there.
    (
        "any_thread_waited_for",
        &[("handle", "Slot::Started { run, .. } if run <= last =>", "Slot::Started { run, .. } =>", 1)],
    ),
    // The owner goes without a word to the thread.
    (
        "dropped_without_stop",
        &[("handle", "        let _ = self.stop();\n", "", 1)],
    ),
    // The owner goes, and leaves the thread to itself.
    (
        "dropped_without_waiting",
        &[("handle", "        let _ = self.stop();\n", "        let _ = self.requests.0.stop();\n        core::mem::forget(core::mem::replace(&mut *self.thread.lock(), Slot::Ended));\n", 1)],
    ),
    // The number is free before the thread has ended.
    (
        "number_free_too_early",
        &[("handle", "        let _ = self.stop();\n        self.registry.remove(self.number);\n", "        self.registry.remove(self.number);\n        let _ = self.stop();\n", 1)],
    ),
    // The run is not counted for as long as it lasts.
    (
        "not_counted",
        &[("handle", "            run::Kdamond::new(context, inbox, TraceEvents, ThisMachine).run();\n            drop(running);\n", "            drop(running);\n            run::Kdamond::new(context, inbox, TraceEvents, ThisMachine).run();\n", 1)],
    ),
];

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let source = manifest.join("../../../src/kdamond");
    let scenarios = ["handles", "scenarios"].map(|name| {
        let path = manifest.join("src").join(name).with_extension("rs");
        format!("    #[path = {path:?}]\n    pub(crate) mod {name};\n")
    });
    println!("cargo::rerun-if-changed=build.rs");

    let mut modules = String::new();
    for (name, changes) in VARIANTS {
        let folder = out.join(name);
        fs::create_dir_all(&folder).expect("the output folder is ours");
        let mut lines = String::new();
        for file in FILES {
            let path = source.join(file).with_extension("rs");
            println!("cargo::rerun-if-changed={}", path.display());
            let mut text = fs::read_to_string(path).expect("the module's file is there");
            for (_, from, to, times) in changes.iter().filter(|change| change.0 == file) {
                assert_eq!(
                    text.matches(from).count(),
                    *times,
                    "{name}: src/kdamond/{file}.rs has changed, the mistake does not fit any more"
                );
                text = text.replace(from, to);
            }
            let path = folder.join(file).with_extension("rs");
            fs::write(&path, text).expect("the output folder is ours");
            writeln!(lines, "    #[path = {path:?}]\n    pub(crate) mod {file};").expect("memory");
        }
        writeln!(
            modules,
            "/// A mistake.\npub(crate) mod {name} {{\n    use crate::{{kdamond::{{moment, schedule}}, \
             monitor as sync, thread::{{self, bell}}, world::{{self as machine, Context, Params}}}};\n\
             {lines}{}}}",
            scenarios.concat(),
        )
        .expect("memory");
    }
    writeln!(
        modules,
        "/// How many there are.\npub(crate) const COUNT: usize = {};",
        VARIANTS.len()
    )
    .expect("memory");
    fs::write(out.join("variants.rs"), modules).expect("the output folder is ours");
}
