// SPDX-License-Identifier: GPL-2.0

//! Processes to monitor: children that touch memory, and die when they are told to.

use std::{
    env,
    hint::black_box,
    io::{
        self,
        Read, //
    },
    process::{
        Child,
        Command,
        Stdio, //
    },
    thread,
    time::Duration, //
};

/// The argument that makes this program a workload.
pub const OPTION: &str = "--workload";

/// Number of processes that live at a time, at most.
const NUMBER: usize = 3;

/// Children, and what became of earlier ones.
#[derive(Default)]
pub struct Workloads {
    children: Vec<Child>,
}

impl Workloads {
    /// The numbers of those that live.
    pub fn pids(&self) -> impl Iterator<Item = i64> + '_ {
        self.children.iter().map(|child| i64::from(child.id()))
    }

    /// Starts one, if there are not enough, and returns its number.
    pub fn start(&mut self) -> io::Result<Option<i64>> {
        if self.children.len() >= NUMBER {
            return Ok(None);
        }
        // It ends when its standard input does, so also if we are killed.
        let child = Command::new(env::current_exe()?)
            .arg(OPTION)
            .stdin(Stdio::piped())
            .spawn()?;
        let pid = i64::from(child.id());
        self.children.push(child);
        Ok(Some(pid))
    }

    /// Kills one and returns its number.
    pub fn kill(&mut self, index: usize) -> io::Result<Option<i64>> {
        if index >= self.children.len() {
            return Ok(None);
        }
        let mut child = self.children.remove(index);
        // Waited for in any case: what cannot be killed has ended.
        let killed = child.kill();
        child.wait()?;
        killed?;
        Ok(Some(i64::from(child.id())))
    }
}

impl Drop for Workloads {
    fn drop(&mut self) {
        while let Ok(Some(_)) = self.kill(0) {}
    }
}

/// Touches memory until the standard input ends.
pub fn run() {
    thread::spawn(|| {
        let mut memory = vec![0u8; 4 << 20];
        for round in 0usize.. {
            let hot = memory.chunks_mut(4096).take(64);
            hot.for_each(|page| page[0] = page[0].wrapping_add(1));
            if round % 16 == 0 {
                // Memory comes and goes.
                drop(black_box(vec![1u8; 1 << 20]));
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    let _ = io::stdin().read_to_end(&mut Vec::new());
}
