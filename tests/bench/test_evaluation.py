# SPDX-License-Identifier: GPL-2.0
"""What the bench computes from what it measured: python3 -m unittest discover -s tests/bench"""

from __future__ import annotations

import math
import sys
import unittest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "guest")]

import accuracy  # noqa: E402
import disturbance  # noqa: E402
import groups  # noqa: E402
import growth  # noqa: E402
import memory  # noqa: E402
import schemes  # noqa: E402
import truth  # noqa: E402
from figures import Comparison, Figure, Goal, Results, rst, text, verdict  # noqa: E402
from truth import Agreement, Phase, Physical, Range, Snapshot  # noqa: E402

SHARE = Figure("share", "", True, 2, 0.01)
SECONDS = Figure("time", "s", False, 1, 0.1)
LEVEL = Figure("level", "", None, 1, 1)


class Verdicts(unittest.TestCase):
    def verdict(self, figure: Figure, in_tree: list[float], ours: list[float]) -> str:
        return Comparison(figure, in_tree, ours).verdict

    def test_beyond_noise(self) -> None:
        before, after = [0.90, 0.91, 0.92], [0.80, 0.81, 0.82]
        self.assertEqual(self.verdict(SHARE, before, after), "worse")
        self.assertEqual(self.verdict(SHARE, after, before), "better")
        self.assertEqual(self.verdict(SECONDS, [5, 5, 5], [4, 4, 4]), "better")
        self.assertEqual(self.verdict(SECONDS, [4, 4, 4], [5, 5, 5]), "worse")

    def test_noise_is_the_larger_range(self) -> None:
        self.assertEqual(self.verdict(SHARE, [0.9, 0.9, 0.9], [0.7, 0.8, 0.9]), "same")
        self.assertEqual(self.verdict(SHARE, [0.7, 0.8, 0.9], [0.9, 0.9, 0.9]), "same")

    def test_noise_is_never_below_the_resolution(self) -> None:
        self.assertEqual(self.verdict(SHARE, [0.900] * 3, [0.895] * 3), "same")
        self.assertEqual(self.verdict(SHARE, [0.900] * 3, [0.885] * 3), "worse")

    def test_few_repetitions_say_nothing(self) -> None:
        self.assertEqual(self.verdict(SHARE, [0.9, 0.9], [0.1, 0.1]), "too few repetitions")

    def test_what_has_to_be_the_same(self) -> None:
        self.assertEqual(self.verdict(LEVEL, [5, 5, 5], [6, 6, 6]), "same")
        for other in (3, 7):
            self.assertEqual(self.verdict(LEVEL, [5, 5, 5], [other] * 3), "differs")
            self.assertEqual(Comparison(LEVEL, [5, 5, 5], [other] * 3, explained=True).verdict, "differs, as documented")
        self.assertEqual(self.verdict(LEVEL, [5, 5], [9, 9]), "too few repetitions")
        compared = {"a": [Comparison(LEVEL, [5] * 3, [9] * 3)], "b": [Comparison(LEVEL, [5] * 3, [9] * 3, explained=True)]}
        results = Results("g", [LEVEL], compared, {})
        for table in (text(results), "\n".join(verdict(results))):
            self.assertIn("2 medians have to be the same.", table)
            self.assertIn("differs beyond noise: a (level)", table)
            self.assertIn("differs, as documented: b (level)", table)
            self.assertNotIn("worse", table)

    def test_what_is_measured_once(self) -> None:
        for ours, verdict in ((1040, "same"), (1100, "worse"), (500, "better")):
            self.assertEqual(Comparison(SECONDS, [1000], [ours], once=True).verdict, verdict)

    def test_goals(self) -> None:
        def met(goal: Goal, in_tree: float, ours: float) -> bool:
            return goal.met(in_tree, ours)

        self.assertTrue(met(Goal(0.5), 10, 5))
        self.assertFalse(met(Goal(0.5), 10, 6))
        self.assertTrue(met(Goal(6, of_in_tree=False), 1, 6))
        self.assertFalse(met(Goal(6, of_in_tree=False), 100, 7))

    def test_goals_that_compare_with_another_case(self) -> None:
        goal = Goal(1.1, than="small")

        def results(ours: float, **more: list[Comparison]) -> Results:
            found = Results("g", [SECONDS], {**more, "large": [Comparison(SECONDS, [1] * 3, [ours] * 3, goal)]}, {})
            found.settle_goals()
            return found

        small = [Comparison(SECONDS, [9] * 3, [10] * 3)]
        self.assertIn("1.1 of small: met", text(results(11, small=small)))
        missed = text(results(12, small=small))
        self.assertIn("1.1 of small: missed", missed)
        self.assertIn("goal missed: large (time)", missed)
        self.assertIn("1.1 of small: not known", text(results(12)))

    def test_tables(self) -> None:
        compared = {"a": [Comparison(SHARE, [0.9] * 3, [0.5] * 3)], "b": [Comparison(SHARE, [0.9] * 3, [0.9] * 3)]}
        results = Results("g", [SHARE], compared, {"c": "no paddr in ours"})
        for table in (text(results), "\n".join(verdict(results))):
            self.assertIn("worse beyond noise: a (share)", table)
            self.assertIn("better beyond noise: none", table)
            self.assertIn("c: skipped: no paddr in ours", table)
            self.assertIn("Of 2 medians 0 are better in ours, 1 worse, 1 equal.", table)

    def test_rows_that_say_something(self) -> None:
        near = Comparison(SHARE, [0.90, 0.91, 0.92], [0.915, 0.925, 0.93])
        goal = Comparison(SECONDS, [1] * 3, [1] * 3, Goal(1))
        compared = {"equal": [Comparison(SHARE, [0.9] * 3, [0.9] * 3)], "near": [near], "goal": [goal]}
        table = rst(Results("g", [SHARE, SECONDS], compared, {}))
        self.assertNotIn("equal  ", table)
        self.assertIn("near  ", table)
        self.assertIn("goal  ", table)
        self.assertIn("The medians of 1 other case differs by less than half of the noise.", table)

    def test_a_verdict_of_a_few_lines(self) -> None:
        compared = {f"case {n}": [Comparison(SHARE, [0.9] * 3, [0.5] * 3)] for n in range(9)}
        lines = verdict(Results("g", [SHARE], compared, {f"skipped {n}": "why" for n in range(9)}))
        self.assertLessEqual(len(lines), 6)
        self.assertIn("worse beyond noise: 9 of 9 figures, among them case 0 (share), case 1 (share), case 2 (share), case 3 (share)", lines)


