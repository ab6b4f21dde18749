// SPDX-License-Identifier: GPL-2.0

//! No preparation of a tick is visible to a check of the same tick, in any target.
//!
//! The memory here records accesses as the kernel does: in the accessed bits of entries, which an
//! address space has for itself or shares with another one, and in the idle flags of folios, which
//! any number of entries map. Beside that it notes the time of each access. A check has to agree
//! with these times.

use super::{
    memory::{
        ranges,
        Counter, //
    },
    strategies::{
        scheme,
        WantedScheme, //
    },
};
use crate::{
    engine::{
        Action,
        AddrRange,
        Applied,
        Attempt,
        Attrs,
        AttrsParams,
        Context,
        Micros,
        Operations,
        Params,
        Pass,
        Probes,
        Region,
        SchemeParams,
        TargetParams, //
    },
    files::ops::hidden::Hidden, //
    metrics::FakeMetrics,
    mm::RecordId,
};
use kernel::prelude::*;
use proptest::{
    collection::vec,
    option,
    prelude::*, //
};
use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc, //
};

/// Each address space has this many addresses.
const SIZE: u64 = 96;

/// Address spaces have the numbers below. The entries of the last two in the first half of their
/// addresses are in shared tables.
const SPACES: usize = 4;

/// A place with accesses.
#[derive(Clone, Copy, Default)]
struct Place {
    /// There was an access since the place was cleared.
    accessed: bool,
    /// The time of the last access, 0 if there was none.
    at: u64,
}

/// Where an entry is.
#[derive(Clone, Copy)]
struct Entry {
    table: usize,
    index: u64,
}

/// The memory of some address spaces, and what is remembered of the samples.
struct World {
    /// Number of addresses that one entry maps.
    block: u64,
    /// The folio that an entry maps is one of this many, by chance.
    nr_folios: usize,
    entries: HashMap<usize, Place>,
    /// The places of idle flags: accessed if not idle.
    folios: HashMap<usize, Place>,
    /// The time, in halves of a tick: a first half is even.
    now: u64,
    /// The times at which samples were prepared, by target and address.
    prepared: HashMap<(u32, u64), u64>,
    /// The number of checks that were compared, and of those with an access.
    checks: (u64, u64),
}

/// The operations on the memory. Those of a commit are on the same.
struct Memory {
    world: Rc<RefCell<World>>,
    hidden: Hidden,
}

impl World {
    fn entry(&self, space: u32, addr: u64) -> Entry {
        let (index, space) = (addr / self.block, space as usize % SPACES);
        let shares = space == SPACES - 1 && addr < SIZE / 2 / self.block * self.block;
        Entry {
            table: if shares { SPACES - 2 } else { space },
            index,
        }
    }

    fn entry_id(&self, entry: Entry) -> usize {
        (entry.table * SIZE as usize + entry.index as usize) * 8 + 0x10_0000
    }

    /// An entry maps a folio that others map too, or one of its own.
    fn folio_id(&self, entry: Entry) -> usize {
        let id = self.entry_id(entry);
        let folio = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        match folio % 2 {
            0 => folio % self.nr_folios * 64 + 0x20_0000,
            _ => id * 64,
        }
    }

    fn has_folio_of_its_own(&self, entry: Entry) -> bool {
        self.block == 1 && self.folio_id(entry) == self.entry_id(entry) * 64
    }

    fn is_in_shared_table(&self, entry: Entry) -> bool {
        entry.table == SPACES - 2 && entry.index < SIZE / 2 / self.block
    }

    fn access(&mut self, space: u32, addr: u64, by_read: bool) {
        let entry = self.entry(space, addr % SIZE);
        let place = Place {
            accessed: true,
            at: self.now,
        };
        if by_read {
            self.folios.insert(self.folio_id(entry), place);
        } else {
            self.entries.insert(self.entry_id(entry), place);
        }
    }

    fn places(&self, entry: Entry) -> (Place, Place) {
        // A folio is not idle before its first sample.
        let new = Place {
            accessed: true,
            at: 0,
        };
        let place = |places: &HashMap<usize, Place>, id, new| *places.get(&id).unwrap_or(&new);
        (
            place(&self.entries, self.entry_id(entry), Place::default()),
            place(&self.folios, self.folio_id(entry), new),
        )
    }

