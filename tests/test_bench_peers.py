"""The peers of the benchmarks: each is used, read and named, and who is held against ours follows from what it records."""

from __future__ import annotations

import random
import re
import sys
import tomllib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks import OLDEST, peers, report  # noqa: E402
from benchmarks._run import MET, NOT_MET, Fact, Figure, Scale  # noqa: E402
from benchmarks.floors import load_floors  # noqa: E402
from benchmarks.peers import _used, watchers  # noqa: E402
from benchmarks.peers._peer import (  # noqa: E402
    CALL,
    EVENTS,
    INLINE,
    KEPT,
    NO,
    SAMPLED,
    YES,
    Peer,
    Reading,
    Records,
    admitted,
)

ALL = [*peers.OURS, *peers.PEERS]


class Fake(Peer):
    """A tool that counts calls of the function it is given, and notes what is done with it."""

    name = "fake"
    usage = "@fake"
    documentation = "https://example.org"
    records = Records(YES, YES)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.done: list[str] = []
        self.hits = 0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any) -> Any:
            self.hits += 1
            return function(*args)

        return counting

    @contextmanager
    def recording(self):
        self.done.append("on")
        yield
        self.done.append("off")

    def read(self) -> Reading | None:
        self.done.append("read for good" if self.to_be_read else "read")
        return Reading(self.hits, 7.0 * self.hits)

    def reset(self) -> None:
        self.done.append("reset")


class FakeBlock(Fake):
    """A tool with a block, that counts nothing."""

    name = "fake block"
    form = INLINE
    enters = "b.block('x')"
    records = Records(NO, NO)

    def block(self, name: str) -> Any:
        return self.recording()

    def names(self) -> dict[str, Any]:
        return {"b": self}

    def read(self) -> None:
        return None


class Absent(Fake):
    name = "absent"
    package = "no-such-distribution-at-all"


class Future(Absent):
    name = "future"
    oldest_python = (3, 99)


class Broken(Fake):
    name = "broken"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        raise ValueError(f"cannot read\n{scratch / 'x' / 'settings.ini'}")


class BrokenLater(Fake):
    name = "broken later"

    def read(self) -> Reading:
        raise ImportError("No module named 'pkg_resources'")


def one(text: str = "") -> None:
    """What a peer's function does."""


def of(peer: Peer, inner: str = "pass") -> _used.Used:
    """The timed body of a peer, on a clock that moves by one at each reading."""
    ticks = iter(range(10**6))
    return _used.used(peer, one, {}, inner, lambda: next(ticks), ("bare", "empty_loop"))


def test_a_call_is_wrapped_and_a_block_stands_around_a_statement(tmp_path):
    """The body that is timed is the line a user would write, less the bare call or the empty loop."""
    call, block = of(Fake(tmp_path)), of(FakeBlock(tmp_path), "work % 7")
    assert (call.body, call.minus, list(call.names)) == ("f()", "bare", ["f"])
    assert (block.body, block.minus) == ("with b.block('x'): work % 7", "empty_loop")
    assert list(block.names) == ["b"]


def test_a_tool_is_on_during_its_own_loop_only_and_cleared_behind_it(tmp_path):
    """Switching on, off and clearing are outside of what is timed."""
    peer = Fake(tmp_path)
    assert of(peer).loop()(5) == 1, (
        "the clock was read before and behind the loop, and nowhere else"
    )
    assert (peer.done, peer.hits) == (["on", "off", "reset"], 5)


def test_a_reading_is_what_a_loop_added(tmp_path):
    """A tool that cannot forget is read before and behind; it knows that it is going to be read."""
    peer = Fake(tmp_path)
    found: list[Reading | None] = []
    loop = of(peer).reading_loop(found.append)
    loop(3)
    loop(4)
    assert found == [Reading(3, 21.0), Reading(4, 28.0)]
    assert peer.done[:5] == ["read for good", "on", "off", "read for good", "reset"]
    assert not peer.to_be_read


def test_what_is_counted_is_told_and_what_counts_nothing_says_so(tmp_path):
    """Passes of one loop, as the tool has them."""
    peer = Fake(tmp_path)
    peer.hits = 100
    assert of(peer).counted(12) == 12
    assert of(FakeBlock(tmp_path)).counted(12) is None


def test_who_cannot_be_measured_is_named_with_the_reason(tmp_path):
    """Not installed, too new, refusing: none is left out, and no path of a machine is told."""
    kinds = [Fake, Absent, Future, Broken, BrokenLater]
    ready, known = _used.use_all(kinds, tmp_path, of)
    assert list(ready) == ["fake"]
    assert {name: told["refusal"] for name, told in known.items()} == {
        "fake": None,
        "absent": "not installed",
        "future": "needs Python 3.99",
        "broken": "does not work here: ValueError: cannot read …/settings.ini",
        "broken later": "does not work here: ImportError: No module named 'pkg_resources'",
    }


