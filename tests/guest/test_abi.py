# SPDX-License-Identifier: GPL-2.0
"""The ABI document describes each file of the tree, and nothing else."""

import re
from pathlib import Path

import pytest

import answers
import behaviour
from cases import Cases
from damon_tree import Damon, Dir
from workload import Workload

DOCUMENT = Path("/damon-rs/Documentation/ABI/testing/sysfs-kernel-mm-damon")
# The document calls the directory as kernels without the in-tree DAMON do.
ROOT = "/sys/kernel/mm/damon/"


def described() -> dict[str, str]:
    """The files of the document and what it says of each, with a # for any number."""
    files: dict[str, str] = {}
    for entry in re.split(r"\n\n(?=What:)", DOCUMENT.read_text())[1:]:
        names, description, text = entry.partition("Description:")
        assert description and text.strip(), entry
        for line in names.splitlines():
            what, name = line.split()
            assert what == "What:" and name.startswith(ROOT), line
            name = re.sub(r"<[A-Z]>", "#", name.removeprefix(ROOT))
            assert name not in files, f"{name} is described twice"
            files[name] = text
    return files


@pytest.fixture
def live(damon: Damon, shared_workload: Workload) -> dict[str, Path]:
    """The files of a tree that has everything in it, results too, with a # for any number; and one of each."""
    kdamond = damon.kdamond()
    kdamond.add_targets(shared_workload.pid)
    kdamond.add_stat_schemes()
    kdamond.attrs.write("probes/nr_probes", 1)
    kdamond.on()
    kdamond.update_regions()
    kdamond.off()
    behaviour.fill(kdamond)
    assert kdamond.tried_regions()
    return {re.sub(r"/\d+(?=/)", "/#", name): damon.root / name for name in Dir(damon.root).files()}


def test_each_file_is_described(damon: Damon, live: dict[str, Path]) -> None:
    assert set(live) - set(described()) == set()


def test_each_description_is_of_a_file(damon: Damon, live: dict[str, Path]) -> None:
    missing = set() if damon.is_ours else set(answers.LATER) - set(answers.load()["tree"])
    later = {f"admin/{name.replace('/0/', '/#/')}" for name in missing}
    assert set(described()) - set(live) == later


def test_words(live: dict[str, Path]) -> None:
    """All that a file takes that is not a number is in what is said of it."""
    text = described()
    with Cases() as cases:
        for name, words in WORDS.items():
            for word in words:
                with cases.case(f"{name}: {word}"):
                    live[name].write_text(word)
                    assert f'"{word}"' in text[name]


SCHEME = "admin/kdamonds/#/contexts/#/schemes/#"
WORDS = {
    "admin/kdamonds/#/contexts/#/operations": ("vaddr", "fvaddr", "paddr"),
    f"{SCHEME}/action": (
        "willneed", "cold", "pageout", "hugepage", "nohugepage", "collapse", "lru_prio", "lru_deprio", "migrate_hot", "migrate_cold", "stat",
    ),
    f"{SCHEME}/quotas/goal_tuner": ("consist", "temporal"),
    f"{SCHEME}/quotas/goals/#/target_metric": (
        "user_input", "some_mem_psi_us", "node_mem_used_bp", "node_mem_free_bp", "node_memcg_used_bp", "node_memcg_free_bp",
        "active_mem_bp", "inactive_mem_bp", "node_eligible_mem_bp",
    ),
    f"{SCHEME}/watermarks/metric": ("none", "free_mem_rate"),
    f"{SCHEME}/core_filters/#/type": ("addr", "target"),
    f"{SCHEME}/ops_filters/#/type": ("anon", "active", "memcg", "young", "hugepage_size", "unmapped"),
    f"{SCHEME}/filters/#/type": ("anon", "active", "memcg", "young", "hugepage_size", "unmapped", "addr", "target"),
    "admin/kdamonds/#/contexts/#/monitoring_attrs/probes/#/filters/#/type": ("anon", "memcg"),
}  # fmt: skip
