// SPDX-License-Identifier: GPL-2.0

//! The last steps, and the watchdog: a thread that kills a child that waits for long, and tells what
//! hangs.

use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::{
            kill,
            Signal, //
        },
        wait::{
            waitid,
            waitpid,
            Id,
            WaitPidFlag,
            WaitStatus, //
        }, //
    },
    unistd::{
        fork,
        ForkResult,
        Pid, //
    },
};
use std::{
    collections::VecDeque,
    fs,
    io::{
        self,
        Write, //
    },
    sync::{
        atomic::{
            AtomicU64,
            Ordering::Relaxed, //
        },
        Arc,
        Mutex,
        PoisonError, //
    },
    thread,
    time::Duration, //
};

/// How often the watchdog looks. What it allows is counted in looks, not read from a clock: time in which the
/// machine stood still is one look. In a machine that counts instructions, where the fuzzer is to run, looks do not
/// depend on the host at all.
const LOOK: Duration = Duration::from_millis(10);

/// After so many looks a child is killed.
const PATIENCE: u32 = 12;

/// After so many looks a step hangs.
const HANG: u32 = 9_000;

/// The last line of a process that hangs, and may not be able to end.
pub const HUNG: &str = "it hangs";

/// The steps that are told.
const TOLD: usize = 40;

/// What was done in a step.
#[derive(Clone)]
pub struct Record {
    /// The step's number.
    pub step: u64,
    /// What was done.
    pub what: &'static str,
    /// With which file or directory.
    pub path: String,
    /// What was written.
    pub text: Vec<u8>,
    /// What came of it; none if it is not over.
    pub result: Option<Result<usize, i32>>,
}

#[derive(Default)]
struct Shared {
    /// Changes with each step, and within.
    beat: AtomicU64,
    /// A child that may be killed. It is not reaped as long as it is here.
    child: Mutex<Option<Pid>>,
    last: Mutex<VecDeque<Record>>,
}

/// The watchdog.
#[derive(Default)]
pub struct Watch {
    shared: Arc<Shared>,
}

impl Watch {
    /// Starts to watch this thread.
    pub fn start() -> Self {
        let watch = Self::default();
        let shared = Arc::downgrade(&watch.shared);
        thread::spawn(move || {
            let (mut beat, mut idle) = (0, 0);
            let (mut child, mut patience) = (None, 0);
            loop {
                thread::sleep(LOOK);
                // It ends with what it watches.
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                let now = shared.beat.load(Relaxed);
                idle = if now == beat { idle + 1 } else { 0 };
                beat = now;
                let now = lock(&shared.child);
                patience = if *now == child { patience + 1 } else { 0 };
                child = *now;
                if let Some(child) = child.filter(|_| patience >= PATIENCE) {
                    let _ = kill(child, Signal::SIGKILL);
                }
                drop(now);
                if idle >= HANG {
                    tell_hang(&shared);
                }
            }
        });
        watch
    }

    /// Takes note of what is about to be done.
    pub fn begin(&self, record: Record) {
        self.shared.beat.fetch_add(1, Relaxed);
        let mut last = lock(&self.shared.last);
        last.push_back(record);
        while last.front().is_some_and(|first| {
            let newest = last.back().map_or(0, |last| last.step);
            first.step + TOLD as u64 <= newest
        }) {
            last.pop_front();
        }
    }

    /// Takes note of what came of it.
    pub fn end(&self, result: Result<usize, i32>) {
        if let Some(record) = lock(&self.shared.last).back_mut() {
            record.result = Some(result);
        }
    }

    /// Does something in a child, which is killed if it takes long. That fails with `EINTR`.
    ///
    /// `f` returns a number or an errno. It must only make system calls: the thread is the only one
    /// in the child, and another one may have held any lock.
    pub fn in_child(&self, f: impl FnOnce() -> Result<usize, i32>) -> io::Result<usize> {
        // A pipe would do as well, but there is nothing else to tell than an errno: a write that
        // succeeds takes all.
        // SAFETY: In the child, only `f` and `_exit()` are called.
        let child = match unsafe { fork() }? {
            ForkResult::Child => {
                let code = f().map_or_else(|error| error, |_| 0);
                // SAFETY: This ends the process without any destructor.
                unsafe { libc::_exit(code) }
            }
            ForkResult::Parent { child } => child,
        };
        *lock(&self.shared.child) = Some(child);
        waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
        *lock(&self.shared.child) = None;
        match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => Ok(0),
            WaitStatus::Exited(_, code) => Err(io::Error::from_raw_os_error(code)),
            _ => Err(Errno::EINTR.into()),
        }
    }

    /// The last steps.
    pub fn told(&self) -> String {
        told(&lock(&self.shared.last))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn told(last: &VecDeque<Record>) -> String {
    let line = |record: &Record| {
        let shown = &record.text[..record.text.len().min(80)];
        let more = record.text.len() - shown.len();
        let more = if more > 0 {
            format!("…{more} more")
        } else {
            String::new()
        };
        let result = match record.result {
            None => "not over".to_owned(),
            Some(Ok(number)) => number.to_string(),
            Some(Err(error)) => errno(error),
        };
        let (step, what, path) = (record.step, record.what, &record.path);
        format!(
            "  {step:7} {what} {path} \"{}\"{more}: {result}\n",
            shown.escape_ascii()
        )
    };
    last.iter().map(line).collect()
}

/// The name of an errno.
pub fn errno(error: i32) -> String {
    format!("{:?}", nix::errno::Errno::from_raw(error))
}

/// Tells what hangs, and ends.
fn tell_hang(shared: &Shared) -> ! {
    let seconds = LOOK.as_millis() * u128::from(HANG) / 1000;
    println!(
        "FAILED: nothing moves for {seconds} s; the last steps:\n{}",
        told(&lock(&shared.last))
    );
    let own = std::process::id();
    let kdamonds = fs::read_dir("/proc").into_iter().flatten().flatten();
    let kdamonds = kdamonds.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let comm = fs::read_to_string(entry.path().join("comm")).ok()?;
        comm.starts_with("kdamond").then_some(pid)
    });
    for pid in [own].into_iter().chain(kdamonds) {
        let file = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        println!("{pid} {}{}", file("comm"), file("stack"));
    }
    println!("{HUNG}");
    let _ = std::io::stdout().flush();
    std::process::exit(1);
}