class Truth(unittest.TestCase):
    def test_rates(self) -> None:
        def rate(every: int, stride: int, pick: int) -> float:
            return truth.rate([0, 4096 * 100, every, stride, pick], 4096, 4000, 5000)

        self.assertEqual(rate(1, 1, 0), 1)
        self.assertEqual(rate(2, 1, 0), 0.625)
        self.assertEqual(rate(2, 5, 0), 0.125)
        self.assertAlmostEqual(rate(1, 1, 80), 1 - math.exp(-1))

    def test_phases(self) -> None:
        log = [
            {"event": "begin", "t_ns": 0},
            {"event": "phase", "t_ns": 10, "parts": [[8, 9, 1, 1, 0], [0, 4, 1, 2, 0]]},
            {"event": "phase", "t_ns": 20, "parts": []},
            {"event": "done", "t_ns": 30},
        ]
        found = truth.phases(log, 1, 4, 5)
        self.assertEqual(found, [Phase(10, 20, [Range(0, 4, 0.5), Range(8, 9, 1.0)]), Phase(20, 30, [])])

    def test_mean_over_a_change(self) -> None:
        phases = [Phase(0, 10, [Range(0, 4, 1.0)]), Phase(10, 20, [Range(2, 6, 0.5)])]
        self.assertEqual(truth.mean(phases, 2, 8), phases[0].ranges)
        self.assertEqual(truth.mean(phases, 5, 15), [Range(0, 2, 0.5), Range(2, 4, 0.75), Range(4, 6, 0.25)])

    def test_physical(self) -> None:
        physical = Physical([(100, 1000, 10), (110, 500, 10), (130, 1010, 10)])
        self.assertEqual(physical.ranges([Range(105, 135, 0.5)]), [Range(500, 510, 0.5), Range(1005, 1015, 0.5)])
        self.assertEqual(physical.ranges([Range(0, 99, 1.0), Range(120, 130, 1.0)]), [])

    def test_agreement(self) -> None:
        its = Agreement()
        # 10 of 20 found are hot, and 10 of the 40 that are hot; what is not judged does not count.
        snapshot = Snapshot(0, 1, [Range(30, 50, 0.5), Range(100, 200, 1.0)])
        its.add(snapshot, [Range(0, 40, 1.0)], [Range(0, 60, 1.0)], 0.25)
        self.assertEqual((its.precision, its.recall), (0.5, 0.25))
        self.assertEqual(its.rate_error, (30 * 1.0 + 10 * 0.5 + 10 * 0.5) / 40)
        its = Agreement()
        its.add(Snapshot(0, 1, [Range(0, 10, 0.25)]), [Range(0, 10, 0.25)], [Range(0, 60, 1.0)], 0.25)
        self.assertEqual((its.precision, its.recall, its.rate_error), (1, 1, 0))

    def test_nothing_found(self) -> None:
        its = Agreement()
        its.add(Snapshot(0, 1, []), [Range(0, 10, 1.0)], [Range(0, 60, 1.0)], 0.25)
        self.assertEqual((its.precision, its.recall, its.rate_error), (0, 0, 1))


