"""A tracked function stays itself: it is called, bound, inspected and copied as before."""

from __future__ import annotations

import abc
import copy
import doctest
import functools
import inspect
import pickle
import pydoc
import re
import signal
import sys
import traceback
import types
import typing
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from conftest import ManualClock, hits, recorded
from stichotrope import Profiler

pytestmark = pytest.mark.unit

MODULE = Profiler("of the module")
LINE_OF_DOCUMENTED = inspect.currentframe().f_lineno + 3  # type: ignore[union-attr]


@MODULE.track(0)
def documented(a: int, b: str = "x", *rest: float, key: bool = True, **more: Any) -> list[int]:
    """Add one.

    >>> documented(1)
    [2]
    """
    return [a + 1]


def plain(a: int, b: str = "x", *rest: float, key: bool = True, **more: Any) -> list[int]:
    """Add one.

    >>> documented(1)
    [2]
    """
    return [a + 1]


class Documented:
    """A class whose method is pickled by reference."""

    @MODULE.track(0)
    def method(self) -> str:
        """Answer."""
        return "answer"


@pytest.fixture
def p() -> Profiler:
    """A profiler of the test's own."""
    return Profiler("tracked")


def square(x: int) -> int:
    """Return the square."""
    return x * x


def echo(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what was given."""
    return args, kwargs


# What it says of itself


@pytest.mark.parametrize("attribute", ["__name__", "__qualname__", "__module__", "__doc__"])
def test_names_and_documentation_are_the_functions_own(p: Profiler, attribute: str) -> None:
    """Each reads as it does on the bare function."""
    assert getattr(p.track(0)(plain), attribute) == getattr(plain, attribute)


def test_the_bare_function_is_under_wrapped(p: Profiler) -> None:
    """As with every well-kept decorator."""
    tracked: Any = p.track(0)(plain)
    assert tracked.__wrapped__ is plain


def test_the_signature_is_the_functions_own(p: Profiler) -> None:
    """Kinds, defaults and annotations included."""
    assert inspect.signature(p.track(0)(plain)) == inspect.signature(plain)


def test_the_signature_of_a_bound_method_lacks_self(p: Profiler) -> None:
    """As inspect gives it for any method."""

    class Owner:
        @p.track(0)
        def method(self, a: int, *, b: int = 2) -> None:
            """Do nothing."""

    assert str(inspect.signature(Owner().method)) == "(a: 'int', *, b: 'int' = 2) -> 'None'"


def test_a_signature_that_was_set_by_hand_is_kept(p: Profiler) -> None:
    """`__signature__` goes before what the code says."""

    def function(*args: Any) -> None:
        """Do nothing."""

    by_hand = inspect.Signature([inspect.Parameter("x", inspect.Parameter.POSITIONAL_ONLY)])
    function.__signature__ = by_hand  # type: ignore[attr-defined]
    tracked: Any = p.track(0)(function)
    assert (tracked.__signature__, inspect.signature(tracked)) == (by_hand, by_hand)


@pytest.mark.parametrize(
    "attribute",
    [
        "__annotations__",
        "__defaults__",
        "__kwdefaults__",
        "__code__",
        "__globals__",
        "__closure__",
        "__type_params__",
    ],
)
def test_what_a_function_is_made_of_can_be_read(p: Profiler, attribute: str) -> None:
    """Annotations, defaults, code and the rest are the function's, or missing where they were."""
    missing = object()
    tracked = p.track(0)(plain)
    assert getattr(tracked, attribute, missing) == getattr(plain, attribute, missing)


def test_type_hints_are_resolved_in_the_functions_module(p: Profiler) -> None:
    """Strings that stand for types become types."""
    assert typing.get_type_hints(p.track(0)(plain)) == {
        "a": int,
        "b": str,
        "rest": float,
        "key": bool,
        "more": Any,
        "return": list[int],
    }


@pytest.mark.parametrize(
    "question",
    [
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isclass,
        inspect.isgenerator,
        inspect.iscoroutine,
        inspect.isawaitable,
        inspect.ismethod,
        inspect.isabstract,
        inspect.isroutine,
        callable,
    ],
)
def test_inspect_answers_as_for_the_bare_function(
    p: Profiler, question: Callable[[object], bool]
) -> None:
    """A plain function is no coroutine, no generator function, no class, but a routine."""
    assert question(p.track(0)(plain)) == question(plain)


def test_the_source_is_found(p: Profiler) -> None:
    """Through `__wrapped__`."""
    assert inspect.getsource(p.track(0)(plain)) == inspect.getsource(plain)


def test_an_attribute_that_was_set_before_is_there(p: Profiler) -> None:
    """Marks that other decorators left on the function stay."""

    def function() -> None:
        """Do nothing."""

    function.mark = "before"  # type: ignore[attr-defined]
    tracked: Any = p.track(0)(function)
    assert tracked.mark == "before"


def test_an_attribute_can_be_set_changed_and_deleted_afterwards(p: Profiler) -> None:
    """On the tracked function, without touching the bare one."""

    def function() -> None:
        """Do nothing."""

    tracked: Any = p.track(0)(function)
    tracked.mark = 1
    tracked.mark += 1
    assert (tracked.mark, hasattr(function, "mark")) == (2, False)
    del tracked.mark
    assert not hasattr(tracked, "mark")


def test_names_can_be_changed_afterwards(p: Profiler) -> None:
    """As on a function."""

    def function() -> None:
        """Do nothing."""

    tracked: Any = p.track(0)(function)
    tracked.__name__, tracked.__doc__ = "other", "Other."
    assert (tracked.__name__, tracked.__doc__) == ("other", "Other.")


def test_a_missing_attribute_is_missed_by_name(p: Profiler) -> None:
    """The error names the attribute."""
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = p.track(0)(plain).no_such_thing  # type: ignore[attr-defined]


def test_its_repr_is_that_of_a_function(p: Profiler) -> None:
    """Who prints it sees what it stands for."""
    assert re.fullmatch(r"<function plain at 0x[0-9a-f]+>", repr(p.track(0)(plain)))


def test_help_shows_name_signature_and_documentation(p: Profiler) -> None:
    """The same text as for the bare function."""

    def text(function: object) -> list[str]:
        return pydoc.plain(pydoc.render_doc(function)).splitlines()[1:]

    shown = text(p.track(0)(plain))
    assert re.search("b: '?str'? = 'x'", " ".join(shown))  # without the quotes from 3.14 on
    assert "    Add one." in shown
    assert shown == text(plain)


def test_doctest_finds_and_runs_its_examples() -> None:
    """The examples of a tracked function of a module are found once, run, and recorded."""
    MODULE.clear()
    module = sys.modules[__name__]
    found = [
        test
        for test in doctest.DocTestFinder().find(module)
        if test.name == f"{__name__}.documented"
    ]
    outcome = doctest.DocTestRunner(verbose=False).run(found[0])
    assert (len(found), outcome.attempted, outcome.failed) == (1, 1, 0)
    assert hits(MODULE)["documented"] == 1


def test_file_and_line_of_the_block_are_the_functions() -> None:
    """Not those of whoever decorated it."""
    block = recorded(MODULE)["documented"]
    assert (block.file, block.line) == (__file__, LINE_OF_DOCUMENTED)


# Copies and references


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_pickled_by_reference(protocol: int) -> None:
    """What comes back is the same object."""
    assert pickle.loads(pickle.dumps(documented, protocol)) is documented


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_tracked_method_is_pickled_by_reference(protocol: int) -> None:
    """Through the class, and bound to an instance."""
    assert pickle.loads(pickle.dumps(Documented.method, protocol)) is Documented.method
    assert pickle.loads(pickle.dumps(Documented().method, protocol))() == "answer"


def test_one_that_cannot_be_found_again_cannot_be_pickled(p: Profiler) -> None:
    """As with a local function."""
    nameless: Any = lambda: None  # noqa: E731
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(p.track(0)(nameless))


def test_copies_are_the_object_itself(p: Profiler) -> None:
    """As with functions; also deep inside something that is copied."""
    tracked = p.track(0)(plain)
    assert copy.copy(tracked) is tracked
    assert copy.deepcopy({"a": [tracked]})["a"][0] is tracked


def test_it_can_be_referred_to_weakly(p: Profiler) -> None:
    """The reference dies with it."""
    tracked = p.track(0)(lambda: None)
    gone: list[object] = []
    reference = weakref.ref(tracked, gone.append)
    assert reference() is tracked
    del tracked
    assert (reference(), gone) == (None, [reference])


def test_it_can_be_a_key(p: Profiler) -> None:
    """It equals itself and nothing else."""
    first, second = p.track(0)(plain), p.track(0)(plain)
    assert {first: 1, second: 2}[first] == 1
    assert first != second != plain


def test_its_type_makes_plain_functions(p: Profiler) -> None:
    """As whoever copies a function by its type expects; only a profiler makes tracked ones."""
    tracked: Any = p.track(0)(square)
    copied = type(tracked)(tracked.__code__, tracked.__globals__, "copied")
    assert (type(copied), copied(3), copied.__name__) == (types.FunctionType, 9, "copied")
    assert hits(p) == {"square": 0}


def test_partial_of_it_records(p: Profiler) -> None:
    """functools.partial calls it with its own arguments before the caller's."""
    tracked = p.track(0)(echo)
    assert functools.partial(tracked, 1, a=2)(3, b=4) == ((1, 3), {"a": 2, "b": 4})
    assert hits(p) == {"echo": 1}


def test_another_decorator_can_wrap_it(p: Profiler) -> None:
    """functools.wraps takes its name, documentation and signature from it."""
    tracked = p.track(0)(plain)

    @functools.wraps(tracked)
    def outer(*args: Any, **kwargs: Any) -> list[int]:
        return tracked(*args, **kwargs)

    assert (outer.__name__, outer.__doc__) == ("plain", plain.__doc__)
    assert inspect.signature(outer) == inspect.signature(plain)
    assert inspect.unwrap(outer) is plain
    assert (outer(1), hits(p)) == ([2], {"plain": 1})


def test_a_cache_around_it_sees_only_misses_recorded(p: Profiler) -> None:
    """functools.lru_cache calls it when it does not know the answer."""
    cached = functools.lru_cache(p.track(0, "square")(square))
    assert [cached(3), cached(3), cached(4)] == [9, 9, 16]
    assert hits(p) == {"square": 2}


def test_single_dispatch_around_it_works(p: Profiler) -> None:
    """Implementations of a generic function may be tracked."""
    generic: Any = functools.singledispatch(p.track(0, "any")(lambda *x: "any"))
    generic.register(int, p.track(0, "int")(lambda *x: "int"))
    assert [generic("a"), generic(1), generic(2)] == ["any", "int", "int"]
    assert hits(p) == {"any": 1, "int": 2}


def test_the_caller_may_track_it_again(p: Profiler) -> None:
    """A function that two profilers track is recorded by both."""
    other = Profiler("other")
    assert p.track(0)(other.track(0)(plain))(1) == [2]
    assert (hits(p), hits(other)) == ({"plain": 1}, {"plain": 1})


def test_it_can_be_reached_as_an_attribute_of_an_instance(p: Profiler) -> None:
    """There it does not bind, as a function would not."""
    holder = types.SimpleNamespace(call=p.track(0)(echo))
    assert holder.call(1) == ((1,), {})


# Methods


def test_a_method_gets_its_instance(p: Profiler) -> None:
    """Bound, kept and called later, and through the class."""

    class Owner:
        @p.track(0)
        def method(self, a: int) -> tuple[Any, int]:
            return self, a

    owner = Owner()
    kept: Any = owner.method
    assert [owner.method(1), kept(2), Owner.method(owner, 3)] == [(owner, i) for i in (1, 2, 3)]
    assert (kept.__self__, kept.__func__) == (owner, Owner.__dict__["method"])
    assert kept == owner.method
    assert isinstance(kept, types.MethodType)
    assert hits(p) == {"method": 3}


def test_a_method_works_on_instances_with_slots(p: Profiler) -> None:
    """Nothing has to be stored on the instance."""

    class Slotted:
        __slots__ = ("value",)

        def __init__(self) -> None:
            self.value = 7

        @p.track(0)
        def method(self) -> int:
            return self.value

    assert Slotted().method() == 7


def test_super_reaches_the_overridden_method(p: Profiler) -> None:
    """Both are recorded, the inner one as a child of the outer."""

    class Base:
        @p.track(0, "base")
        def method(self) -> list[str]:
            return ["base"]

    class Derived(Base):
        @p.track(0, "derived")
        def method(self) -> list[str]:
            return [*super().method(), "derived"]

    assert Derived().method() == ["base", "derived"]
    (top,) = p.get_results().tree.children
    assert (top.name, [child.name for child in top.children]) == ("derived", ["base"])


def test_an_override_hides_the_tracked_method(p: Profiler) -> None:
    """What is not called is not recorded."""

    class Base:
        @p.track(0)
        def method(self) -> str:
            return "base"

    class Derived(Base):
        def method(self) -> str:
            return "derived"

    assert (Derived().method(), hits(p)) == ("derived", {"method": 0})


@pytest.mark.parametrize("outermost", ["track", "descriptor"])
def test_static_methods_work_in_either_order(p: Profiler, outermost: str) -> None:
    """Called through the class and through an instance."""
    track: Any = p.track(0, "method")

    def method(a: int) -> int:
        return a

    wrapped = track(staticmethod(method)) if outermost == "track" else staticmethod(track(method))
    owner: Any = type("Owner", (), {"method": wrapped})
    assert (owner.method(1), owner().method(2)) == (1, 2)
    assert isinstance(owner.__dict__["method"], staticmethod)
    assert hits(p) == {"method": 2}


@pytest.mark.parametrize("outermost", ["track", "descriptor"])
def test_class_methods_work_in_either_order(p: Profiler, outermost: str) -> None:
    """They get the class that they are called on, derived ones too."""
    track: Any = p.track(0, "method")

    def method(cls: type, a: int) -> tuple[type, int]:
        return cls, a

    wrapped = track(classmethod(method)) if outermost == "track" else classmethod(track(method))
    owner: Any = type("Owner", (), {"method": wrapped})
    derived: Any = type("Derived", (owner,), {})
    assert [owner.method(1), owner().method(2), derived.method(3)] == [
        (owner, 1),
        (owner, 2),
        (derived, 3),
    ]
    assert isinstance(owner.__dict__["method"], classmethod)
    assert hits(p) == {"method": 3}


@pytest.mark.parametrize("outermost", ["track", "descriptor"])
def test_properties_work_in_either_order(p: Profiler, outermost: str) -> None:
    """Getting is recorded, the documentation is the getter's."""
    track: Any = p.track(0, "value")

    def value(self: Any) -> int:
        """The value."""
        return 7

    wrapped = track(property(value)) if outermost == "track" else property(track(value))
    owner: Any = type("Owner", (), {"value": wrapped})
    assert (owner().value, owner.value.__doc__) == (7, "The value.")
    assert isinstance(owner.__dict__["value"], property)
    assert hits(p) == {"value": 1}


def test_setting_and_deleting_a_tracked_property_is_recorded(p: Profiler) -> None:
    """Getter, setter and deleter are blocks of their own, and their names say which."""

    class Owner:
        def __init__(self) -> None:
            self.stored = 0

        @property
        def value(self) -> int:
            return self.stored

        @value.setter
        def value(self, new: int) -> None:
            self.stored = new

        @value.deleter
        def value(self) -> None:
            self.stored = -1

        value = p.track(0)(value)

    owner = Owner()
    owner.value = 5
    assert owner.value == 5
    del owner.value
    assert owner.stored == -1
    blocks = p.get_results().tracks[0].blocks
    assert [(block.name, block.hit_count) for block in blocks] == [
        ("value", 1),
        ("value.setter", 1),
        ("value.deleter", 1),
    ]


@pytest.mark.parametrize("outermost", ["track", "abstract"])
def test_abstract_methods_stay_abstract(p: Profiler, outermost: str) -> None:
    """A class with one cannot be made until it is overridden."""
    track: Any = p.track(0, "method")

    def method(self: Any) -> str:
        return "base"

    wrapped = (
        track(abc.abstractmethod(method))
        if outermost == "track"
        else abc.abstractmethod(track(method))
    )
    base = abc.ABCMeta("Base", (), {"method": wrapped})
    with pytest.raises(TypeError, match="abstract"):
        base()
    derived: Any = type("Derived", (base,), {"method": lambda self: super(derived, self).method()})
    assert (derived().method(), hits(p)) == ("base", {"method": 1})


# Arguments and results


class Thing:
    """Something whose identity can be told."""


def test_arguments_arrive_as_the_objects_that_were_given(p: Profiler) -> None:
    """Positional, by keyword, from a tuple and a dict."""
    tracked = p.track(0)(echo)
    given = [Thing() for _ in range(6)]
    a, b, c, d, e, f = given
    args, kwargs = tracked(a, *(b, c), k=d, **dict(zip("mn", (e, f), strict=True)))
    assert [id(x) for x in args] == [id(a), id(b), id(c)]
    assert {k: id(v) for k, v in kwargs.items()} == {"k": id(d), "m": id(e), "n": id(f)}


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((1,), {}),
        (tuple(range(300)), {}),
        ((), {f"k{i}": i for i in range(300)}),
        ((1, 2, 3), {"z": 1, "a": 2}),
    ],
    ids=["none", "one", "many", "many by keyword", "both"],
)
def test_arguments_of_any_number_arrive_in_order(
    p: Profiler, args: tuple[int, ...], kwargs: dict[str, int]
) -> None:
    """Keywords keep the order in which they were given."""
    got_args, got_kwargs = p.track(0)(echo)(*args, **kwargs)
    assert (got_args, list(got_kwargs.items())) == (args, list(kwargs.items()))


