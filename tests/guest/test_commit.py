# SPDX-License-Identifier: GPL-2.0
"""Parameters change while monitoring goes on; what was learned stays."""

import time

import pytest

from cases import Cases
from damon_tree import AGGREGATION, SAMPLE, ULONG_MAX, Kdamond, set_pattern
from guest_time import advance, wait_until
from workload import MIB, Workload

THRESHOLD = 5


def rate(kdamond: Kdamond, workload: Workload) -> int:
    """Of the region that starts in, or reaches into, the hot area; the highest."""
    hot = workload.hot
    return max((region.nr_accesses for region in kdamond.snapshot() if region.start < hot[1] and region.end > hot[0]), default=0)


def highest_rate(kdamond: Kdamond, aggregation: float) -> int:
    """The highest of all regions in ten aggregations, of so many seconds each."""
    rates = []
    for _ in range(10):
        advance(aggregation)
        rates.append(max(region.nr_accesses for region in kdamond.snapshot()))
    return max(rates)


def test_nothing_changed(monitoring: Kdamond) -> None:
    """A commit of the same parameters changes nothing (sysfs_no_op_commit_break.py of the kernel's tests)."""
    wait_until(lambda: monitoring.oldest() >= 10, "regions get old", every=AGGREGATION)
    for _ in range(5):
        monitoring.commit()
    assert monitoring.oldest() >= 10


def test_longer_aggregation(monitoring: Kdamond, shared_workload: Workload) -> None:
    """Counts are of more samples, ages of longer intervals: both are rescaled at once."""
    wait_until(lambda: monitoring.oldest() >= 20, "regions get old", every=AGGREGATION)
    wait_until(lambda: rate(monitoring, shared_workload) >= THRESHOLD, "the hot area is found", every=AGGREGATION)
    age = monitoring.oldest()
    monitoring.set(aggr_us=int(4 * AGGREGATION * 1e6))
    monitoring.commit()
    # One that is put together with a younger one becomes younger; of either length an interval may end meanwhile.
    assert age / 8 <= monitoring.oldest() <= (age + 1) / 4 + 1
    wait_until(lambda: rate(monitoring, shared_workload) > 20, "more than the 20 samples of before are counted", every=AGGREGATION)


def test_shorter_aggregation(monitoring: Kdamond, shared_workload: Workload) -> None:
    wait_until(lambda: monitoring.oldest() >= 10, "regions get old", every=AGGREGATION)
    age = monitoring.oldest()
    monitoring.set(aggr_us=int(AGGREGATION / 2 * 1e6))
    monitoring.commit()
    assert monitoring.oldest() >= 1.5 * age
    assert highest_rate(monitoring, AGGREGATION / 2) == AGGREGATION / 2 / SAMPLE


def test_longer_sampling(monitoring: Kdamond) -> None:
    monitoring.set(sample_us=50000, aggr_us=200000)
    monitoring.commit()
    assert highest_rate(monitoring, 0.2) == 4


BAD = {
    "min_regions above max": {"min_regions": 500, "max_regions": 100},
    "min_regions of 2": {"min_regions": 2},
    "sample above aggr": {"sample_us": 200000},
}


