"""A tracked function is a function: whatever is asked of it is answered as for the bare one, whatever is written counts."""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import functools
import gc
import inspect
import pickle
import sys
import types
import typing
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from conftest import Threads, hits
from stichotrope import Profiler, _core

pytestmark = pytest.mark.unit

Mark = Callable[[Any], Any]


@pytest.fixture
def p() -> Profiler:
    """A profiler."""
    return Profiler("function")


def bare(function: Any) -> Any:
    """Mark nothing."""
    return function


def made(mark: Mark) -> Any:
    """A function of every kind of argument, with a variable of the scope around it."""
    closed = 7

    @mark
    def function(a: int, b: str = "x", *rest: float, key: bool = True, **more: Any) -> Any:
        """Give back what is given."""
        return a, b, rest, key, more, closed

    return function


# What is asked


def _error(function: Any) -> str:
    with pytest.raises(TypeError) as caught:
        function(no_such_argument=1)
    return str(caught.value)


ASKED: dict[str, Callable[[Any], Any]] = {
    "is an instance": lambda f: isinstance(f, types.FunctionType),
    "its class": lambda f: f.__class__ is types.FunctionType,
    "inspect.isfunction": inspect.isfunction,
    "inspect.isroutine": inspect.isroutine,
    "inspect.ismethoddescriptor": inspect.ismethoddescriptor,
    "inspect.isdatadescriptor": inspect.isdatadescriptor,
    "inspect.getfile": inspect.getfile,
    "inspect.getsource": inspect.getsource,
    "inspect.getsourcelines": inspect.getsourcelines,
    "inspect.getmodule": inspect.getmodule,
    "inspect.signature": lambda f: str(inspect.signature(f)),
    "inspect.getfullargspec": inspect.getfullargspec,
    "inspect.getclosurevars": lambda f: inspect.getclosurevars(f).nonlocals,
    "names of inspect.getmembers": lambda f: [name for name, _ in inspect.getmembers(f)],
    "dir": dir,
    "vars": vars,
    "type hints": typing.get_type_hints,
    "doc": inspect.getdoc,
    "code": lambda f: f.__code__.co_name,
    "globals": lambda f: f.__globals__ is globals(),
    "builtins": lambda f: f.__builtins__["len"] is len,
    "closure": lambda f: [cell.cell_contents for cell in f.__closure__],
    "defaults": lambda f: (f.__defaults__, f.__kwdefaults__),
    "annotations": lambda f: f.__annotations__,
    "type parameters": lambda f: getattr(f, "__type_params__", None),
    "names": lambda f: (f.__name__, f.__qualname__, f.__module__),
    "representation": lambda f: repr(f).rpartition(" at ")[0],
    "callable": lambda f: isinstance(f, collections.abc.Callable),  # type: ignore[arg-type]
    "hashable": lambda f: isinstance(f, collections.abc.Hashable),
    "autospec": lambda f: _error(mock.create_autospec(f)),
    "the error of a call": lambda f: _error(f),
}


@pytest.mark.parametrize("question", ASKED)
def test_it_is_answered_as_for_the_bare_one(p: Profiler, question: str) -> None:
    """Each question on both."""
    assert ASKED[question](made(p.track(0))) == ASKED[question](made(bare))


@pytest.mark.parametrize("name", ["getargvalues", "namedtuple", "enum", "type variable"])
def test_what_looks_at_the_calling_frame_sees_the_function(p: Profiler, name: str) -> None:
    """Types that are made in a tracked function belong to its module."""

    @p.track(0)
    def make() -> Any:
        if name == "namedtuple":
            return collections.namedtuple("Pair", "a b").__module__
        if name == "enum":
            import enum

            return enum.Enum("Colour", "RED").__module__
        if name == "type variable":
            return typing.TypeVar("T").__module__
        frame = inspect.currentframe()
        assert frame is not None
        return frame.f_globals["__name__"]

    assert make() == __name__


# What is written


