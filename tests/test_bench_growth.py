"""How cost grows: every pass is counted, figures follow from stored values, and pyperf reads the runs."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conftest import hits
from stichotrope import Profiler

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks import _machine, _store, growth, instructions, memory, report, snapshot, suite  # noqa: E402
from benchmarks._curve import Curve  # noqa: E402
from benchmarks._run import MET, NOT_MET, Fact, Figure, Scale  # noqa: E402
from benchmarks.floors import load_floors  # noqa: E402
from benchmarks.growth import _series, blocks, depth, durations, grid, wear  # noqa: E402
from benchmarks.growth._count import Counter, Warmed  # noqa: E402
from benchmarks.per_pass import Case, time_cases  # noqa: E402

SMALL: dict[ModuleType, dict[str, Any]] = {
    durations: {"DURATIONS_NS": (100, 1_000_000)},
    wear: {"QUICK_PASSES": 2_500, "PORTION": 1_000},
    grid: {"THREADS": (1, 2), "BLOCKS": (3,), "QUICK_PROCESSES": 2},
}
NUMBERS = {blocks: (1, 10), depth: (1, 2, 25)}
RUNS = sorted((ROOT / "benchmarks" / "results").rglob("*.json"))


@pytest.fixture(scope="module")
def floors() -> ModuleType:
    """The floors, compiled for this interpreter."""
    try:
        return load_floors()
    except RuntimeError as error:
        if "need a C compiler" in str(error):
            pytest.skip(str(error))
        raise


def facts(part: ModuleType, stored: dict[str, Any]) -> list[tuple[str, str]]:
    """What a part saw of its counts, and whether they hold."""
    rows = [row for row in part.limits(stored) if isinstance(row, Fact)]
    return [(row.seen, row.verdict()) for row in rows]


def samples(rows: Iterable[Figure | Fact]) -> dict[str, list[float]]:
    """The samples of each figure, by its name."""
    return {row.name: list(row.samples) for row in rows if isinstance(row, Figure)}


@pytest.mark.parametrize("part", [blocks, depth, durations, wear], ids=lambda part: part.__name__)
def test_what_is_timed_is_recorded_pass_by_pass(part, floors, monkeypatch):
    """A run with tiny loops counts every pass, and each curve has a value for each round at each size."""
    room = _series if part in NUMBERS else part
    for name in vars(room).copy():
        if name.endswith("TARGET_NS") or name == "CALIBRATION_NS":
            monkeypatch.setattr(room, name, 20_000)
    small = SMALL.get(part, {})
    for name, value in {**small, "QUICK_ROUNDS": 3}.items():
        monkeypatch.setattr(room, name, value)
    sizes = NUMBERS.get(part) or next(
        (value for value in small.values() if isinstance(value, tuple)), (0, 2_500)
    )
    if part in NUMBERS:
        part = replace(part._SERIES, numbers=sizes)
    stored = part.measure(Scale.QUICK, random.Random(1), lambda text: None)
    ((seen, verdict),) = facts(part, stored)
    made = sum(told["passes"] for told in stored["recorded"].values())
    assert (seen, verdict) == (f"{made:,} of {made:,}", MET)
    curves = part.curves(json.loads(json.dumps(stored)))
    assert {len(samples) for curve in curves for _, samples in curve.points} == {3}
    assert all(tuple(size for size, _ in curve.points) == sizes for curve in curves)
    names = [row.name for row in part.figures(stored)]
    assert len(set(names)) == len(names)


def test_a_lost_pass_shows():
    """One hit less than passes were made is not met."""
    counted = {
        "tracked_1": {"passes": 1_000, "hits": 1_000},
        "kept_1": {"passes": 1_000, "hits": 999},
    }
    assert facts(blocks, {"sizes": [1], "recorded": counted}) == [("1,999 of 2,000", NOT_MET)]
    # Nor does one too many make up for one too few.
    counted["tracked_1"]["hits"] = 1_001
    assert facts(blocks, {"sizes": [1], "recorded": counted}) == [("2,000 of 2,000", NOT_MET)]


def test_every_inline_block_stands_in_a_place_of_its_own():
    """The function that goes through so many passes each once, in order."""
    profiler = Profiler("inline")
    passes = blocks._inline(12, profiler)
    passes()
    passes()
    assert hits(profiler) == {str(number): 2 for number in range(12)}
    (track,) = profiler.get_results().tracks.values()
    assert sorted(block.line for block in track.blocks) == list(range(2, 14))


@pytest.mark.parametrize("arm", depth.ARMS)
def test_each_level_stands_in_the_one_before(arm):
    """A chain of 25 is a call tree without branches, 25 deep, in which every level was passed once."""
    profiler = Profiler("chain")
    depth._chain(arm, 25, profiler)()
    node, names = profiler.get_results().tree, []
    while node.children:
        (node,) = node.children
        assert node.hit_count == 1
        names.append(node.name)
    assert names == [str(level) for level in range(25)]


def case(minus: str | None, each_ns: Iterable[float], passes: int = 1) -> dict[str, Any]:
    """A stored case of so many ns an iteration, round by round."""
    return {
        "title": "a case",
        "body": "f()\ng()",
        "minus": minus,
        "passes": passes,
        "iterations": 10,
        "elapsed_ns": [round(10 * ns) for ns in each_ns],
    }


def stored_durations(added: dict[int, float]) -> dict[str, Any]:
    """Work of some durations, to which both arms add so many ns."""
    cases = {}
    for ns, more in added.items():
        cases[f"bare_{ns}"] = case(None, [ns] * 3)
        for arm in durations.ARMS:
            cases[f"{arm}_{ns}"] = case(f"bare_{ns}", [ns + more] * 3)
    return {"durations_ns": list(added), "cases": cases, "recorded": {}, "timer": "thread_time"}


def test_what_is_added_is_in_percent_of_the_work():
    """Measured: what a duration's own timings differ by; derived: the shortest one's cost, over the duration."""
    stored = stored_durations({100: 40, 1_000: 50, 1_000_000: 5_000})
    assert durations._percent(stored, "tracked", 1_000) == [5.0] * 3
    assert durations._derived(stored, "tracked", 1_000) == [4.0] * 3
    measured, derived = durations.curves(stored)[:2]
    assert [(size, samples[0]) for size, samples in measured.points] == [
        (100, 40),
        (1_000, 5),
        (1_000_000, 0.5),
    ]
    assert [(size, samples[0]) for size, samples in derived.points] == [
        (100, 40),
        (1_000, 4),
        (1_000_000, 0.004),
    ]


@pytest.mark.parametrize(("added", "verdict"), [(10_000, MET), (10_001, NOT_MET)])
def test_one_percent_of_a_millisecond_is_the_limit(added, verdict):
    """10 µs added to 1 ms is met, and more is not; what is derived from short work is held to it too."""
    stored = stored_durations({100: 40, 1_000_000: added})
    rows = [row for row in durations.limits(stored) if isinstance(row, Figure)]
    assert {row.name: row.verdict() for row in rows} == {
        "tracked call around 1 ms of work, added": verdict,
        "tracked call around 1 ms of work, added, derived": MET,
        "inline block around 1 ms of work, added": verdict,
        "inline block around 1 ms of work, added, derived": MET,
    }


@pytest.mark.parametrize(
    ("added", "start"),
    [
        ({100: 1, 1_000: 1, 10_000: 1}, 100),
        ({100: 40, 1_000: 10, 10_000: 40}, 1_000),
        ({100: 1, 1_000: 11, 10_000: 40}, 10_000),
        ({100: 1, 1_000: 1, 10_000: 101}, math.inf),
    ],
)
def test_one_percent_is_reached_where_no_longer_work_goes_beyond_it(added, start):
    """A shorter duration that happens to be below does not count while a longer one is above."""
    assert durations.measured_from_ns(stored_durations(added), "tracked") == start


def test_the_duration_of_one_percent_is_a_hundred_costs():
    """40 ns a pass are 1 % of 4 µs."""
    rows = samples(durations.figures(stored_durations({100: 40, 10_000: 50})))
    assert rows["tracked call: 1 % of the work, derived"] == [4.0] * 3
    assert rows["tracked call: at most 1 % of the work, measured from here on"] == [10.0]


@pytest.mark.parametrize(
    ("ns", "said"),
    [
        (100, "100 ns"),
        (1_000, "1 µs"),
        (30_000, "30 µs"),
        (1_000_000, "1 ms"),
        (100_000_000, "100 ms"),
    ],
)
def test_durations_are_said_as_people_say_them(ns, said):
    """In the largest unit that leaves a whole number."""
    assert durations._said(ns) == said


def test_cost_is_told_a_pass_not_a_round():
    """What one round through 10 blocks adds to the bare round is shared out among them."""
    cases = {f"{arm}_1": case(None, [50]) for arm in blocks.ARMS}
    cases |= {f"{arm}_10": case("loop", [1_100], passes=10) for arm in blocks.ARMS}
    cases["loop"] = case(None, [100])
    stored = {"sizes": [1, 10], "cases": cases, "recorded": {}}
    rows = samples(blocks.figures(stored))
    assert rows["kept block, round through 10 blocks"] == [100.0]
    assert rows["kept block, round through 10 blocks ÷ 1"] == [2.0]


def test_a_renewed_case_is_made_anew_for_each_timing():
    """Its names too: so a profiler that is new is new each time."""
    made: list[list[int]] = []

    def make() -> dict[str, Any]:
        made.append([])
        return {"seen": made[-1]}

    loop = wear.Renewed("case", "a case", "seen.append(1)", minus=None, make=make).loop()
    assert made == []
    assert loop(5) >= 0
    assert loop(7) >= 0
    assert [len(seen) for seen in made] == [wear.WARM_UP + 5, wear.WARM_UP + 7]


def test_a_warmed_case_runs_its_body_once_more_than_is_timed():
    """Once untimed before each timing, and the counter expects it."""
    seen: list[int] = []
    loop = Warmed("case", "a case", "seen.append(1)", {"seen": seen}, minus=None).loop()
    loop(5)
    assert len(seen) == 1 + 5
    loop(7)
    assert len(seen) == 1 + 5 + 1 + 7
    counter = Counter(untimed=1)
    block = counter.new("case").block(0, "it")
    counter.start()
    for _ in range(3 * (10 + 1) * 2):
        with block:
            pass
    counted = counter.counted({"cases": {"case": case(None, [5, 5, 5], passes=2)}})
    assert counted == {"case": {"passes": 66, "hits": 66}}


def test_what_is_slow_at_first_is_calibrated_when_it_no_longer_is():
    """A count taken while a body is cold would be many times too small."""

    class Cold(Case):
        def loop(self) -> Callable[[int], int]:
            calls: list[int] = []

            def timed(count: int) -> int:
                calls.append(count)
                return count * (1_000 if len(calls) < 3 else 10)

            return timed

    cold = Cold("cold", "slow at first", "pass", minus=None)
    stored = time_cases([cold], 8_000, 2, random.Random(1), lambda text: None)
    assert stored["cases"]["cold"]["iterations"] == 800
    assert stored["cases"]["cold"]["elapsed_ns"] == [8_000, 8_000]


def test_snapshots_and_memory_are_taken_of_each_size(monkeypatch):
    """Every number of threads with every number of blocks, in time and in memory."""
    for name, value in {**SMALL[grid], "QUICK_ROUNDS": 3}.items():
        monkeypatch.setattr(grid, name, value)
    asked = []

    def resident(arm: str, threads: int, width: int) -> int:
        asked.append((arm, threads, width))
        return 1_000_000 * threads if arm == "imported" else 1_500_000 * threads

    monkeypatch.setattr(memory, "resident", resident)
    stored = grid.measure(Scale.QUICK, random.Random(1), lambda text: None)
    assert sorted(asked) == sorted(
        (arm, n, 3) for arm in ("imported", "recorded") for n in (1, 2) for _ in range(2)
    )
    curves = {curve.title: curve.points for curve in grid.curves(json.loads(json.dumps(stored)))}
    assert curves["memory of records, 2 threads"] == [(3, [1.0, 1.0])]
    assert [len(samples) for _, samples in curves["get_results(), 1 thread"]] == [3]
    assert [figure.name for figure in grid.figures(stored)] == [
        "get_results(), 1 thread × 3 blocks",
        "get_results(), 2 threads × 3 blocks",
        "memory of records, 1 thread × 3 blocks",
        "memory of records, 2 threads × 3 blocks",
    ]


def test_where_memory_is_not_told_times_are_kept(monkeypatch, capsys):
    """A system that tells only a peak gives the snapshots' times, and a sentence."""
    for name, value in {**SMALL[grid], "QUICK_ROUNDS": 3}.items():
        monkeypatch.setattr(grid, name, value)

    def resident(arm: str, threads: int, width: int) -> int:
        raise RuntimeError("neither is here")

    monkeypatch.setattr(memory, "resident", resident)
    stored = grid.measure(Scale.QUICK, random.Random(1), lambda text: None)
    assert [curve.title for curve in grid.curves(stored)] == [
        "get_results(), 1 thread",
        "get_results(), 2 threads",
    ]
    assert capsys.readouterr().err == "memory of records could not be measured: neither is here\n"


