// SPDX-License-Identifier: GPL-2.0

//! `schemes/<S>/tried_regions/`: the regions that a scheme tried to apply its action to during one
//! apply interval.

use super::{
    kobject::{
        files,
        Dir,
        Directory,
        File,
        Place, //
    },
    list::{
        Change,
        Dirs, //
    },
    values::Number, //
};
use crate::{
    engine::{
        ProbeHits,
        Tried,
        Walker, //
    },
    panic_free, //
};
use kernel::{
    prelude::*,
    str::CString, //
};

/// `tried_regions/`
pub(super) struct TriedRegions {
    total_bytes: Number<u64>,
    regions: Dirs<TriedRegion>,
}

impl Directory for TriedRegions {
    fn files() -> &'static [File<Self>] {
        files!(TriedRegions {
            ro c"total_bytes": |tried| &tried.total_bytes;
        })
    }
}

impl TriedRegions {
    /// Creates the data, without regions. Fails with `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            total_bytes: Number::new(0),
            regions: Dirs::new()?,
        })
    }
}

/// Replaces the regions in `dir` by those of `records`, which yields at least `total.regions`.
///
/// Fails with `ENOMEM` and with an error of sysfs. Then `dir` has no regions, and `total_bytes` is
/// not changed.
fn show<'a>(
    dir: &Dir<TriedRegions>,
    change: &Change<'_>,
    total: &Total,
    mut records: impl Iterator<Item = &'a Record>,
) -> Result {
    let nr = total.regions;
    dir.regions.replace(change, dir.place(), nr, |_, place| {
        TriedRegion::new(place, records.next().ok_or(EINVAL)?)
    })?;
    dir.total_bytes.set(total.bytes);
    Ok(())
}

/// Removes the regions of a scheme and sets `total_bytes` to zero.
///
/// Fails only with the errors of [`Dirs::replace`], and not with `ENOMEM`.
pub(super) fn clear(change: &Change<'_>, dir: &Dir<TriedRegions>) -> Result {
    show(dir, change, &Total::default(), core::iter::empty())
}

/// `tried_regions/<R>/`
struct TriedRegion {
    start: Number<u64>,
    end: Number<u64>,
    nr_accesses: Number<u32>,
    age: Number<u32>,
    sz_filter_passed: Number<u64>,
    _probes: Dir<TriedProbes>,
}

impl Directory for TriedRegion {
    fn files() -> &'static [File<Self>] {
        files!(TriedRegion {
            ro c"start": |region| &region.start;
            ro c"end": |region| &region.end;
            ro c"nr_accesses": |region| &region.nr_accesses;
            ro c"age": |region| &region.age;
            ro c"sz_filter_passed": |region| &region.sz_filter_passed;
        })
    }
}

impl TriedRegion {
    fn new(place: Place<'_>, record: &Record) -> Result<Self> {
        Ok(Self {
            start: Number::new(record.start),
            end: Number::new(record.end),
            nr_accesses: Number::new(record.nr_accesses),
            age: Number::new(record.age),
            sz_filter_passed: Number::new(record.sz_filter_passed),
            _probes: Dir::new(place, c"probes", |place| TriedProbes::new(place, record))?,
        })
    }
}

/// `tried_regions/<R>/probes/`: one directory for each probe that the context had when the region
/// was recorded.
struct TriedProbes {
    _probes: KVec<Dir<TriedProbe>>,
}

impl Directory for TriedProbes {
    fn files() -> &'static [File<Self>] {
        &[]
    }
}

impl TriedProbes {
    fn new(place: Place<'_>, record: &Record) -> Result<Self> {
        let hits = record.probe_hits.get(..record.nr_probes).unwrap_or(&[]);
        let mut probes = KVec::with_capacity(hits.len(), GFP_KERNEL)?;
        for (number, hits) in panic_free::indexed(hits) {
            let name = CString::try_from_fmt(fmt!("{number}"))?;
            probes.push_within_capacity(Dir::new(place, &name, |_| {
                Ok(TriedProbe {
                    hits: Number::new(u32::from(*hits)),
                })
            })?)?;
        }
        Ok(Self { _probes: probes })
    }
}

