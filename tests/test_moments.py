"""Programs, most of them random: every figure is what it is defined to be, a length of moments or a count of passes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from random import Random

import pytest

from moments.cases import CASES, TOLD
from moments.drawing import Family, find, play
from stichotrope import _core
from stichotrope.config import clock as clocks

pytestmark = pytest.mark.integration

BODIES = ("generator", "coroutine", "returned", "asynchronous")

FAMILIES = {
    "one thread": Family(),
    "ended threads": Family(threads=3, retain_threads=(0, 1, 2, 1024)),
    "switched and cleared": Family(threads=2, contexts=True, switches=True, clears=True),
    "contexts": Family(contexts=True),
    "full trees": Family(max_nodes=(1, 2, 3, 4)),
    "clocks that go back": Family(threads=2, contexts=True, clears=True, backwards=True),
    "bodies": Family(kinds=BODIES, only_tracked=True, contexts=True, switches=True),
    "bodies on threads": Family(
        2, BODIES, only_tracked=True, contexts=True, switches=True, clears=True
    ),
}

# From 3.12 on, the interpreter tells when what is not tracked is suspended.
if sys.version_info >= (3, 12):
    CASES.update(TOLD)
    FAMILIES["bodies that are not tracked"] = Family(
        kinds=BODIES, by_hand=False, contexts=True, switches=True, clears=True
    )
    FAMILIES["bodies that are not tracked, on threads"] = Family(
        2, BODIES, by_hand=False, contexts=True, switches=True, clears=True
    )
    FAMILIES["anything"] = Family(
        3,
        BODIES,
        in_vain=True,
        contexts=True,
        switches=True,
        clears=True,
        retain_threads=(0, 1, 2, 1024),
    )

if _core.can_track_code():
    RUNS = ("generator", "coroutine", "asynchronous")
    FAMILIES |= {
        "code": Family(threads=3, contexts=True, switches=True, clears=True, by_code=True),
        "bodies by code": Family(
            kinds=RUNS, only_tracked=True, by_code=True, contexts=True, switches=True
        ),
        "bodies by code on threads": Family(
            2,
            RUNS,
            only_tracked=True,
            by_code=True,
            contexts=True,
            switches=True,
            clears=True,
        ),
        "bodies by code and others": Family(
            kinds=RUNS,
            by_code=True,
            by_hand=False,
            contexts=True,
            switches=True,
            clears=True,
        ),
    }


@pytest.fixture(autouse=True)
def manual_clock() -> Iterator[None]:
    """The injected clock."""
    _core.use_clock("manual")
    yield
    clocks.choose()


def all_agree(family: str, names: Iterator[str]) -> None:
    """Play programs of a family, the same for the same name."""
    for name in names:
        found = find(FAMILIES[family], name)
        assert not found, f"{family}, {name}:\n{found}"


@pytest.mark.parametrize("name", CASES)
def test_all_figures_are_as_defined_where(name: str) -> None:
    """In a program that random ones seldom come to."""
    play(CASES[name])


@pytest.mark.parametrize("family", FAMILIES)
def test_all_figures_are_as_defined(family: str) -> None:
    """In random programs that are the same each time, whatever they do, and wherever they are read."""
    all_agree(family, (f"{family} {number}" for number in range(100)))


@pytest.mark.stress
@pytest.mark.parametrize("family", FAMILIES)
def test_all_figures_are_as_defined_in_very_many_programs(family: str) -> None:
    """The same, for programs that are new each time: 50,000 in all."""
    draw = Random()
    all_agree(family, (str(draw.getrandbits(64)) for _ in range(50_000 // len(FAMILIES))))