def test_parked_threads_have_recorded_what_they_were_asked_to():
    """So many threads, so many blocks on each, all in the snapshot while they wait."""
    profiler = Profiler("parked")
    with snapshot.parked_threads(profiler, 3, 4):
        results = profiler.get_results()
    assert hits(results) == {f"block {number}": 3 * snapshot.PASSES for number in range(4)}
    assert len(results.threads) == 3


def test_a_process_of_each_size_tells_its_memory():
    """The child takes the size that it is asked for."""
    assert memory.resident("recorded", 2, 5) > 1_000_000


def test_growth_has_what_its_parts_have(monkeypatch):
    """Parts are measured one after the other and reported in their order; a run without one is still read."""

    class Part:
        @staticmethod
        def measure(scale: Scale, rng: random.Random, progress: Any) -> dict[str, Any]:
            progress("goes on")
            return {"ns": 5.0}

        @staticmethod
        def limits(stored: dict[str, Any]) -> list[Figure]:
            return []

        curves = staticmethod(lambda stored: [Curve("it", "of", "ns", [(1, [stored["ns"]])], str)])
        figures = staticmethod(lambda stored: [Figure("it", [stored["ns"]], "ns")])

    monkeypatch.setattr(growth, "PARTS", {"one": Part, "other": Part})
    told: list[str] = []
    stored = growth.measure(Scale.QUICK, random.Random(1), told.append)
    assert told == ["one goes on", "other goes on"]
    assert stored == {"one": {"ns": 5.0}, "other": {"ns": 5.0}}
    assert [row.name for row in growth.figures(stored)] == ["it", "it"]
    assert list(growth.curves({"other": {"ns": 6.0}})) == ["other"]
    assert growth.limits(stored) == []