def test_ours_may_not_be_missing(tmp_path):
    """A run without what it is about is none; without others it is one."""

    class Ours(Broken):
        name = "tracked call"

    _, known = _used.use_all([Fake, Absent], tmp_path, of)
    _used.check_ours(known)
    (tmp_path / "ours").mkdir()
    _, known = _used.use_all([Ours], tmp_path / "ours", of)
    with pytest.raises(RuntimeError, match="tracked call: does not work here: ValueError"):
        _used.check_ours(known)


def test_each_peer_gets_a_folder_of_its_own(tmp_path):
    """What one writes cannot be in another's way."""

    class Other(Fake):
        name = "other"

    ready, refused = admitted([Fake, Other], tmp_path, lambda peer: peer.scratch)
    assert refused == {}
    assert len(set(ready.values())) == 2
    assert all(folder.is_dir() and folder.parent == tmp_path for folder in ready.values())


@pytest.mark.parametrize(
    ("records", "qualifies"),
    [
        (Records(YES, YES), True),
        (Records(EVENTS, EVENTS), True),
        (Records("of lines", "of lines"), True),
        (Records(NO, SAMPLED), False),
        (Records(YES, NO), False),
        (Records(NO, YES), False),
        (Records(YES, SAMPLED), False),
        (Records(NO, NO, threads=YES), False),
    ],
)
def test_who_tells_how_often_and_how_long_is_held_against_ours(records, qualifies):
    """What follows from events counts too; samples do not."""
    assert records.per_function() is qualifies


def stored(costs: dict[str, float], **changed: dict[str, Any]) -> dict[str, Any]:
    """A run in which cases cost so many ns a pass, and peers are calls that record all, unless changed."""
    told = {
        "form": CALL,
        "per_function": True,
        "refusal": None,
        "by_hand": False,
        "note": "",
        "usage": "@x",
        "documentation": "",
        "version": "1.2",
        "records": dict.fromkeys(peers.COLUMNS, YES),
    }
    ours = {"tracked call": CALL, "kept block": KEPT, "inline block": INLINE}
    known = {name: {**told, "form": form} for name, form in ours.items()}
    known |= {name: {**told, **changes} for name, changes in changed.items()}
    for each in known.values():
        each.setdefault("counted", {"passes": 10, "hits": 10})
    cases = {"empty_loop": 0.0, "bare": 0.0, "inline_context": 20.0, **costs}
    return {
        "peers": known,
        "cases": {
            name: {
                "title": name,
                "minus": None,
                "passes": 1,
                "iterations": 10,
                "elapsed_ns": [10 * ns] * 3,
            }
            for name, ns in cases.items()
        },
    }


def rows(run: dict[str, Any]) -> dict[str, Figure | Fact]:
    """The limits of a run by their names."""
    return {row.name: row for row in peers.limits(run)}


OURS = {"tracked call": 50.0, "kept block": 60.0, "inline block": 100.0}


@pytest.mark.parametrize(("cheapest", "verdict"), [(100.0, MET), (99.0, NOT_MET)])
def test_a_tracked_call_costs_at_most_half_of_the_cheapest_that_tells_as_much(cheapest, verdict):
    """Who keeps nothing, could not be measured or times blocks is not in it, however cheap."""
    costs = {**OURS, "tool": cheapest, "dearer": 500.0, "silent": 1.0, "block": 2.0}
    run = stored(
        costs,
        dearer={},
        tool={},
        silent={"per_function": False},
        refused={"refusal": "not installed"},
        block={"form": INLINE},
    )
    row = rows(run)["tracked call ÷ cheapest peer"]
    assert isinstance(row, Figure)
    assert (row.verdict(), row.samples) == (verdict, [50.0 / cheapest] * 3)


def test_an_inline_block_is_held_against_blocks_of_both_forms():
    """The limit is a quarter of the cheapest block, kept or not; what else is said has no limit."""
    costs = {**OURS, "call": 1000.0, "kept": 200.0, "inline": 400.0, "silent": 1.0}
    run = stored(
        costs,
        call={},
        kept={"form": KEPT},
        inline={"form": INLINE},
        silent={"form": INLINE, "per_function": False},
    )
    found = rows(run)
    held = found["inline block ÷ cheapest block peer"]
    named = found["inline block ÷ cheapest inline block peer"]
    floor = found["empty context manager from a method call ÷ cheapest block peer"]
    assert isinstance(held, Figure)
    assert isinstance(named, Figure)
    assert isinstance(floor, Figure)
    assert (held.samples, held.limit, held.verdict()) == ([0.5] * 3, 0.25, NOT_MET)
    assert (named.samples, named.verdict()) == ([0.25] * 3, None)
    assert (floor.samples, floor.verdict()) == ([0.1] * 3, None)


@pytest.mark.parametrize(("hits", "verdict"), [(10, MET), (9, NOT_MET), (11, NOT_MET)])
def test_a_pass_of_ours_that_is_not_counted_is_seen(hits, verdict):
    """As is one too many: what was timed is then not what was recorded."""
    run = stored({**OURS, "tool": 100.0, "block": 100.0}, tool={}, block={"form": INLINE})
    run["peers"]["kept block"]["counted"]["hits"] = hits
    fact = rows(run)["every pass of ours beside the peers counted"]
    assert isinstance(fact, Fact)
    assert (fact.verdict(), fact.seen) == (verdict, f"{20 + hits} of 30")