    /// As `accessed()` of vaddr.
    fn young(&self, entry: Entry, hidden: &Hidden) -> bool {
        let (bit, flag) = self.places(entry);
        let id = RecordId::from_addr(self.entry_id(entry));
        let folio = RecordId::from_addr(self.folio_id(entry));
        bit.accessed || flag.accessed || hidden.young(id, || folio)
    }

    /// As `prepare()` of vaddr and `Entry::mkold()`.
    fn prepare(&mut self, entry: Entry, hidden: &mut Hidden) -> bool {
        let (bit, flag) = self.places(entry);
        if !bit.accessed && !flag.accessed {
            return true;
        }
        let folio = RecordId::from_addr(self.folio_id(entry));
        let id = RecordId::from_addr(self.entry_id(entry));
        if flag.accessed && !self.has_folio_of_its_own(entry) && !hidden.hide(folio) {
            return false;
        }
        if self.is_in_shared_table(entry) && !hidden.hide(id) {
            return false;
        }
        let cleared = |place: Place| Place {
            accessed: false,
            ..place
        };
        self.folios.insert(self.folio_id(entry), cleared(flag));
        if bit.accessed {
            self.entries.insert(self.entry_id(entry), cleared(bit));
            hidden.cleared(id);
        }
        true
    }
}

impl Operations for Memory {
    /// The number of a target. Targets of which the numbers differ by a multiple of [`SPACES`] have
    /// one address space.
    type Space = u32;

    fn min_region_sz(&self) -> u64 {
        1
    }

    fn ranges(&mut self, _: &u32) -> Result<Option<KVec<AddrRange>>> {
        Ok(None)
    }

    fn memory(&self, space: &u32) -> Option<usize> {
        Some(*space as usize % SPACES)
    }

    fn begin_pass(&mut self) {
        self.hidden.begin_pass();
    }

    fn sample(&mut self, space: &u32, regions: &mut [Region], pass: &mut Pass<'_>) {
        let Self { world, hidden } = self;
        let world = &mut *world.borrow_mut();
        hidden.begin_target(pass.checks());
        for region in regions {
            if let (true, Some(addr)) = (pass.checks(), region.sample()) {
                let entry = world.entry(*space, addr);
                let young = world.young(entry, hidden);
                let prepared = world.prepared[&(*space, addr)];
                let (bit, flag) = world.places(entry);
                let last = bit.at.max(flag.at);
                // An access between the halves of the tick of the preparation may be found or not:
                // another sample of the place may have been prepared in the second half.
                let between = (prepared + 1..=prepared | 1).contains(&last);
                assert!(
                    young == (last > prepared) || between,
                    "target {space}, address {addr} at {}: {young}, {prepared}, {last}",
                    world.now
                );
                world.checks.0 += 1;
                world.checks.1 += u64::from(young);
                pass.record(region, young);
            }
            if pass.prepares() && region.sample().is_none() {
                let addr = pass.pick(region);
                let entry = world.entry(*space, addr);
                if world.prepare(entry, hidden) {
                    world.prepared.insert((*space, addr), world.now);
                } else {
                    pass.defer(region);
                }
            }
        }
    }

    fn is_valid(&self, _: &u32) -> bool {
        true
    }

    fn same_space(&self, space: &u32, _: &Self, old_space: &u32) -> bool {
        space == old_space
    }

    fn supports(&self, action: Action) -> bool {
        matches!(action, Action::Stat | Action::Pageout)
    }

    fn acts(&self, scheme: &SchemeParams) -> bool {
        scheme.action == Action::Pageout
    }

    fn apply(&mut self, _: &u32, region: &Region, _: Attempt<'_>) -> Applied {
        Applied {
            bytes: region.size(),
            filter_passed: region.size(),
        }
    }
}

/// The number of a target, and its range.
type Target = (u32, u64, u64);

/// Targets of which no two have one number.
fn targets() -> impl Strategy<Value = Vec<Target>> {
    vec((0..SPACES, 0..SIZE, 1..SIZE), 1..6).prop_map(|targets| {
        let numbered = targets.into_iter().zip(0..);
        numbered
            .map(|((space, start, size), place)| {
                let number = space as u32 + SPACES as u32 * place;
                (number, start, (start + size).min(SIZE))
            })
            .collect()
    })
}

