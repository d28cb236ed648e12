"""Everything that can be tracked: each kind stays itself, alone, in a class and in a module."""

from __future__ import annotations

import abc
import contextlib
import copy
import ctypes
import dataclasses
import enum
import functools
import gc
import inspect
import itertools
import json.decoder
import math
import pickle
import re
import sys
import types
import typing
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any, NamedTuple, Protocol

import pytest

from conftest import ManualClock, hits, recorded
from stichotrope import Profiler, _core, set_global_enabled
from stichotrope.instrumentation import wrapping

pytestmark = pytest.mark.unit


@pytest.fixture
def p() -> Profiler:
    """A profiler of the test's own."""
    return Profiler("targets")


class _Work:
    """What the functions below do: take 10 ns, and fail when that is asked for."""

    clock: ManualClock | None = None
    error: BaseException | None = None

    def __call__(self, x: int) -> int:
        if self.clock is not None:
            self.clock.advance(10)
        if self.error is not None:
            raise self.error
        return x + 1


work = _Work()


@pytest.fixture
def working(clock: ManualClock) -> Iterator[_Work]:
    """The work that takes its time on the injected clock."""
    work.clock = clock
    yield work
    work.clock = work.error = None


def function(x: int = 1, /, *, key: str = "k") -> int:
    """Work."""
    return work(x)


def generator(x: int = 1) -> Iterator[int]:
    """Work once."""
    yield work(x)


async def coroutine(x: int = 1) -> int:
    """Work when awaited."""
    return work(x)


async def async_generator(x: int = 1) -> AsyncIterator[int]:
    """Work when iterated."""
    yield work(x)


def returns_a_coroutine(x: int = 1) -> Awaitable[int]:
    """Make a coroutine."""
    return coroutine(x)


@types.coroutine
def old_coroutine(x: int = 1) -> Generator[None, None, int]:
    """Work when awaited."""
    yield
    return work(x)


@contextlib.contextmanager
def manager(x: int = 1) -> Iterator[int]:
    """Work inside the with."""
    yield x


def method(self: Any, x: int = 1) -> int:
    """Work, as a method."""
    return work(x)


def class_method(cls: type, x: int = 1) -> int:
    """Work, as a class method."""
    return work(x)


def getter(self: Any) -> int:
    """Something worked out."""
    return work(1)


async def async_method(self: Any, x: int = 1) -> int:
    """Work when awaited, as a method."""
    return work(x)


class Station:
    """Holds methods, and can be called."""

    def method(self, x: int = 1) -> int:
        """Work."""
        return work(x)

    def __call__(self, x: int = 1) -> int:
        """Work."""
        return work(x)


class AsyncStation:
    """Can be called, and gives a coroutine."""

    async def __call__(self, x: int = 1) -> int:
        """Work when awaited."""
        return work(x)


class GeneratorStation:
    """Can be called, and gives a generator."""

    def __call__(self, x: int = 1) -> Iterator[int]:
        """Work once."""
        yield work(x)


def dispatched(generic: Any) -> Any:
    """A generic function, or method, whose implementation for int works."""
    generic.register(int, function if generic.__class__ is types.FunctionType else method)
    return generic


def awaited(awaitable: Any) -> Any:
    """What an awaitable gives."""

    async def run() -> Any:
        return await awaitable

    steps = run()
    try:
        while True:
            steps.send(None)
    except StopIteration as end:
        return end.value


def iterated(iterator: Any) -> Any:
    """The only thing that an asynchronous generator gives."""

    async def everything() -> list[int]:
        return [x async for x in iterator]

    return only(awaited(everything()))


def only(items: Any) -> Any:
    """The only thing in something."""
    (item,) = items
    return item


def entered(context: Any) -> int:
    """What a context manager gives."""
    with context as value:
        return value + 1  # type: ignore[no-any-return]


class Kind(NamedTuple):
    """A kind of thing that can be tracked.

    Its use takes 10 ns and gives 2, unless `works` is False. In a class, it stands as `attribute`.
    """

    make: Callable[[], Any]
    use: Callable[[Any], Any] = lambda target: target(1)
    stays: bool = False  # of the very type
    works: bool = True


class DocumentedProperty(property):
    """A property with a constructor of its own, and state."""

    def __init__(self, place: str, function: Any) -> None:
        super().__init__(function, doc="By hand.")
        self.place = place


class SlottedStatic(staticmethod):  # type: ignore[type-arg]
    """A static method with a slot."""

    __slots__ = ("empty", "place")

    def __new__(cls, place: str, function: Any) -> Any:
        """Make it of the function alone."""
        return super().__new__(cls, function)  # type: ignore[call-arg]

    def __init__(self, place: str, function: Any) -> None:
        super().__init__(function)
        self.place = place


class MarkedPartial(functools.partial):  # type: ignore[type-arg]
    """A partial with state."""

    place = ""


class CallingPartial(functools.partial):  # type: ignore[type-arg]
    """A partial that does more than to call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Work first."""
        return work(*args) and function(*args) - 0 * len(kwargs)


CALLABLES = {
    "function": Kind(lambda: function),
    "lambda": Kind(lambda: lambda x=1: work(x)),
    "builtin": Kind(lambda: max, lambda f: f([1], key=work) + 1),
    "method descriptor": Kind(lambda: list.sort, lambda f: f([1], key=work) or 2),
    "bound method": Kind(lambda: Station().method),
    "bound builtin method": Kind(lambda: [1].sort, lambda f: f(key=work) or 2),
    "bound slot": Kind(lambda: Station().__call__),
    "partial": Kind(lambda: functools.partial(function, key="z"), stays=True),
    "partial of a partial": Kind(
        lambda: functools.partial(MarkedPartial(function, 1), key="z"), lambda f: f(), stays=True
    ),
    "partial of a generator function": Kind(
        lambda: functools.partial(generator, 1), lambda f: only(f()), stays=True
    ),
    "partial of a coroutine function": Kind(
        lambda: functools.partial(coroutine, 1), lambda f: awaited(f()), stays=True
    ),
    "partial of a class": Kind(
        lambda: functools.partial(int, "10"), lambda f: f(base=2), stays=True, works=False
    ),
    "callable instance": Kind(Station),
    "asynchronous callable instance": Kind(AsyncStation, lambda f: awaited(f(1))),
    "generating callable instance": Kind(GeneratorStation, lambda f: only(f(1))),
    "cached function": Kind(lambda: functools.lru_cache(function)),
    "generic function": Kind(
        lambda: dispatched(functools.singledispatch(lambda x: None)), lambda f: f(1)
    ),
    "context manager": Kind(lambda: manager, lambda f: entered(f(1)), works=False),
    "generator function": Kind(lambda: generator, lambda f: only(f(1))),
    "coroutine function": Kind(lambda: coroutine, lambda f: awaited(f(1))),
    "function that returns a coroutine": Kind(lambda: returns_a_coroutine, lambda f: awaited(f(1))),
    "asynchronous generator function": Kind(lambda: async_generator, lambda f: iterated(f(1))),
    "generator function to be awaited": Kind(lambda: old_coroutine, lambda f: awaited(f(1))),
}

IN_CLASSES = {
    "method": Kind(lambda: method, lambda cls: cls().attribute(1)),
    "static method": Kind(lambda: staticmethod(function), lambda cls: cls.attribute(1), stays=True),
    "slotted static method": Kind(
        lambda: SlottedStatic("here", function), lambda cls: cls.attribute(1), stays=True
    ),
    "class method": Kind(
        lambda: classmethod(class_method), lambda cls: cls.attribute(1), stays=True
    ),
    "asynchronous class method": Kind(
        lambda: classmethod(async_method), lambda cls: awaited(cls.attribute(1)), stays=True
    ),
    "property": Kind(lambda: property(getter), lambda cls: cls().attribute, stays=True),
    "property of a kind": Kind(
        lambda: DocumentedProperty("here", getter), lambda cls: cls().attribute, stays=True
    ),
    "attribute of an enum": Kind(
        lambda: types.DynamicClassAttribute(getter), lambda cls: cls().attribute, stays=True
    ),
    "cached property": Kind(
        lambda: functools.cached_property(getter), lambda cls: cls().attribute, stays=True
    ),
    "partial method": Kind(
        lambda: functools.partialmethod(method, 1), lambda cls: cls().attribute(), stays=True
    ),
    "partial asynchronous method": Kind(
        lambda: functools.partialmethod(async_method, 1),
        lambda cls: awaited(cls().attribute()),
        stays=True,
    ),
    "generic method": Kind(
        lambda: dispatched(functools.singledispatchmethod(lambda self, x: None)),
        lambda cls: cls().attribute(1),
        stays=True,
    ),
    "cached method": Kind(lambda: functools.lru_cache(method), lambda cls: cls().attribute(1)),
    "abstract method": Kind(
        lambda: abc.abstractmethod(lambda self, x: work(x)),
        lambda cls: cls.attribute(None, 1),
    ),
}

