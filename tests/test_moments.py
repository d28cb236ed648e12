"""Random programs: every figure is what it is defined to be, a length of moments or a count of passes."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from moments.drawing import Family, find
from stichotrope import _clock, _core

pytestmark = pytest.mark.integration

FAMILIES = {
    "one thread": Family(by_hand=False, looks=False),
    "threads": Family(threads=3, by_hand=False, looks=False),
    "switched and cleared": Family(2, by_hand=False, switches=True, clears=True, looks=False),
    "contexts": Family(by_hand=False, contexts=True, looks=False),
}


@pytest.fixture(autouse=True)
def manual_clock() -> Iterator[None]:
    """The injected clock."""
    _core.use_clock("manual")
    yield
    _clock.choose()


def all_agree(family: str, names: Iterator[str]) -> None:
    """Play programs of a family, the same for the same name."""
    for name in names:
        found = find(FAMILIES[family], name)
        assert not found, f"{family}, {name}:\n{found}"


@pytest.mark.parametrize("family", FAMILIES)
def test_all_figures_are_as_defined(family: str) -> None:
    """In programs that are the same each time, whatever they do; read when nothing is open."""
    all_agree(family, (f"{family} {number}" for number in range(100)))


@pytest.mark.stress
@pytest.mark.parametrize("family", FAMILIES)
def test_all_figures_are_as_defined_in_very_many_programs(family: str) -> None:
    """The same, for programs that are new each time: 20,000 in all."""
    draw = Random()
    all_agree(family, (str(draw.getrandbits(64)) for _ in range(20_000 // len(FAMILIES))))