class Records(unittest.TestCase):
    """A whole record, as the guest leaves it."""

    HOT = 120 << 20, 136 << 20

    def record(self, lag: int) -> dict[str, object]:
        """Of "static", found exactly from the `lag`-th aggregation on."""
        lines = []
        for number in range(1, 100):
            at = 5 + number * 0.1
            start, end = self.HOT if number >= lag else (0, 1 << 20)
            for first, last, hits in ((0, 4096, 0), (start or 4096, end, 20)):
                lines.append(f" kdamond.0-77 [000] ..... {at:.6f}: damon_aggregated: target_id=0 nr_regions=9 {first}-{last}: {hits} 3")
            lines.append(f" kdamond.1-78 [000] ..... {at:.6f}: damon_aggregated: target_id=0 nr_regions=9 0-{256 << 20}: 20 3")
        log = [
            {"event": "begin", "t_ns": 5_000_000_000},
            {"event": "phase", "t_ns": 5_000_000_000, "parts": [[*self.HOT, 1, 1, 0]]},
            {"event": "done", "t_ns": 15_000_000_000, "max_gap_us": 4100},
        ]
        return {
            "pid": 77, "began_ns": 4_999_000_000, "log": log, "judged": [[4096, 256 << 20]], "runs": None, "trace": "\n".join(lines),
        }  # fmt: skip

    def test_figures(self) -> None:
        case = next(case for case in accuracy.CASES if case.name == "static")
        figures = accuracy.figures(case, self.record(10))
        self.assertEqual((figures["precision"], figures["recall"], figures["error of the rate"]), (1, 1, 0))
        self.assertAlmostEqual(figures["time until found"], 1.0)
        never = accuracy.figures(case, self.record(1000))
        self.assertEqual((never["precision"], never["recall"], never["time until found"]), (0, 0, 10))
        self.assertGreater(never["error of the rate"], 1)

    def test_doubts(self) -> None:
        case = accuracy.CASES[0]
        record = self.record(1)
        self.assertIsNone(accuracy.doubts(case, record))
        record["log"][-1]["max_gap_us"] = 7000  # type: ignore[index]
        self.assertIn("7 ms", str(accuracy.doubts(case, record)))