KINDS = CALLABLES | IN_CLASSES


def stand(kind: str, target: Any) -> Any:
    """The target, or a new class that holds it."""
    return (
        types.new_class("Owner", (), {}, lambda ns: ns.update(attribute=target))
        if (kind in IN_CLASSES)
        else target
    )


def looks(kind: str, target: Any) -> list[Any]:
    """What a program that looks at a target gets to see: itself, or it through a class."""
    if kind not in IN_CLASSES:
        return [target]
    owner = stand(kind, target)
    seen = getattr(owner, "attribute", None)  # an enum's class does not show it
    return [seen, owner().attribute] if callable(seen) else [seen]


def every(kinds: dict[str, Kind]) -> Any:
    """A test for each kind."""
    return pytest.mark.parametrize("kind", [pytest.param(k, id=k) for k in kinds])


# Each kind, alone


@every(KINDS)
def test_a_use_is_one_pass_of_its_length(p: Profiler, working: _Work, kind: str) -> None:
    """And gives what the bare one gives."""
    it = KINDS[kind]
    assert it.use(stand(kind, p.track(0, "it")(it.make()))) == 2
    block = recorded(p)["it"]
    time = 10 * it.works
    assert (block.hit_count, block.total_time_ns, block.self_time_ns) == (1, time, time)


@every({k: v for k, v in KINDS.items() if v.works})
def test_an_exception_passes_as_it_was_raised(p: Profiler, working: _Work, kind: str) -> None:
    """And its pass is recorded."""
    target = stand(kind, p.track(0, "it")(KINDS[kind].make()))
    working.error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as met:
        KINDS[kind].use(target)
    block = recorded(p)["it"]
    assert (met.value is working.error, block.hit_count, block.total_time_ns) == (True, 1, 10)


@every(KINDS)
def test_what_holds_functions_keeps_its_type(p: Profiler, kind: str) -> None:
    """And what is called is a tracked callable."""
    bare = KINDS[kind].make()
    tracked = p.track(0)(bare)
    calls = wrapping.is_tracked(tracked)
    assert (type(tracked) is type(bare), calls) == (KINDS[kind].stays, not KINDS[kind].stays)


@every(KINDS)
def test_the_bare_one_is_left_as_it_was(p: Profiler, kind: str) -> None:
    """Tracking makes something new; using the old one is not recorded."""
    bare = KINDS[kind].make()
    p.track(0, "it")(bare)
    assert KINDS[kind].use(stand(kind, bare)) == 2
    assert hits(p) == {"it": 0}


@every(KINDS)
def test_nothing_is_wrapped_while_profiling_is_disabled(p: Profiler, kind: str) -> None:
    """The very thing that was given comes back, and no block is made."""
    bare = KINDS[kind].make()
    set_global_enabled(False)
    assert p.track(0)(bare) is bare
    assert p.get_results().tracks == {}


@every(KINDS)
@pytest.mark.parametrize("attribute", ["__name__", "__qualname__", "__module__", "__doc__"])
def test_names_and_documentation_stay(p: Profiler, kind: str, attribute: str) -> None:
    """Or stay missing."""
    bare = KINDS[kind].make()
    tracked = p.track(0)(bare)
    assert [getattr(x, attribute, None) for x in looks(kind, tracked)] == [
        getattr(x, attribute, None) for x in looks(kind, bare)
    ]
    assert tracked.__doc__ == bare.__doc__


def signatures(kind: str, target: Any) -> list[Any]:
    """The signatures that can be told."""
    told: list[Any] = []
    for look in looks(kind, target):
        try:
            told.append(inspect.signature(look))
        except (TypeError, ValueError) as error:
            told.append(type(error))
    return told


@every(KINDS)
def test_signatures_stay(p: Profiler, kind: str) -> None:
    """Through the class and bound to an instance, or cannot be told as before."""
    bare = KINDS[kind].make()
    assert signatures(kind, p.track(0)(bare)) == signatures(kind, bare)


@every(KINDS)
@pytest.mark.parametrize(
    "question",
    [
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isclass,
        inspect.isabstract,
        callable,
    ],
)
def test_inspect_answers_the_same(
    p: Profiler, kind: str, question: Callable[[object], bool]
) -> None:
    """Whether it suspends, above all."""
    bare = KINDS[kind].make()
    tracked = p.track(0)(bare)
    assert [question(x) for x in looks(kind, tracked)] == [question(x) for x in looks(kind, bare)]
    assert question(tracked) == question(bare)


@every(KINDS)
def test_file_and_line_are_those_of_the_definition(p: Profiler, kind: str) -> None:
    """Not of a wrapper from elsewhere, such as `contextmanager`; C code has neither."""
    p.track(0, "it")(KINDS[kind].make())
    block = recorded(p)["it"]
    in_c = ("builtin", "method descriptor", "bound builtin method", "partial of a class")
    if kind in in_c:
        assert (block.file, block.line) == ("<builtins>", 0)
    else:
        assert (block.file, block.line > 0) == (__file__, True)


@every({k: v for k, v in KINDS.items() if k not in ("abstract method",)})
def test_abstract_is_what_was_abstract(p: Profiler, kind: str) -> None:
    """A class with an abstract method cannot be made; any kind can be one."""
    bare = KINDS[kind].make()
    tracked = p.track(0)(bare)
    assert getattr(tracked, "__isabstractmethod__", False) is getattr(
        bare, "__isabstractmethod__", False
    )


@every(KINDS)
def test_it_can_be_referred_to_weakly_if_the_bare_one_can(p: Profiler, kind: str) -> None:
    """All but some types of C."""
    bare = KINDS[kind].make()
    tracked = p.track(0)(bare)
    try:
        weakref.ref(bare)
    except TypeError:
        return
    reference = weakref.ref(tracked)
    assert reference() is tracked
    del tracked
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize(
    "kind",
    [k for k in CALLABLES if not CALLABLES[k].stays],
)
def test_a_copy_of_what_is_called_is_itself(p: Profiler, kind: str) -> None:
    """Where that of the bare one is, as with functions; also deep inside something."""
    bare = CALLABLES[kind].make()
    tracked = p.track(0)(bare)
    assert (copy.copy(tracked) is tracked) == (copy.copy(bare) is bare)
    assert (copy.deepcopy([tracked])[0] is tracked) == (copy.deepcopy([bare])[0] is bare)


SUSPENDING = [
    "partial of a generator function",
    "partial of a coroutine function",
    "asynchronous callable instance",
    "generating callable instance",
    "generator function",
    "coroutine function",
    "function that returns a coroutine",
    "asynchronous generator function",
    "generator function to be awaited",
    "asynchronous class method",
    "partial asynchronous method",
]


@every(KINDS)
def test_tracking_twice_records_each_layer(p: Profiler, working: _Work, kind: str) -> None:
    """Two passes, one in the other, in two blocks."""
    it = KINDS[kind]
    track: Any = p.track
    assert it.use(stand(kind, track(1, "outer")(track(0, "inner")(it.make())))) == 2
    time = 10 * it.works
    figures = {n: (b.hit_count, b.total_time_ns, b.self_time_ns) for n, b in recorded(p).items()}
    assert figures == {"inner": (1, time, time), "outer": (1, time, 0)}


# What single kinds are besides


def test_a_cache_can_be_asked_and_cleared(p: Profiler, working: _Work) -> None:
    """Hits of the cache are passes too: they are calls."""
    tracked: Any = p.track(0)(functools.lru_cache(maxsize=7)(function))
    assert [tracked(1), tracked(1), tracked(2)] == [2, 2, 3]
    assert tracked.cache_info()[:3] == (1, 2, 7)
    assert tracked.cache_parameters() == {"maxsize": 7, "typed": False}
    tracked.cache_clear()
    assert tracked.cache_info()[:2] == (0, 0)
    assert (hits(p), recorded(p)["function"].total_time_ns) == ({"function": 3}, 20)