@pytest.mark.parametrize("mark", ["marked", "bare"])
@pytest.mark.parametrize("layers", [1, 2])
def test_what_is_written_counts(p: Profiler, mark: str, layers: int) -> None:
    """In the next call, the signature, and what is read back."""

    def other(a: int, b: str = "x", *rest: float, key: bool = True, **more: Any) -> Any:
        return "other", a, b, key, closed

    closed = 8
    function = made(p.track(0) if mark == "marked" else bare)
    if layers == 2 and mark == "marked":
        function = p.track(0, "outer")(function)
    function.__defaults__ = ("y",)
    function.__kwdefaults__ = {"key": 5}
    assert function(1) == (1, "y", (), 5, {}, 7)
    function.__kwdefaults__["key"] = 6
    assert function(1)[3] == 6
    function.__code__ = other.__code__
    assert function(1) == ("other", 1, "y", 6, 7)
    assert function.__code__ is other.__code__
    del function.__defaults__
    assert function.__defaults__ is None
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'b'"):
        function(1)
    function.__name__, function.__qualname__ = "named", "qualified"
    function.__doc__, function.__module__ = "Documented.", "elsewhere"
    function.__annotations__ = {"a": float}
    function.__annotations__["b"] = bytes
    assert (function.__name__, function.__qualname__) == ("named", "qualified")
    assert (function.__doc__, function.__module__) == ("Documented.", "elsewhere")
    assert function.__annotations__ == {"a": float, "b": bytes}
    assert str(inspect.signature(function)) == "(a: float, b: bytes, *rest, key=6, **more)"
    assert repr(function).startswith("<function qualified at 0x")
    function.__dict__ = {"set": 1}
    function.more = 2
    assert (vars(function), function.set) == ({"set": 1, "more": 2}, 1)
    del function.set
    assert not hasattr(function, "set")
    if sys.version_info >= (3, 12):
        function.__type_params__ = (1,)
        assert function.__type_params__ == (1,)


REFUSED: dict[str, tuple[str, Any]] = {
    "defaults": ("__defaults__", 3),
    "keyword defaults": ("__kwdefaults__", 3),
    "code": ("__code__", "code"),
    "code with other variables around it": ("__code__", _error.__code__),
    "name": ("__name__", 1),
    "qualified name": ("__qualname__", None),
    "annotations": ("__annotations__", 1),
    "dictionary": ("__dict__", 1),
    "globals": ("__globals__", {}),
    "builtins": ("__builtins__", {}),
    "closure": ("__closure__", ()),
}


@pytest.mark.parametrize("written", REFUSED)
def test_what_the_bare_one_refuses_is_refused_alike(p: Profiler, written: str) -> None:
    """With the same exception, and nothing changed."""
    name, value = REFUSED[written]
    said = []
    for mark in (bare, p.track(0)):
        function = made(mark)
        with pytest.raises((TypeError, AttributeError, ValueError)) as caught:
            setattr(function, name, value)
        said.append((type(caught.value), str(caught.value)))
        assert function(1) == (1, "x", (), True, {}, 7)
    assert said[0] == said[1]


def test_its_class_cannot_be_changed(p: Profiler) -> None:
    """As for every function."""
    with pytest.raises(TypeError, match="__class__"):
        made(p.track(0)).__class__ = dict


@pytest.mark.filterwarnings("ignore:Assigning a code object of non-matching type")
def test_it_becomes_a_generator_function_by_its_code(p: Profiler) -> None:
    """What a call gives is then timed when it runs."""

    def stepping() -> Any:
        yield 1
        yield 2

    @p.track(0)
    def function() -> Any:
        return 3

    assert function() == 3
    function.__code__ = stepping.__code__
    assert list(function()) == [1, 2]
    assert hits(p) == {"function": 2}


def test_what_is_written_to_the_bare_one_counts_too(p: Profiler) -> None:
    """It is one function with two doors; each has attributes of its own."""

    def function(a: int = 1) -> int:
        return a

    tracked = p.track(0)(function)
    function.__defaults__ = (2,)
    function.kind = "bare"  # type: ignore[attr-defined]
    assert (tracked(), tracked.__defaults__, hasattr(tracked, "kind")) == (2, (2,), False)  # type: ignore[attr-defined]


