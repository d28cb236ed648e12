"""Small programs of odd Python come to the same with marks as without, and each of their calls is recorded."""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Iterator

import pytest

from frameworks import odd
from frameworks.gallery import CASES, plain
from stichotrope import Profiler

pytestmark = pytest.mark.integration

PROGRAMS = [name for name, case in CASES.items() if case.run.__module__ == odd.__name__]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What `typing` remembers holds classes, and so what is marked in them."""
    yield
    for forget in typing._cleanups:  # type: ignore[attr-defined]
        forget()


def test_there_are_programs() -> None:
    """Or what follows shows nothing."""
    assert len(PROGRAMS) > 20


@pytest.mark.parametrize("name", PROGRAMS)
def test_marked_it_comes_to_the_same_and_is_recorded(name: str) -> None:
    """Bare first, then marked, in one process."""
    p = Profiler(name)
    bare = plain(CASES[name].run(lambda function: function))
    assert plain(CASES[name].run(p.track(0))) == bare
    passes: Counter[str] = Counter()
    for track in p.get_results().tracks.values():
        for block in track.blocks:
            passes[block.name] += block.hit_count
    assert +passes == CASES[name].hits