def test_a_cached_method_can_be_asked_through_instance_and_class(p: Profiler) -> None:
    """As it can without being tracked."""

    class Owner:
        @p.track(0)
        @functools.lru_cache  # noqa: B019
        def method(self, x: int) -> int:
            """Work."""
            return work(x)

    owner: Any = Owner()
    assert [owner.method(1), owner.method(1)] == [2, 2]
    assert owner.method.cache_info() == Owner.method.cache_info()  # type: ignore[attr-defined]
    assert owner.method.cache_info().hits == 1
    assert hits(p) == {"method": 2}


def test_a_generic_function_can_be_registered_with(p: Profiler) -> None:
    """All implementations are one block."""
    tracked: Any = p.track(0)(functools.singledispatch(function))

    @tracked.register
    def _(x: str) -> str:
        return x + "!"

    assert (tracked("a"), tracked(1)) == ("a!", 2)
    assert tracked.dispatch(str)("b") == "b!"
    assert set(tracked.registry) == {object, str}
    assert hits(p) == {"function": 2}


def test_a_generic_method_can_be_registered_with(p: Profiler) -> None:
    """All implementations are one block, methods and class methods alike, before and after."""

    class Owner:
        @functools.singledispatchmethod
        def method(self, x: object) -> object:
            """Give it back."""
            return x

        @method.register
        def _(self, x: int) -> int:
            return x + 1

        method = p.track(0)(method)  # type: ignore[arg-type, assignment]

        @method.register  # type: ignore[attr-defined, no-redef]
        @classmethod
        def _(cls, x: str) -> str:
            return x + cls.__name__

    owner: Any = Owner()
    assert [owner.method(x) for x in (1, "a", None, 2)] == [2, "aOwner", None, 3]
    assert hits(p) == {"method": 4}
    block = recorded(p)["method"]
    assert block.line == inspect.getsourcelines(Owner)[1] + 1
    assert set(vars(Owner)["method"].dispatcher.registry) == {object, int, str}


def test_the_state_of_an_instance_is_read_where_it_is(p: Profiler) -> None:
    """What its call changes is seen at once through the tracked one."""

    class Counter:
        """Counts."""

        def __init__(self) -> None:
            self.n = 0

        def __call__(self) -> int:
            self.n += 1
            return self.n

    counter = Counter()
    tracked: Any = p.track(0)(counter)
    assert [tracked(), tracked(), tracked.n, counter.n] == [1, 2, 2, 2]
    assert (tracked.__doc__, tracked.__wrapped__) == ("Counts.", counter)


def test_a_property_has_a_block_for_each_function(p: Profiler, working: _Work) -> None:
    """Named after it: the getter's name alone, with .setter, with .deleter."""

    class Owner:
        @property
        def area(self) -> int:
            """The area."""
            return work(1)

        @area.setter
        def area(self, value: int) -> None:
            work(work(value))

        @area.deleter
        def area(self) -> None:
            work(work(work(0)))

        area = p.track(0)(area)

    owner: Any = Owner()
    assert owner.area == 2
    owner.area = 3
    del owner.area
    assert {n: (b.hit_count, b.total_time_ns) for n, b in recorded(p).items()} == {
        "area": (1, 10),
        "area.setter": (1, 20),
        "area.deleter": (1, 30),
    }


def test_a_property_without_a_getter_is_named_after_what_it_has(p: Profiler) -> None:
    """By the setter's name, and that it sets."""

    def put(self: Any, value: int) -> None:
        """Put it."""
        self.value = value

    owner: Any = type("Owner", (), {"x": p.track(0)(property(fset=put))})()  # type: ignore[arg-type]
    owner.x = 3
    with pytest.raises(AttributeError):
        owner.x  # noqa: B018
    assert (owner.value, hits(p)) == (3, {"put.setter": 1})


def test_a_tracked_property_can_be_given_a_setter_afterwards(p: Profiler) -> None:
    """Which is tracked only if it is itself."""

    class Owner:
        @p.track(0)  # type: ignore[prop-decorator]
        @property
        def x(self) -> int:
            """Get."""
            return 1

        @x.setter
        def x(self, value: int) -> None:
            self.value = value

    owner: Any = Owner()
    owner.x = owner.x
    assert (owner.value, hits(p), Owner.x.__doc__) == (1, {"x": 1}, "Get.")


def test_setting_a_tracked_property_without_a_setter_is_complained_about_as_before(
    p: Profiler,
) -> None:
    """The error names the attribute, not the function."""

    class Bare:
        @property
        def x(self) -> int:
            return 1

        y = x

    class Tracked:
        @property
        def x(self) -> int:
            return 1

        y = p.track(0)(x)

    def complaint(owner: Any) -> str:
        with pytest.raises(AttributeError) as met:
            owner.y = 3
        return re.sub(r"Tracked|Bare", "Owner", str(met.value))

    assert complaint(Tracked()) == complaint(Bare())


def test_what_subclasses_of_descriptors_keep_is_kept(p: Profiler) -> None:
    """In a dictionary, in slots, and their documentation, whatever their constructor takes."""
    by_hand = DocumentedProperty("here", getter)
    documented: Any = p.track(0)(by_hand)  # type: ignore[arg-type]
    slotted: Any = p.track(0)(SlottedStatic("there", function))
    bare = MarkedPartial(function, 1, key="z")
    bare.place = "nowhere"
    marked: Any = p.track(0)(bare)
    assert (documented.place, documented.__doc__) == ("here", by_hand.__doc__)
    assert (slotted.place, hasattr(slotted, "empty")) == ("there", False)
    assert (marked.place, marked.args, marked.keywords) == ("nowhere", (1,), {"key": "z"})
    assert vars(bare) is not vars(marked)


@pytest.mark.parametrize("doc", [None, "By hand."])
def test_the_documentation_of_a_property_is_kept(p: Profiler, doc: str | None) -> None:
    """Its getter's, or that which was written by hand."""
    bare = property(getter, doc=doc)
    tracked: Any = p.track(0)(bare)  # type: ignore[arg-type]
    other = tracked.getter(method)
    assert (tracked.__doc__, other.__doc__) == (bare.__doc__, bare.getter(method).__doc__)


def test_a_descriptor_that_cannot_be_copied_is_refused(p: Profiler) -> None:
    """The error says what it is."""

    class Fixed(functools.cached_property):  # type: ignore[type-arg]
        def __setattr__(self, name: str, value: object) -> None:
            if name in vars(self):
                raise AttributeError("fixed")
            super().__setattr__(name, value)

        def __repr__(self) -> str:
            return "<fixed>"

    with pytest.raises(TypeError, match=r"<fixed> of type Fixed cannot be copied to be tracked"):
        p.track(0)(Fixed(getter))  # type: ignore[arg-type]


def test_a_descriptor_that_replaces_its_function_is_refused(p: Profiler) -> None:
    """It would not be recorded."""

    class Stubborn(functools.partialmethod):  # type: ignore[type-arg]
        @property
        def func(self) -> Any:  # type: ignore[override]
            return method

        @func.setter
        def func(self, value: Any) -> None:
            """Ignore it."""

        def __repr__(self) -> str:
            return "<stubborn>"

    with pytest.raises(TypeError, match=r"<stubborn> .* cannot be tracked: it replaces"):
        p.track(0)(Stubborn(method))  # type: ignore[arg-type]


def test_a_partial_with_a_call_of_its_own_is_called_as_a_whole(p: Profiler, working: _Work) -> None:
    """What it does besides is in the pass."""
    tracked = p.track(0, "it")(CallingPartial(function))
    assert tracked(1) == 2
    assert (hits(p), recorded(p)["it"].total_time_ns) == ({"it": 1}, 20)


def test_a_cached_property_is_worked_out_once(p: Profiler, working: _Work) -> None:
    """The second look is no call."""

    class Owner:
        @p.track(0)  # type: ignore[prop-decorator]
        @functools.cached_property
        def value(self) -> int:
            """The value."""
            return work(1)

    owner = Owner()
    assert (owner.value, owner.value, vars(owner)) == (2, 2, {"value": 2})
    assert (hits(p), Owner.value.__doc__) == ({"value": 1}, "The value.")  # type: ignore[attr-defined]