# ---- instructions --------------------------------------------------------------------------------


def test_instructions_are_what_many_passes_take_beyond_few(floors, monkeypatch):
    """What comes before, between and after the passes is in both counts, and drops out."""

    def counted(names: list[str], few: int, many: int) -> dict[str, tuple[int, int]]:
        each = {"empty_loop": 5, "bare": 30, "tracked": 100}
        return {name: (900 + few * each[name], 900 + many * each[name]) for name in names}

    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(instructions, "_count", counted)
    stored = instructions.count(["tracked"], 10, 110)
    told = {name: case["instructions"] for name, case in stored["cases"].items()}
    assert told == {"tracked": 100, "bare": 30, "empty_loop": 5}
    assert samples(instructions.figures(stored)) == {
        "instructions, tracked call": [70.0],
        "instructions, bare call": [25.0],
    }


def test_without_valgrind_a_run_goes_on_without_instructions(monkeypatch):
    """A sentence says what is missing; it is the error that a run reports and passes over."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="counted by valgrind, which is not installed here"):
        instructions.measure(Scale.QUICK, random.Random(1), lambda text: None)


def stand_in_for_valgrind(monkeypatch, totals: list[int]) -> None:
    """Instead of a process, files as callgrind leaves them, the last one without a mark after it."""

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        (out,) = (text.partition("=")[2] for text in command if text.startswith("--callgrind-out"))
        Path(out).write_text("# callgrind format\n", encoding="utf-8")
        for number, total in enumerate(totals, 1):
            text = f"desc: Trigger: --dump-before=getppid\nsummary: {total}\n\ntotals: {total}\n"
            Path(f"{out}.{number}").write_text(text, encoding="utf-8")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(instructions.subprocess, "run", run)


def test_of_each_case_the_second_and_third_part_count(monkeypatch):
    """The first is what came before: starting, or warming up. Parts are in the order of their numbers."""
    stand_in_for_valgrind(monkeypatch, [9_999, 1, 2, 777, 3, 4, 777, 5, 6, 777, 7, 8])
    assert instructions._count(["a", "b", "c", "d"], 1, 2) == {
        "a": (1, 2),
        "b": (3, 4),
        "c": (5, 6),
        "d": (7, 8),
    }


def test_a_mark_that_is_not_seen_is_an_error(monkeypatch):
    """Where the system's library calls it otherwise, there are too few parts."""
    stand_in_for_valgrind(monkeypatch, [9_999])
    with pytest.raises(
        RuntimeError, match=r"counted 1 parts of 3: it did not see the calls of getppid"
    ):
        instructions._count(["a"], 1, 2)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