def test_positional_only_and_keyword_only_parameters_work(p: Profiler) -> None:
    """With and without their defaults."""

    @p.track(0)
    def function(a: int, b: int = 2, /, c: int = 3, *, d: int, e: int = 5) -> tuple[int, ...]:
        return a, b, c, d, e

    assert function(1, d=4) == (1, 2, 3, 4, 5)
    assert function(10, 20, c=30, d=40, e=50) == (10, 20, 30, 40, 50)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2, 3, 4), {}), ((1,), {"nobody": 1}), ((), {"a": 1, "d": 1})],
    ids=["missing", "too many", "unknown keyword", "positional-only by keyword"],
)
def test_wrong_arguments_are_complained_about_as_before(
    p: Profiler, args: tuple[int, ...], kwargs: dict[str, int]
) -> None:
    """The same error in the same words, and a pass that is recorded."""

    def function(a: int, /, b: int = 2, *, d: int = 0) -> None:
        """Do nothing."""

    tracked: Any = p.track(0)(function)
    with pytest.raises(TypeError) as bare:
        function(*args, **kwargs)
    with pytest.raises(TypeError) as met:
        tracked(*args, **kwargs)
    assert (str(met.value), hits(p)) == (str(bare.value), {"function": 1})


def test_the_dict_that_is_passed_by_stars_is_not_shared(p: Profiler) -> None:
    """The function may change its keywords without changing the caller's."""
    mine = {"a": 1}
    p.track(0, "f")(lambda **kwargs: kwargs.clear())(**mine)
    assert mine == {"a": 1}