def test_a_context_manager_over_a_tracked_generator_times_the_with(
    p: Profiler, clock: ManualClock
) -> None:
    """From entering to leaving; the time in its body is not that in which the generator ran."""

    @contextlib.contextmanager
    @p.track(0)
    def around() -> Iterator[None]:
        clock.advance(1)
        yield
        clock.advance(2)

    with around():
        clock.advance(100)
    block = recorded(p)["around"]
    assert (block.hit_count, block.total_time_ns, block.active_time_ns) == (1, 103, 3)


def test_a_tracked_generator_can_be_made_awaitable(p: Profiler, working: _Work) -> None:
    """`types.coroutine` takes it as it takes any function that gives a generator."""
    tracked: Any = p.track(0, "it")(generator_for_await)
    assert awaited(types.coroutine(tracked)(1)) == 2
    assert hits(p) == {"it": 1}


def generator_for_await(x: int) -> Generator[None, None, int]:
    """Wait once, and work."""
    yield
    return work(x)


@pytest.mark.parametrize("outermost", ["track", "class method"])
def test_methods_that_are_class_methods_without_saying_so_work(p: Profiler, outermost: str) -> None:
    """Under track as under nothing, and with the decorator written out around it."""

    def explicit(kind: Any) -> Any:
        return kind if outermost == "class method" else lambda function: function

    class Owner:
        made: typing.ClassVar[list[Any]] = []

        @explicit(staticmethod)
        @p.track(0)
        def __new__(cls, *args: Any) -> Any:
            return super().__new__(cls)

        @explicit(classmethod)
        @p.track(0)
        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__()
            cls.made.append((cls.__name__, kwargs))

        @explicit(classmethod)
        @p.track(0)
        def __class_getitem__(cls, item: Any) -> Any:
            return cls, item

    class Derived(Owner, key=1):
        """Nothing more."""

    made: Any = Derived(1)
    assert (type(made), type(made.__new__(Owner))) == (Derived, Owner)
    assert Owner.made == [("Derived", {"key": 1})]
    assert (Owner[3], Derived[4]) == ((Owner, 3), (Derived, 4))
    assert hits(p) == {"__new__": 2, "__init_subclass__": 1, "__class_getitem__": 2}


def test_a_function_that_only_has_such_a_name_stays_a_function(p: Profiler) -> None:
    """Outside a class, nothing makes a class method of it."""

    def __new__(x: int) -> int:  # noqa: N807
        return x

    tracked = p.track(0)(__new__)
    assert (type(tracked), tracked(3)) == (_core.TrackedFunction, 3)


def test_overridden_and_super_calls_are_recorded_where_they_stand(p: Profiler) -> None:
    """In properties, class methods and special methods alike."""

    class Base:
        @p.track(0, "base.size")  # type: ignore[prop-decorator]
        @property
        def size(self) -> int:
            return 1

        @p.track(0, "base.make")
        @classmethod
        def make(cls) -> Any:
            return cls()

        @p.track(0, "base.__len__")
        def __len__(self) -> int:
            return 3

    class Derived(Base):
        @p.track(0, "derived.size")  # type: ignore[prop-decorator]
        @property
        def size(self) -> int:
            return super().size + 1

        @p.track(0, "derived.make")
        @classmethod
        def make(cls) -> Any:
            return super().make()

        @p.track(0, "derived.__len__")
        def __len__(self) -> int:
            return super().__len__() + 1

    made = Derived.make()
    assert (type(made), made.size, len(made)) == (Derived, 2, 4)
    assert hits(p) == {
        f"{b}.{m}": 1 for b in ("base", "derived") for m in ("size", "make", "__len__")
    }
    parents = {n.name: n.children[0].name for n in p.get_results().tree.children}
    assert parents == {f"derived.{m}": f"base.{m}" for m in ("size", "make", "__len__")}


def test_what_answers_for_every_attribute_can_be_tracked(p: Profiler) -> None:
    """A proxy that makes something of any name has a `__wrapped__` without end, too."""

    class Anything:
        __name__ = "anything"

        def __getattr__(self, name: str) -> Any:
            if name in ("__doc__", "__qualname__", "__annotations__"):
                raise AttributeError(name)
            return Anything()

        def __call__(self, x: int) -> int:
            return x

    assert p.track(0)(Anything())(3) == 3
    assert hits(p) == {"anything": 1}


def test_a_mock_can_be_tracked(p: Profiler) -> None:
    """Although it says that it is whatever one asks for."""
    from unittest import mock

    assert p.track(0, "mock")(mock.MagicMock(return_value=3))(1) == 3
    assert awaited(p.track(0, "async mock")(mock.AsyncMock(return_value=4))(1)) == 4
    assert hits(p) == {"mock": 1, "async mock": 1}


PICKLED = """
import functools
from stichotrope import Profiler, _core

p = Profiler("pickled")
track = p.track(0) if {tracked} else lambda f: f
track_class = p.track_class(0) if {tracked} else lambda c: c

@track
def function(): return 1
@track
@functools.lru_cache
def cached(): return 1
@track
@functools.singledispatch
def generic(x): return 1
@track
def generator(): yield 1
@track
async def coroutine(): return 1
partial = functools.partial(function)
@track_class
class Owner:
    def method(self): return 1
    @staticmethod
    def static(): return 1
    @classmethod
    def cls(cls): return 1
    @functools.cached_property
    def value(self): return 1
    def __eq__(self, other): return type(other) is type(self)
    __hash__ = None
    def also(self): return 1
    alias = also
"""


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize(
    "expression",
    [
        *("function", "cached", "generic", "generator", "coroutine", "partial"),
        *("Owner", "Owner()", "Owner.method", "Owner().method", "Owner.static", "Owner.cls"),
        *("Owner.alias", "Owner().also"),
    ],
)
def test_what_could_be_pickled_still_can(
    monkeypatch: pytest.MonkeyPatch, expression: str, protocol: int
) -> None:
    """By reference where it was, and by value where it was."""

    def comes_back(tracked: bool) -> tuple[bool, bool]:
        module: Any = types.ModuleType("pickled_targets")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(PICKLED.format(tracked=tracked), vars(module))
        thing = eval(expression, vars(module))
        back = pickle.loads(pickle.dumps(thing, protocol))
        return back is thing, type(back) is type(thing)

    assert comes_back(True) == comes_back(False)
    sys.modules.pop("pickled_targets")


# Classes


def names(profiler: Profiler) -> list[str]:
    """The names of all blocks, in order."""
    return [b.name for t in profiler.get_results().tracks.values() for b in t.blocks]


def short(profiler: Profiler) -> list[str]:
    """The names of all blocks in order, from the class on."""
    return [name.rpartition("<locals>.")[2] for name in names(profiler)]


def short_hits(profiler: Profiler) -> dict[str, int]:
    """Block name from the class on → passes, of those that have any."""
    return {n.rpartition("<locals>.")[2]: h for n, h in hits(profiler).items() if h}


class Proxy:
    """Says that it is a property."""

    __class__ = property(lambda self: property)  # type: ignore[assignment]


def make_shape(decorate: Any) -> Any:
    """A class with everything in it that is a function."""

    @decorate
    class Shape:
        """A shape."""

        sides: typing.ClassVar[int] = 3
        factory = dict
        station: typing.ClassVar[Any] = Station()
        proxy: typing.ClassVar[Any] = Proxy()
        part_of_a_function = functools.partial(function)
        sorted = sorted
        upper = str.upper

        def __init__(self) -> None:
            self.value = 1

        def method(self, x: int = 1) -> int:
            """Work."""
            return work(x)

        @staticmethod
        def static(x: int = 1) -> int:
            return work(x)

        @classmethod
        def cls(cls, x: int = 1) -> int:
            return work(x)

        @property
        def area(self) -> int:
            return work(1)

        @area.setter
        def area(self, value: int) -> None:
            self.value = work(value)

        @functools.cached_property
        def cached(self) -> int:
            return work(1)

        part = functools.partialmethod(method, 1)

        def generate(self) -> Iterator[int]:
            yield work(1)

        async def run(self) -> int:
            return work(1)

        def __len__(self) -> int:
            return work(1)

        class Nested:
            """Not tracked."""

            def method(self) -> int:
                return 1

    return Shape


