# SPDX-License-Identifier: GPL-2.0
"""The state of every context as one JSON file in debugfs."""

import json
import os

import pytest

import status
from damon_tree import AGGREGATION, SAMPLE, Damon, Kdamond, set_pattern
from guest_time import advance, wait_until
from scheme_filters import filters
from workload import Workload

pytestmark = pytest.mark.ours


def test_empty(damon: Damon) -> None:
    found = status.read(damon)
    assert found["kdamonds"] == []
    assert found["version"] == 1


def test_only_root_reads(damon: Damon) -> None:
    assert damon.status.stat().st_mode & 0o777 == 0o444 or damon.status.stat().st_mode & 0o077 == 0
    assert damon.status.parent.parent.stat().st_mode & 0o007 == 0


def test_states(damon: Damon, kdamond: Kdamond, shared_workload: Workload) -> None:
    kdamond.add_targets(shared_workload.pid)
    states = []
    kdamond.on()
    states.append(status.kdamond(damon)["state"])
    kdamond.set(pause="Y")
    kdamond.commit()
    states.append(status.kdamond(damon)["state"])
    kdamond.set(pause="N")
    kdamond.commit()
    states.append(status.kdamond(damon)["state"])
    kdamond.off()
    found = status.read(damon)["kdamonds"]
    states += [entry["state"] for entry in found]
    assert states[:3] == ["running", "paused", "running"]
    assert states[3:] in ([], ["stopped"])


def test_parameters(damon: Damon, kdamond: Kdamond, shared_workload: Workload) -> None:
    kdamond.add_targets(shared_workload.pid)
    kdamond.set(sample_us=7000, aggr_us=140000, update_us=2000000, min_regions=12, max_regions=345)
    for name, value in {"access_bp": 400, "aggrs": 3, "min_sample_us": 5000, "max_sample_us": 9000}.items():
        kdamond.attrs.write(f"intervals/intervals_goal/{name}", value)
    kdamond.add_stat_schemes()
    set_pattern(kdamond.schemes[0], size=(1, 2), nr_accesses=(3, 4), age=(5, 6))
    kdamond.schemes[0].write("apply_interval_us", 777000)
    # One whose matching and allow differ, both ways round.
    rules = ({"type": "anon", "matching": "Y", "allow": "N"}, {"type": "active", "matching": "N", "allow": "Y"})
    filters(kdamond.schemes[0], *rules)
    marks = {"high": 999, "mid": 998, "low": 0, "interval_us": 55_000}
    for name, value in {"metric": "free_mem_rate", **marks}.items():
        kdamond.schemes[0].write(f"watermarks/{name}", value)
    quotas = {"ms": 11, "bytes": 222, "reset_interval_ms": 3333, "weights/sz_permil": 4, "weights/nr_accesses_permil": 5, "weights/age_permil": 6}
    for name, value in quotas.items():
        kdamond.schemes[0].write(f"quotas/{name}", value)
    kdamond.on()
    context = status.kdamond(damon)["context"]
    assert context["ops"] == "vaddr" and context["pause"] is False
    assert context["attrs"] == {
        "sample_us": 7000, "aggr_us": 140000, "update_us": 2000000, "min_nr_regions": 12, "max_nr_regions": 345,
        "intervals_goal": {"access_bp": 400, "aggrs": 3, "min_sample_us": 5000, "max_sample_us": 9000},
    }  # fmt: skip
    (target,) = context["targets"]
    assert target["pid"] == shared_workload.pid
    (scheme,) = context["schemes"]
    assert scheme["action"] == "stat" and scheme["apply_interval_us"] == 777000
    assert scheme["access_pattern"] == {"sz": [1, 2], "nr_accesses": [3, 4], "age": [5, 6]}
    assert {name: scheme["watermarks"][name] for name in marks} == marks and scheme["watermarks"]["metric"] == "free_mem_rate"
    quota = {"ms": 11, "bytes": 222, "reset_interval_us": 3_333_000, "weights": {"sz": 4, "nr_accesses": 5, "age": 6}}
    assert {name: scheme["quota"][name] for name in quota} == quota
    assert scheme["filters"] == [{"matching": True, "allow": False, "type": "anon"}, {"matching": False, "allow": True, "type": "active"}]