def test_the_result_is_the_object_that_was_returned(p: Profiler) -> None:
    """Not a copy."""
    thing = Thing()
    assert p.track(0, "f")(lambda: thing)() is thing


def test_builtins_can_be_tracked(p: Profiler) -> None:
    """By their own name; their place is their module."""
    assert p.track(0)(len)([1, 2, 3]) == 3
    assert p.track(0)(sorted)([2, 1], reverse=True) == [2, 1]
    blocks = p.get_results().tracks[0].blocks
    assert [(b.name, b.file, b.line, b.hit_count) for b in blocks] == [
        ("len", "<builtins>", 0, 1),
        ("sorted", "<builtins>", 0, 1),
    ]


def test_partial_objects_can_be_tracked(p: Profiler) -> None:
    """Their place is the function's in them; their name is their kind's, for want of one."""
    partial = functools.partial(echo, 1, a=2)
    assert p.track(0)(partial)(3) == ((1, 3), {"a": 2})
    (block,) = p.get_results().tracks[0].blocks
    assert (block.name, block.line) == ("partial", echo.__code__.co_firstlineno)


def test_callable_instances_can_be_tracked(p: Profiler) -> None:
    """What they are besides stays reachable."""

    class Adder:
        """Adds."""

        def __init__(self, n: int) -> None:
            self.n = n

        def __call__(self, x: int) -> int:
            return x + self.n

    tracked = p.track(0)(Adder(5))
    assert (tracked(1), tracked.n, tracked.__doc__) == (6, 5, "Adds.")  # type: ignore[attr-defined]
    assert hits(p) == {"Adder": 1}


