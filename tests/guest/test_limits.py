# SPDX-License-Identifier: GPL-2.0
"""What keeps a scheme from acting: filters of the core layer, quotas, goals and watermarks.

The schemes here only count. What they would have acted on is what they were tried on.
"""

import errno
import json
import time

import pytest

import status
from cases import Cases
from damon_tree import SAMPLE, ULONG_MAX, Damon, Kdamond, set_pattern
from guest_time import advance, wait_until
from scheme_filters import add_filters, addr
from scheme_limits import WINDOW_MS, effective, set_goal, set_goals, set_marks, set_quota, state, values
from trace_events import Trace
from workload import MIB, Workload

pytestmark = pytest.mark.ours

BASE = 16 * MIB


@pytest.fixture
def fixed(kdamond: Kdamond, shared_workload: Workload) -> Kdamond:
    """Two targets, fixed ranges of 8 MiB each, and a scheme for all of them, applied every 50 ms. Not yet on."""
    kdamond.set(ops="fvaddr", sample_us=5000, aggr_us=50000, min_regions=10, max_regions=100)
    kdamond.add_targets(shared_workload.pid, shared_workload.pid)
    for target in range(2):
        kdamond.set_init_regions([(BASE, BASE + 8 * MIB)], target)
    kdamond.add_stat_schemes()
    return kdamond


def tried_bytes(kdamond: Kdamond) -> int:
    kdamond.update_regions("update_schemes_tried_bytes")
    return (kdamond.schemes[0] / "tried_regions").number("total_bytes")


# ---- filters ----


@pytest.mark.parametrize("folder", ["filters", "core_filters"])
def test_addresses(fixed: Kdamond, folder: str) -> None:
    """Only what is in the range, to the byte, however regions lie."""
    add_filters(fixed.schemes[0] / folder, addr(BASE + MIB, BASE + 3 * MIB, allow="Y"))
    fixed.on()
    for _ in range(5):
        assert tried_bytes(fixed) == 2 * 2 * MIB
    regions = fixed.snapshot()
    assert all(BASE + MIB <= region.start < region.end <= BASE + 3 * MIB for region in regions)


def test_all_but_addresses(fixed: Kdamond) -> None:
    add_filters(fixed.schemes[0] / "filters", addr(BASE + MIB, BASE + 3 * MIB, allow="N"))
    fixed.on()
    assert tried_bytes(fixed) == 2 * 6 * MIB


def test_target(fixed: Kdamond) -> None:
    """Targets are known by their position, and one that is not there is nobody."""
    rule = {"type": "target", "damon_target_idx": 1, "matching": "Y", "allow": "Y"}
    add_filters(fixed.schemes[0] / "filters", rule)
    fixed.on()
    assert tried_bytes(fixed) == 8 * MIB
    for nobody in (2, -1):
        (fixed.schemes[0] / "filters/0").write("damon_target_idx", nobody)
        fixed.commit()
        assert tried_bytes(fixed) == 0


def test_order(fixed: Kdamond) -> None:
    """The first that matches decides; the directory for the core layer comes before the one for both."""
    add_filters(fixed.schemes[0] / "filters", addr(BASE, BASE + 8 * MIB, allow="N"))
    fixed.on()
    assert tried_bytes(fixed) == 0
    add_filters(fixed.schemes[0] / "core_filters", addr(BASE, BASE + MIB, allow="Y"))
    fixed.commit()
    assert tried_bytes(fixed) == 2 * MIB


def test_the_operations_decide_about_the_rest(damon: Damon, fixed: Kdamond) -> None:
    """With filters of the operations what the core layer's do not match is handed to them."""
    add_filters(fixed.schemes[0] / "core_filters", addr(BASE, BASE + MIB, allow="Y"))
    fixed.on()
    assert tried_bytes(fixed) == 2 * MIB
    assert state(damon)["core_filters_default_reject"] is True
    add_filters(fixed.schemes[0] / "ops_filters", {"type": "anon", "matching": "Y", "allow": "Y"})
    fixed.commit()
    assert tried_bytes(fixed) == 16 * MIB
    scheme = state(damon)
    assert (scheme["core_filters_default_reject"], scheme["ops_filters_default_reject"]) == (False, True)


