// SPDX-License-Identifier: GPL-2.0

//! The state of every context as one JSON file, `<debugfs>/damon_rs/status`.
//!
//! The directory has that name on every kernel: `damo` takes one that is called `damon` for the
//! interface that DAMON once had in debugfs.
//!
//! It is read on the kdamond itself, between two samplings: a consistent picture, whether the
//! context runs or is paused, without a debugger and without stopping anything.

mod json;

use crate::{
    kdamond::{
        ecanceled,
        Registry, //
    },
    mm::debugfs::{
        Contents,
        DebugFile, //
    }, //
};
use json::Text;
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};

/// The file. Dropping it removes it.
pub struct Status {
    _file: DebugFile<Contexts>,
}

impl Status {
    /// Creates it. Fails with `ENOMEM`.
    pub fn new(registry: &Arc<Registry>) -> Result<Self> {
        let contexts = Contexts(registry.clone());
        Ok(Self {
            _file: DebugFile::new(c"damon_rs", c"status", contexts)?,
        })
    }
}

/// All contexts, as JSON.
struct Contexts(Arc<Registry>);

impl Contents for Contexts {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> Result {
        let all = self.0.all()?;
        f.write_str("{\"version\":1,\"kdamonds\":[")?;
        for (at, (number, requests)) in all.iter().enumerate() {
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
                // No memory for the text: nothing to show is better than a part.
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