def test_regions(damon: Damon, monitoring: Kdamond, shared_workload: Workload) -> None:
    """Sorted, and together what is monitored; rates as the sysfs files give them."""
    for _ in range(10):
        advance(AGGREGATION)
        regions = status.regions(damon)
        assert all(a["end"] <= b["start"] for a, b in zip(regions, regions[1:]))
        assert sum(r["end"] - r["start"] for r in regions) == sum(end - start for start, end in shared_workload.three_regions())
        assert all(0 <= r["nr_accesses"] <= 20 and 0 <= r["nr_accesses_bp"] <= 200000 for r in regions)


def test_same_as_tried_regions(damon: Damon, kdamond: Kdamond, shared_workload: Workload) -> None:
    """Paused right after a walk both show the same regions, unless a sample came between."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.schemes[0].write("apply_interval_us", 300000)
    kdamond.set(sample_us=300000, aggr_us=300000000)
    kdamond.on()

    def same() -> bool:
        kdamond.set(pause="N")
        kdamond.commit()
        kdamond.update_regions()
        kdamond.set(pause="Y")
        kdamond.commit()
        shown = [(region["start"], region["end"], region["age"]) for region in status.regions(damon)]
        return [(region.start, region.end, region.age) for region in kdamond.tried_regions()] == shown

    wait_until(same, "both show the same")


def test_statistics(damon: Damon, monitoring: Kdamond) -> None:
    wait_until(lambda: status.kdamond(damon)["context"]["schemes"][0]["stats"]["nr_tried"] > 0, "the scheme is applied", every=AGGREGATION)


def test_stays_in_a_pause(damon: Damon, monitoring: Kdamond) -> None:
    monitoring.set(pause="Y")
    monitoring.commit()
    text = damon.status.read_text()
    advance(10 * AGGREGATION)
    assert damon.status.read_text() == text


def test_many_regions(damon: Damon, kdamond: Kdamond, shared_workload: Workload) -> None:
    """More than a page, and more than many."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.set(min_regions=5000, max_regions=10000)
    kdamond.on()
    regions = status.regions(damon)
    assert len(regions) >= 4000
    # A region takes at least 80 bytes: its names and addresses.
    assert len(damon.status.read_bytes()) > 4000 * 80


def test_many_kdamonds(damon: Damon, shared_workload: Workload) -> None:
    for kdamond in damon.kdamonds(8):
        kdamond.write("contexts/nr_contexts", 1)
        kdamond.add_targets(shared_workload.pid)
        kdamond.on()
    found = status.read(damon)["kdamonds"]
    assert [entry["index"] for entry in found] == list(range(8))
    assert {entry["state"] for entry in found} == {"running"}


def test_long_sampling_interval(damon: Damon, kdamond: Kdamond, shared_workload: Workload) -> None:
    """It is read at once, not at the next sample."""
    kdamond.add_targets(shared_workload.pid)
    kdamond.set(sample_us=3600 * 10**6, aggr_us=7200 * 10**6)
    kdamond.on()
    assert status.regions(damon)


def test_reading_in_pieces(damon: Damon, monitoring: Kdamond) -> None:
    """One open file is one picture."""
    fd = os.open(damon.status, os.O_RDONLY)
    try:
        pieces = iter(lambda: os.read(fd, 500), b"")
        text = b""
        for piece in pieces:
            text += piece
            advance(SAMPLE)
        json.loads(text)
    finally:
        os.close(fd)


def test_refuses_writes(damon: Damon, monitoring: Kdamond) -> None:
    with pytest.raises(OSError):
        fd = os.open(damon.status, os.O_WRONLY)
        try:
            os.write(fd, b"x")
        finally:
            os.close(fd)