def test_what_a_decorator_has_wrapped_is_what_it_says(p: Profiler) -> None:
    """The way around a decorator (a cache, a retry) stays the same; the mark itself is not on it."""

    def plain(a: int) -> int:
        return a

    @functools.wraps(plain)
    def decorated(a: int) -> int:
        return plain(a) + 1

    cached = functools.lru_cache(plain)
    for function in (decorated, cached, p.track(0, "inner")(decorated)):
        tracked: Any = p.track(0)(function)
        assert tracked.__wrapped__ is plain
        assert vars(tracked)["__wrapped__"] is plain
        assert inspect.unwrap(tracked) is plain
        assert inspect.signature(tracked) == inspect.signature(function)
    replaced: Any = p.track(0)(decorated)
    replaced.__wrapped__ = print
    assert (replaced.__wrapped__, vars(replaced)["__wrapped__"]) == (print, print)
    assert decorated.__wrapped__ is plain  # type: ignore[attr-defined]
    del replaced.__wrapped__
    assert not hasattr(replaced, "__wrapped__")
    with pytest.raises(AttributeError, match="'function' object has no attribute '__wrapped__'"):
        del replaced.__wrapped__
    replaced.__dict__ = {"__wrapped__": 5}
    assert replaced.__wrapped__ == 5


def test_what_it_wraps_can_be_replaced(p: Profiler) -> None:
    """As `functools.update_wrapper` does; what is called stays."""
    tracked: Any = made(p.track(0))
    original = tracked.__wrapped__
    functools.update_wrapper(tracked, print)
    assert (tracked.__wrapped__, tracked.__name__) == (print, "print")
    assert tracked(1) == original(1)
    del tracked.__wrapped__
    assert not hasattr(tracked, "__wrapped__")
    assert hits(p) == {"function": 1}


# In classes


def test_methods_of_every_kind_are_called_and_counted(p: Profiler) -> None:
    """Through the instance, the class and `super`, warm and cold."""

    class Base:
        @p.track(0, "__init__")
        def __init__(self, value: int) -> None:
            self.value = value

        @p.track(0, "method")
        def method(self) -> int:
            return self.value

        @property
        @p.track(0, "shown")
        def shown(self) -> int:
            return self.value

        @classmethod
        @p.track(0, "of_class")
        def of_class(cls) -> str:
            return cls.__name__

        @staticmethod
        @p.track(0, "static")
        def static(value: int) -> int:
            return value

        @p.track(0, "__getitem__")
        def __getitem__(self, key: int) -> int:
            return key

        @p.track(0, "__getattr__")
        def __getattr__(self, name: str) -> str:
            return name

    class Derived(Base):
        def method(self) -> int:
            return super().method() + 1

    rounds = 200
    for number in range(rounds):
        made = Derived(number)
        assert (made.method(), Base.method(made), made.shown) == (number + 1, number, number)
        assert (made.of_class(), made.static(3), made[4], made.missing) == (
            "Derived",
            3,
            4,
            "missing",
        )
    assert hits(p) == {
        "__init__": rounds,
        "method": 2 * rounds,
        "shown": rounds,
        "of_class": rounds,
        "static": rounds,
        "__getitem__": rounds,
        "__getattr__": rounds,
    }


def test_a_class_makes_methods_of_some_names(p: Profiler) -> None:
    """By the names that functions are bound to there, whatever they call themselves; metaclasses see plain functions."""
    seen: list[dict[str, Any]] = []
    begun: list[Any] = []

    class Meta(type):
        def __new__(mcs, name: str, bases: Any, namespace: Any) -> Any:
            seen.append({key: type(value) for key, value in namespace.items()})
            return super().__new__(mcs, name, bases, namespace)

        def __setattr__(cls, name: str, value: Any) -> None:
            raise AssertionError("nobody sets an attribute of this class")

    @p.track(0, "make")
    def make(cls: Any) -> Any:
        return object.__new__(cls)

    @p.track(0, "item")
    def item(cls: Any, key: Any) -> Any:
        return cls, key

    @p.track(0, "begin")
    def begin(cls: Any) -> None:
        begun.append(cls)

    class Kind(metaclass=Meta):
        __new__, __class_getitem__, __init_subclass__ = make, item, begin  # type: ignore[assignment]
        also = make

        @p.track(0, "plain")
        def __new__plain(self) -> Any:  # named so in its code only
            return self

    kind_plain = vars(Kind)["_Kind__new__plain"]

    class Derived(Kind):
        pass

    assert {seen[0][name] for name in ("__new__", "__class_getitem__", "__init_subclass__")} == {
        type(make)
    }
    assert type(Kind()) is Kind
    assert (Kind[3], begun) == ((Kind, 3), [Derived])  # type: ignore[type-arg, valid-type]
    assert type(vars(Kind)["__new__"]) is staticmethod
    assert {type(vars(Kind)[n]) for n in ("__class_getitem__", "__init_subclass__")} == {
        classmethod
    }
    assert (vars(Kind)["also"], kind_plain(2)) == (make, 2)
    assert hits(p) == {"make": 1, "item": 1, "begin": 1, "plain": 1}