/// A case: what is monitored, and the accesses before each tick.
#[derive(Clone, Debug)]
struct Case {
    block: u64,
    nr_folios: usize,
    /// The number of each target, and its range.
    targets: Vec<Target>,
    /// After half of the ticks these are the targets.
    later: Option<Vec<Target>>,
    schemes: Vec<WantedScheme>,
    /// Per tick: space, address, and whether it is an access by `read()`.
    accesses: Vec<Vec<(u32, u64, bool)>>,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let access = (0u32..12, 0..SIZE, any::<bool>());
    (
        prop_oneof![Just(1u64), Just(4), Just(16)],
        1usize..40,
        (targets(), option::of(targets())),
        vec(scheme(), 0..3),
        vec(vec(access, 0..24), 1..40),
        any::<u64>(),
    )
        .prop_map(
            |(block, nr_folios, (targets, later), schemes, accesses, seed)| Case {
                block,
                nr_folios,
                targets,
                later,
                schemes,
                accesses,
                seed,
            },
        )
}

fn params(case: &Case, targets: &[Target], world: &Rc<RefCell<World>>) -> Result<Params<Memory>> {
    let mut list = KVec::new();
    for &(space, start, end) in targets {
        let target = TargetParams {
            space,
            obsolete: false,
            regions: ranges(&[(start, end)])?,
        };
        list.push(target, GFP_KERNEL)?;
    }
    let mut schemes = KVec::new();
    for scheme in &case.schemes {
        schemes.push(scheme.params()?, GFP_KERNEL)?;
    }
    Ok(Params {
        ops: Memory {
            world: world.clone(),
            hidden: Hidden::new()?,
        },
        attrs: Attrs::try_from(AttrsParams {
            sample: Micros(1000),
            aggr: Micros(4000),
            min_nr_regions: 10,
            max_nr_regions: 60,
            ..AttrsParams::default()
        })?,
        probes: Probes::default(),
        pause: false,
        targets: list,
        schemes,
    })
}

/// Runs a case. Returns the number of checks, and of those that have found an access.
fn run(case: &Case) -> Result<(u64, u64)> {
    let world = Rc::new(RefCell::new(World {
        block: case.block,
        nr_folios: case.nr_folios,
        entries: HashMap::new(),
        folios: HashMap::new(),
        now: 1,
        prepared: HashMap::new(),
        checks: (0, 0),
    }));
    let mut context = Context::new(params(case, &case.targets, &world)?, case.seed)?;
    context.start();
    context.prepare();
    for (tick, accesses) in case.accesses.iter().enumerate() {
        world.borrow_mut().now += 1;
        for &(space, addr, by_read) in accesses {
            world.borrow_mut().access(space, addr, by_read);
        }
        let begun = context.begin_tick();
        // Between the halves of a tick there may be accesses and commits too.
        world.borrow_mut().now += 1;
        for &(space, addr, by_read) in accesses.iter().skip(20) {
            world.borrow_mut().access(space, addr, by_read);
        }
        if let (true, Some(later)) = (tick == case.accesses.len() / 2, &case.later) {
            context.commit(params(case, later, &world)?)?;
        }
        let (mut events, metrics) = (Counter::default(), FakeMetrics::default());
        context.finish_tick(begun, &mut events, &metrics, None);
        let sampled = |region: &Region| region.sample().is_some();
        assert!(context
            .targets()
            .iter()
            .all(|target| target.regions().iter().all(sampled)));
    }
    let checks = world.borrow().checks;
    Ok(checks)
}

proptest! {
    #[test]
    fn no_check_misses_what_a_preparation_of_its_tick_has_cleared(case in case()) {
        let (checks, _) = run(&case).unwrap();
        prop_assert!(checks > 0);
    }
}

/// Two targets with one address space, all of which is accessed all the time.
#[test]
fn one_memory_as_two_targets() {
    let case = Case {
        block: 16,
        nr_folios: 4,
        targets: vec![(0, 0, SIZE), (4, 0, SIZE)],
        later: None,
        schemes: Vec::new(),
        accesses: vec![(0..SIZE).map(|addr| (0, addr, false)).collect(); 40],
        seed: 0,
    };
    let (checks, accessed) = run(&case).unwrap();
    assert!(checks >= 40 * 20);
    assert_eq!(checks, accessed);
}