class Schemes(unittest.TestCase):
    """A record of what a scheme has done."""

    def test_figures(self) -> None:
        case = next(case for case in schemes.CASES if case.name == "pageout, size")
        tried = schemes.SIZE * schemes.APPLICATIONS // 4
        names = ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed", "qt_exceeds")
        stats = dict(zip(names, (40, tried, 40, tried // 2, tried // 4, schemes.WINDOWS // 2)))
        record = {
            "began": 10.0, "ended": 14.0, "stats": stats, "size": schemes.SIZE,
            # The last one is too late.
            "esz": [[9.0, 1024], [12.0, 4096], [13.0, 0], [15.0, 1]], "out": schemes.SIZE // 8, "hot_out": 0,
        }  # fmt: skip
        found = schemes.figures(case, record)
        self.assertEqual([found[its.name] for its in schemes.FIGURES], [25, 50, 25, 50, (2 * 10 + 12 + 0) / 4, 0, 12.5, 0])
        self.assertIsNone(schemes.doubts(case, record))
        nothing = {**record, "stats": dict.fromkeys(names, 0), "esz": []}
        self.assertEqual([schemes.figures(case, nothing)[its.name] for its in schemes.FIGURES], [0, 0, 0, 0, 0, 0, 12.5, 0])
        self.assertIn("nothing was tried", str(schemes.doubts(case, nothing)))

    def test_what_differs_is_explained(self) -> None:
        names = {figure.name for figure in schemes.FIGURES}
        for case in schemes.CASES:
            self.assertLessEqual(set(case.known), names)


class Growth(unittest.TestCase):
    def test_figures(self) -> None:
        case = next(case for case in growth.CASES if case.name == "each page of 1 GiB")
        record = {"instructions": 262_144 * 150 * 2, "samples": 2, "regions": 262_144}
        self.assertEqual(list(growth.figures(case, record).values()), [150, 39.3216])
        self.assertIsNone(growth.doubts(case, record))
        self.assertIn("regions", str(growth.doubts(case, {**record, "regions": 1000})))

    def test_goals_name_cases(self) -> None:
        for name, group in groups.GROUPS.items():
            names = {case.name for case in group.CASES}
            self.assertEqual(len(names), len(group.CASES), name)
            for case in group.CASES:
                for figure, goal in getattr(case, "goals", {}).items():
                    self.assertIn(figure, {its.name for its in group.FIGURES})
                    self.assertIn(goal.than or case.name, names)


class Memory(unittest.TestCase):
    def test_figures(self) -> None:
        cases = {case.name: case for case in memory.CASES}
        case = cases["1000 regions"]
        few = {"running": case.contexts * 9000}
        record = {"few": few, "many": {"running": case.contexts * (9000 + 990 * 48)}}
        self.assertEqual(memory.figures(case, record), {"bytes per region": 48})
        record = {"few": {"running": 1}, "many": {"running": 50 * 65536}}
        self.assertEqual(list(memory.figures(cases["as by default"], record).values()), [64])
        found = memory.figures(cases["module"], {"code": 2048, "loaded": 4096})
        self.assertEqual(found, {"code and data": 2, "all that is loaded": 4})

    def test_extent(self) -> None:
        """From the first to the last of neighbours; what is far away, or of the modules, is not between them."""
        symbols = [
            memory.Symbol(*its) for its in (
                (0, 100, "schedule", ""), (100, 200, "damon_new_ctx", ""), (200, 300, "walk_system_ram", ""), (300, 350, "kdamond_fn", ""),
                (350, 400, "damon_reclaim_turn", ""), (400, 500, "damon_stat_start", ""), (500, 600, "mmap_region", ""),
                (100_000, 100_010, "trace_event_raw_event_damos_esz", ""),
                (200_000, 200_030, "sample", "damon_rs"), (200_030, 200_040, "other", "damon_rs_stat"), (200_040, 300_000, "last", "damon_rs"),
            )
        ]  # fmt: skip
        self.assertEqual(memory.extent(symbols, None), 250 + 10)
        self.assertEqual(memory.extent(symbols, "damon_rs"), 30)


class Disturbance(unittest.TestCase):
    TRACE = """
# tracer: nop
# entries-in-buffer/entries-written: 7/7   #P:1
         kdamond.0-91 [000] ..... 10.000010: mmap_lock_acquire_returned: mm=00000000aa memcg_id=1 write=false success=true
         kdamond.0-91 [000] ..... 10.000012: mmap_lock_released: mm=00000000aa memcg_id=1 write=false
         kdamond.0-91 [000] ..... 10.000020: mmap_lock_acquire_returned: mm=00000000aa memcg_id=1 write=false success=false
         kdamond.0-91 [000] ..... 10.000030: mmap_lock_released: mm=00000000bb memcg_id=1 write=false
         kdamond.0-91 [000] ..... 10.000040: mmap_lock_acquire_returned: mm=00000000aa memcg_id=1 write=false success=true
         kdamond.0-91 [000] ..... 10.000140: mmap_lock_released: mm=00000000aa memcg_id=1 write=false
         kdamond.0-91 [000] ..... 10.000150: mmap_lock_acquire_returned: mm=00000000aa memcg_id=1 write=false success=true
"""

    def test_holds(self) -> None:
        self.assertEqual([round(us, 3) for us in disturbance.holds(self.TRACE)], [2, 100])

    def test_figures(self) -> None:
        record = {
            "alone": {"total": 500_000_000, "longest": 1}, "monitored": {"total": 550_000_000, "longest": 90_000}, "kdamond": 45_000_000,
            "traced": 2_000_000_000, "trace": self.TRACE,
        }  # fmt: skip
        case = disturbance.CASES[0]
        self.assertEqual([round(value, 6) for value in disturbance.figures(case, record).values()], [10, 1, 90, 51, 100])
        self.assertIsNone(disturbance.doubts(case, record))
        self.assertIn("lost", str(disturbance.doubts(case, {**record, "trace": self.TRACE.replace("7/7", "7/9")})))


if __name__ == "__main__":
    unittest.main()