# From CPython 3.12 on the code is tracked, and nothing is replaced. `part` is `method`, either way.
BY_CODE = _core.can_track_code()
replacing = pytest.mark.skipif(BY_CODE, reason="nothing is replaced from CPython 3.12 on")
SHAPE = [
    *("Shape.__init__", "Shape.method", "Shape.static", "Shape.cls", "Shape.area"),
    *("Shape.area.setter", "Shape.cached", "Shape.generate", "Shape.run", "Shape.__len__"),
]


def test_all_functions_of_a_class_are_tracked_and_nothing_else(p: Profiler, working: _Work) -> None:
    """Each use is one pass of 10 ns of the block that is named after it."""
    shape_class = make_shape(p.track_class(0))
    assert short(p) == SHAPE
    shape = shape_class()
    uses = [
        shape.method(),
        shape_class.static(),
        shape_class.cls(),
        shape.area,
        shape.cached,
        shape.part(),
        only(shape.generate()),
        awaited(shape.run()),
        len(shape),
    ]
    shape.area = 4
    assert (uses, shape.value) == ([2] * 9, 5)
    assert (shape_class.Nested().method(), shape.station(1), shape.factory()) == (1, 2, {})
    figures = {n.rpartition("<locals>.")[2]: b for n, b in recorded(p).items()}
    times = {n: 0 if n == "Shape.__init__" else 10 for n in SHAPE}
    passes = dict.fromkeys(SHAPE, 1)
    times["Shape.method"], passes["Shape.method"] = 20, 2
    assert {n: b.total_time_ns for n, b in figures.items()} == times
    assert {n: b.hit_count for n, b in figures.items()} == passes


def test_the_class_stays_the_same_object_with_the_same_attributes(p: Profiler) -> None:
    """Names, order, documentation, signatures, and what is no function."""
    bare = make_shape(lambda cls: cls)
    before = dict(vars(bare))
    assert p.track_class(0)(bare) is bare
    assert list(vars(bare)) == list(before)
    changed = {n for n, value in vars(bare).items() if value is not before[n]}
    assert changed == (set() if BY_CODE else {"part", *(n.split(".")[1] for n in SHAPE)})
    other = make_shape(lambda cls: cls)
    assert inspect.signature(bare) == inspect.signature(other)
    assert inspect.signature(bare.method) == inspect.signature(other.method)
    assert [bare.__doc__, bare.method.__doc__] == ["A shape.", "Work."]


def test_a_class_as_a_whole_is_named_by_its_qualified_name(p: Profiler) -> None:
    """Where it was defined included."""

    @p.track_class(0)
    class Local:
        def method(self) -> None:
            """Do nothing."""

    assert names(p) == [f"{Local.__qualname__}.method"]


def test_a_predicate_chooses_by_name_and_function(p: Profiler) -> None:
    """It is asked once for each function, with what is inside of static methods and the like."""
    asked: list[tuple[str, str]] = []

    def include(name: str, function: Callable[..., Any]) -> bool:
        asked.append((name, type(function).__name__))
        return name in ("method", "area.setter", "cached")

    shape = make_shape(p.track_class(0, include=include))()
    functions = [*SHAPE[:7], "Shape.part", *SHAPE[7:]]
    assert asked == [(n.partition(".")[2], "function") for n in functions]
    assert short(p) == ["Shape.method", "Shape.area.setter", "Shape.cached"]
    shape.area = shape.area
    assert (shape.value, short_hits(p)) == (3, {"Shape.area.setter": 1})


def test_a_predicate_that_raises_leaves_the_class_alone(p: Profiler) -> None:
    """And no block is made."""
    bare = make_shape(lambda cls: cls)
    before = dict(vars(bare))
    error = RuntimeError("undecided")

    def include(name: str, function: Callable[..., Any]) -> bool:
        if name == "cached":
            raise error
        return True

    with pytest.raises(RuntimeError) as met:
        p.track_class(0, include=include)(bare)
    assert met.value is error
    assert all(vars(bare)[n] is value for n, value in before.items())
    assert (len(vars(bare)), names(p)) == (len(before), [])


@replacing
@pytest.mark.parametrize("half", ["before", "after"])
def test_a_metaclass_that_refuses_leaves_the_class_alone(p: Profiler, half: str) -> None:
    """Also if it has set the attribute by then, and will not set it back."""

    class Meta(type):
        def __setattr__(cls, name: str, value: Any) -> None:
            if half == "after":
                super().__setattr__(name, value)
            if name == "third":
                type.__setattr__(cls, "refusing", True)
            if cls.refusing:  # type: ignore[attr-defined]
                raise AttributeError(f"{name} is fixed")
            if half == "before":
                super().__setattr__(name, value)

    class Owner(metaclass=Meta):
        refusing = False

        def first(self) -> None:
            """Do nothing."""

        @property
        def second(self) -> int:
            return 2

        def third(self) -> None:
            """Do nothing."""

    before = dict(vars(Owner))
    with pytest.raises(AttributeError, match="third is fixed"):
        p.track_class(0)(Owner)
    changed = [n for n, value in vars(Owner).items() if value is not before[n]]
    assert changed == ["refusing"]
    assert Owner().second == 2


@replacing
def test_a_metaclass_sees_what_is_set(p: Profiler) -> None:
    """Its `__setattr__` is the way in, as for any other attribute."""
    seen: list[str] = []

    class Meta(type):
        def __setattr__(cls, name: str, value: Any) -> None:
            seen.append(name)
            super().__setattr__(name, value)

    @p.track_class(0)
    class Owner(metaclass=Meta):
        def method(self) -> int:
            return 1

    assert (seen, Owner().method(), short_hits(p)) == (["method"], 1, {"Owner.method": 1})


def test_tracking_a_class_twice_records_each_call_once(p: Profiler) -> None:
    """The same profiler leaves alone what it tracks; another one adds a layer."""
    other = Profiler("other")
    shape_class = make_shape(p.track_class(0))
    before = dict(vars(shape_class))
    p.track_class(1)(shape_class)
    assert all(vars(shape_class)[n] is value for n, value in before.items())
    other.track_class(0)(shape_class)
    p.track_class(2)(shape_class)
    assert shape_class().method() == 2
    assert short_hits(p) == short_hits(other) == {"Shape.__init__": 1, "Shape.method": 1}
    assert short(p) == SHAPE


def test_a_base_and_a_derived_class_record_each_call_once(p: Profiler) -> None:
    """What is inherited belongs to the base."""

    @p.track_class(0)
    class Base:
        def inherited(self) -> int:
            return 1

        def overridden(self) -> int:
            return 1

    @p.track_class(0)
    class Derived(Base):
        taken = Base.inherited

        def overridden(self) -> int:
            return super().overridden() + 1

    made = Derived()
    assert (made.inherited(), made.overridden(), made.taken()) == (1, 2, 1)
    assert short_hits(p) == {"Base.inherited": 2, "Base.overridden": 1, "Derived.overridden": 1}


def test_what_is_tracked_in_a_tracked_class_keeps_its_block(p: Profiler) -> None:
    """Under its own name, and recorded once."""

    @p.track_class(0)
    class Owner:
        @p.track(5, "by hand")
        def method(self) -> int:
            return 1

        @property
        @p.track(5, "getter")
        def value(self) -> int:
            return 1

        @value.setter
        def value(self, value: int) -> None:
            """Ignore it."""

    owner = Owner()
    owner.value = owner.value
    assert owner.method() == 1
    assert short_hits(p) == {"by hand": 1, "getter": 1, "Owner.value.setter": 1}


def test_one_function_under_two_names_stays_one(p: Profiler) -> None:
    """It has one block, by its first name."""

    @p.track_class(0)
    class Owner:
        def __add__(self, other: object) -> str:
            return "sum"

        __radd__ = __add__

    both: Any = Owner
    assert (Owner() + 1, 1 + Owner(), both.__add__ is both.__radd__) == ("sum", "sum", True)
    assert short_hits(p) == {"Owner.__add__": 2}


