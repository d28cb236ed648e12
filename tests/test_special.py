"""A callable that is more than that stays all of it when it is tracked."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import copy
import dataclasses
import functools
import gc
import inspect
import math
import operator
import pickle
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from conftest import hits
from stichotrope import Profiler
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
    """And is equal to what it stands for, as that is to itself."""
    bare = Plain()
    first, second = p.track(0)(bare), p.track(0)(bare)
    assert isinstance(first, Plain)
    assert (first == first, first == second, first == bare, bare == first) == (True,) * 4
    assert (first == Plain(), hash(first) == hash(bare)) == (False, True)
    with pytest.raises(TypeError, match="'Plain' has no len"):
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


# As a copy


class Model:
    """A callable with a state, and ways to give itself."""

    def __init__(self) -> None:
        self.weights = [1]

    def __call__(self) -> list[int]:
        return self.weights

    def fit(self) -> Model:
        with contextlib.nullcontext():
            return self

    async def fit_later(self) -> Model:
        return self

    def first(self) -> int:
        return self.weights[0]


class Particular(Model):
    """One that says what its copies are, and what it is sent as."""

    def __copy__(self) -> Particular:
        copied = Particular()
        copied.weights = [7]
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> str:
        return "no callable"

    def __reduce__(self) -> Any:
        return str, ("sent",)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_stands_for_a_copy(p: Profiler, how: Callable[[Any], Any]) -> None:
    """What happens to the one does not to the other; both are recorded, as one block."""
    tracked: Any = p.track(0, "model")(Model())
    copied = how(tracked)
    copied.weights = [2]
    assert (tracked(), copied(), copied is tracked) == ([1], [2], False)
    assert (isinstance(copied, Model), hits(p)) == (True, {"model": 2})


def test_a_deep_copy_has_a_state_of_its_own(p: Profiler) -> None:
    """Also inside something, and that of a bound method's instance."""

    @dataclasses.dataclass
    class Settings:
        model: Any
        method: Any
        same: Any

    model: Any = p.track(0, "model")(Model())
    told = dataclasses.asdict(Settings(model, p.track(0, "method")(Model().fit), model))
    told["model"].weights.append(2)
    told["method"].__self__.weights.append(3)
    copied = copy.deepcopy([model, model])
    assert (model(), told["model"](), copied[0] is copied[1]) == ([1], [1, 2], True)
    assert told["method"]().weights == [1, 3]
    assert hits(p) == {"model": 2, "method": 1}


def test_a_copy_is_what_its_class_makes_of_it(p: Profiler) -> None:
    """Which may be nothing that can be called."""
    tracked: Any = p.track(0)(Particular())
    assert copy.copy(tracked)() == [7]
    assert copy.deepcopy(tracked) == "no callable"
    assert pickle.loads(pickle.dumps(tracked)) == "sent"
    assert hits(p) == {"Particular": 1}


def test_what_is_sent_is_asked_once_for_its_state(p: Profiler) -> None:
    """It may count, or write to a file."""
    with mock.patch.object(Model, "__getstate__", return_value={}, create=True) as asked:
        pickle.dumps(p.track(0)(Model()))
    asked.assert_called_once_with()


# What it gives


def test_a_method_that_gives_the_instance_gives_the_tracked_one(p: Profiler) -> None:
    """In a chain of calls, in a list, a set, a weak set; what is called then is recorded."""
    tracked: Any = p.track(0)(Model())
    fitted = tracked.fit()
    known: weakref.WeakSet[Any] = weakref.WeakSet([tracked])
    assert fitted is tracked
    assert tracked.fit().fit()() == [1]
    assert asyncio.run(tracked.fit_later()) is tracked
    assert (fitted in [tracked], fitted in {tracked}, fitted in known) == (True, True, True)
    assert hits(p) == {"Model": 1}


def test_methods_are_methods(p: Profiler) -> None:
    """Equal when they are asked for again, with signature and kind, and sent as methods are."""
    tracked: Any = p.track(0)(Model())
    bare = Model()
    for name in ("fit", "fit_later", "first", "__call__"):
        method, before = getattr(tracked, name), getattr(bare, name)
        assert method == getattr(tracked, name)
        for ask in (inspect.ismethod, inspect.iscoroutinefunction, inspect.signature):
            assert ask(method) == ask(before)
        assert (method.__name__, method.__qualname__) == (before.__name__, before.__qualname__)
    assert tracked.first.__func__ is Model.first
    assert type(pickle.loads(pickle.dumps(tracked.fit))()) is type(tracked)


