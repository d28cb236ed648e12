"""The regression gate: what is dearer in floors than a stored run fails, and noise does not."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks import _store, check  # noqa: E402

ROUNDS = 25
ITERATIONS = 1000
BARE_NS = 10.0
# What each case takes by itself, over the bare call: floors 20 ns, what records a little more.
FLOOR_NS = 20.0
OURS_NS = 25.0

Noise = Callable[[], float]


def quiet() -> float:
    """Every round takes what the others take."""
    return 1.0


def noisy(seed: int, spread: float) -> Noise:
    """Rounds differ by about so much, each time the same."""
    rng = random.Random(seed)
    return lambda: rng.gauss(1.0, spread)


def stored_run(noise: Noise = quiet, machine: float = 1.0, **slower: float) -> _store.Run:
    """A run of 3.13 in which the named cases take so many times what they should, on a machine that takes so many."""
    names = {name for ours, floors in check.FLOORS.items() for name in (ours, *floors)}
    cases = {"bare": case("bare", None, [machine * BARE_NS] * ROUNDS)}
    for name in sorted(names):
        usual = OURS_NS if name in check.FLOORS else FLOOR_NS
        taken = [usual * slower.get(name, 1.0) * noise() + BARE_NS for _ in range(ROUNDS)]
        cases[name] = case(name, "bare", [machine * ns for ns in taken])
    run = _store.new_run("normal", 1, machine_of("3.13.0"), {"clock": {"source": "tsc"}})
    run["subjects"]["per_pass"] = {"timer": "thread_time", "floors_clock": "rdtsc", "cases": cases}
    return run


def case(name: str, minus: str | None, each_ns: Iterable[float]) -> dict[str, Any]:
    """A stored case of so many ns an iteration, round by round."""
    elapsed = [round(ns * ITERATIONS) for ns in each_ns]
    return {
        "title": name,
        "body": "f()",
        "minus": minus,
        "passes": 1,
        "iterations": ITERATIONS,
        "elapsed_ns": elapsed,
    }


def machine_of(python: str, gil: bool = True) -> dict[str, Any]:
    """What is told of a machine, as far as it matters here."""
    return {"python": python, "gil": gil, "git": {"commit": "0123456789abcdef", "modified": False}}


def worse(runs: list[_store.Run], baseline: _store.Run, tolerance: float = 10.0) -> list[str]:
    """The figures that are worse, by what records."""
    rows = check.compare(runs, baseline, tolerance)
    assert {row.verdict for row in rows} <= {check.WORSE, check.SAME, check.BETTER}
    return [row.now.name.partition(" ÷ ")[0] for row in rows if row.verdict == check.WORSE]


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    """An empty folder of stored runs."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(_store, "RESULTS", folder)
    return folder


def save(run: _store.Run, path: Path) -> str:
    """Store a run; its path, for the command line."""
    _store.save(run, path)
    return str(path)


def test_an_equal_run_passes():
    """A run that is the baseline has every figure as before."""
    rows = check.compare([stored_run()], stored_run(), 0.0)
    assert [row.verdict for row in rows] == [check.SAME] * len(check.FLOORS)
    assert [row.now.samples for row in rows] == [[OURS_NS / FLOOR_NS] * ROUNDS] * len(rows)


@pytest.mark.parametrize("name", check.FLOORS)
def test_a_case_that_is_dearer_by_more_than_the_tolerance_fails(name):
    """A case made a fifth slower is worse; the others are not."""
    slower: dict[str, Any] = {name: 1.2}
    assert worse([stored_run(**slower)], stored_run()) == [name]


@pytest.mark.parametrize(("slower", "expected"), [(1.04, []), (1.06, ["kept_block"])])
def test_the_tolerance_is_taken_of_the_baseline(slower, expected):
    """With a tolerance of 5 %, 4 % is not worse and 6 % is."""
    assert worse([stored_run(kept_block=slower)], stored_run(), tolerance=5.0) == expected


def test_what_has_become_cheaper_is_better():
    """Below the baseline's interval with the whole of its own."""
    rows = check.compare([stored_run(tracked=0.9)], stored_run(), 10.0)
    verdicts = {row.now.name.partition(" ÷ ")[0]: row.verdict for row in rows}
    assert verdicts.pop("tracked") == check.BETTER
    assert set(verdicts.values()) == {check.SAME}


def test_a_slower_machine_passes():
    """Where floors and cases take three times as long alike, nothing has changed in floors."""
    assert worse([stored_run(machine=3.0)], stored_run()) == []