def test_bound_methods_can_be_tracked(p: Profiler) -> None:
    """They keep their instance."""
    items: list[int] = []
    p.track(0)(items.append)(7)
    assert (items, hits(p)) == ([7], {"append": 1})


class Station:
    """What a class gets to hold, tracked or not, in the tests below."""

    def __init__(self, name: str) -> None:
        self.name = name

    def method(self, *args: Any) -> tuple[str, int]:
        """Say whose it is, and how many arguments came."""
        return self.name, len(args)

    def __call__(self, *args: Any) -> tuple[str, int]:
        """Do the same."""
        return self.name, len(args)


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(echo, id="function"),
        pytest.param(Station("a").method, id="bound method"),
        pytest.param(Station("a"), id="callable instance"),
        pytest.param(divmod, id="builtin"),
        pytest.param([3].__contains__, id="bound slot"),
        pytest.param(str.upper, id="method descriptor"),
        pytest.param(staticmethod(echo), id="static method"),
        pytest.param(classmethod(echo), id="class method"),
    ],
)
def test_in_a_class_it_binds_if_and_only_if_the_bare_one_does(p: Profiler, held: Any) -> None:
    """A function becomes a method; a bound method, a builtin or an instance stays what it is."""

    def binds(value: Any) -> bool:
        owner: Any = type("Owner", (str,), {"held": value})
        instance = owner("x")
        return getattr(instance.held, "__self__", None) is instance

    assert binds(p.track(0, "held")(held)) == binds(held)