BAD_FILTERS: dict[str, dict[str, object]] = {
    "addr": addr(BASE + 1, BASE),
    "size": {"type": "hugepage_size", "min": 2, "max": 1},
    "memcg": {"type": "memcg", "memcg_path": "/there is no such group"},
}


def test_bad_filter(damon: Damon, fixed: Kdamond) -> None:
    """A commit that is refused changes nothing."""
    fixed.on()
    with Cases() as cases:
        for name, rule in BAD_FILTERS.items():
            with cases.case(name):
                add_filters(fixed.schemes[0] / "filters", rule)
                with pytest.raises(OSError) as refused:
                    fixed.commit()
                assert refused.value.errno == errno.ENOMEM
                assert state(damon)["filters"] == []
                assert fixed.running and tried_bytes(fixed) == 16 * MIB


# ---- quotas ----


def test_size(damon: Damon, fixed: Kdamond) -> None:
    """Over many windows no more than the quota in each, and the scheme says that it was used up."""
    quota = 3 * MIB
    set_quota(fixed, bytes=quota)
    begun = time.monotonic()
    fixed.on()
    wait_until(lambda: fixed.stats()["qt_exceeds"] >= 6, "six windows are over")
    tried = fixed.stats()["sz_tried"]
    windows = (time.monotonic() - begun) * 1000 // WINDOW_MS + 1
    assert 6 * quota <= tried <= windows * quota
    assert effective(fixed) == quota
    scheme = state(damon)["quota"]
    assert scheme["effective"] == quota and scheme["charged"] <= quota


def test_goes_on_where_it_stopped(fixed: Kdamond) -> None:
    """Each region has its turn before one has its second."""
    set_quota(fixed, bytes=4 * MIB)
    fixed.schemes[0].write("apply_interval_us", WINDOW_MS * 1000)
    fixed.set(sample_us=50000, aggr_us=3600 * 10**6)
    fixed.on()
    seen: list[tuple[int, int]] = []
    for _ in range(4):
        seen += [(region.start, region.end) for region in fixed.snapshot()]
    starts = [start for start, _ in seen]
    assert sum(end - start for start, end in seen) <= 16 * MIB
    # Two targets with the same addresses: none is seen a third time.
    assert all(starts.count(start) <= 2 for start in starts)


def test_time(damon: Damon, fixed: Kdamond) -> None:
    """The effective quota follows the speed, and a size that is smaller."""
    set_quota(fixed, ms=10)
    fixed.on()
    wait_until(lambda: state(damon)["quota"]["total_charged"] > 0, "a window is over")
    quota = state(damon)["quota"]
    assert quota["total_ns"] > 0 and quota["effective"] >= 4096
    set_quota(fixed, bytes=8192)
    fixed.commit()
    wait_until(lambda: effective(fixed) == 8192, "the smaller one is effective")


def test_no_quota_again(fixed: Kdamond) -> None:
    set_quota(fixed, bytes=4096, reset_interval_ms=3600_000)
    fixed.on()
    wait_until(lambda: fixed.stats()["sz_tried"] == 4096, "the quota is used up")
    set_quota(fixed, bytes=0)
    fixed.commit()
    assert tried_bytes(fixed) == 16 * MIB
    assert effective(fixed) == 0


def test_pause(damon: Damon, fixed: Kdamond) -> None:
    """No window ends, nothing is tuned and nothing is charged in a pause."""
    set_quota(fixed, bytes=3 * MIB)
    set_goal(fixed, target_metric="user_input", target_value=100, current_value=50)
    fixed.on()
    wait_until(lambda: state(damon)["quota"]["tuned_bp"] > 0, "the quota is tuned")
    fixed.set(pause="Y")
    fixed.commit()
    before = state(damon)
    advance(3 * WINDOW_MS / 1000)
    assert state(damon) == before
    fixed.set(pause="N")
    fixed.commit()
    tuned = before["quota"]["tuned_bp"]
    # One window's worth at most, where the pause was three long.
    advance(WINDOW_MS / 1000 / 2)
    assert state(damon)["quota"]["tuned_bp"] <= 2 * tuned