def test_the_table_says_what_each_records_and_with_which_version_or_why_not():
    """A run that does not know a peer has a dash, one that could not measure it the reason."""
    changed: dict[str, dict[str, Any]] = {
        "lossy": {"counted": {"passes": 2000, "hits": 1999}},
        "plain": {"version": "", "documentation": "https://example.org/x"},
    }
    old = stored({}, **changed, silent={"counted": {"passes": 5, "hits": None}})
    new = stored({}, lossy={"refusal": "not installed", "note": "why"})
    runs = [
        {"machine": {"python": version, "gil": True}, "subjects": {"peers": one}}
        for version, one in (("3.11.7", old), ("3.13.0", new))
    ]
    table, explained = peers.tables(runs)
    cells = {
        line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")
        for line in table.splitlines()
    }
    assert cells["beside"][-3:] == ["3.11", "3.13", "note"]
    assert [cell.strip(" |") for cell in cells["lossy"][-3:]] == [
        "1.2, 1,999 of 2,000",
        "not installed",
        "why",
    ]
    assert [cell.strip(" |") for cell in cells["[plain](https://example.org/x)"][9:11]] == [
        "yes",
        "–",
    ]
    assert cells["silent"][9] == "1.2"
    assert cells["tracked call"][1:9] == ["`@x`", *[YES] * 7]
    assert "from events" in explained


def test_a_begin_without_its_end_is_no_pass():
    """An event may have been dropped: only neighbours make a pair."""
    events: list[dict[str, Any]] = [
        {"name": "f", "ph": "B", "ts": 1.0},
        {"name": "g", "ph": "B", "ts": 1.5},
        {"name": "g", "ph": "E", "ts": 1.6},
        {"name": "f", "ph": "E", "ts": 3.0},
        {"name": "f", "ph": "B", "ts": 5.0},
        {"name": "module.f", "ph": "B", "ts": 8.0},
        {"name": "module.f", "ph": "E", "ts": 8.25},
        {"name": "f", "ph": "E", "ts": 9.0},
        {"ph": "M"},
    ]
    assert watchers._paired(events, "f") == Reading(2, 2250.0)


def test_every_peer_is_declared_in_full_and_under_a_name_of_its_own():
    """A row of the table: what a user writes, where that is documented, what is recorded."""
    assert len({kind.name for kind in ALL}) == len(ALL)
    for kind in ALL:
        assert kind.form in (CALL, KEPT, INLINE)
        assert kind.usage
        assert kind in peers.OURS or kind.documentation.startswith("https://")
        assert len(kind.records) == len(peers.COLUMNS)
        assert all(kind.records)


def test_what_the_peers_need_is_in_their_extra():
    """Each package is required once, from the Python on that it supports; the conformance tools are among them."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = said["optional-dependencies"]
    assert said["requires-python"] == ">={}.{}".format(*OLDEST)
    required = {re.split("[<>=]", line)[0]: line for line in extras["peers"]}
    assert len(required) == len(extras["peers"])
    assert set(required) == {kind.package for kind in peers.PEERS if kind.package}
    for kind in peers.PEERS:
        if kind.package:
            marker = re.search(r"python_version >= '(\d+)\.(\d+)'", required[kind.package])
            assert kind.oldest_python == (tuple(map(int, marker.groups())) if marker else OLDEST)
    assert set(extras["conformance"]) <= set(extras["peers"])


def test_a_run_measures_ours_and_all_that_are_installed(monkeypatch):
    """In a process of its own, whose output is the run and nothing else; what needs no package is always in it."""
    try:
        load_floors()
    except RuntimeError as error:
        if "need a C compiler" in str(error):
            pytest.skip(str(error))
        raise
    monkeypatch.setattr(peers, "QUICK_ROUNDS", 2)
    monkeypatch.setattr(peers, "QUICK_TARGET_NS", 20_000)
    run = peers.measure(Scale.QUICK, random.Random(1), lambda _: None)
    told = run["peers"]
    assert list(told) == [kind.name for kind in ALL]
    free = [kind.name for kind in ALL if not kind.package]
    assert len(free) == 7, "ours, those by hand, and the standard library's"
    assert {told[name]["refusal"] for name in free} == {None}
    for name in free:
        assert told[name]["counted"]["hits"] == told[name]["counted"]["passes"] > 0
    for kind in ALL:
        if kind.records.per_function() and not told[kind.name]["refusal"]:
            assert told[kind.name]["counted"]["hits"] > 0, kind.name
    figures = peers.figures(run)
    assert {len(figure.samples) for figure in figures if isinstance(figure, Figure)} == {2}
    titles = {figure.name for figure in figures}
    assert titles >= {
        *free,
        "bare call",
        "forward, direct",
        "forward + 2 clock reads, direct",
        "empty context manager",
        "stopped call",
        "call decorated while globally off",
        "tracked call, method",
        "tracked coroutine",
        "tracked generator",
        "unmarked call beside cProfile",
    }
    assert [fact.verdict() for fact in peers.limits(run) if isinstance(fact, Fact)] == [MET]
    assert report.SUBJECTS["peers"] is peers