/// `tried_regions/<R>/probes/<P>/`
struct TriedProbe {
    hits: Number<u32>,
}

impl Directory for TriedProbe {
    fn files() -> &'static [File<Self>] {
        files!(TriedProbe {
            ro c"hits": |probe| &probe.hits;
        })
    }
}

/// The state of a region when the action of a scheme was tried on it.
struct Record {
    /// Index of the scheme.
    scheme: usize,
    start: u64,
    end: u64,
    nr_accesses: u32,
    age: u32,
    sz_filter_passed: u64,
    nr_probes: usize,
    probe_hits: ProbeHits,
}

/// Totals of the regions that the action of a scheme was tried on.
#[derive(Clone, Default)]
struct Total {
    /// Size of the regions, in the unit of addresses.
    bytes: u64,
    /// Number of records.
    regions: usize,
}

/// A [`Walker`] that records the regions of a walk.
pub(super) struct WalkRecorder {
    /// One element for each scheme that has a directory.
    totals: KVec<Total>,
    /// `None` if only the totals are shown.
    records: Option<KVVec<Record>>,
    /// Whether a record could not be allocated.
    incomplete: bool,
}

impl WalkRecorder {
    /// Creates an empty recorder for `nr_schemes` schemes. `bytes_only`: record only the total size
    /// of the regions. Fails with `ENOMEM`.
    pub(super) fn new(nr_schemes: usize, bytes_only: bool) -> Result<Self> {
        let mut totals = KVec::with_capacity(nr_schemes, GFP_KERNEL)?;
        for _ in 0..nr_schemes {
            totals.push_within_capacity(Total::default())?;
        }
        Ok(Self {
            totals,
            records: (!bytes_only).then(KVVec::new),
            incomplete: false,
        })
    }

    /// Records a region. Ignores schemes without a directory. Fails with `ENOMEM`.
    fn add(&mut self, tried: &Tried<'_>) -> Result {
        let Some(total) = self.totals.get_mut(tried.scheme) else {
            return Ok(());
        };
        let region = tried.region;
        total.bytes = total.bytes.saturating_add(region.size());
        let Some(records) = &mut self.records else {
            return Ok(());
        };
        let mut probe_hits = ProbeHits::default();
        for (to, from) in probe_hits.iter_mut().zip(tried.probe_hits) {
            *to = *from;
        }
        let record = Record {
            scheme: tried.scheme,
            start: region.start(),
            end: region.end(),
            nr_accesses: tried.nr_accesses,
            age: region.age(),
            sz_filter_passed: tried.sz_filter_passed,
            nr_probes: tried.probe_hits.len(),
            probe_hits,
        };
        panic_free::push(records, record, 64)?;
        total.regions = total.regions.saturating_add(1);
        Ok(())
    }

    /// Returns whether all regions of the walk were recorded. If not, a record could not be
    /// allocated.
    pub(super) fn is_complete(&self) -> bool {
        !self.incomplete
    }

    /// Shows the recorded regions of the scheme with this index in its directory.
    ///
    /// Fails with `ENOMEM` or an error of sysfs if a directory could not be created.
    pub(super) fn show(
        &self,
        change: &Change<'_>,
        scheme: usize,
        dir: &Dir<TriedRegions>,
    ) -> Result {
        let total = self.totals.get(scheme).ok_or(EINVAL)?;
        let records = self.records.iter().flatten();
        show(
            dir,
            change,
            total,
            records.filter(|its| its.scheme == scheme),
        )
    }
}

impl Walker for WalkRecorder {
    fn visit(&mut self, tried: &Tried<'_>) {
        self.incomplete |= self.add(tried).is_err();
    }
}