def test_refused(kdamond: Kdamond, shared_workload: Workload) -> None:
    """Refused as a whole: no parameter of a bad commit takes effect, and monitoring goes on as before."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.set(min_regions=10, max_regions=40)
    kdamond.on()
    wait_until(lambda: kdamond.oldest() >= 5, "regions get old", every=AGGREGATION)
    with Cases() as cases:
        for name, values in BAD.items():
            with cases.case(name):
                kdamond.set(aggr_us=100000, **values)
                set_pattern(kdamond.schemes[0], age=(0, 0))
                with pytest.raises(OSError, match="Invalid argument"):
                    kdamond.commit()
                assert kdamond.running
                regions = kdamond.snapshot()
                assert 10 <= len(regions) <= 40
                assert max(region.age for region in regions) >= 5
                # the tree keeps what the user wrote; setting it right makes the next commit work
                kdamond.set(sample_us=5000, aggr_us=100000, min_regions=10, max_regions=40)
                set_pattern(kdamond.schemes[0])
                kdamond.commit()
                assert kdamond.oldest() >= 5


def test_refused_target(monitoring: Kdamond, shared_workload: Workload) -> None:
    wait_until(lambda: monitoring.oldest() >= 5, "regions get old", every=AGGREGATION)
    with Cases() as cases:
        for pid in (-5, 0, 2**22 + 1):
            with cases.case(pid):
                monitoring.targets[0].write("pid_target", pid)
                with pytest.raises(OSError, match="Invalid argument"):
                    monitoring.commit()
                assert monitoring.running
                assert monitoring.oldest() >= 5


def sizes(kdamond: Kdamond) -> list[int]:
    """The bytes monitored of each target, in the order of targets."""
    found: list[int] = []
    end = ULONG_MAX
    for region in kdamond.snapshot():
        if region.start < end:
            found.append(0)
        found[-1] += region.size
        end = region.end
    return found


def size(workload: Workload) -> int:
    return sum(end - start for start, end in workload.three_regions())


def test_target_added_and_removed(monitoring: Kdamond, shared_workload: Workload) -> None:
    with Workload("--size", "16M", "--hot", "4M") as other:
        assert sizes(monitoring) == [size(shared_workload)]
        monitoring.add_targets(shared_workload.pid, other.pid)
        monitoring.set(update_us=100000)
        monitoring.commit()
        wait_until(lambda: sizes(monitoring) == [size(shared_workload), size(other)], "the second process is monitored", every=AGGREGATION)
        monitoring.targets[0].write("obsolete_target", "Y")
        monitoring.commit()
        wait_until(lambda: sizes(monitoring) == [size(other)], "the first process is not monitored any more", every=AGGREGATION)


def test_target_replaced(monitoring: Kdamond, shared_workload: Workload) -> None:
    """Targets go by position: another process in its place is another target."""
    with Workload("--size", "16M", "--hot", "4M") as other:
        monitoring.targets[0].write("pid_target", other.pid)
        monitoring.set(update_us=100000)
        monitoring.commit()
        wait_until(lambda: sizes(monitoring) == [size(other)], "the other process is monitored", every=AGGREGATION)
        other.kill()
        wait_until(lambda: not monitoring.running, "the kdamond ends with its new target")


@pytest.mark.ours
def test_new_process_is_monitored_at_once(monitoring: Kdamond, shared_workload: Workload) -> None:
    """Its first regions do not wait for the next update, which is a minute away by default."""
    with Workload("--size", "16M", "--hot", "4M") as other:
        monitoring.add_targets(shared_workload.pid, other.pid)
        monitoring.commit()
        advance(2 * AGGREGATION)
        assert sizes(monitoring) == [size(shared_workload), size(other)]
        # Another process in the place of one is a new one as well.
        monitoring.add_targets(other.pid, shared_workload.pid)
        monitoring.commit()
        advance(2 * AGGREGATION)
        assert sizes(monitoring) == [size(other), size(shared_workload)]


def test_kept_target_keeps_its_regions(monitoring: Kdamond, shared_workload: Workload) -> None:
    wait_until(lambda: monitoring.oldest() >= 10, "regions get old", every=AGGREGATION)
    with Workload("--size", "16M", "--hot", "4M") as other:
        monitoring.add_targets(shared_workload.pid, other.pid)
        monitoring.commit()
        assert monitoring.oldest() >= 10


def test_given_regions(monitoring: Kdamond, shared_workload: Workload) -> None:
    start, end = shared_workload.area
    monitoring.set_init_regions([(start, start + 8 * MIB), (end - 8 * MIB, end)])
    monitoring.commit()
    regions = monitoring.snapshot()
    assert sum(region.size for region in regions) == 16 * MIB
    assert (regions[0].start, regions[-1].end) == (start, end)


def test_scheme_added_and_removed(monitoring: Kdamond) -> None:
    wait_until(lambda: monitoring.oldest() >= 5, "regions get old", every=AGGREGATION)
    monitoring.add_stat_schemes(3)
    monitoring.commit()
    monitoring.update_regions()
    assert all(monitoring.tried_regions(index) for index in range(3))
    monitoring.add_stat_schemes(1)
    monitoring.commit()
    assert monitoring.oldest() >= 5


def test_pattern_changed(monitoring: Kdamond) -> None:
    set_pattern(monitoring.schemes[0], size=(1, 1))
    monitoring.commit()
    assert monitoring.snapshot() == []
    set_pattern(monitoring.schemes[0])
    monitoring.commit()
    assert monitoring.snapshot()


def test_apply_interval_changed(monitoring: Kdamond) -> None:
    monitoring.schemes[0].write("apply_interval_us", 3600 * 10**6)
    monitoring.commit()
    monitoring.schemes[0].write("apply_interval_us", 10000)
    monitoring.commit()
    before = monitoring.nr_snapshots()
    wait_until(lambda: monitoring.nr_snapshots() > before + 5, "the scheme is applied at its new interval")


@pytest.mark.ours
def test_shorter_apply_interval(monitoring: Kdamond) -> None:
    """The first interval of the new length begins at the commit, and not at the end of the old one."""
    scheme = monitoring.schemes[0]
    scheme.write("apply_interval_us", 3600 * 10**6)
    monitoring.commit()
    before = monitoring.nr_snapshots()
    wait_until(lambda: monitoring.nr_snapshots() > before, "the scheme is applied, and the next time is an hour away")
    scheme.write("apply_interval_us", 10000)
    monitoring.commit()
    before = monitoring.nr_snapshots()
    wait_until(lambda: monitoring.nr_snapshots() > before + 5, "the scheme is applied at its new interval")


def test_nothing_takes_effect_before_a_commit(monitoring: Kdamond) -> None:
    set_pattern(monitoring.schemes[0], size=(1, 1))
    monitoring.set(sample_us=1000000, aggr_us=10000000)
    assert monitoring.snapshot()
    assert monitoring.snapshot()


@pytest.mark.ours
def test_served_at_once(monitoring: Kdamond) -> None:
    """Whatever the sampling interval; the in-tree DAMON serves a commit at its next sample."""
    monitoring.set(sample_us=600 * 10**6, aggr_us=6000 * 10**6)
    monitoring.commit()
    # It sleeps until its next sample then.
    advance(20 * SAMPLE)
    start = time.monotonic()
    for _ in range(5):
        monitoring.commit()
        monitoring.stats()
    assert time.monotonic() - start < 0.1
