// SPDX-License-Identifier: GPL-2.0

//! The last steps, and the watchdog: a thread that interrupts what may wait for long, and tells what
//! hangs.

use nix::sys::{
    pthread::{
        pthread_kill,
        pthread_self, //
    },
    signal::{
        sigaction,
        SaFlags,
        SigAction,
        SigHandler,
        SigSet,
        Signal, //
    },
};
use std::{
    collections::VecDeque,
    fs,
    io::Write,
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

/// After so many looks a walk is interrupted.
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
    /// A number while there is something that may be interrupted, else 0.
    asking: AtomicU64,
    last: Mutex<VecDeque<Record>>,
}

/// The watchdog.
#[derive(Default)]
pub struct Watch {
    shared: Arc<Shared>,
    asked: u64,
}

impl Watch {
    /// Starts to watch this thread.
    pub fn start() -> Self {
        extern "C" fn nothing(_: i32) {}
        let action = SigAction::new(
            SigHandler::Handler(nothing),
            // Not SA_RESTART: what is interrupted is to fail.
            SaFlags::empty(),
            SigSet::empty(),
        );
        // SAFETY: The handler does nothing, which may be done at any time.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.expect("sigaction");
        let watch = Self::default();
        let shared = Arc::downgrade(&watch.shared);
        let watched = pthread_self();
        thread::spawn(move || {
            let (mut beat, mut idle) = (0, 0);
            let (mut asking, mut patience) = (0, 0);
            loop {
                thread::sleep(LOOK);
                // It ends with what it watches.
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                let now = shared.beat.load(Relaxed);
                idle = if now == beat { idle + 1 } else { 0 };
                beat = now;
                let now = shared.asking.load(Relaxed);
                patience = if now == asking { patience + 1 } else { 0 };
                asking = now;
                if asking != 0 && patience >= PATIENCE {
                    let _ = pthread_kill(watched, Signal::SIGUSR1);
                }
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
        let mut last = lock(&self.shared);
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
        if let Some(record) = lock(&self.shared).back_mut() {
            record.result = Some(result);
        }
    }

    /// Lets what comes next be interrupted, until [`Self::stop_asking`].
    pub fn ask(&mut self) {
        self.asked += 1;
        self.shared.asking.store(self.asked, Relaxed);
    }

    /// See [`Self::ask`].
    pub fn stop_asking(&self) {
        self.shared.asking.store(0, Relaxed);
    }

    /// The last steps.
    pub fn told(&self) -> String {
        told(&lock(&self.shared))
    }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, VecDeque<Record>> {
    shared.last.lock().unwrap_or_else(PoisonError::into_inner)
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
        told(&lock(shared))
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