def test_a_tracked_partial_binds_in_a_class_if_and_only_if_the_bare_one_does(p: Profiler) -> None:
    """Python 3.13 warns that this will change, and 3.14 changes it."""
    bare = functools.partial(echo)
    owner: Any = type("Owner", (), {"bare": bare, "tracked": p.track(0)(bare)})
    instance = owner()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = instance.bare()
        got = instance.tracked()
    assert got == expected


def test_lambdas_can_be_tracked(p: Profiler) -> None:
    """By the name that Python gives them."""
    assert p.track(0)(lambda x: x + 1)(1) == 2
    assert hits(p) == {"<lambda>": 1}


def test_a_name_can_be_given(p: Profiler) -> None:
    """It goes before the function's own, which stays."""
    tracked = p.track(0, "given")(plain)
    tracked(1)
    assert (tracked.__name__, hits(p)) == ("plain", {"given": 1})


# Exceptions


def test_an_exception_passes_as_the_object_that_was_raised(p: Profiler) -> None:
    """And the pass is recorded."""
    error = ValueError("mine")

    @p.track(0)
    def fails() -> None:
        raise error

    with pytest.raises(ValueError, match="mine") as met:
        fails()
    assert (met.value is error, hits(p)) == (True, {"fails": 1})


def test_the_traceback_is_the_one_of_the_bare_function(p: Profiler) -> None:
    """No frame in it is the profiler's; causes and contexts stay."""

    def inner() -> None:
        raise KeyError("inner")

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise ValueError("outer") from error

    def story(function: Callable[[], None]) -> list[Any]:
        try:
            function()
        except ValueError as error:
            found, cause = error, error.__cause__ or error
            same = cause is error.__context__
            frames = [*traceback.extract_tb(error.__traceback__)[1:]]
            frames += traceback.extract_tb(cause.__traceback__)
            told = [(frame.name, frame.lineno) for frame in frames]
            return [*told, repr(found), repr(cause), same]
        return []

    bare = story(outer)
    inner = p.track(0, "inner")(inner)
    assert story(p.track(0, "outer")(outer)) == bare
    assert bare[0][0] == "outer"
    assert hits(p) == {"inner": 1, "outer": 1}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_passes_that_end_in_any_exception_are_recorded(
    p: Profiler, clock: ManualClock, kind: type[BaseException]
) -> None:
    """With the time until then."""

    @p.track(0)
    def fails() -> None:
        clock.advance(30)
        raise kind

    with pytest.raises(kind):
        fails()
    block = recorded(p)["fails"]
    assert (block.hit_count, block.total_time_ns) == (1, 30)