def test_a_bound_method_is_one_of_a_function(p: Profiler) -> None:
    """It compares, and names its function, as usual."""

    class Kind:
        method = made(p.track(0))

    instance = Kind()
    assert inspect.ismethod(instance.method)
    assert instance.method == instance.method
    assert instance.method.__func__ is Kind.method is vars(Kind)["method"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="before, the bare one fails too")
def test_super_finds_a_class_that_was_made_again(p: Profiler) -> None:
    """As `dataclass(slots=True)` does."""

    @dataclasses.dataclass(slots=True)
    class Point:
        x: int

        @p.track(0)
        def kind(self) -> Any:
            return super().__init__, __class__  # type: ignore[name-defined]

    assert Point(1).kind()[1] is Point


def test_types_coroutine_takes_it(p: Profiler) -> None:
    """And what it gives can be awaited."""

    @types.coroutine
    @p.track(0, "step")
    def step() -> Any:
        return (yield 1)

    @p.track(0, "main")
    async def main() -> Any:
        return await step()

    running = main()
    assert running.send(None) == 1
    with pytest.raises(StopIteration) as stopped:
        running.send(5)
    assert stopped.value.value == 5
    assert hits(p) == {"step": 1, "main": 1}


# What is documented to differ, at the end of docs/troubleshooting.md


def test_its_exact_type_is_another_one(p: Profiler) -> None:
    """Which has the same name, and a size of its own."""

    def plain() -> None: ...

    marked = p.track(0)(plain)
    assert (type(plain), type(marked)) == (types.FunctionType, _core.TrackedFunction)
    assert type(plain).__name__ == type(marked).__name__
    assert sys.getsizeof(plain) != sys.getsizeof(marked)


def test_unwrapping_leads_past_the_mark(p: Profiler) -> None:
    """Unless a decorator below it has said what it wraps."""

    def plain() -> None: ...

    @p.track(0, "wrapping")
    @functools.wraps(plain)
    def wrapping() -> None: ...

    assert inspect.unwrap(p.track(0, "plain")(plain)) is plain
    assert inspect.unwrap(wrapping) is plain
    inspect.unwrap(p.track(0, "plain")(plain))()
    assert hits(p) == {"wrapping": 0, "plain": 0}


def test_what_is_written_past_its_attributes_has_no_effect(p: Profiler) -> None:
    """On the next call; what is written to them has."""

    @p.track(0)
    def function(a: int = 1) -> int:
        return a

    vars(types.FunctionType)["__defaults__"].__set__(function, (2,))
    assert function() == 1
    function.__defaults__ = (3,)
    assert function() == 3


def test_arguments_are_lent(p: Profiler) -> None:
    """What only the call refers to lives until it returns; where the code is tracked, until the function lets go of it."""

    class Thing: ...

    def dropped(argument: object) -> bool:
        reference = weakref.ref(argument)
        del argument
        gc.collect()
        return reference() is None

    assert not p.track(0)(dropped)(Thing())
    assert not functools.partial(dropped)(Thing())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in 3.12")
def test_monitoring_is_told_of_a_call_of_c(p: Profiler) -> None:
    """At the call of a marked function, besides what it is told of the function."""
    monitoring = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    events = monitoring.events
    told: list[tuple[str, str]] = []

    def function() -> int:
        return 1

    def call(each: Any) -> None:
        each()

    code = {function.__code__: "function", call.__code__: "call"}
    tool = next(n for n in range(6) if monitoring.get_tool(n) is None)
    monitoring.use_tool_id(tool, "test")
    try:
        for name in ("PY_START", "C_RETURN"):
            monitoring.register_callback(
                tool,
                getattr(events, name),
                lambda where, *_, name=name: told.append((name, code.get(where, ""))),
            )
        for each in code:
            monitoring.set_local_events(tool, each, events.PY_START | events.CALL)
        call(function)
        bare, told[:] = list(told), []
        call(p.track(0)(function))
    finally:
        monitoring.free_tool_id(tool)
    assert bare == [("PY_START", "call"), ("PY_START", "function")]
    assert told == [*bare, ("C_RETURN", "call")]


