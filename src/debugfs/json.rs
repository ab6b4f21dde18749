// SPDX-License-Identifier: GPL-2.0

//! Formats the parameters and the state of a context as JSON.

mod limits;

use crate::{
    engine::{
        Attrs,
        LatestInterval,
        Region,
        Scheme, //
    },
    kdamond::Context,
    ops::Space,
    panic_free, //
};
use core::fmt::Write as _;
use kernel::{
    fmt,
    prelude::*, //
};

/// A text buffer that grows as needed. If an allocation fails, writing fails with [`fmt::Error`].
pub(super) struct Text(KVVec<u8>);

impl Text {
    /// Creates an empty buffer.
    pub(super) fn new() -> Self {
        Self(KVVec::new())
    }

    /// Returns the text.
    pub(super) fn as_str(&self) -> &str {
        // Never fails: only whole `str` values were appended.
        core::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        panic_free::reserve(&mut self.0, s.len(), 256).map_err(|_| fmt::Error)?;
        for byte in s.bytes() {
            // Never fails: the capacity was reserved.
            self.0.push_within_capacity(byte).map_err(|_| fmt::Error)?;
        }
        Ok(())
    }
}

/// Returns a keyword of the sysfs files as text.
fn word(name: &CStr) -> &str {
    // Never fails: all keywords are ASCII.
    name.to_str().unwrap_or("")
}

/// Writes `items` as a JSON array. `write` writes one item.
fn list<T>(
    text: &mut Text,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Text, T) -> fmt::Result,
) -> fmt::Result {
    text.write_str("[")?;
    for (index, item) in panic_free::indexed(items) {
        if index != 0 {
            text.write_str(",")?;
        }
        write(text, item)?;
    }
    text.write_str("]")
}

/// Writes the parameters and the state of a context.
pub(super) fn context(text: &mut Text, context: &Context) -> fmt::Result {
    write!(
        text,
        "{{\"ops\":\"{}\",\"pause\":{},\"passed_sample_intervals\":{},\"attrs\":",
        word(context.ops().id().name()),
        context.paused(),
        context.passed(),
    )?;
    attrs(text, context.attrs())?;
    let latest = context.latest_interval();
    let nr_probes = context.probes().len();
    text.write_str(",\"targets\":")?;
    list(text, context.targets().iter(), |text, target| {
        match target.space() {
            Space::Process(pid) => write!(text, "{{\"pid\":{},\"regions\":", pid.nr())?,
            Space::Physical | Space::Custom(_) => text.write_str("{\"regions\":")?,
        }
        list(text, target.regions().iter(), |text, its| {
            region(text, its, &latest, nr_probes)
        })?;
        text.write_str("}")
    })?;
    text.write_str(",\"schemes\":")?;
    list(text, context.schemes().iter(), scheme)?;
    text.write_str("}")
}

fn attrs(text: &mut Text, attrs: &Attrs) -> fmt::Result {
    let goal = &attrs.params().goal;
    write!(
        text,
        "{{\"sample_us\":{},\"aggr_us\":{},\"update_us\":{},\
         \"min_nr_regions\":{},\"max_nr_regions\":{},\"intervals_goal\":\
         {{\"access_bp\":{},\"aggrs\":{},\"min_sample_us\":{},\"max_sample_us\":{}}}}}",
        attrs.sample().0,
        attrs.aggr().0,
        attrs.ops_update().0,
        attrs.params().min_nr_regions,
        attrs.params().max_nr_regions,
        goal.access_bp,
        goal.aggrs,
        goal.min_sample_us.0,
        goal.max_sample_us.0,
    )
}

fn region(
    text: &mut Text,
    region: &Region,
    latest: &LatestInterval,
    nr_probes: usize,
) -> fmt::Result {
    write!(
        text,
        "{{\"start\":{},\"end\":{},\"nr_accesses\":{},\"nr_accesses_bp\":{},\
         \"last_nr_accesses\":{},\"age\":{}",
        region.start(),
        region.end(),
        region.nr_accesses(),
        region.recent_nr_accesses_bp(latest),
        region.last_nr_accesses(),
        region.age(),
    )?;
    if nr_probes != 0 {
        text.write_str(",\"probe_hits\":")?;
        hits(text, region.probe_hits(), nr_probes)?;
        text.write_str(",\"last_probe_hits\":")?;
        hits(text, region.last_probe_hits(), nr_probes)?;
    }
    text.write_str("}")
}

/// Writes the hits of the first `nr_probes` probes, which are those of the context.
fn hits(text: &mut Text, hits: &[u8], nr_probes: usize) -> fmt::Result {
    list(text, hits.iter().take(nr_probes), |text, hits| {
        write!(text, "{hits}")
    })
}

fn scheme(text: &mut Text, scheme: &Scheme) -> fmt::Result {
    let params = scheme.params();
    let pattern = &params.pattern;
    let stat = scheme.stat();
    write!(
        text,
        "{{\"action\":\"{}\",\"apply_interval_us\":{},\"max_nr_snapshots\":{},\
         \"access_pattern\":{{\"sz\":[{},{}],\"nr_accesses\":[{},{}],\"age\":[{},{}]}},",
        word(params.action.name()),
        params.apply_interval.0,
        params.max_nr_snapshots,
        pattern.sz.min,
        pattern.sz.max,
        pattern.nr_accesses.min,
        pattern.nr_accesses.max,
        pattern.age.min,
        pattern.age.max,
    )?;
    write!(
        text,
        "\"stats\":{{\"nr_tried\":{},\"sz_tried\":{},\"nr_applied\":{},\"sz_applied\":{},\
         \"sz_ops_filter_passed\":{},\"qt_exceeds\":{},\"nr_snapshots\":{}}},",
        stat.nr_tried,
        stat.sz_tried,
        stat.nr_applied,
        stat.sz_applied,
        stat.sz_ops_filter_passed,
        stat.qt_exceeds,
        stat.nr_snapshots,
    )?;
    limits::write(text, scheme)?;
    text.write_str("}")
}