def test_commit_keeps_what_was_learned(damon: Damon, fixed: Kdamond) -> None:
    set_quota(fixed, bytes=MIB, reset_interval_ms=3600_000)
    fixed.on()
    wait_until(lambda: state(damon)["quota"]["charged"] == MIB, "the quota is used up")
    before = state(damon)
    set_pattern(fixed.schemes[0], age=(0, 1000))
    fixed.commit()
    after = state(damon)
    assert after["access_pattern"] != before["access_pattern"]
    assert (after["quota"], after["stats"]["sz_tried"]) == (before["quota"], before["stats"]["sz_tried"])


# ---- goals ----


def test_temporal(fixed: Kdamond) -> None:
    """All that the size allows until the goal is reached, and nothing then; told by goals alone."""
    set_quota(fixed, bytes=3 * MIB, goal_tuner="temporal")
    set_goal(fixed, target_metric="user_input", target_value=100, current_value=99)
    fixed.on()
    wait_until(lambda: effective(fixed) == 3 * MIB, "the quota is what is allowed")
    for current, expected in ((100, 0), (0, 3 * MIB), (200, 0)):
        set_goal(fixed, current_value=current)
        fixed.state("commit_schemes_quota_goals")
        wait_until(lambda: effective(fixed) == expected, f"the quota follows {current}")


def test_consist(damon: Damon, fixed: Kdamond) -> None:
    """Grows by as much as is missing, and shrinks by as much as is too much."""
    window_ms = 100
    set_quota(fixed, reset_interval_ms=window_ms)
    set_goal(fixed, target_metric="user_input", target_value=100, current_value=0)
    fixed.on()
    wait_until(lambda: effective(fixed) >= MIB, "the quota has grown")
    set_goal(fixed, current_value=100)
    fixed.state("commit_schemes_quota_goals")
    tuned = state(damon)["quota"]["tuned_bp"]
    advance(5 * window_ms / 1000)
    assert state(damon)["quota"]["tuned_bp"] in (tuned, 2 * tuned)
    tuned = state(damon)["quota"]["tuned_bp"]
    set_goal(fixed, current_value=1000)
    fixed.state("commit_schemes_quota_goals")
    wait_until(lambda: effective(fixed) == 1, "nothing is done any more")
    assert state(damon)["quota"]["goals"] == [{"target_value": 100, "current_value": 1000, "metric": "user_input"}]


METRICS = {
    "node_mem_used_bp": range(1, 10000),
    "node_mem_free_bp": range(1, 10000),
    "active_mem_bp": range(0, 10001),
    "inactive_mem_bp": range(0, 10001),
}


def test_metric(damon: Damon, fixed: Kdamond) -> None:
    """Each of several goals is measured by its own metric."""
    set_quota(fixed, reset_interval_ms=100)
    set_goals(fixed, *({"target_metric": metric, "target_value": 5000} for metric in METRICS))
    fixed.on()
    wait_until(lambda: None not in values(damon), "the goals are measured")
    assert [goal["metric"] for goal in state(damon)["quota"]["goals"]] == [*METRICS]
    measured = dict(zip(METRICS, values(damon), strict=True))
    assert {metric: found for metric, found in measured.items() if found not in METRICS[metric]} == {}


def test_eligible_memory_is_for_physical_addresses(fixed: Kdamond) -> None:
    fixed.on()
    set_goal(fixed, target_metric="node_eligible_mem_bp", target_value=5000)
    for command in ("commit", "commit_schemes_quota_goals"):
        with pytest.raises(OSError) as refused:
            fixed.state(command)
        assert refused.value.errno == errno.EINVAL
    assert fixed.running


NODE_METRICS = ("node_mem_used_bp", "node_mem_free_bp", "node_memcg_used_bp", "node_memcg_free_bp")


