// SPDX-License-Identifier: GPL-2.0

//! The operations layer: the monitoring operations for each kind of address space.
//!
//! The engine uses them through its [`Operations`] trait and does not depend on the
//! implementations. They are variants of one enum: users select operations at run time, and a match
//! is cheaper than an indirect call.

use kernel::{
    fmt,
    pr_warn_once,
    prelude::*,
    sync::Arc, //
};

use crate::{
    engine::{
        Action,
        AddrRange,
        Applied,
        Attempt,
        Eligible,
        Operations,
        PageAttributes,
        Pass,
        Region,
        SchemeParams, //
    },
    mm::{
        FolioAttributes,
        Pid,
        HAS_IDLE_FLAG, //
    }, //
};

mod custom;
mod exchange;
mod hidden;
mod paddr;
mod page_filters;
mod three_regions;
mod vaddr;

pub use custom::AddressSpace;
use custom::Custom;
use paddr::Paddr;
use vaddr::{
    Ranges,
    Vaddr, //
};

/// The operations sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpsId {
    /// The mappings of processes.
    Vaddr,
    /// Fixed ranges of the virtual address spaces of processes.
    Fvaddr,
    /// The physical address space.
    Paddr,
    /// An address space that a module provides. Users cannot select it.
    Custom,
}

impl OpsId {
    /// Returns the operations sets that users can select, in the order in which they are listed.
    pub fn available() -> impl Iterator<Item = OpsId> {
        [OpsId::Vaddr, OpsId::Fvaddr, OpsId::Paddr]
            .into_iter()
            .filter(|id| *id != OpsId::Paddr || Paddr::is_available())
    }

    /// Returns the name in the files `avail_operations` and `operations`.
    pub const fn name(self) -> &'static CStr {
        match self {
            OpsId::Vaddr => c"vaddr",
            OpsId::Fvaddr => c"fvaddr",
            OpsId::Paddr => c"paddr",
            OpsId::Custom => c"custom",
        }
    }
}

/// The address space of a target.
#[derive(Clone)]
pub enum Space {
    /// The virtual address space of a process.
    Process(Pid),
    /// The physical address space.
    Physical,
    /// An address space that a module provides.
    Custom(Arc<dyn AddressSpace>),
}

/// The operations that were selected for a context.
pub enum AnyOps {
    /// For [`OpsId::Vaddr`] and [`OpsId::Fvaddr`].
    Vaddr(Vaddr),
    /// For [`OpsId::Paddr`].
    Paddr(Paddr),
    /// For [`OpsId::Custom`].
    Custom(Custom),
}

impl AnyOps {
    /// Creates operations. `addr_unit` is the size in bytes of the unit in which physical addresses
    /// and those of modules are counted. Virtual addresses are always in bytes.
    ///
    /// Fails with `EINVAL` if the operations are not [available](OpsId::available), or if
    /// `addr_unit` is zero where it is used, and with `ENOMEM`. May sleep.
    pub fn new(id: OpsId, addr_unit: u64) -> Result<Self> {
        match id {
            OpsId::Vaddr => Ok(Self::Vaddr(Vaddr::new(Ranges::Mapped)?)),
            OpsId::Fvaddr => Ok(Self::Vaddr(Vaddr::new(Ranges::Fixed)?)),
            OpsId::Paddr => Ok(Self::Paddr(Paddr::new(addr_unit)?)),
            OpsId::Custom => Ok(Self::Custom(Custom::new(addr_unit)?)),
        }
    }

    /// Returns the operations set that this is.
    pub fn id(&self) -> OpsId {
        match self {
            Self::Vaddr(vaddr) if vaddr.has_fixed_ranges() => OpsId::Fvaddr,
            Self::Vaddr(_) => OpsId::Vaddr,
            Self::Paddr(_) => OpsId::Paddr,
            Self::Custom(_) => OpsId::Custom,
        }
    }

    /// Returns the size in bytes of the unit in which addresses are counted.
    pub fn addr_unit(&self) -> u64 {
        match self {
            Self::Vaddr(_) => 1,
            Self::Paddr(paddr) => paddr.addr_unit(),
            Self::Custom(custom) => custom.addr_unit(),
        }
    }
}

impl PageAttributes for FolioAttributes<'_> {
    fn is_anon(&self) -> bool {
        self.is_anon()
    }

    fn memcg(&self) -> Option<u64> {
        self.memcg()
    }
}

/// Reports, once, memory that the operations do not monitor.
///
/// This is unreachable, as parameters with such a target are rejected ([`Operations::monitors`]).
/// As a fallback the callers treat the memory as memory that does not exist.
#[cold]
fn foreign_target() {
    pr_warn_once!("a target is not of the address space of the operations\n");
}

impl Operations for AnyOps {
    type Space = Space;

    fn min_region_sz(&self) -> u64 {
        match self {
            Self::Vaddr(vaddr) => vaddr.min_region_sz(),
            Self::Paddr(paddr) => paddr.min_region_sz(),
            Self::Custom(custom) => custom.min_region_sz(),
        }
    }

    fn monitors(&self, space: &Space) -> bool {
        match self {
            Self::Vaddr(_) => matches!(space, Space::Process(_)),
            Self::Paddr(_) => matches!(space, Space::Physical),
            Self::Custom(_) => matches!(space, Space::Custom(_)),
        }
    }

