// SPDX-License-Identifier: GPL-2.0

//! Formats the quota, watermarks, filters and destinations of a scheme as JSON.

use super::{
    list,
    word,
    Text, //
};
use crate::engine::{
    Filter,
    FilterKind,
    GoalMetric,
    Scheme, //
};
use core::fmt::Write as _;
use kernel::fmt;

/// Writes the members for quota, watermarks, filters and destinations to a JSON object.
pub(super) fn write(text: &mut Text, scheme: &Scheme) -> fmt::Result {
    quota(text, scheme)?;
    watermarks(text, scheme)?;
    let params = scheme.params();
    text.write_str(",\"filters\":")?;
    list(text, params.filters.iter(), filter)?;
    write!(
        text,
        ",\"core_filters_default_reject\":{},\"ops_filters_default_reject\":{},\"target_nid\":{}",
        params.filters.core_default_reject(),
        params.filters.ops_default_reject(),
        params.target_nid.unwrap_or(-1),
    )?;
    text.write_str(",\"dests\":")?;
    list(text, params.dests.as_slice().iter(), |text, dest| {
        write!(text, "{{\"id\":{},\"weight\":{}}}", dest.nid, dest.weight)
    })
}

fn quota(text: &mut Text, scheme: &Scheme) -> fmt::Result {
    let (params, state) = (&scheme.params().quota, scheme.quota());
    let tuner = word(params.tuner.name());
    write!(
        text,
        "\"quota\":{{\"ms\":{},\"bytes\":{},\"reset_interval_us\":{},\
         \"weights\":{{\"sz\":{},\"nr_accesses\":{},\"age\":{}}},\
         \"fail_charge\":[{},{}],\"goal_tuner\":\"{tuner}\",\"effective\":{},\
         \"charged\":{},\"total_charged\":{},\"total_ns\":{},\"tuned_bp\":{},\
         \"min_score\":{},\"resumes_at\":",
        params.ms,
        params.bytes,
        params.reset_interval.0,
        params.weights.sz,
        params.weights.nr_accesses,
        params.weights.age,
        params.fail_charge.num,
        params.fail_charge.denom,
        state.effective(),
        state.charged(),
        state.total_charged(),
        state.total_ns(),
        state.tuned_bp(),
        state.min_score(),
    )?;
    match state.resumes_at() {
        Some((target, addr)) => write!(text, "{{\"target\":{target},\"addr\":{addr}}}")?,
        None => text.write_str("null")?,
    }
    text.write_str(",\"goals\":")?;
    let goals = params.goals.iter().zip(state.goal_values());
    list(text, goals, |text, (goal, value)| {
        write!(
            text,
            "{{\"target_value\":{},\"current_value\":",
            goal.target_value
        )?;
        match value {
            Some(value) => write!(text, "{value},")?,
            None => text.write_str("null,")?,
        }
        metric(text, goal.metric)?;
        text.write_str("}")
    })?;
    text.write_str("}")
}

fn metric(text: &mut Text, metric: GoalMetric) -> fmt::Result {
    let (nid, memcg) = match metric {
        GoalMetric::UserInput(_)
        | GoalMetric::SomeMemPsiUs
        | GoalMetric::ActiveMemBp
        | GoalMetric::InactiveMemBp => (None, None),
        GoalMetric::NodeMemUsedBp(nid)
        | GoalMetric::NodeMemFreeBp(nid)
        | GoalMetric::NodeEligibleMemBp(nid) => (Some(nid), None),
        GoalMetric::NodeMemcgUsedBp(nid, memcg) | GoalMetric::NodeMemcgFreeBp(nid, memcg) => {
            (Some(nid), Some(memcg))
        }
    };
    write!(text, "\"metric\":\"{}\"", word(metric.name()))?;
    if let Some(nid) = nid {
        write!(text, ",\"nid\":{nid}")?;
    }
    if let Some(memcg) = memcg {
        write!(text, ",\"memcg_id\":{memcg}")?;
    }
    Ok(())
}

fn watermarks(text: &mut Text, scheme: &Scheme) -> fmt::Result {
    let marks = &scheme.params().watermarks;
    let metric = word(marks.metric.name());
    write!(
        text,
        ",\"watermarks\":{{\"metric\":\"{metric}\",\"interval_us\":{},\"high\":{},\"mid\":{},\
         \"low\":{},\"active\":{}}}",
        marks.interval.0,
        marks.high,
        marks.mid,
        marks.low,
        scheme.is_active(),
    )
}

fn filter(text: &mut Text, filter: &Filter) -> fmt::Result {
    write!(
        text,
        "{{\"matching\":{},\"allow\":{},\"type\":\"{}\"",
        filter.matching,
        filter.allow,
        word(filter.kind.filter_type().name()),
    )?;
    match filter.kind {
        FilterKind::Anon | FilterKind::Active | FilterKind::Young | FilterKind::Unmapped => {}
        FilterKind::Memcg(id) => write!(text, ",\"memcg_id\":{id}")?,
        FilterKind::HugepageSize(sz) => write!(text, ",\"sz\":[{},{}]", sz.min, sz.max)?,
        FilterKind::Addr(range) => write!(text, ",\"addr\":[{},{}]", range.start, range.end)?,
        FilterKind::Target(index) => write!(text, ",\"target\":{index}")?,
    }
    text.write_str("}")
}