@pytest.mark.parametrize("tuner", ["consist", "temporal"])
def test_goals_of_no_node(damon: Damon, fixed: Kdamond, tuner: str) -> None:
    """They have no value. Alone they allow nothing; beside another goal they are left out."""
    goals: list[dict[str, object]] = [{"target_metric": metric, "target_value": 1, "nid": 1000, "path": "/"} for metric in NODE_METRICS]
    set_quota(fixed, reset_interval_ms=WINDOW_MS, goal_tuner=tuner)
    set_goals(fixed, *goals)
    fixed.on()
    advance(10 * WINDOW_MS / 1000)
    assert values(damon) == [None] * len(goals)
    assert (effective(fixed), state(damon)["stats"]["sz_tried"]) == (0, 0)
    set_goals(fixed, *goals, {"target_metric": "user_input", "target_value": 100, "current_value": 0})
    fixed.state("commit_schemes_quota_goals")
    wait_until(lambda: effective(fixed) > 16, "the quota follows the goal that is measured")
    assert values(damon) == [None] * len(goals) + [0]


def test_goal_of_no_group(fixed: Kdamond) -> None:
    fixed.on()
    set_goal(fixed, target_metric="node_memcg_used_bp", target_value=5000, path="/there is no such group")
    with pytest.raises(OSError) as refused:
        fixed.state("commit_schemes_quota_goals")
    assert refused.value.errno == errno.EINVAL


# ---- watermarks ----


@pytest.fixture
def resting(damon: Damon, fixed: Kdamond) -> Kdamond:
    """A kdamond whose only scheme rests, as there is always some free memory."""
    set_marks(fixed, 0, 0, 0)
    fixed.on()
    wait_until(lambda: not state(damon)["watermarks"]["active"], "the scheme rests")
    return fixed


def switches(pid: int) -> int:
    """How often the thread has gone to sleep."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(next(line.split()[1] for line in file if line.startswith("voluntary_ctxt_switches")))


def test_monitoring_rests_with_all_schemes(damon: Damon, resting: Kdamond) -> None:
    """No sample is taken and nobody is woken up."""
    before = status.kdamond(damon)["context"]
    slept = switches(resting.pid)
    advance(400 * SAMPLE)
    # One more at most: the look at it may have woken it up.
    assert switches(resting.pid) - slept <= 1
    assert status.kdamond(damon)["context"] == before


def test_requests_are_served_at_once(resting: Kdamond) -> None:
    begun = time.monotonic()
    assert resting.stats()["nr_tried"] == 0
    with pytest.raises(OSError) as cancelled:
        resting.update_regions()
    assert cancelled.value.errno == errno.ECANCELED
    resting.commit()
    resting.off()
    assert time.monotonic() - begun < 0.1


def test_goes_on(damon: Damon, resting: Kdamond) -> None:
    """Other marks are looked at at once, and what was learned is still there."""
    set_marks(resting, 1000, 1000, 0)
    resting.commit()
    wait_until(lambda: resting.stats()["nr_tried"] > 0, "the scheme acts")
    assert state(damon)["watermarks"]["active"] is True
    set_marks(resting, 0, 0, 0)
    resting.commit()
    wait_until(lambda: not state(damon)["watermarks"]["active"], "the scheme rests")
    tried = resting.stats()["nr_tried"]
    passed = status.kdamond(damon)["context"]["passed_sample_intervals"]
    assert passed > 0
    advance(100 * SAMPLE)
    assert resting.stats()["nr_tried"] == tried
    assert status.kdamond(damon)["context"]["passed_sample_intervals"] == passed


def test_below_the_lowest_mark(damon: Damon, fixed: Kdamond) -> None:
    set_marks(fixed, 1000, 1000, 1000)
    fixed.on()
    wait_until(lambda: not state(damon)["watermarks"]["active"], "the scheme rests")


def test_one_scheme_rests_alone(fixed: Kdamond) -> None:
    fixed.add_stat_schemes(2)
    set_marks(fixed, 0, 0, 0)
    fixed.on()
    wait_until(lambda: fixed.stats(1)["nr_tried"] > 0, "the other one acts")
    assert fixed.stats(0)["nr_tried"] == 0
    # A walk does not wait for the one that rests.
    fixed.update_regions()
    assert fixed.tried_regions(0) == [] and fixed.tried_regions(1)


# ---- trace events ----


def fields(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in (word.split("=") for word in text.split() if "=" in word)}


def test_before_apply(damon: Damon, fixed: Kdamond) -> None:
    """One event for each region that passes the core layer's filters, with its place."""
    add_filters(fixed.schemes[0] / "filters", addr(BASE + MIB, BASE + 3 * MIB, allow="Y"))
    fixed.on()
    with Trace(damon, "damos_before_apply") as trace:
        events = trace.wait()
    for event in events:
        found = fields(event.text.replace(": ", " "))
        start, end = (int(number) for number in event.text.split()[4].rstrip(":").split("-"))
        assert found["ctx_idx"] == found["scheme_idx"] == 0 and found["target_idx"] in (0, 1) and found["nr_regions"] > 0
        assert BASE + MIB <= start < end <= BASE + 3 * MIB


