# SPDX-License-Identifier: GPL-2.0
"""What DAMON does to pages must not mislead reclaim: an access that it finds and clears stays known as the page's young flag."""

from pathlib import Path

import pytest

from damon_tree import Kdamond
from guest_time import wait_until
from page_flags import idle_pages
from workload import Workload


@pytest.fixture
def idle():
    """A process whose pages have all been written to once, and that rests."""
    with Workload("--size", "64M") as workload:
        workload.idle()
        yield workload


def smaps(workload: Workload) -> dict[str, int]:
    """The counters of the area's mapping, in bytes."""
    fields: dict[str, int] = {}
    inside = False
    for line in Path(f"/proc/{workload.pid}/smaps").read_text().splitlines():
        first = line.split()[0]
        if not first.endswith(":"):
            start, end = (int(address, 16) for address in first.split("-"))
            inside = start <= workload.area[0] < end
        elif inside and line.endswith("kB"):
            fields[first.rstrip(":")] = fields.get(first.rstrip(":"), 0) + int(line.split()[1]) * 1024
    return fields


def monitor_hard(kdamond: Kdamond, workload: Workload) -> None:
    """Looks at pages of the process, of which there are 16,384, about 200,000 times."""
    kdamond.add_targets(workload.pid)
    kdamond.add_stat_schemes()
    kdamond.set(sample_us=1000, aggr_us=20000, min_regions=1000, max_regions=2000)
    kdamond.on()
    wait_until(lambda: kdamond.nr_snapshots() >= 10, "ten aggregations are over")
    kdamond.off()


@pytest.mark.idle_flag
def test_accesses_stay_known(kdamond: Kdamond, idle: Workload) -> None:
    # What is populated counts as referenced for other reasons than the accessed bit.
    Path(f"/proc/{idle.pid}/clear_refs").write_text("1\n")
    idle.move_hot(0)
    idle.idle()
    before = smaps(idle)["Referenced"]
    assert before >= 16 << 20
    monitor_hard(kdamond, idle)
    assert idle_pages(idle) > 50
    assert smaps(idle)["Referenced"] == before


def test_no_accesses_are_made_up(kdamond: Kdamond, idle: Workload) -> None:
    Path(f"/proc/{idle.pid}/clear_refs").write_text("1\n")
    assert smaps(idle)["Referenced"] == 0
    monitor_hard(kdamond, idle)
    assert smaps(idle)["Referenced"] == 0


@pytest.mark.idle_flag
def test_pages_become_idle(kdamond: Kdamond, idle: Workload) -> None:
    """A page that DAMON has looked at and nobody has accessed since is idle for everyone who asks."""
    assert idle_pages(idle) == 0
    monitor_hard(kdamond, idle)
    assert idle_pages(idle) > 50


def test_contents_are_kept(kdamond: Kdamond, idle: Workload) -> None:
    """Monitoring neither drops nor swaps pages."""
    before = smaps(idle)
    monitor_hard(kdamond, idle)
    after = smaps(idle)
    assert {name: after[name] for name in ("Rss", "Anonymous", "Private_Dirty", "Swap")} == {
        name: before[name] for name in ("Rss", "Anonymous", "Private_Dirty", "Swap")
    }