def test_next_goes_on_with_a_coroutine_that_is_awaited(p: Profiler) -> None:
    """Once it has been suspended; before, it is refused like the bare one."""

    @types.coroutine
    def pause() -> Any:
        yield 1
        yield 2

    @p.track(0)
    async def awaited() -> None:
        await pause()

    async def waits(coroutine: Any) -> None:
        await coroutine

    coroutine: Any = awaited()
    with pytest.raises(TypeError, match="'coroutine' object is not an iterator"):
        next(coroutine)
    waiting = waits(coroutine)
    assert (waiting.send(None), next(coroutine)) == (1, 2)
    waiting.close()


# Its life


def test_it_is_pickled_by_reference_and_copied_as_itself(p: Profiler) -> None:
    """By every protocol."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(OF_MODULE, protocol)) is OF_MODULE


def test_what_cannot_be_pickled_says_so_as_the_bare_one_does(p: Profiler) -> None:
    """For lambdas and functions in functions."""
    for function in (lambda: 1, made(bare)):
        said = []
        for mark in (bare, p.track(0)):
            with pytest.raises((pickle.PicklingError, AttributeError)) as caught:
                pickle.dumps(mark(function))
            said.append(type(caught.value))
        assert said[0] is said[1]


OF_MODULE = Profiler("of the module").track(0)(lambda: 5)
OF_MODULE.__qualname__ = "OF_MODULE"


def test_its_type_is_one_that_nobody_counts() -> None:
    """A type of the heap would be the word that all threads contend for without the GIL."""
    assert not _core.TrackedFunction.__flags__ & (1 << 9)  # Py_TPFLAGS_HEAPTYPE
    assert _core.TrackedFunction.__base__ is types.FunctionType


def test_a_cycle_through_it_is_collected(p: Profiler) -> None:
    """By its dictionary, its closure and its defaults."""

    def make() -> Any:
        @p.track(0)
        def function(default: Any = None) -> Any:
            return function

        function.itself = function  # type: ignore[attr-defined]
        function.__defaults__ = (function,)
        function()
        return weakref.ref(function), weakref.ref(function.__wrapped__)  # type: ignore[attr-defined]

    references = [each for _ in range(100) for each in make()]
    gc.collect()
    assert [reference() for reference in references if reference() is not None] == []


def test_it_keeps_its_profiler_and_lets_go_of_it() -> None:
    """Also when called by a finalizer of its own cycle."""
    called: list[int] = []

    class Last:
        def __init__(self, function: Any) -> None:
            self.function = function

        def __del__(self) -> None:
            called.append(self.function())

    profiler = Profiler("gone")
    function = profiler.track(0)(lambda: 1)
    function.last = Last(function)  # type: ignore[attr-defined]
    reference = weakref.ref(profiler)
    del profiler, function
    gc.collect()
    gc.collect()
    assert (called, reference()) == ([1], None)


def test_writing_while_others_call_harms_nobody(p: Profiler, threads: Threads) -> None:
    """Each call sees the old or the new, whole."""

    @p.track(0, "f")
    def function(a: int = 0) -> int:
        return a

    def write() -> None:
        for number in range(2_000):
            function.__defaults__ = (number,)
            function.__dict__ = {"number": number}

    def call() -> None:
        for _ in range(2_000):
            assert 0 <= function() < 2_000

    threads.together(write, write, call, call)
    assert hits(p) == {"f": 4_000}


# Libraries that take a function apart


def test_what_makes_a_function_of_a_tracked_one_makes_a_tracked_one(p: Profiler) -> None:
    """Of each layer, with its attributes; who looks for the caller finds it, as without."""
    callers: list[str] = []

    def remake(function: types.FunctionType) -> Any:
        frame = inspect.currentframe()
        assert frame is not None
        assert frame.f_back is not None
        callers.append(frame.f_back.f_code.co_name)
        if function.__name__ == "refused":
            return "no reason"
        return types.FunctionType(function.__code__, function.__globals__, "again")

    through = _core.Through(remake)

    @p.track(0, "outer")
    @p.track(0, "inner")
    def function() -> int:
        return 5

    function.kind = "attribute"  # type: ignore[attr-defined]
    made = through(function)
    assert (made(), made.kind, type(made) is type(function)) == (5, "attribute", True)
    assert hits(p) == {"inner": 1, "outer": 1}
    assert type(through(_error)) is types.FunctionType

    @p.track(0)
    def refused() -> None: ...

    assert through(refused) == "no reason"
    assert set(callers) == {"test_what_makes_a_function_of_a_tracked_one_makes_a_tracked_one"}