def test_before_apply_in_the_middle_of_an_aggregation(damon: Damon, kdamond: Kdamond) -> None:
    """The access rate is the moving sum, which schemes go by, and not what the aggregation has counted so far."""
    with Workload("--size", "32M", "--hot", "16M") as workload:
        kdamond.add_targets(workload.pid)
        kdamond.add_stat_schemes()
        set_pattern(kdamond.schemes[0], nr_accesses=(20, 20))
        kdamond.schemes[0].write("apply_interval_us", 35_000)
        kdamond.on()
        with Trace(damon, "damos_before_apply") as trace:
            advance(2)
            events = trace.wait()
        assert len(events) > 5 and {event.text.split()[5] for event in events} == {"20"}


def test_effective_quota_is_traced(damon: Damon, fixed: Kdamond) -> None:
    set_quota(fixed, bytes=MIB)
    with Trace(damon, "damos_esz") as trace:
        fixed.on()
        wait_until(trace.events, "the first window begins")
        advance(2 * WINDOW_MS / 1000)
        # Those that change nothing are not told.
        assert [fields(event.text) for event in trace.events()] == [{"ctx_idx": 0, "scheme_idx": 0, "esz": MIB}]
        set_quota(fixed, bytes=2 * MIB)
        fixed.commit()
        wait_until(lambda: len(trace.events()) == 2, "the quota is another")
        assert fields(trace.events()[1].text)["esz"] == 2 * MIB


def test_statistics_are_traced(damon: Damon, fixed: Kdamond) -> None:
    """After each interval, what stats/ shows."""
    fixed.on()
    with Trace(damon, "damos_stat_after_apply_interval") as trace:
        wait_until(lambda: len(trace.events()) >= 3, "three intervals are over")
        found = [fields(event.text) for event in trace.events()]
    stats = fixed.stats()
    names = [name for name in stats if name != "max_nr_snapshots"]
    assert set(found[0]) == {"ctx_idx", "scheme_idx", *names}
    for name in names:
        assert [entry[name] for entry in found] == sorted(entry[name] for entry in found)
        assert found[-1][name] <= stats[name]
    assert found[1]["sz_tried"] - found[0]["sz_tried"] == 16 * MIB


def test_status_is_valid(damon: Damon, fixed: Kdamond) -> None:
    """With everything that a scheme can be told."""
    scheme = fixed.schemes[0]
    set_quota(fixed, ms=5, bytes=MIB, fail_charge_num=1, fail_charge_denom=10)
    set_goal(fixed, target_metric="some_mem_psi_us", target_value=10000)
    rules: list[dict[str, object]] = [{"type": kind} for kind in ("anon", "active", "young", "unmapped", "hugepage_size", "target")]
    add_filters(scheme / "filters", addr(0, ULONG_MAX), *rules)
    set_marks(fixed, 1000, 1000, 0)
    scheme.write("target_nid", 7)
    scheme.write("dests/nr_dests", 2)
    (scheme / "dests/1").write("id", 3)
    (scheme / "dests/1").write("weight", 5)
    fixed.on()
    found = state(damon)
    assert [entry["type"] for entry in found["filters"]] == ["addr", "target", "anon", "active", "young", "unmapped", "hugepage_size"]
    assert found["quota"]["fail_charge"] == [1, 10] and found["quota"]["bytes"] == MIB
    assert found["watermarks"]["high"] == 1000 and found["target_nid"] == 7
    assert found["dests"] == [{"id": 0, "weight": 0}, {"id": 3, "weight": 5}]
    json.dumps(found)