def test_a_dearer_floor_does_not_hide_in_the_cheaper_one():
    """Of two floors of one kind the cheaper counts, however dear the other has become."""
    (row, *_) = check.compare([stored_run(clocks=5.0)], stored_run(), 10.0)
    assert row.now.samples == [OURS_NS / FLOOR_NS] * ROUNDS


@pytest.mark.parametrize("seed", range(5))
def test_noise_passes(seed):
    """Two runs of one program whose rounds differ by a fifth are as before."""
    assert worse([stored_run(noisy(seed, 0.2))], stored_run(noisy(seed + 100, 0.2))) == []


def test_a_difference_that_noise_could_have_made_passes():
    """A median far above the tolerance is not worse while its interval reaches down to it."""
    run, baseline = stored_run(noisy(3, 0.5), tracked=1.3), stored_run()
    (row, *_) = check.compare([run], baseline, 10.0)
    middle, low, _ = row.now.interval()
    assert middle > 1.1 * OURS_NS / FLOOR_NS > low
    assert row.verdict == check.SAME


def test_one_unlucky_process_of_five_passes():
    """A process keeps its luck for life: it is one value of five, not all of its rounds."""
    runs = [stored_run(tracked=slower) for slower in (1.0, 1.0, 1.5, 1.0, 1.0)]
    assert worse(runs, stored_run()) == []
    (row, *_) = check.compare(runs, stored_run(), 10.0)
    assert row.now.samples == [1.25, 1.25, 1.875, 1.25, 1.25]


def test_five_slower_processes_fail():
    """What every process shows is the program's."""
    runs = [stored_run(tracked=slower) for slower in (1.2, 1.3, 1.25, 1.2, 1.22)]
    assert worse(runs, stored_run()) == ["tracked"]


def test_a_case_that_the_baseline_has_not_is_shown_and_not_judged():
    """A new case cannot be worse than before."""
    baseline = stored_run()
    del baseline["subjects"]["per_pass"]["cases"]["inline_block"]
    rows = check.compare([stored_run(inline_block=9.0)], baseline, 10.0)
    (new,) = [row for row in rows if row.before is None]
    assert (new.now.name, new.verdict) == ("inline_block ÷ inline_context", check.NEW)
    assert "| inline_block ÷ inline_context | – | 11.25 × [11.25, 11.25] | – |" in check.render(
        rows, baseline, Path("b.json"), 10.0
    )


@pytest.mark.parametrize(("slower", "status"), [(1.0, 0), (1.5, 1)])
def test_the_command_ends_with_1_when_a_figure_is_worse(slower, status, results, tmp_path, capsys):
    """It prints a table either way, and names what is worse."""
    save(stored_run(), results / "baseline.json")
    run = save(stored_run(tracked=slower), tmp_path / "run.json")
    assert check.main(["--run", run]) == status
    told = capsys.readouterr()
    assert told.out.startswith("| in floors | baseline | now | change |  |\n")
    assert told.out.count(" × [") == 2 * len(check.FLOORS)
    assert told.out.count("**worse**") == status
    expected = "\nworse than the baseline: tracked ÷ clocks\n" if status else ""
    assert told.err == expected


def test_the_command_takes_several_runs_and_a_tolerance(results, tmp_path):
    """Twice the cost passes with a tolerance of 150 %, and one run more is one value more."""
    save(stored_run(), results / "baseline.json")
    runs = [save(stored_run(tracked=2.0), tmp_path / f"{number}.json") for number in range(3)]
    assert check.main(["--tolerance", "150", "--run", *runs]) == 0
    assert check.main(["--run", *runs]) == 1


