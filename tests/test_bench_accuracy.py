"""The accuracy benchmark: each tool's mean is held against the bare work right beside it."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks import accuracy, report  # noqa: E402
from benchmarks._run import Figure, Scale  # noqa: E402
from benchmarks.accuracy import Work  # noqa: E402
from benchmarks.peers import OURS, PEERS  # noqa: E402
from benchmarks.peers._peer import CALL, KEPT, YES, Peer, Reading, Records  # noqa: E402

WORK = (Work("short", "short", 300), Work("calls", "some calls", 3_000, calls=True))


class Liar(Peer):
    """A tool that says of every pass that it took 2000 ns."""

    name = "liar"
    usage = "@lie"
    documentation = "https://example.org"
    records = Records(YES, YES)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.hits = 0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def lying(*args: Any) -> Any:
            self.hits += 1
            return function(*args)

        return lying

    def read(self) -> Reading:
        return Reading(self.hits, 2000.0 * self.hits)


class Blind(Liar):
    """A tool whose block sees nothing once it has been seen to work."""

    name = "blind"
    form = KEPT

    def names(self) -> dict[str, Any]:
        return {"b": self}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tools, two small works, no time for calibration."""
    monkeypatch.setattr(accuracy, "REPORTING", (Liar, Blind))
    monkeypatch.setattr(accuracy, "OURS", ())
    monkeypatch.setattr(accuracy, "WORK", WORK)
    monkeypatch.setattr(accuracy, "SHORTEST", WORK[0])
    monkeypatch.setattr(accuracy, "CALIBRATION_NS", 10_000)


def test_what_a_tool_says_is_kept_beside_the_bare_work_of_each_round(few, tmp_path):
    """A mean for each round and work, None from who saw nothing; and a bare timing for each of a tool."""
    stored = accuracy.measure_here(5, 30_000, random.Random(1), tmp_path)
    assert {name: told["title"] for name, told in stored["work"].items()} == {
        "short": "short",
        "calls": "some calls",
    }
    cases = stored["cases"]
    for work, passes in (("short", 100), ("calls", 1)):
        liar, beside = cases[f"liar, {work}"], cases[f"bare beside liar, {work}"]
        assert liar["reported"] == [2000.0] * 5
        assert cases[f"blind, {work}"]["reported"] == [None] * 5
        assert (liar["minus"], beside["minus"]) == (
            f"bare beside liar, {work}",
            f"empty loop, {work}",
        )
        assert {case["iterations"] for case in (liar, beside)} == {passes}
        assert {len(case["elapsed_ns"]) for case in (liar, beside)} == {5}
        assert (liar["body"], beside["body"]) == ("f(work)", "f(work)")
        block, bare = cases[f"blind, {work}"], cases[f"bare beside blind, {work}"]
        assert (block["body"], bare["body"]) == ("with b: work % 7", "work % 7")
    true = accuracy.truth_ns(stored, "liar", "short")
    assert accuracy.off_ns(stored, "liar", "short") == [2000.0 - ns for ns in true]
    assert [row.name for row in accuracy.figures(stored)] == ["liar: mean of short too long by"]


def told(reported: list[float | None], bare: int, used: int) -> dict[str, Any]:
    """A run with one tool: what it says of each round, and what 10 passes took without and with it."""
    rounds = len(reported)

    def case(minus: str | None, ns: int) -> dict[str, Any]:
        return {"minus": minus, "passes": 1, "iterations": 10, "elapsed_ns": [ns] * rounds}

    return {
        "work": {"1_us": {"title": "1 µs"}, "1_ms": {"title": "1 ms"}},
        "peers": {
            "tool": {"form": CALL, "refusal": None},
            "other": {"form": CALL, "refusal": "not installed"},
        },
        "cases": {
            "empty loop, 1_us": case(None, 100),
            "bare beside tool, 1_us": case("empty loop, 1_us", 100 + bare),
            "tool, 1_us": {**case("bare beside tool, 1_us", 100 + used), "reported": reported},
        },
    }


def test_a_mean_is_too_long_by_what_it_exceeds_the_bare_work():
    """In each round that the tool recorded, less the loop; its whole cost is another figure."""
    stored = told([1040.0, None, 990.0], bare=10_000, used=11_500)
    assert accuracy.truth_ns(stored, "tool", "1_us") == [1000.0] * 3
    assert accuracy.off_ns(stored, "tool", "1_us") == [40.0, -10.0]
    assert accuracy.cost_ns(stored, "tool", "1_us") == [150.0] * 3
    assert accuracy.off_ns(stored, "tool", "1_ms") == []
    assert accuracy.off_ns(stored, "other", "1_us") == []