def test_an_interrupt_of_the_system_is_recorded(p: Profiler) -> None:
    """Ctrl-C inside a tracked function ends a pass like any exception."""

    @p.track(0)
    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)
        for _ in range(1000):
            pass

    # Who runs the tests in the background may have had it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    assert hits(p) == {"interrupted": 1}


def test_an_exception_that_is_being_handled_is_still_seen_inside(p: Profiler) -> None:
    """sys.exc_info is the caller's."""
    tracked = p.track(0, "look")(lambda: sys.exc_info()[1])
    error = ValueError("outside")
    seen: object = None
    try:
        raise error
    except ValueError:
        seen = tracked()
    assert seen is error


# Recursion


def test_recursion_counts_its_time_once(p: Profiler, clock: ManualClock) -> None:
    """Five passes of 10, 20, … 50 ns, one in the other, take 50 ns in all."""

    @p.track(0)
    def down(n: int) -> int:
        clock.advance(10)
        return 1 + down(n - 1) if n else 1

    assert down(4) == 5
    block = recorded(p)["down"]
    assert (block.hit_count, block.total_time_ns, block.self_time_ns) == (5, 50, 50)
    assert (block.sum_time_ns, block.min_time_ns, block.max_time_ns) == (150, 10, 50)


def test_mutual_recursion_counts_each_time_once(p: Profiler, clock: ManualClock) -> None:
    """a → b → a → b, each spending 10 ns before it calls: 40 for a, 30 for b."""

    @p.track(0)
    def a(n: int) -> None:
        clock.advance(10)
        if n:
            b(n - 1)

    @p.track(0)
    def b(n: int) -> None:
        clock.advance(10)
        if n:
            a(n - 1)

    a(3)
    blocks = recorded(p)
    figures = {n: (x.hit_count, x.total_time_ns, x.self_time_ns) for n, x in blocks.items()}
    assert figures == {"a": (2, 40, 20), "b": (2, 30, 20)}
    assert p.get_results().total_time_ns == 40


