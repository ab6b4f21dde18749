// SPDX-License-Identifier: GPL-2.0

//! `contexts/`: the monitoring contexts of a kdamond. At most one is supported.

use super::{
    attrs::AttrsDir,
    kobject::{
        bytes,
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
    targets::TargetsDir,
    values::{
        Flag,
        Number,
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
pub(super) type ContextsDir = List<ContextDir>;

impl ContextsDir {
    /// Returns the only context. Fails with `EINVAL` if there is none.
    pub(super) fn only(&self) -> Result<Arc<ContextDir>> {
        self.dirs.get(0).ok_or(EINVAL)
    }
}

impl Words for OpsId {
    const WORDS: &'static [(&'static CStr, Self)] = &[
        (Self::Vaddr.name(), Self::Vaddr),
        (Self::Fvaddr.name(), Self::Fvaddr),
        (Self::Paddr.name(), Self::Paddr),
    ];
}

/// The file `avail_operations`: the names of the operations sets that this kernel supports, one per
/// line.
struct Available;

impl Value for Available {
    fn show(&self, page: &mut Page<'_>) -> Result {
        for ops in OpsId::available() {
            page.line(bytes(ops.name()));
        }
        Ok(())
    }
}

/// The file `addr_unit`: bytes per unit of addresses. A store of zero fails with `EINVAL`.
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
pub(super) struct ContextDir {
    operations: Word<OpsId>,
    addr_unit: AddrUnit,
    pause: Flag,
    pub(super) attrs: Dir<AttrsDir>,
    targets: Dir<TargetsDir>,
    pub(super) schemes: Dir<Schemes>,
}

impl Directory for ContextDir {
    fn files() -> &'static [File<Self>] {
        files!(ContextDir {
            ro c"avail_operations": |_| &Available;
            rw c"operations": |context| &context.operations;
            rw c"addr_unit": |context| &context.addr_unit;
            rw c"pause": |context| &context.pause;
        })
    }
}

impl Entry for ContextDir {
    type Common = ();

    const LIMIT: usize = 1;

    fn list_files() -> &'static [File<ContextsDir>] {
        files!(ContextsDir {
            rw c"nr_contexts": |contexts| contexts;
        })
    }

    fn new(place: Place<'_>, list: &ContextsDir) -> Result<Self> {
        let structure = &list.structure;
        Ok(Self {
            operations: Word::new(),
            addr_unit: AddrUnit(Number::new(1)),
            pause: Flag::new(false),
            attrs: Dir::new(place, c"monitoring_attrs", |at| {
                AttrsDir::new(at, structure)
            })?,
            targets: Dir::new(place, c"targets", |_| List::new(structure, ()))?,
            schemes: Dir::new(place, c"schemes", |_| List::new(structure, ()))?,
        })
    }
}

impl ContextDir {
    /// Builds the parameters of the context from the files.
    ///
    /// Sleeps. Fails with `EINVAL` if a value is not acceptable or values conflict, with
    /// `EOPNOTSUPP` if this kernel does not support a value, and with `ENOMEM`, which
    /// [`Schemes::params`] also returns for bad values.
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
