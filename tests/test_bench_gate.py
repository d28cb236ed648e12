"""The benchmark of the gate: what it makes of runs, whatever they were."""

from __future__ import annotations

import random
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks import gate, report  # noqa: E402
from benchmarks._run import Fact, Figure, Scale  # noqa: E402
from benchmarks.gate import program  # noqa: E402
from benchmarks.page import gate as page_gate  # noqa: E402

BLOCKS = ("parse", "price", "render", "request")


def made_up(rng: random.Random, rounds: int, slower: float) -> dict[str, gate.Side]:
    """Both sides of one time that `ab` was run, on a machine whose speed varies by a hundredth."""

    def run(factor: float) -> dict[str, Any]:
        speed = 1 + rng.gauss(0, 0.01)
        own = {"parse": 100_000, "price": 300_000 * factor, "render": 200_000, "request": 50_000}
        around = sum(own.values())
        # The mean is of passes that others held up for some time, in half of the runs.
        late = 1 + rng.choice((0.0, rng.random()))
        return {
            name: [
                round(ns * speed)
                for ns in (
                    (around, around * late, ns) if name == "request" else (ns, ns * late, ns * late)
                )
            ]
            for name, ns in own.items()
        }

    return {
        "old": [run(1) for _ in range(rounds)],
        "new": [run(1 + slower) for _ in range(rounds)],
    }


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is stored of a machine that is made up."""
    rng = random.Random(1)
    monkeypatch.setattr(gate, "_ab", lambda share, seed: made_up(rng, 20, share))
    monkeypatch.setattr(gate, "neighbours", lambda count, rng: nullcontext())
    told: list[str] = []
    found = gate.measure(Scale.QUICK, random.Random(2), told.append)
    assert told == ["same 1/1", "slower 1/1"]
    return found


def test_what_is_slower_is_found_and_nothing_else(stored):
    """Of fifty comparisons of the same, none; of the one that is slower, its block."""
    alarms, found, compared = gate.limits(stored)
    assert isinstance(alarms, Fact)
    assert (alarms.holds, alarms.seen) == (True, "0 of 50")
    assert isinstance(compared, Fact)
    assert (compared.holds, compared.seen[:5]) == (True, "0 of ")
    assert isinstance(found, Fact)
    assert (found.holds, found.seen) == (True, "1 of 1, 0 others")
    assert stored["changed"]["pairs"]["slower"] == [["price slower"]]


def test_alarms_and_blame_are_counted(stored):
    """One in fifty is too many, and so is another block."""
    stored["changed"]["pairs"] = {
        "same": [["parse faster"], *([[]] * 49)],
        "slower": [["price slower", "render slower"], []],
    }
    way = next(way for way in stored["changed"] if way != "pairs")
    stored["changed"][way]["same"] = [["parse faster"]]
    alarms, found, compared = gate.limits(stored)
    assert (alarms.verdict(), found.verdict(), compared.verdict()) == ("not met",) * 3
    assert isinstance(found, Fact)
    assert found.seen == "1 of 2, 1 others"
    assert gate.outcome(stored, "pairs") == (1, 50, 1, 2, 1)


def test_what_runs_differ_by_has_figures(stored):
    """For each block, and how many rounds there were."""
    rows = {row.name: row for row in gate.figures(stored)}
    typical = rows["a typical pass of price: two runs of a pair differ by"]
    mean = rows["the mean of price: two runs of a pair differ by"]
    assert isinstance(typical, Figure)
    assert isinstance(mean, Figure)
    assert max(typical.samples) < 10 < max(mean.samples)
    assert gate.rounds(stored) == {"with itself": [20], "with price slower": [20]}
    assert report.SUBJECTS["gate"] is gate


def test_the_page_has_a_row_for_each_way(stored):
    """What each called changed, and how busy the machine was."""
    stored["loads"] = [[3.0, 2.0, 1.0], None]
    machine = {"python": "3.13.1", "gil": True}
    view = {"subjects": {"gate": stored}, "machine": machine}
    (section,) = page_gate.sections([view])
    _, table, told = section.parts
    assert isinstance(table, str)
    assert isinstance(told, str)
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [
        f"| {title}" for title in gate.WAYS.values()
    ]
    assert " | 0 of 50 | 1 of 1 | 0 |" in table
    assert told.startswith(
        "The load was 3.0 to 3.0. `ab` took as many rounds as it held for needed"
    )
    assert "20 with itself and 20 with price slower" in told


def test_the_program_has_the_blocks_that_are_judged():
    """One request passes each of three once, and a share makes one of them work longer."""
    before = {one.name: one.hit_count for one in program.profiler.get_results().tracks[0].blocks}
    program.request(0.05)
    after = {one.name: one.hit_count for one in program.profiler.get_results().tracks[0].blocks}
    assert sorted(after) == sorted(BLOCKS)
    assert all(after[name] - before[name] == 1 for name in BLOCKS)