def test_running_into_the_recursion_limit_leaves_nothing_open(
    p: Profiler, clock: ManualClock
) -> None:
    """Every pass that began has ended; the next one is at the top again."""
    entered = 0

    @p.track(0)
    def endless() -> None:
        nonlocal entered
        entered += 1
        clock.advance(1)
        endless()

    with pytest.raises(RecursionError):
        endless()
    # The last call may have been refused before its first instruction: a pass all the same.
    assert hits(p)["endless"] - entered in (0, 1)
    before = p.get_results().total_time_ns
    p.track(0, "after")(clock.advance)(100)
    results = p.get_results()
    assert (results.total_time_ns - before, recorded(results)["after"].total_time_ns) == (100, 100)
    assert [node.name for node in results.tree.children] == ["endless", "after"]


# References


def test_reference_counts_stay_as_they_are(p: Profiler) -> None:
    """After 10,000 calls, of which every tenth fails."""
    result = Thing()
    error = ValueError("fails")

    def function(*args: Any, **kwargs: Any) -> Thing:
        if kwargs.get("fail"):
            raise error.with_traceback(None)
        return result

    tracked = p.track(0)(function)
    argument, keyword, key = Thing(), Thing(), "a key that is " + "not shared"
    watched = [function, tracked, argument, keyword, key, result, error, p]

    def call(times: int) -> None:
        for i in range(times):
            try:
                tracked(argument, **{key: keyword}, fail=i % 10 == 0)
            except ValueError:
                error.__traceback__ = None

    call(100)
    before = [sys.getrefcount(thing) for thing in watched]
    call(10_000)
    assert [sys.getrefcount(thing) for thing in watched] == before
    assert hits(p) == {"function": 10_100}