def test_callgrind_counts_what_a_call_adds(floors):
    """A tracked call takes some hundreds of instructions more than a bare one, and less than a thousand."""
    stored = instructions.count(["tracked"], 200, 1_200)
    (added,) = samples(instructions.figures(stored))["instructions, tracked call"]
    assert 50 < added < 1_000


# ---- stored runs, and pyperf ---------------------------------------------------------------------


@pytest.mark.parametrize("path", RUNS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_stored_run_is_still_read(path):
    """Limits and figures of each of its subjects come out of it, with one sample or more."""
    run = _store.load(path)
    assert run["subjects"]
    for name, stored in run["subjects"].items():
        subject = report.SUBJECTS[name]
        rows = [*subject.limits(stored), *subject.figures(stored)]
        assert rows
        assert all(len(row.samples) > 0 for row in rows if isinstance(row, Figure))


def run_of(**subjects: Any) -> _store.Run:
    """A run of two subjects, as it is stored."""
    machine = {
        "python": "3.13.0",
        "implementation": "CPython",
        "compiler": "GCC 12",
        "cpu": "a chip",
        "cores": 2,
        "system": "Linux",
        "kernel": "6.1",
        "architecture": "x86_64",
        "gil": True,
        "git": {"commit": None, "modified": False},
    }
    run = _store.new_run("normal", 1, machine, {})
    run["started"] = "2026-03-01T12:00:00+00:00"
    run["subjects"] = subjects or {
        "memory": {"resident_bytes": {"bare": [1]}, "passes": 10},
        "growth": {
            "blocks": {
                "timer": "thread_time",
                "cases": {
                    "loop": case(None, [40, 50, 60]),
                    "kept": case("loop", [400, 500, 600], passes=4),
                },
            }
        },
        "threads": {
            "timer": "thread_time",
            "passes": {"kept_8": 800},
            "elapsed_ns": {"kept_8": [8_000]},
        },
    }
    return run


def test_a_run_is_read_by_pyperf(tmp_path, capsys):
    """Every timed case is a benchmark with all its values, in seconds a pass, and with its loops."""
    pyperf = pytest.importorskip("pyperf")
    source, target = tmp_path / "run.json", tmp_path / "suite.json"
    _store.save(run_of(), source)
    assert suite.main([str(source), "-o", str(target)]) == 0
    read = pyperf.BenchmarkSuite.load(str(target))
    found = {bench.get_name(): bench for bench in read}
    assert list(found) == ["growth.blocks.loop", "growth.blocks.kept", "threads.kept_8"]
    kept = found["growth.blocks.kept"]
    assert kept.get_values() == pytest.approx((100e-9, 125e-9, 150e-9), rel=1e-12)
    (one,) = kept.get_runs()
    assert (one.get_loops(), one.get_inner_loops()) == (10, 4)
    assert kept._get_raw_values() == pytest.approx((4e-6, 5e-6, 6e-6), rel=1e-12)
    assert found["threads.kept_8"].get_values() == pytest.approx((10e-9,), rel=1e-12)
    told = kept.get_metadata()
    assert (told["minus"], told["body"], told["timer"]) == ("loop", "f()⏎ g()", "thread_time")
    assert (told["python_version"], told["cpu_model_name"]) == ("3.13.0", "a chip")
    assert str(kept.get_dates()[0]) == "2026-03-01 12:00:00"
    assert capsys.readouterr() == ("", "")
    assert suite.main([str(source)]) == 0
    assert capsys.readouterr().out == target.read_text(encoding="utf-8")


def test_pyperf_shows_what_was_written(tmp_path):
    """Its own program prints a line for each case."""
    pytest.importorskip("pyperf")
    source, target = tmp_path / "run.json", tmp_path / "suite.json"
    _store.save(run_of(), source)
    assert suite.main([str(source), "-o", str(target)]) == 0
    shown = subprocess.run(
        [sys.executable, "-m", "pyperf", "show", "--quiet", str(target)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "growth.blocks.kept: Mean +- std dev: 125 ns +- 25 ns" in shown.stdout


@pytest.mark.parametrize("path", RUNS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_stored_run_can_be_read_by_pyperf(path):
    """Each has timed cases, but a run of the gate alone; and all of their values come through."""
    pytest.importorskip("pyperf")
    run = _store.load(path)
    if {*run["subjects"]} == {"gate"}:
        with pytest.raises(ValueError, match="nothing was timed in this run: it has gate"):
            suite.suite(run)
        return
    cases = list(suite.timed_cases(run))
    assert cases
    made = suite.suite(run)
    assert [len(bench.get_values()) for bench in made] == [len(one.elapsed_ns) for one in cases]


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (run_of(memory={"passes": 10}), "nothing was timed in this run: it has memory"),
        (
            run_of(per_pass={"timer": "thread_time", "cases": {"loop": case(None, [5, 0])}}),
            "per_pass.loop took 0 ns in a round, and pyperf takes only times above 0: "
            "the timer of that run is too coarse for it",
        ),
    ],
    ids=["untimed", "coarse"],
)
def test_what_pyperf_cannot_hold_is_refused(run, sentence, tmp_path, capsys):
    """With a sentence, and without a file."""
    pytest.importorskip("pyperf")
    source, target = tmp_path / "run.json", tmp_path / "suite.json"
    _store.save(run, source)
    assert suite.main([str(source), "-o", str(target)]) == 2
    assert capsys.readouterr() == ("", f"{sentence}\n")
    assert not target.exists()


def test_what_pyperf_tells_of_the_machine_names_no_place():
    """Neither the host's name nor a path goes into a stored run."""
    pyperf = pytest.importorskip("pyperf")
    told = _machine.pyperf_metadata()
    assert told is not None
    assert told["perf_version"] == pyperf.__version__
    assert told["python_version"].startswith(sys.version.split()[0])
    assert "hostname" not in told
    said = "\n".join(str(value) for value in told.values()).split()
    assert not {socket.gethostname(), sys.executable, sys.prefix, sys.base_prefix} & set(said)
    assert not any(os.path.isabs(word) for word in said)


def test_a_machine_without_pyperf_is_described_all_the_same(monkeypatch, tmp_path, capsys):
    """What it would tell is left out; what it would write is refused in a sentence."""
    monkeypatch.setitem(sys.modules, "pyperf", None)
    assert _machine.pyperf_metadata() is None
    source = tmp_path / "run.json"
    _store.save(run_of(), source)
    assert suite.main([str(source)]) == 1
    assert capsys.readouterr().err.startswith("pyperf is not installed for ")