def test_without_a_baseline_the_command_ends_with_2(results, tmp_path, capsys):
    """Neither another interpreter's run nor one of other subjects will do."""
    other, empty = stored_run(), stored_run()
    other["machine"] = machine_of("3.12.1")
    empty["subjects"] = {"memory": {}}
    save(other, results / "other.json")
    save(empty, results / "empty.json")
    assert check.main(["--run", save(stored_run(), tmp_path / "run.json")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("no stored run of CPython 3.13 has per_pass in it, in ")
    assert told.err.endswith(": `python -m benchmarks` makes one\n")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda run: run.update(machine=machine_of("3.12.1")),
            "CPython is 3.13 now, and 3.12 in the baseline",
        ),
        (
            lambda run: run.update(machine=machine_of("3.13.5", gil=False)),
            "CPython is 3.13 now, and 3.13t in the baseline",
        ),
        (
            lambda run: run.update(package={"clock": {"source": "monotonic"}}),
            "the clock is tsc now, and monotonic in the baseline",
        ),
        (
            lambda run: run["subjects"]["per_pass"].update(floors_clock="clock_gettime"),
            "the floors' clock is rdtsc now, and clock_gettime in the baseline",
        ),
    ],
    ids=["version", "lock", "clock", "floors"],
)
def test_runs_of_two_kinds_are_not_compared(change, sentence, tmp_path, capsys):
    """A ratio to the floor means the same only with one interpreter and one clock."""
    baseline = stored_run()
    change(baseline)
    files = [save(stored_run(), tmp_path / "run.json"), save(baseline, tmp_path / "base.json")]
    assert check.main(["--run", files[0], "--baseline", files[1]]) == 2
    assert capsys.readouterr() == ("", f"the two runs are not of one kind: {sentence}\n")


def test_a_file_that_is_no_run_ends_with_2(tmp_path, capsys):
    """One sentence says which file, and what it is not."""
    path = tmp_path / "text.json"
    path.write_text("{}", encoding="utf-8")
    assert check.main(["--run", str(path)]) == 2
    assert check.main(["--run", str(tmp_path / "none.json")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert (
        first == f"{path} is not a stored benchmark run: no format 'stichotrope-benchmarks' in it"
    )
    assert str(tmp_path / "none.json") in second


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--tolerance", "much"], "'much' is not a percentage from 0 on"),
        (["--tolerance", "-1"], "'-1' is not a percentage from 0 on"),
        (["--tolerance", "nan"], "'nan' is not a percentage from 0 on"),
        (["--processes", "0"], "'0' is not a number of processes from 1 on"),
        (["--processes", "two"], "'two' is not a number of processes from 1 on"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(arguments, sentence, capsys):
    """With what was given and what is expected."""
    with pytest.raises(SystemExit) as end:
        check.main(arguments)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_baseline_is_the_newest_whole_run_of_the_interpreter(results):
    """A quick one stands in only where there is no other; one without the lock is another interpreter's."""

    def stored(name: str, started: str, scale: str = "normal", **machine: Any) -> None:
        run = stored_run()
        run.update(started=started, scale=scale)
        run["machine"] = {**run["machine"], **machine}
        save(run, results / name)

    stored("quick.json", "2026-03-05T00:00:00+00:00", "quick")
    assert _store.baseline(stored_run(), "per_pass") == results / "quick.json"
    stored("old.json", "2026-03-01T00:00:00+00:00")
    stored("new.json", "2026-03-02T00:00:00+00:00", python="3.13.4")
    stored("free.json", "2026-03-04T00:00:00+00:00", gil=False)
    stored("other.json", "2026-03-04T00:00:00+00:00", python="3.14.0")
    assert _store.baseline(stored_run(), "per_pass") == results / "new.json"
    assert _store.baseline(stored_run(), "suspended") is None


def test_each_process_is_measured_with_a_seed_of_its_own(results, monkeypatch, capsys):
    """Without stored runs to compare, so many processes are measured, and the clock is the installed one's."""
    asked = []

    def measured(module: str, seed: str) -> dict[str, Any]:
        asked.append((module, seed))
        return json.loads(json.dumps(stored_run(tracked=1.5)["subjects"]))

    monkeypatch.setattr(check, "run_module", measured)
    monkeypatch.setattr(check, "load_floors", lambda: None)
    own = check._new_run(7)
    baseline = {**stored_run(), "machine": own["machine"], "package": own["package"]}
    path = save(baseline, results / "baseline.json")
    assert check.main(["--processes", "2", "--seed", "7", "--baseline", path]) == 1
    assert asked == [("benchmarks.check", "7 0"), ("benchmarks.check", "7 1")]
    assert capsys.readouterr().err.startswith("process 1/2 …\nprocess 2/2 …\n\nworse than")


def test_every_case_of_the_gate_is_measured():
    """The gate's names are those of the cases."""
    from benchmarks import per_pass

    try:
        known = {case.name for case in per_pass.cases()}
    except RuntimeError as error:
        if "need a C compiler" in str(error):
            pytest.skip(str(error))
        raise
    assert {name for ours, floors in check.FLOORS.items() for name in (ours, *floors)} <= known