class Computed:
    """An attribute that is computed, of a type that can be called."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self.function(instance)

    def __call__(self, instance: Any) -> Any:
        return self.function(instance)


@pytest.mark.parametrize("value", [3, "text", None, False, [1], int, {}])
def test_what_a_descriptor_gives_is_that(p: Profiler, value: Any) -> None:
    """A value that is not there to be called comes as it is."""

    class Owner:
        attribute: Any = p.track(0)(Computed(lambda owner: value))

    assert Owner().attribute is value
    assert Owner.attribute(Owner()) is value
    assert hits(p) == {"Computed": 1}


def test_what_a_descriptor_gives_to_be_called_is_tracked(p: Profiler) -> None:
    """A function, a bound method of another, itself."""

    class Owner:
        function: Any = p.track(0, "function")(Computed(lambda owner: lambda: 5))
        bound: Any = p.track(0, "bound")(Computed(lambda owner: Model().fit))

    assert (Owner().function(), Owner().bound().weights) == (5, [1])
    assert Owner.function is vars(Owner)["function"]
    assert hits(p) == {"function": 1, "bound": 1}


class Mail:
    """An instance whose call is a coroutine."""

    async def __call__(self, to: str, *, cc: str = "") -> str:
        return to


def test_what_is_called_can_be_asked_for(p: Profiler) -> None:
    """As frameworks do, to learn whether it gives a coroutine, and what it takes."""
    tracked: Any = p.track(0)(Mail())
    assert inspect.iscoroutinefunction(tracked.__call__)
    assert inspect.ismethod(tracked.__call__)
    assert str(inspect.signature(tracked.__call__)) == "(to: 'str', *, cc: 'str' = '') -> 'str'"
    assert asyncio.run(tracked.__call__("a")) == asyncio.run(tracked("a")) == "a"
    assert hits(p) == {"Mail": 2}


def test_a_mock_of_it_takes_what_it_takes(p: Profiler) -> None:
    """And gives a coroutine where it does."""
    stands = mock.create_autospec(p.track(0)(Mail()))
    with pytest.raises(TypeError, match="to"):
        stands()
    stands("a")
    stands.assert_called_once_with("a")


# What it is made of


def test_its_attributes_are_its_callees(p: Profiler) -> None:
    """All of them, written too: a name, documentation, the dictionary."""
    bare = Model()
    tracked: Any = p.track(0)(bare)
    tracked.extra = 1
    tracked.__name__ = "called so"
    assert vars(tracked) is vars(bare)
    assert vars(bare) == {"weights": [1], "extra": 1, "__name__": "called so"}
    del tracked.extra
    assert not hasattr(bare, "extra")
    assert (tracked.__doc__, tracked.__module__) == (Model.__doc__, __name__)


def test_what_has_no_room_for_an_attribute_has_none(p: Profiler) -> None:
    """With slots, as in C."""

    class Slots:
        __slots__ = ("room",)

        def __call__(self) -> int:
            return int(self.room)

    tracked: Any = p.track(0)(Slots())
    tracked.room = 3
    assert tracked() == 3
    refusing: list[Any] = [tracked, p.track(0)(len)]
    for each in refusing:
        with pytest.raises(AttributeError, match="object has no attribute 'more'"):
            each.more = 1
        with pytest.raises(TypeError, match="__dict__"):
            vars(each)


def test_a_partial_of_a_partial_holds_what_that_holds(p: Profiler) -> None:
    """As two bare ones do, which are made one."""
    inner = p.track(0)(functools.partial(divmod, 7))
    outer = functools.partial(inner, 2)
    assert (outer.args, outer.func is inner.func, outer()) == ((7, 2), True, (3, 1))
    assert hits(p) == {"partial": 1}


# Sent by pickle


def sums(a: int, b: int) -> int:
    """A function of a module, which holds it bare."""
    return a + b


SENT: dict[str, tuple[Callable[[], Any], tuple[Any, ...]]] = {
    "function": (lambda: sums, (1, 2)),
    "partial": (lambda: functools.partial(sums, 1), (2,)),
    "partial of a class": (lambda: functools.partial(int, base=2), ("11",)),
    "in C": (lambda: math.sqrt, (9,)),
    "built in": (lambda: len, ("abc",)),
    "method in C": (lambda: str.count, ("aaa", "a")),
    "bound in C": (lambda: "aaa".count, ("a",)),
    "getter": (lambda: operator.itemgetter(1), ([1, 3],)),
}


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("kind", SENT)
def test_what_its_module_holds_bare_is_pickled(p: Profiler, kind: str, protocol: int) -> None:
    """By the name of the bare one, and is recorded where it arrives."""
    make, arguments = SENT[kind]
    sent = pickle.dumps(p.track(0, "sent")(make()), protocol)
    gc.collect()
    assert pickle.loads(sent)(*arguments) == 3
    assert hits(p) == {"sent": 1}


def test_a_function_arrives_as_itself_where_it_was_sent_from(p: Profiler) -> None:
    """As each function does that is sent by name."""
    tracked = p.track(0)(sums)
    assert pickle.loads(pickle.dumps([tracked, tracked])) == [tracked, tracked]
    assert copy.copy(tracked) is copy.deepcopy(tracked) is tracked