def test_nothing_in_a_class_is_wrapped_while_profiling_is_disabled(p: Profiler) -> None:
    """Nor is the predicate asked."""
    bare = make_shape(lambda cls: cls)
    before = dict(vars(bare))
    set_global_enabled(False)
    assert p.track_class(0, include=lambda name, function: 1 / 0)(bare) is bare  # type: ignore[arg-type,return-value]
    assert all(vars(bare)[n] is value for n, value in before.items())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"frozen": True},
        {"order": True, "unsafe_hash": True},
        {"slots": True},
        {"kw_only": True},
    ],
    ids=str,
)
def test_a_dataclass_works(p: Profiler, options: dict[str, Any]) -> None:
    """What dataclass makes is tracked, and does what it did."""

    @p.track_class(0)
    @dataclasses.dataclass(**options)
    class Point:
        x: int = 1
        y: int = 2

        def total(self) -> int:
            return self.x + self.y

    point = Point(x=3)
    assert (point.total(), point == Point(x=3), point.y) == (5, True, 2)
    assert repr(point).endswith("Point(x=3, y=2)")
    found = short_hits(p)
    assert found == {"Point.__init__": 2, "Point.total": 1, "Point.__eq__": 1, "Point.__repr__": 1}
    assert dataclasses.replace(point, y=9).y == 9
    assert [f.name for f in dataclasses.fields(point)] == ["x", "y"]
    assert dataclasses.asdict(point) == {"x": 3, "y": 2}
    if options.get("frozen"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            point.x = 4
    if options.get("order"):
        assert (point < Point(x=4), hash(point) == hash(Point(x=3))) == (True, True)  # type: ignore[operator]


def test_a_class_that_becomes_a_dataclass_afterwards_works(p: Profiler) -> None:
    """Also where dataclass makes a new class because of slots."""

    @dataclasses.dataclass(slots=True)
    @p.track_class(0)
    class Point:
        x: int = 1

        def __eq__(self, other: object) -> bool:
            return True

        @property
        def double(self) -> int:
            return 2 * self.x

        def itself(self) -> type:
            return Point

    point = Point(4)
    assert (point.double, point.itself(), point == 5) == (8, Point, True)
    assert short_hits(p) == {"Point.__eq__": 1, "Point.double": 1, "Point.itself": 1}


def test_a_class_with_slots_works(p: Profiler) -> None:
    """Its slots are no functions."""

    @p.track_class(0)
    class Slotted:
        __slots__ = ("__weakref__", "value")

        def __init__(self) -> None:
            self.value = 7

        def method(self) -> int:
            return self.value

    slotted = Slotted()
    assert (slotted.method(), weakref.ref(slotted)() is slotted) == (7, True)
    assert short_hits(p) == {"Slotted.__init__": 1, "Slotted.method": 1}


def test_a_named_tuple_works(p: Profiler) -> None:
    """What it is given and what it gives itself."""

    @p.track_class(0)
    class Pair(NamedTuple):
        a: int
        b: int = 2

        def total(self) -> int:
            return self.a + self.b

        @property
        def first(self) -> int:
            return self.a

    pair = Pair(1)
    assert (pair.total(), pair.first, pair._asdict(), tuple(pair)) == (
        3,
        1,
        {"a": 1, "b": 2},
        (1, 2),
    )
    assert (pair._replace(a=5).a, Pair._make([7, 8]).b, copy.copy(pair)) == (5, 8, pair)
    assert {"Pair.total": 1, "Pair.first": 1}.items() <= short_hits(p).items()
    assert list(inspect.signature(Pair).parameters) == ["a", "b"]
    assert (Pair._fields, Pair._field_defaults) == (("a", "b"), {"b": 2})


def test_an_enum_works(p: Profiler) -> None:
    """Its members stay members."""

    @p.track_class(0)
    class Color(enum.Enum):
        RED = 1
        BLUE = 2

        def shout(self) -> str:
            return self.name + "!"

        @property
        def low(self) -> str:
            return self.name.lower()

        @types.DynamicClassAttribute
        def high(self) -> str:
            return self.name.upper()

        @classmethod
        def _missing_(cls, value: object) -> Any:
            return cls.RED

    assert [Color(2), Color(7), Color["RED"], list(Color)] == [
        *(Color.BLUE, Color.RED, Color.RED),
        [Color.RED, Color.BLUE],
    ]
    assert (Color.RED.shout(), Color.BLUE.low, Color.BLUE.high) == ("RED!", "blue", "BLUE")
    assert short_hits(p) == {
        "Color.shout": 1,
        "Color.low": 1,
        "Color.high": 1,
        "Color._missing_": 1,
    }


def test_an_enum_derived_from_a_tracked_one_works(p: Profiler) -> None:
    """Enums look for functions in their bases, and know them by what they are."""

    @p.track_class(0)
    class Named(str, enum.Enum):  # noqa: UP042
        def __new__(cls, value: str) -> Any:
            made = str.__new__(cls, value)
            made._value_ = value + "!"
            return made

        @staticmethod
        def _generate_next_value_(name: str, *rest: Any) -> str:  # type: ignore[override]
            return name.lower()

    @p.track_class(0)
    class Plain(enum.Enum):
        def hello(self) -> str:
            return f"hello {self.name}"

    class Fruit(Named):
        APPLE = enum.auto()

    class Word(Plain):
        YES = 1

    assert (Fruit.APPLE.value, Fruit("apple!"), Fruit.APPLE.upper()) == (
        "apple!",
        Fruit.APPLE,
        "APPLE",
    )
    assert (Word.YES.hello(), Word(1)) == ("hello YES", Word.YES)
    assert short_hits(p)["Plain.hello"] == 1


def test_flags_work(p: Profiler) -> None:
    """The operators that the enum module puts into the class are not the author's."""

    @p.track_class(0)
    class Flags(enum.IntFlag):
        A = 1
        B = 2

        def both(self) -> Flags:
            return self | Flags.B

    assert (Flags.A.both(), Flags(3), Flags.A in Flags.A.both()) == (
        Flags(3),
        Flags.A | Flags.B,
        True,
    )
    assert short(p) == ["Flags.both"]


def test_methods_of_an_enum_can_be_tracked_one_by_one(p: Profiler) -> None:
    """They do not become members."""

    class Color(enum.Enum):
        RED = 1

        def __new__(cls, value: int) -> Any:
            made = object.__new__(cls)
            made._value_ = value
            return made

        @p.track(0)
        def shout(self) -> str:
            return self.name + "!"

        @p.track(0)  # type: ignore[prop-decorator]
        @property
        def low(self) -> str:
            return self.name.lower()

    assert (list(Color), Color.RED.shout(), Color.RED.low) == ([Color.RED], "RED!", "red")
    assert hits(p) == {"shout": 1, "low": 1}


def test_a_protocol_works(p: Profiler) -> None:
    """What typing puts into it, and recognises there, is left alone: bases are initialised."""

    @p.track_class(0)
    @typing.runtime_checkable
    class Speaks(Protocol):
        def speak(self) -> str:
            return "hello"

    class Base:
        def __init__(self) -> None:
            self.value = 1

    class Dog(Speaks, Base):
        """Both."""

    dog = Dog()
    assert (dog.value, dog.speak(), isinstance(dog, Speaks), isinstance(3, Speaks)) == (
        *(1, "hello", True),
        False,
    )
    assert issubclass(Dog, Speaks)
    with pytest.raises(TypeError, match="Protocol"):
        Speaks()  # type: ignore[misc]
    assert short(p) == ["Speaks.speak"]


def test_an_abstract_class_works(p: Profiler) -> None:
    """What is abstract stays so."""

    @p.track_class(0)
    class Base(abc.ABC):
        @abc.abstractmethod
        def method(self) -> int:
            return 1

        @property
        @abc.abstractmethod
        def value(self) -> int:
            return 1

    class Derived(Base):
        def method(self) -> int:
            return super().method() + 1

        @property
        def value(self) -> int:
            return super().value + 1  # type: ignore[safe-super]

    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract]
    derived = Derived()
    assert (derived.method(), derived.value, Base.__abstractmethods__) == (  # type: ignore[comparison-overlap]
        2,
        2,
        {"method", "value"},
    )
    assert short_hits(p) == {"Base.method": 1, "Base.value": 1}


