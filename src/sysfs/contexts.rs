// SPDX-License-Identifier: GPL-2.0

//! `contexts/`: what to monitor, how, and what to do with the results.

use super::{
    attrs::Attrs,
    kobject::{
        files,
        Dir,
        Directory,
        File,
        Input,
        Page,
        Place,
        Value, //
    },
    list::{
        Entry,
        List, //
    },
    schemes::Schemes,
    targets::Targets,
    values::{
        Number,
        Switch,
        Word,
        Words, //
    },
};
use crate::{
    kdamond::Params,
    ops::{
        AnyOps,
        OpsId, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// `contexts/`
pub(super) type Contexts = List<Context>;

impl Contexts {
    /// The one context. Fails with `EINVAL` if there is none.
    pub(super) fn only(&self) -> Result<Arc<Context>> {
        self.dirs.get(0).ok_or(EINVAL)
    }
}

impl Words for OpsId {
    const WORDS: &'static [(&'static CStr, Self)] = &[
        (c"vaddr", Self::Vaddr),
        (c"fvaddr", Self::Fvaddr),
        (c"paddr", Self::Paddr),
    ];
}

/// The operations that this kernel can do.
struct Available;

impl Value for Available {
    fn show(&self, page: &mut Page<'_>) -> Result {
        for ops in OpsId::available() {
            page.line(ops.name().as_bytes());
        }
        Ok(())
    }
}

/// A number that is not zero.
struct AddrUnit(Number<u64>);

impl Value for AddrUnit {
    fn show(&self, page: &mut Page<'_>) -> Result {
        self.0.show(page)
    }

    fn store(&self, input: &Input<'_>) -> Result {
        match input.number()? {
            0 => Err(EINVAL),
            unit => {
                self.0.set(unit);
                Ok(())
            }
        }
    }
}

/// `contexts/<C>/`
pub(super) struct Context {
    operations: Word<OpsId>,
    addr_unit: AddrUnit,
    pause: Switch,
    pub(super) attrs: Dir<Attrs>,
    targets: Dir<Targets>,
    pub(super) schemes: Dir<Schemes>,
}

impl Directory for Context {
    fn files() -> &'static [File<Self>] {
        files!(Context {
            ro c"avail_operations": |_| &Available;
            rw c"operations": |context| &context.operations;
            rw c"addr_unit": |context| &context.addr_unit;
            rw c"pause": |context| &context.pause;
        })
    }
}

impl Entry for Context {
    type Common = ();

    const LIMIT: usize = 1;

    fn list_files() -> &'static [File<Contexts>] {
        files!(Contexts {
            rw c"nr_contexts": |contexts| contexts;
        })
    }

    fn new(place: Place<'_>, list: &Contexts) -> Result<Self> {
        let structure = &list.structure;
        Ok(Self {
            operations: Word::new(),
            addr_unit: AddrUnit(Number::new(1)),
            pause: Switch::new(false),
            attrs: Dir::new(place, c"monitoring_attrs", |at| Attrs::new(at, structure))?,
            targets: Dir::new(place, c"targets", |_| List::new(structure, ()))?,
            schemes: Dir::new(place, c"schemes", |_| List::new(structure, ()))?,
        })
    }
}

impl Context {
    /// What is asked for. Fails with `EINVAL` if it cannot be, with `EOPNOTSUPP` if it cannot be with
    /// this kernel, and with `ENOMEM`.
    pub(super) fn params(&self) -> Result<Params> {
        let id = self.operations.get()?;
        Ok(Params {
            ops: AnyOps::new(id, self.addr_unit.0.get())?,
            attrs: self.attrs.params()?,
            probes: self.attrs.probes()?,
            pause: self.pause.get(),
            targets: self.targets.params(id)?,
            schemes: self.schemes.params()?,
        })
    }
}
