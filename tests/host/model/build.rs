// SPDX-License-Identifier: GPL-2.0

//! Makes the variants: the kdamond's files with one mistake each.

use std::{
    env,
    fmt::Write,
    fs,
    path::PathBuf, //
};

/// The files that a variant has its own copy of.
const FILES: [&str; 3] = ["mailbox", "reply", "run"];

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
            "            // Unlocked before `link` is dropped: it was declared earlier.\n            State::Stopped => return Err(ecanceled()),\n",
            "            State::Stopped => core::mem::forget(link),\n",
            1,
        ), (
            "mailbox",
            "        let mut state = self.state.lock();\n        match &mut *state {\n            State::Stopped => core::mem::forget(link),\n",
            "        if !self.is_running() {\n            return Err(ecanceled());\n        }\n        let mut state = self.state.lock();\n        match &mut *state {\n            State::Stopped => core::mem::forget(link),\n",
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
            "State::Running { stop: true, .. }",
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
];

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let source = manifest.join("../../../src/kdamond");
    let scenarios = manifest.join("src/scenarios.rs");
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
            "/// A mistake.\npub(crate) mod {name} {{\n    \
             use crate::{{kdamond::{{moment, schedule}}, monitor as sync, thread::{{self, bell}}}};\n\
             {lines}    #[path = {scenarios:?}]\n    pub(crate) mod scenarios;\n}}"
        )
        .expect("memory");
    }
    fs::write(out.join("variants.rs"), modules).expect("the output folder is ours");
}