def make_odd(decorate: Any, log: list[Any]) -> Any:
    """A class whose special methods the interpreter calls."""

    @decorate
    class Odd:
        def __new__(cls, *args: Any) -> Any:
            return super().__new__(cls)

        def __init__(self, *args: Any) -> None:
            self.args = args

        def __init_subclass__(cls, **kwargs: Any) -> None:
            log.append(("derived", cls.__name__, kwargs))
            super().__init_subclass__()

        def __class_getitem__(cls, item: Any) -> Any:
            return cls.__name__, item

        def __getattribute__(self, name: str) -> Any:
            return super().__getattribute__(name)

        def __getattr__(self, name: str) -> str:
            if name.startswith("_"):
                raise AttributeError(name)
            return name

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)

        def __delattr__(self, name: str) -> None:
            super().__delattr__(name)

        def __del__(self) -> None:
            log.append("gone")

        def __set_name__(self, owner: type, name: str) -> None:
            log.append((owner.__name__, name))

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            return "got"

        def __call__(self, x: int) -> int:
            return x

        def __getitem__(self, i: int) -> int:
            return [5, 6, 7][i]

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

        def __bool__(self) -> bool:
            return False

        def __index__(self) -> int:
            return 2

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: object) -> bool:
            return True

        def __iter__(self) -> Iterator[int]:
            yield from (1, 2)

        def __await__(self) -> Generator[None, None, int]:
            yield
            return 5

        async def __aenter__(self) -> int:
            return 1

        async def __aexit__(self, *error: object) -> bool:
            return True

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            raise StopAsyncIteration

        def __format__(self, spec: str) -> str:
            return f"<{spec}>"

        def __lt__(self, other: object) -> bool:
            return True

        def __reduce__(self) -> Any:
            return int, ("3",)

        def __copy__(self) -> str:
            return "copy"

        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            return int

        @property
        def __doc__(self) -> str:  # type: ignore[override]
            return "of the instance"

        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            return {"x": 1}

    return Odd


async def asynchronously(odd: Any) -> Any:
    """What its special methods for `async` and `await` make of it."""
    async with odd as one:
        raise ValueError
    async for _ in odd:
        pass
    return one, await odd


def exercise(odd_class: Any, log: list[Any]) -> list[Any]:
    """What all its special methods make of it."""
    odd = odd_class(1)
    with odd:
        raise ValueError
    odd.x = 3
    del odd.x

    derived = type(odd_class)("Derived", (odd_class,), {}, key=1)
    host = type("Host", (), {"held": odd})
    told = [
        *(odd.anything, odd.args, odd(4), odd[1], odd == 3, hash(odd), bool(odd), [7, 8, 9][odd]),
        *(list(odd), f"{odd:x}", odd < 3, copy.copy(odd), pickle.loads(pickle.dumps(odd))),
        *(isinstance(odd, int), odd.__doc__, odd.__dict__, awaited(asynchronously(odd))),
        *(odd_class[1], derived[2], host().held, type(derived(7)) is derived),
        sorted({x[0] if isinstance(x, tuple) else x for x in log}),
    ]
    del host, odd
    gc.collect()
    return [*told, log.count("gone")]


def test_what_the_interpreter_calls_does_what_it_did(p: Profiler) -> None:
    """Attribute access, creation, finalizers, descriptors, operators, awaiting."""
    log: list[Any] = []
    bare = exercise(make_odd(lambda cls: cls, log), log)
    log.clear()
    odd_class = make_odd(p.track_class(0), log)
    assert exercise(odd_class, log) == bare
    found = short_hits(p)
    special = {n for n, v in vars(odd_class).items() if isinstance(v, _core.TrackedFunction)}
    assert {n.partition(".")[2] for n in found} >= special
    left_out = {"__class__", "__doc__", "__dict__"}
    assert not left_out & {n.partition(".")[2] for n in short(p)}
    assert (found["Odd.__del__"], found["Odd.__call__"], found["Odd.__await__"]) == (2, 1, 1)


def test_metaclasses_and_their_classes_work(p: Profiler) -> None:
    """A name that the metaclass keeps for itself cannot be set in the class."""

    @p.track_class(0)
    class Meta(type):
        @classmethod
        def __prepare__(mcs, name: str, bases: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # noqa: N804
            return {"prepared": True}

        def __new__(mcs, name: str, bases: Any, namespace: Any) -> Any:
            return super().__new__(mcs, name, bases, namespace)

        def __call__(cls, *args: Any) -> Any:
            return super().__call__(*args)

        def __instancecheck__(cls, instance: object) -> bool:
            return True

        @property
        def size(cls) -> int:
            return 3

    @p.track_class(0)
    class Owner(metaclass=Meta):
        def method(self) -> int:
            return 1

        def size(self) -> int:
            return 2

    assert (Owner().method(), Owner().size(), Owner.size, isinstance(3, Owner)) == (1, 2, 3, True)  # type: ignore[comparison-overlap]
    assert short_hits(p) == {
        "Meta.__prepare__": 1,
        "Meta.__new__": 1,
        "Meta.__call__": 2,
        "Meta.__instancecheck__": 1,
        "Meta.size": 1,
        "Owner.method": 1,
    }


def test_a_class_with_a_base_of_c_works(p: Profiler) -> None:
    """Also one whose metaclass is of C and sets attributes in its own way."""

    @p.track_class(0)
    class Pair(ctypes.Structure):
        _fields_ = (("a", ctypes.c_int), ("b", ctypes.c_int))

        def total(self) -> int:
            return self.a + self.b  # type: ignore[no-any-return]

    @p.track_class(0)
    class OddError(Exception):
        def __str__(self) -> str:
            return "odd"

    assert (Pair(1, 2).total(), str(OddError())) == (3, "odd")
    assert short_hits(p) == {"Pair.total": 1, "OddError.__str__": 1}


def test_annotations_of_a_tracked_class_can_be_read(p: Profiler) -> None:
    """From 3.14 on, a function in the class computes them: it is not tracked."""
    namespace: dict[str, Any] = {}
    source = "class Owner:\n    x: int\n    def method(self) -> str: ..."
    # Not inherited: this file's annotations are strings, which no function computes.
    exec(compile(source, "owner.py", "exec", dont_inherit=True), namespace)
    owner = p.track_class(0)(namespace["Owner"])
    assert typing.get_type_hints(owner) == {"x": int}
    assert typing.get_type_hints(owner.method) == {"return": str}
    assert names(p) == ["Owner.method"]


def test_a_property_that_is_tracked_in_its_class_knows_its_name(p: Profiler) -> None:
    """The error names the attribute, not the function."""

    def complaint(decorate: Any) -> str:
        @decorate
        class Owner:
            @property
            def x(self) -> int:
                return 1

            y = property(x.fget)

        with pytest.raises(AttributeError) as met:
            Owner().y = 3  # type: ignore[misc]
        return str(met.value)

    assert complaint(p.track_class(0)) == complaint(lambda cls: cls)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (int, r"^int is a class of C, whose methods cannot be replaced; track a class derived"),
        (function, r"^track_class decorates a class, not <function function at"),
        (typing.List[int], r"^track_class decorates a class, not typing\.List\[int\] of type"),  # noqa: UP006
        (None, r"^track_class decorates a class, not None of type NoneType$"),
    ],
)
def test_what_is_no_class_of_python_is_refused(p: Profiler, given: Any, message: str) -> None:
    """By a sentence that says what it is."""
    with pytest.raises(TypeError, match=message):
        p.track_class(0)(given)


@pytest.mark.parametrize("given", [3, "name", ["method"]])
@pytest.mark.parametrize("what", ["class", "module"])
def test_include_must_be_callable(p: Profiler, what: str, given: Any) -> None:
    """It is refused where it is given."""
    expected = f"must be callable or None, not {given!r} of type {type(given).__name__}"
    track: Any = (
        p.track_class if what == "class" else functools.partial(p.track_module, module=math)
    )
    with pytest.raises(TypeError, match=re.escape(expected)):
        track(0, include=given)


@pytest.mark.parametrize("given", [-1, True, None, ""])
@pytest.mark.parametrize("what", ["class", "module"])
def test_a_track_is_checked_before_anything_is_changed(p: Profiler, what: str, given: Any) -> None:
    """As `track` does."""
    track: Any = (
        p.track_class if what == "class" else functools.partial(p.track_module, module=math)
    )
    with pytest.raises((TypeError, ValueError), match="track"):
        track(given)


# Modules

