"""What profiling adds to a program: what is stored of it, and what is said of that."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import pytest

from benchmarks._run import MET, NOISE, NOT_MET, Figure, Scale
from benchmarks.workloads import _marks, _overhead, _profile

WORKS = {"walk": "long walks"}


def process(**ns):
    """What one process took in each mode, in three rounds alike."""
    return {f"{mode}, walk": [value] * 3 for mode, value in ns.items()}


def named(rows):
    """The rows by their names."""
    return {row.name: row for row in rows}


def test_a_sample_is_the_median_of_a_process():
    """Of its rounds, each in percent of the bare work of the same round."""
    taken = {"bare, walk": [100.0, 200.0, 50.0], "coarse, walk": [110.0, 204.0, 100.0]}
    (sample,) = _overhead.added_percent([taken], "walk", "coarse")
    assert sample == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("instrumented", "coarse", "verdicts"),
    [
        ([104, 104], [100.9, 100.5], [MET, MET]),
        ([106, 105.5], [101.5, 101.1], [NOT_MET, NOT_MET]),
        ([104, 106], [100, 102], [NOISE, NOISE]),
    ],
)
def test_all_marks_and_coarse_marks_have_limits_of_their_own(instrumented, coarse, verdicts):
    """5 % and 1 %; what is off is only reported."""
    taken = [
        process(bare=100.0, instrumented=a, coarse=b, off=100.25)
        for a, b in zip(instrumented, coarse, strict=True)
    ]
    limits = named(_overhead.limits(taken, WORKS))
    assert [*limits] == [
        "overhead of all marks, long walks",
        "overhead of marks of 1 ms and more, long walks",
    ]
    assert [row.limit for row in limits.values()] == [5.0, 1.0]
    assert [row.verdict() for row in limits.values()] == verdicts
    (off,) = _overhead.figures(taken, WORKS)
    assert isinstance(off, Figure)
    assert (off.name, off.verdict()) == ("overhead of marks that are off, long walks", None)
    assert off.samples == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize(("short_ns", "verdict"), [(1_000_000, MET), (999_999, NOT_MET)])
def test_the_coarse_level_is_held_to_be_one(short_ns, verdict):
    """Each of its blocks takes a millisecond or more, in the mean over all processes."""
    long = {"name": "long", "hits": 1, "total_ns": 8_000_000}
    profiles = [
        [{"name": "short", "hits": 3, "total_ns": 3 * short_ns}, long],
        [{"name": "short", "hits": 1, "total_ns": short_ns}],
    ]
    fact = _overhead.coarse_fact("walks", profiles)
    assert fact.verdict() == verdict
    assert fact.seen == "short 1 ms, long 8 ms"


def test_a_program_without_a_coarse_level_has_not_met_it():
    """Nothing recorded says nothing of how long it takes."""
    assert _overhead.coarse_fact("walks", [[]]).verdict() == NOT_MET


def test_own_time_is_shared_out():
    """Over all blocks, largest first; those of one group count as one."""
    blocks = [
        {"name": "fill a", "self_ns": 10},
        {"name": "read", "self_ns": 60},
        {"name": "fill b", "self_ns": 30},
    ]
    assert _profile.own_shares(blocks) == [("read", 0.6), ("fill b", 0.3), ("fill a", 0.1)]
    grouped = _profile.own_shares(blocks, lambda name: name.partition(" ")[0])
    assert grouped == [("read", 0.6), ("fill", 0.4)]


def test_work_is_told_by_the_unit():
    """What a loop took, over how often it ran and what is in one run."""
    works = {
        "a": _overhead.Work(lambda count: 100 * count, times=2, units=5),
        "b": _overhead.Work(lambda count: 7 * count, times=1, units=1),
    }
    assert _overhead.take(works, {"rounds": 3, "order_seed": 1}) == {"a": [20] * 3, "b": [7] * 3}


def test_processes_draw_their_orders_from_the_seed(monkeypatch):
    """As many of them as the scale says, each told of, each with an order of its own."""
    asked = []

    def run_module(*told):
        asked.append(told)
        return {}

    monkeypatch.setattr(_overhead, "run_module", run_module)
    monkeypatch.setitem(_overhead.SIZES, Scale.QUICK, (3, 2))
    steps: list[str] = []
    for _ in range(2):
        _overhead.measure("some.program", Scale.QUICK, random.Random(5), steps.append, plans=7)
    assert len(steps) == 6
    assert asked[:3] == asked[3:]
    assert {told[:2] for told in asked} == {("some.program._child", "overhead")}
    settings = [json.loads(told[2]) for told in asked[:3]]
    assert all((one["rounds"], one["plans"]) == (2, 7) for one in settings)
    assert len({one["order_seed"] for one in settings}) == 3


def test_a_program_is_imported_anew_for_each_mode():
    """All of it: each mode has its own marks, and functions that are marked by them."""
    pytest.importorskip("numpy")
    said = (
        "from types import FunctionType\n"
        "from benchmarks.workloads import _marks, _overhead\n"
        "kind = lambda one: 'function' if type(one) is FunctionType else 'tracked'\n"
        "package = 'benchmarks.workloads.smc'\n"
        "found = [_overhead.in_mode(package, 'tuner', mode) for mode in _marks.MODES]\n"
        "print(*(kind(one.cost) + '/' + kind(one.simulate) for one in found))\n"
        "print(len({id(one.Swarm) for one in found}), len({id(one.marks) for one in found}))\n"
        "print(*(one.marks.mode for one in found))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", said],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    kinds, counts, modes = done.stdout.splitlines()
    bare, instrumented, coarse, off = (kind.split("/") for kind in kinds.split())
    assert bare == ["function", "function"]
    assert instrumented == off
    assert "function" not in instrumented
    assert coarse == ["function", instrumented[1]]
    assert (counts, modes.split()) == ("4 4", list(_marks.MODES))
