// SPDX-License-Identifier: GPL-2.0

//! The state of every context as one JSON file, `<debugfs>/damon_rs/status`.
//!
//! The directory has this name on every kernel, because `damo` takes a directory `damon` for the
//! debugfs interface that DAMON once had.
//!
//! A read runs a function on each kdamond, between two samples. So the state of each context is
//! consistent, monitoring continues, and the file can be read while a context is paused. The states
//! of two contexts may be from different times. The file is read-only.

mod json;

use crate::{
    errno::ecanceled,
    glue::debugfs::{
        Contents,
        DebugFile, //
    },
    kdamond::Registry,
    panic_free::indexed, //
};
use json::Text;
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};

/// The file `status` with its directory. Dropping it removes both, which sleeps until no task reads
/// the file.
pub struct Status {
    _file: DebugFile<Contexts>,
}

impl Status {
    /// Creates the directory and the file, which shows all kdamonds of `registry`. Fails with
    /// `ENOMEM`. Other failures, for example a kernel without debugfs, are ignored.
    pub fn new(registry: &Arc<Registry>) -> Result<Self> {
        let contexts = Contexts(registry.clone());
        Ok(Self {
            _file: DebugFile::new(c"damon_rs", c"status", contexts)?,
        })
    }
}

/// The content of the file: all kdamonds with their contexts, as JSON.
struct Contexts(Arc<Registry>);

impl Contents for Contexts {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> Result {
        let all = self.0.all()?;
        f.write_str("{\"version\":1,\"kdamonds\":[")?;
        for (at, (number, requests)) in indexed(&all) {
            if at != 0 {
                f.write_str(",")?;
            }
            write!(f, "\n{{\"index\":{number},")?;
            let context = requests.call(|context| {
                let mut text = Text::new();
                json::context(&mut text, context)?;
                Ok((kernel::current!().pid(), context.paused(), text))
            });
            match context {
                Ok(Ok((pid, paused, text))) => {
                    let state = if paused { "paused" } else { "running" };
                    write!(f, "\"pid\":{pid},\"state\":\"{state}\",\"context\":")?;
                    f.write_str(text.as_str())?;
                }
                // `Text` could not be allocated. Fails the read instead of showing a part.
                Ok(Err(fmt::Error)) => return Err(ENOMEM),
                Err(error) if error == ecanceled() => {
                    f.write_str("\"pid\":null,\"state\":\"stopped\"")?
                }
                Err(error) => return Err(error),
            }
            f.write_str("}")?;
        }
        Ok(f.write_str("]}\n")?)
    }
}