SOURCE = """
import functools
from itertools import chain
from math import sqrt
from os.path import join
from subprocess import Popen

CONSTANT: int = 3

def function(x=1):
    "Work."
    return helper(x)

def helper(x):
    return x + 1

square = lambda x: x * x
alias = function
part = functools.partial(function, 1)

@functools.lru_cache
def cached(x):
    return x

async def coroutine():
    return 1

class Owner:
    def __init__(self):
        self.x = 1

    def method(self):
        return function(self.x)

    @property
    def value(self):
        return self.x

    class Nested:
        def method(self):
            return 1

Also = Owner
instance = Owner()

class Problem(ValueError):
    pass

def __getattr__(name):
    return name.upper()
"""

IN_SOURCE = [
    *("function", "helper", "square", "cached", "coroutine"),
    *("Owner.__init__", "Owner.method", "Owner.value", "__getattr__"),
]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module as imported."""
    made = types.ModuleType("sample_targets")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    exec(compile(SOURCE, "sample_targets.py", "exec", dont_inherit=True), vars(made))
    yield made
    vars(made).clear()


def test_a_module_is_tracked_with_its_functions_and_classes(p: Profiler, module: Any) -> None:
    """Those defined in it, in order; calls among them are recorded, too."""
    before = dict(vars(module))
    assert p.track_module(0, module) == IN_SOURCE == names(p)
    assert list(vars(module)) == list(before)
    owner = module.Owner()
    assert (owner.method(), owner.value, module.square(3), module.cached(4)) == (2, 1, 9, 4)
    assert (awaited(module.coroutine()), module.nothing, module.Owner.Nested().method()) == (
        *(1, "NOTHING"),
        1,
    )
    assert hits(p) == dict.fromkeys(IN_SOURCE, 1)
    changed = {n for n, v in vars(module).items() if v is not before[n]}
    bare = {n for n in IN_SOURCE if "." not in n} | {"alias"}
    assert changed == (set() if BY_CODE else bare)


def test_what_stands_twice_in_a_module_is_tracked_once(p: Profiler, module: Any) -> None:
    """And goes on being one object."""
    p.track_module(0, module)
    assert (module.alias is module.function, module.Also is module.Owner) == (True, True)
    assert module.alias(1) == 2
    assert hits(p)["function"] == 1


def test_names_that_others_imported_before_are_followed_by_code_alone(
    p: Profiler, module: Any
) -> None:
    """Else they call the bare function; what it calls in turn is the module's."""
    imported = module.function
    p.track_module(0, module)
    assert imported(1) == 2
    assert (hits(p)["function"], hits(p)["helper"]) == (1 if BY_CODE else 0, 1)


def test_a_predicate_chooses_in_a_module(p: Profiler, module: Any) -> None:
    """It is asked for functions and methods alike, by the names that they have where they are."""
    asked: list[str] = []

    def include(name: str, function: Callable[..., Any]) -> bool:
        asked.append(name)
        return not name.startswith("_") and function.__qualname__ != "helper"

    chosen = p.track_module(0, module, include=include)
    assert chosen == [n for n in IN_SOURCE if "__" not in n and n != "helper"]
    assert sorted(asked) == sorted(n.rpartition(".")[2] for n in [*IN_SOURCE, "alias"])


def test_a_predicate_that_raises_leaves_the_module_alone(p: Profiler, module: Any) -> None:
    """Its functions and its classes."""
    before, owner = dict(vars(module)), dict(vars(module.Owner))

    def include(name: str, function: Callable[..., Any]) -> bool:
        return name != "__getattr__" or bool(1 / 0)

    with pytest.raises(ZeroDivisionError):
        p.track_module(0, module, include=include)
    assert all(vars(module)[n] is value for n, value in before.items())
    assert all(vars(module.Owner)[n] is value for n, value in owner.items())
    assert names(p) == []


@replacing
def test_a_class_that_refuses_leaves_the_module_alone(p: Profiler, module: Any) -> None:
    """What had been set before is put back."""
    exec(
        "class Meta(type):\n"
        "    def __setattr__(cls, name, value): raise AttributeError('fixed')\n"
        "class Fixed(metaclass=Meta):\n"
        "    def method(self): return 1\n",
        vars(module),
    )
    before, owner = dict(vars(module)), dict(vars(module.Owner))
    with pytest.raises(AttributeError, match="fixed"):
        p.track_module(0, module)
    assert all(vars(module)[n] is value for n, value in before.items())
    assert all(vars(module.Owner)[n] is value for n, value in owner.items())


def test_tracking_a_module_twice_changes_nothing(p: Profiler, module: Any) -> None:
    """All is tracked already."""
    p.track_module(0, module)
    before = dict(vars(module))
    assert p.track_module(1, module) == []
    assert all(vars(module)[n] is value for n, value in before.items())


def test_what_was_not_in_the_module_then_is_tracked_the_next_time(p: Profiler, module: Any) -> None:
    """As after a reload."""
    p.track_module(0, module)
    exec("def late(): return 1", vars(module))
    assert p.track_module(0, module) == ["late"]


def test_nothing_in_a_module_is_wrapped_while_profiling_is_disabled(
    p: Profiler, module: Any
) -> None:
    """It says that there is nothing."""
    before = dict(vars(module))
    set_global_enabled(False)
    assert p.track_module(0, module) == []
    assert all(vars(module)[n] is value for n, value in before.items())


def test_a_module_of_c_is_tracked_with_its_functions(p: Profiler) -> None:
    """Its classes cannot be changed, and are left out."""
    before = dict(vars(itertools))
    try:
        assert p.track_module(0, itertools) == ["tee"]
        assert [list(x) for x in itertools.tee("a")] == [["a"], ["a"]]
        assert (hits(p), itertools.chain is before["chain"]) == ({"tee": 1}, True)
    finally:
        vars(itertools).update(before)


def test_a_real_module_works_when_it_is_tracked_as_a_whole(p: Profiler) -> None:
    """A copy of one in the standard library: its own functions call each other."""
    module: Any = types.ModuleType("json.decoder")
    module.__package__ = "json"
    exec(compile(inspect.getsource(json.decoder), "decoder.py", "exec"), vars(module))
    tracked = p.track_module(0, module)
    assert "JSONDecoder.decode" in tracked
    assert module.JSONDecoder().decode('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    with pytest.raises(ValueError, match="Expecting value"):
        module.JSONDecoder().decode("[")
    found = {n: h for n, h in hits(p).items() if h}
    assert found["JSONDecoder.decode"] == found["JSONDecoder.__init__"] == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("json", r"takes the module itself, not its name 'json': import it first"),
        (None, r"takes a module, not None of type NoneType"),
        (Station, r"takes a module, not <class '.*Station'> of type type"),
    ],
)
def test_what_is_no_module_is_refused(p: Profiler, given: Any, message: str) -> None:
    """By a sentence that says what to give."""
    with pytest.raises(TypeError, match=message):
        p.track_module(0, given)


def test_what_is_tracked_lives_no_longer_than_what_holds_it(p: Profiler) -> None:
    """A class that is dropped is gone, with its tracked functions; the profiler stays."""
    shape_class = make_shape(p.track_class(0))
    reference = weakref.ref(shape_class)
    del shape_class
    gc.collect()
    assert (reference(), short(p)) == (None, SHAPE)


def test_a_class_keeps_the_profiler_that_tracks_it() -> None:
    """And lets it go."""
    profiler = Profiler("kept")
    reference = weakref.ref(profiler)
    shape_class = make_shape(profiler.track_class(0))
    del profiler
    gc.collect()
    assert shape_class().method() == 2
    kept = reference()
    assert kept is not None
    assert short_hits(kept) == {"Shape.__init__": 1, "Shape.method": 1}
    del kept, shape_class
    gc.collect()
    assert reference() is None


def test_a_compiled_coroutine_function_is_recorded_by_its_calls(p: Profiler) -> None:
    """Its code says what it is, is empty, and what it gives is nothing that the interpreter made."""

    async def like() -> None: ...

    class Given:
        def __await__(self) -> Iterator[int]:
            yield 1

    class Compiled:
        __code__ = like.__code__.replace(co_code=bytes(8), co_exceptiontable=b"")

        def __call__(self) -> Given:
            return Given()

    tracked = p.track(0, "compiled")(Compiled())
    assert [type(tracked()) for _ in range(3)] == [Given] * 3
    assert hits(p) == {"compiled": 3}
