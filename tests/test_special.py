"""A callable that is more than that stays all of it when it is tracked."""

from __future__ import annotations

import collections.abc
import pickle
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from conftest import hits
from stichotrope import Profiler, _core
from stichotrope.instrumentation import special

pytestmark = pytest.mark.unit


@pytest.fixture
def p() -> Profiler:
    """A profiler."""
    return Profiler("special")


class Everything:
    """A callable with operators, a container, a context manager, and a key."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.named: Any = None

    def __call__(self, by: int = 1) -> int:
        return self.number * by

    def __add__(self, other: Any) -> Everything:
        return Everything(self.number + getattr(other, "number", other))

    def __radd__(self, other: int) -> Everything:
        return Everything(other + self.number)

    def __iadd__(self, other: Any) -> Everything:
        self.number += other
        return self

    def __neg__(self) -> int:
        return -self.number

    def __lt__(self, other: Any) -> bool:
        return self.number < other.number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Everything) and self.number == other.number

    def __hash__(self) -> int:
        return hash(self.number)

    def __len__(self) -> int:
        return self.number

    def __bool__(self) -> bool:
        return self.number > 3

    def __getitem__(self, key: Any) -> Any:
        return key, self.number

    def __contains__(self, key: Any) -> bool:
        return bool(key == self.number)

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.number))

    def __reversed__(self) -> list[int]:
        return [9]

    def __enter__(self) -> Everything:
        return self

    def __exit__(self, *error: object) -> bool:
        return True

    def __str__(self) -> str:
        return f"number {self.number}"

    def __repr__(self) -> str:
        return f"Everything({self.number})"

    def __format__(self, spec: str) -> str:
        return f"{spec}{self.number}"

    def __index__(self) -> int:
        return self.number

    def __set_name__(self, owner: type, name: str) -> None:
        self.named = name


class Unhashable:
    """A callable that compares by value."""

    def __call__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return True


class Plain:
    """A callable and no more."""

    def __call__(self) -> int:
        return 2


USES: dict[str, Callable[[Any], Any]] = {
    "sum": lambda e: (e + 1).number,
    "sum of two": lambda e: (e + e).number,
    "sum the other way": lambda e: (1 + e).number,
    "sum with a bare one": lambda e: (Everything(1) + e).number,
    "negation": lambda e: -e,
    "order": lambda e: (e < Everything(4), Everything(4) < e),
    "equality": lambda e: (e == Everything(3), Everything(3) == e, e != Everything(3), e == 3),
    "hash": lambda e: {Everything(3): 5}[e],
    "length": len,
    "truth": bool,
    "item": lambda e: e["key"],
    "containment": lambda e: (3 in e, 4 in e),
    "iteration": list,
    "reversal": reversed,
    "text": str,
    "representation": repr,
    "format": lambda e: f"{e:x}",
    "index": lambda e: [0, 1, 2, 3, 4][e],
    "class": lambda e: (isinstance(e, Everything), e.__class__ is Everything),
    "sized": lambda e: isinstance(e, collections.abc.Sized),
    "iterable": lambda e: isinstance(e, collections.abc.Iterable),
    "mapping": lambda e: isinstance(e, collections.abc.Mapping),
    "awaitable": lambda e: isinstance(e, collections.abc.Awaitable),
    "what it has not": lambda e: (hasattr(e, "__await__"), hasattr(e, "__mul__")),
    "attribute": lambda e: e.number,
    "call": lambda e: e(by=5),
}


@pytest.mark.parametrize("use", USES)
def test_its_special_methods_are_its_callees(p: Profiler, use: str) -> None:
    """What can be done with it gives what the bare one gives."""
    assert USES[use](p.track(0)(Everything(3))) == USES[use](Everything(3))


def test_what_gives_itself_gives_the_tracked_one(p: Profiler) -> None:
    """In place, and as a context manager."""
    tracked: Any = p.track(0)(Everything(3))
    before = tracked
    tracked += 2
    assert (tracked is before, tracked.number) == (True, 5)
    with tracked as entered:
        raise LookupError
    assert entered is tracked
    assert (tracked(2), hits(p)) == (10, {"Everything": 1})


def test_a_descriptor_hears_its_name(p: Profiler) -> None:
    """When its class is made."""

    class Kind:
        member: Any = p.track(0)(Everything(3))

    assert Kind.member.named == "member"


def test_what_cannot_be_hashed_still_cannot(p: Profiler) -> None:
    """A class that compares by value and has no hash."""
    tracked = p.track(0)(Unhashable())
    assert not isinstance(tracked, collections.abc.Hashable)
    with pytest.raises(TypeError, match="unhashable"):
        hash(tracked)


def test_what_is_only_called_has_nothing_else(p: Profiler) -> None:
    """Its tracked one is of the type for those, and equals itself alone."""
    bare = Plain()
    first, second = p.track(0)(bare), p.track(0)(bare)
    assert type(first) is _core.TrackedCallable
    assert isinstance(first, Plain)
    assert (first == first, first == second, first == bare) == (True, False, False)
    with pytest.raises(TypeError, match="no len"):
        len(first)  # type: ignore[arg-type]


def test_a_mock_does_all_that_a_mock_does(p: Profiler) -> None:
    """Special methods that are made when they are set up included."""
    bare = mock.MagicMock(return_value=5)
    bare.__len__.return_value = 7
    bare.__getitem__.side_effect = lambda key: key
    tracked: Any = p.track(0, "mock")(bare)
    assert (tracked(), len(tracked), tracked["x"]) == (5, 7, "x")
    bare.assert_called_once_with()


def test_one_type_serves_all_callees_of_a_type(p: Profiler) -> None:
    """And goes with it."""
    kinds = {type(p.track(0)(Everything(n))) for n in range(3)}
    assert len(kinds) == 1
    assert special.kind_for(Everything(1)) in kinds


def test_a_callable_instance_is_pickled_by_value(p: Profiler) -> None:
    """And recorded where it arrives, by the profiler of that name."""
    tracked: Any = p.track(0, "pickled")(Everything(3))
    copy = pickle.loads(pickle.dumps(tracked))
    assert (copy is tracked, copy == tracked, copy(2)) == (False, True, 6)
    assert hits(p) == {"pickled": 1}


def test_a_bound_method_is_pickled_with_its_instance(p: Profiler) -> None:
    """As the bare one is."""
    tracked = p.track(0, "bound")(Everything(3).__neg__)
    assert pickle.loads(pickle.dumps(tracked))() == -3
    assert hits(p) == {"bound": 1}


def test_a_type_of_another_kind_is_refused(p: Profiler) -> None:
    """With a sentence."""
    p.block(0, "x")
    with pytest.raises(TypeError, match="no type of tracked callables"):
        p._wrap(Plain(), 0, False, False, dict)
