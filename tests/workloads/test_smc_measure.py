"""What is measured of the sliding-mode program: what must hold, and what profiling adds."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")

from benchmarks import _store
from benchmarks._run import MET, NOT_MET, Fact
from benchmarks.workloads import _marks
from benchmarks.workloads.smc import measure
from workloads.test_smc_program import program


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A run as small as it may be, as it was stored, and what was printed."""
    path = tmp_path_factory.mktemp("measured") / "run.json"
    shrink = (
        "import sys; from benchmarks import __main__; from benchmarks._run import Scale; "
        "from benchmarks.workloads import _overhead; from benchmarks.workloads.smc import measure; "
        "_overhead.SIZES[Scale.QUICK] = (1, 2); measure.WORKERS = (0, 3); "
        "sys.exit(__main__.main(sys.argv[1:]))"
    )
    arguments = ("--quick", "--only", "smc", "--output", str(path))
    done = program(*arguments, module=("-c", shrink))
    assert done.returncode == 0, done.stderr
    return _store.load(path)["subjects"]["smc"], done.stdout


def test_a_measured_run_is_stored_with_its_raw_values(stored):
    """Each work in each mode has a value a round."""
    found, _ = stored
    (child,) = found["overhead"]
    assert {name: len(taken) for name, taken in child["ns_a_step"].items()} == {
        f"{mode}, {work}": 2 for mode in _marks.MODES for work in measure.WORKS
    }
    assert all(ns > 0 for taken in child["ns_a_step"].values() for ns in taken)


def test_what_must_hold_of_the_program_does(stored):
    """Energy, settling under each controller, and the same gains with any workers."""
    facts = {row.name: row for row in measure.limits(stored[0]) if isinstance(row, Fact)}
    assert len(facts) == 1 + 1 + 4 + 1
    level = facts.pop("smc: marks of 1 ms and more, the mean of each")
    assert {part.split()[0] for part in level.seen.split(", ")} == {
        "simulate",
        "fitness",
        "generation",
        "tune",
    }
    assert {name: fact.verdict() for name, fact in facts.items()} == dict.fromkeys(facts, MET)


def test_the_profile_counts_every_pass(stored):
    """Of as many steps as were simulated: four derivatives, one control, one law in each."""
    profile = stored[0]["profile"]
    hits = {block["name"]: block["hits"] for block in profile["blocks"]}
    assert hits["step"] == hits["compute_control"] == profile["steps"]
    assert hits["derivative"] == 4 * profile["steps"]
    laws = ("classical", "super-twisting", "adaptive", "hybrid")
    assert sum(hits[law] for law in laws) == profile["steps"]


def test_the_coarse_level_recorded_each_pass(stored):
    """Of every round, and nothing but the coarse level."""
    (child,) = stored[0]["overhead"]
    hits = {block["name"]: block["hits"] for block in child["coarse"]}
    fitness = 2 * (3 * 2 + 10 * 6)  # rounds; particles and generations of both swarms
    generations = 2 * (2 + 6)
    assert hits == {
        "simulate": 2 * 4 + fitness,
        "fitness": fitness,
        "generation": generations,
        "tune": 4,
    }


def test_a_measured_run_is_printed(stored):
    """A line of a table for each limit and each figure, and no name stands for two."""
    found, said = stored
    rows = [*measure.limits(found), *measure.figures(found)]
    assert [row.name for row in rows if f"\n| {row.name} |" not in said] == []
    assert len({row.name for row in rows}) == len(rows)


def simulated(**more):
    """A simulation that settled."""
    settled = {"controller": "classical", "fell": False, "final_norm": 1e-4, "peak_force_N": 20.0}
    return {**settled, **more}


@pytest.mark.parametrize(
    ("last", "verdict"),
    [
        ({}, MET),
        ({"controller": "hybrid", "fell": True}, MET),
        ({"fell": True}, NOT_MET),
        ({"final_norm": 4.1e-4}, NOT_MET),
        ({"peak_force_N": 26.0}, NOT_MET),
    ],
)
def test_one_simulation_that_does_not_settle_is_enough(last, verdict):
    """Of that controller's own."""
    fact = measure._settles("classical", [simulated(), simulated(**last)])
    assert fact.verdict() == verdict


def test_the_worst_of_a_controllers_simulations_are_said():
    """The largest norm and the largest force, which need not be of one simulation."""
    fact = measure._settles("classical", [simulated(final_norm=2e-4), simulated(peak_force_N=21)])
    assert fact.seen == "0.0002 and 21 N at most, 2 simulations"


@pytest.mark.parametrize(("drift", "verdict"), [(5.2e-9, MET), (6e-9, NOT_MET), (0.0, NOT_MET)])
def test_energy_that_strays_is_not_kept(drift, verdict):
    """Nor is one that never moved at all: a plant that stands still proves nothing."""
    assert measure._energy({"duration_s": 5.0, "drift": drift}).verdict() == verdict


@pytest.mark.parametrize(
    ("gains", "cost", "verdict"), [(1.0, 2.0, MET), (1.1, 2.0, NOT_MET), (1.0, 2.1, NOT_MET)]
)
def test_swarms_that_find_something_else_are_not_the_same(gains, cost, verdict):
    """To the last bit of gains and costs, whatever the number of threads."""
    tuned = [
        {"workers": 0, "gains": {"K": 1.0}, "costs": {"last": 2.0}},
        {"workers": 4, "gains": {"K": gains}, "costs": {"last": cost}},
    ]
    assert measure._workers(tuned).verdict() == verdict


def test_the_tables_do_not_need_what_the_program_does():
    """Stored runs are read where numpy, cachetools and the profiler are not installed."""
    said = "import sys; from benchmarks import page, report; print(*sorted(sys.modules))"
    done = program(module=("-c", said))
    assert done.stderr == ""
    heavy = {"numpy", "cachetools", "matplotlib", "rich", "stichotrope"}
    assert heavy & {*done.stdout.split()} == set()
    assert "benchmarks.workloads.smc.measure" in done.stdout.split()