    fn ranges(&mut self, space: &Space) -> Result<Option<KVec<AddrRange>>> {
        match (self, space) {
            (Self::Vaddr(vaddr), Space::Process(pid)) => vaddr.ranges(pid),
            (Self::Paddr(paddr), Space::Physical) => paddr.ranges(&()),
            (Self::Custom(custom), Space::Custom(space)) => custom.ranges(space),
            _ => {
                foreign_target();
                Err(EINVAL)
            }
        }
    }

    fn memory(&self, space: &Space) -> Option<usize> {
        match (self, space) {
            (Self::Vaddr(vaddr), Space::Process(pid)) => vaddr.memory(pid),
            (Self::Paddr(paddr), Space::Physical) => paddr.memory(&()),
            (Self::Custom(custom), Space::Custom(space)) => custom.memory(space),
            _ => {
                foreign_target();
                None
            }
        }
    }

    fn begin_pass(&mut self) {
        match self {
            Self::Vaddr(vaddr) => vaddr.begin_pass(),
            Self::Paddr(paddr) => paddr.begin_pass(),
            Self::Custom(custom) => custom.begin_pass(),
        }
    }

    fn sample(&mut self, space: &Space, regions: &mut [Region], pass: &mut Pass<'_>) {
        match (self, space) {
            (Self::Vaddr(vaddr), Space::Process(pid)) => vaddr.sample(pid, regions, pass),
            (Self::Paddr(paddr), Space::Physical) => paddr.sample(&(), regions, pass),
            (Self::Custom(custom), Space::Custom(space)) => custom.sample(space, regions, pass),
            _ => foreign_target(),
        }
    }

    fn is_valid(&self, space: &Space) -> bool {
        match (self, space) {
            (Self::Vaddr(vaddr), Space::Process(pid)) => vaddr.is_valid(pid),
            (Self::Paddr(paddr), Space::Physical) => paddr.is_valid(&()),
            (Self::Custom(custom), Space::Custom(space)) => custom.is_valid(space),
            _ => {
                foreign_target();
                false
            }
        }
    }

    fn outlives_targets(&self) -> bool {
        match self {
            Self::Vaddr(vaddr) => vaddr.outlives_targets(),
            Self::Paddr(paddr) => paddr.outlives_targets(),
            Self::Custom(custom) => custom.outlives_targets(),
        }
    }

    fn same_space(&self, space: &Space, old: &Self, old_space: &Space) -> bool {
        match (self, space, old, old_space) {
            (Self::Vaddr(new), Space::Process(pid), Self::Vaddr(old), Space::Process(old_pid)) => {
                new.same_space(pid, old, old_pid)
            }
            (Self::Paddr(new), Space::Physical, Self::Paddr(old), Space::Physical) => {
                new.same_space(&(), old, &())
            }
            // The old operations may be of another kind. Custom spaces are never the same.
            _ => false,
        }
    }

    fn supports(&self, action: Action) -> bool {
        match self {
            Self::Vaddr(vaddr) => vaddr.supports(action),
            Self::Paddr(paddr) => paddr.supports(action),
            Self::Custom(custom) => custom.supports(action),
        }
    }

    fn acts(&self, scheme: &SchemeParams) -> bool {
        match self {
            Self::Vaddr(vaddr) => vaddr.acts(scheme),
            Self::Paddr(paddr) => paddr.acts(scheme),
            Self::Custom(custom) => custom.acts(scheme),
        }
    }

    fn supports_nodes(&self) -> bool {
        match self {
            Self::Vaddr(vaddr) => vaddr.supports_nodes(),
            Self::Paddr(paddr) => paddr.supports_nodes(),
            Self::Custom(custom) => custom.supports_nodes(),
        }
    }

    fn eligible(&mut self, space: &Space, region: &Region, nid: i32) -> Eligible {
        match (self, space) {
            (Self::Vaddr(vaddr), Space::Process(pid)) => vaddr.eligible(pid, region, nid),
            (Self::Paddr(paddr), Space::Physical) => paddr.eligible(&(), region, nid),
            (Self::Custom(custom), Space::Custom(space)) => custom.eligible(space, region, nid),
            _ => {
                foreign_target();
                Eligible::default()
            }
        }
    }

    fn apply(&mut self, space: &Space, region: &Region, attempt: Attempt<'_>) -> Applied {
        match (self, space) {
            (Self::Vaddr(vaddr), Space::Process(pid)) => vaddr.apply(pid, region, attempt),
            (Self::Paddr(paddr), Space::Physical) => paddr.apply(&(), region, attempt),
            (Self::Custom(custom), Space::Custom(space)) => custom.apply(space, region, attempt),
            _ => {
                foreign_target();
                Applied::default()
            }
        }
    }
}

/// Displays the names of the available operations sets, each after a space.
struct Names;

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OpsId::available().try_for_each(|id| write!(f, " {}", id.name().to_str().unwrap_or("")))
    }
}

/// Logs the available operations sets and whether folios have the *idle* flag.
pub fn announce() {
    let flag = if HAS_IDLE_FLAG { "with" } else { "without" };
    pr_info!("operations sets:{Names}; {flag} page idle flag\n");
}