def test_the_table_tells_by_how_much_what_a_pass_costs_and_why_there_is_nothing():
    """One for each interpreter: in ns, and in percent of what is true."""
    stored = told([1040.0] * 3, bare=10_000, used=11_500)
    machine = {"python": "3.13.0", "gil": True}
    table, explained = accuracy.tables([{"machine": machine, "subjects": {"accuracy": stored}}])
    assert table.splitlines() == [
        "| too long by, 3.13 | 1 µs | 1 ms | a pass of 1 µs costs |",
        "| --- | --- | --- | --- |",
        "| tool | +40 ns (+4.0%) | recorded nothing | 150 ns |",
        "| other | not installed |  |  |",
    ]
    assert "right before or behind" in explained


def test_ours_is_told_in_what_it_says_a_pass_costs():
    """How many times the reported cost of a pass is in the mean."""
    stored = told([1040.0] * 3, bare=10_000, used=11_500)
    stored["peers"] = {
        kind.name: {"form": CALL, "refusal": None, "overhead_ns": 20.0} for kind in OURS
    }
    for kind in OURS:
        for of in ("bare beside {}", "{}"):
            case = stored["cases"][f"{of.format('tool')}, 1_us"]
            stored["cases"][f"{of.format(kind.name)}, 1_us"] = case
    rows = {row.name: row for row in accuracy.figures(stored)}
    for kind in OURS:
        row = rows[f"{kind.name}: what that is too long by ÷ the cost of a pass as reported"]
        assert isinstance(row, Figure)
        assert row.samples == [2.0] * 3


def test_the_bare_work_is_now_before_and_now_behind(tmp_path):
    """Once for each timing of the tool, in an order that is drawn."""
    order: list[str] = []
    case = accuracy._case(Liar(tmp_path))
    pair = accuracy._Pair(case, 1, random.Random(2))

    def noted(name: str, took: int) -> Callable[[int], int]:
        def loop(count: int) -> int:
            order.append(name)
            return took

        return loop

    pair._bare_loop, pair._used_loop = noted("bare", 3), noted("used", 5)
    assert [pair.run(1) for _ in range(20)] == [5] * 20
    assert pair.bare_ns == [3] * 20
    turns = [tuple(order[at : at + 2]) for at in range(0, 40, 2)]
    assert set(turns) == {("bare", "used"), ("used", "bare")}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_work_has_as_many_digits_or_makes_as_many_calls_as_it_is_told(size, monkeypatch):
    """So that its length follows from that of one of them."""
    number = WORK[0].of(size)
    bits = sys.int_info.bits_per_digit
    assert bits * (size - 1) < number.bit_length() <= bits * size
    made: list[None] = []
    monkeypatch.setattr(accuracy, "_small", lambda: made.append(None))
    assert WORK[1].of(size) % 7 == 0
    assert len(made) == size


def test_only_who_says_how_often_and_how_long_is_asked():
    """From a sample or from nothing, no mean follows."""
    asked = {kind.name for kind in accuracy.REPORTING}
    known = {kind.name for kind in (*OURS, *PEERS)}
    assert known - asked == {
        "pyinstrument",
        "OpenTelemetry, span, no exporter",
        "nvtx, decorator, no viewer",
        "nvtx, block, no viewer",
    }


def test_a_run_asks_ours_and_all_that_are_installed(monkeypatch):
    """In a process of its own; every tool that works has a mean of every work in every round."""
    monkeypatch.setattr(accuracy, "QUICK_ROUNDS", 2)
    monkeypatch.setattr(accuracy, "QUICK_TARGET_NS", 20_000)
    stored = accuracy.measure(Scale.QUICK, random.Random(1), lambda _: None)
    assert list(stored["peers"]) == [kind.name for kind in accuracy.REPORTING]
    works = [work.name for work in accuracy.WORK]
    assert list(stored["work"]) == works
    ready = [name for name, one in stored["peers"].items() if not one["refusal"]]
    assert {kind.name for kind in (*OURS, *PEERS) if not kind.package} <= set(ready)
    for name in ready:
        for work in works:
            assert len(accuracy.off_ns(stored, name, work)) == 2, (name, work)
    assert all(stored["peers"][kind.name]["overhead_ns"] >= 0 for kind in OURS)
    assert accuracy.limits(stored) == []
    assert report.SUBJECTS["accuracy"] is accuracy