def test_reference_counts_of_a_method_call_stay_as_they_are(p: Profiler) -> None:
    """Also where a bound method is made for each call."""

    class Owner:
        @p.track(0)
        def method(self, other: object) -> object:
            return other

    owner, thing = Owner(), Thing()
    watched = [owner, Owner, Owner.__dict__["method"], thing, p]
    call = owner.method
    for _ in range(100):
        owner.method(thing)
    before = [sys.getrefcount(x) for x in watched]
    for _ in range(5_000):
        owner.method(thing)
        call(thing)
    assert [sys.getrefcount(x) for x in watched] == before


def test_decorating_and_dropping_leaves_no_reference(p: Profiler) -> None:
    """The function is free when the tracked one is."""

    def function() -> None:
        """Do nothing."""

    before = sys.getrefcount(function), sys.getrefcount(p)
    for _ in range(1000):
        p.track(0)(function)()
    assert (sys.getrefcount(function), sys.getrefcount(p)) == before


class Stateful:
    """A callable with state, some of which cannot be set."""

    def __init__(self) -> None:
        self.factor = 2

    def __call__(self, n: int) -> int:
        return n * self.factor

    @property
    def fixed(self) -> int:
        """It has no setter."""
        return 7


def test_the_state_of_a_tracked_instance_is_set_where_it_is_read() -> None:
    """Through the tracked one, and through the instance itself."""
    instance = Stateful()
    tracked: Any = Profiler("p").track(0)(instance)
    tracked.factor = 3
    assert (tracked(1), instance.factor, tracked.factor) == (3, 3, 3)
    instance.factor = 4
    assert (tracked(1), tracked.factor) == (4, 4)
    del tracked.factor
    assert not hasattr(instance, "factor")


def test_an_error_in_setting_state_is_the_instances_own() -> None:
    """What is no AttributeError comes through."""

    class Strict:
        def __call__(self) -> None: ...

        def __setattr__(self, name: str, value: object) -> None:
            raise ValueError(name)

    with pytest.raises(ValueError, match="x"):
        Profiler("p").track(0)(Strict()).x = 1  # type: ignore[attr-defined]
