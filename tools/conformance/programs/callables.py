"""Whatever can be called. Each body spins for a known time and tells what it took."""

from __future__ import annotations

import functools
import inspect
import pickle
import time
from typing import Any

from ..adapters import Tool, marked
from ..cases import case
from ..truth import Pass


def body(name: str) -> None:
    """One pass of 20 ms."""
    one = Pass(name)
    one.spin()
    one.tell()


@case("plain function")
def plain_function(tool: Tool) -> None:
    """Three calls."""

    def plain() -> None:
        one = Pass("plain")
        one.spin()
        one.tell()

    function = tool.mark(plain, "plain")
    for _ in range(3):
        function()


@case("method, overridden, with super()")
def method(tool: Tool) -> None:
    """An override that calls what it overrides."""

    class Base:
        def below(self) -> None:
            one = Pass("below")
            one.spin()
            one.tell()

    class Derived(Base):
        def above(self) -> None:
            one = Pass("above")
            one.spin()
            super().below()
            one.tell()

    Base.below = tool.mark(Base.below, "below")  # type: ignore[method-assign]
    Derived.above = tool.mark(Derived.above, "above")  # type: ignore[method-assign]
    for _ in range(2):
        Derived().above()


@case("class method")
def class_method(tool: Tool) -> dict[str, bool]:
    """Called on the class and on an instance."""
    seen: list[object] = []

    def of_class(cls: type) -> None:
        one = Pass("of_class")
        seen.append(cls)
        one.spin()
        one.tell()

    class Thing:
        make: Any = classmethod(tool.mark(of_class, "of_class"))

    Thing.make()
    Thing().make()
    return {"it gets the class": seen == [Thing, Thing]}


@case("static method")
def static_method(tool: Tool) -> None:
    """Called on the class and on an instance."""

    def of_nobody() -> None:
        one = Pass("of_nobody")
        one.spin()
        one.tell()

    class Thing:
        make = staticmethod(tool.mark(of_nobody, "of_nobody"))

    Thing.make()
    Thing().make()


@case("property")
def property_getter(tool: Tool) -> None:
    """Its getter, twice."""

    def getter(self: object) -> None:
        one = Pass("getter")
        one.spin()
        one.tell()

    class Thing:
        value = property(tool.mark(getter, "getter"))

    thing = Thing()
    for _ in range(2):
        assert thing.value is None


@case("cached property")
def cached_property(tool: Tool) -> None:
    """Read three times on each of two instances: two calls."""

    def computed(self: object) -> int:
        one = Pass("computed")
        one.spin()
        one.tell()
        return 1

    class Thing:
        value = functools.cached_property(tool.mark(computed, "computed"))

    for thing in (Thing(), Thing()):
        assert thing.value + thing.value + thing.value == 3


@case("callable instance")
def callable_instance(tool: Tool) -> None:
    """An object with `__call__`."""

    class Service:
        def __call__(self) -> None:
            one = Pass("service")
            one.spin()
            one.tell()

    function = tool.mark(Service(), "service")
    for _ in range(2):
        function()


@case("function written in C")
def c_function(tool: Tool) -> None:
    """`time.sleep`, timed around the call."""
    function = tool.mark(time.sleep, "pause")
    for _ in range(2):
        one = Pass("pause")
        function(0.02)
        one.tell()


@case("functools.partial")
def partial_object(tool: Tool) -> None:
    """A partial object is what is marked."""

    def with_argument(ms: float) -> None:
        one = Pass("partial")
        one.spin(ms)
        one.tell()

    function = tool.mark(functools.partial(with_argument, 20.0), "partial")
    for _ in range(2):
        function()


@case("lambda")
def lambda_function(tool: Tool) -> None:
    """An anonymous function."""
    function = tool.mark(lambda: body("anonymous"), "anonymous")
    for _ in range(2):
        function()


@case("recursion (time counted once)")
def recursion(tool: Tool) -> None:
    """Four passes inside each other: the time is that of the outermost."""
    here: Any = None

    def recursive(depth: int) -> None:
        one = Pass("recursive", nested=depth < 3)
        one.spin()
        if depth:
            here(depth - 1)
        one.tell()

    here = tool.mark(recursive, "recursive")
    here(3)


@case("mutual recursion (time counted once)")
def mutual_recursion(tool: Tool) -> None:
    """Two functions that call each other, three passes each."""
    calls: dict[str, Any] = {}

    def even(depth: int) -> None:
        one = Pass("even", nested=depth < 5)
        one.spin()
        if depth:
            calls["odd"](depth - 1)
        one.tell()

    def odd(depth: int) -> None:
        one = Pass("odd", nested=depth < 4)
        one.spin()
        if depth:
            calls["even"](depth - 1)
        one.tell()

    calls.update(even=tool.mark(even, "even"), odd=tool.mark(odd, "odd"))
    calls["even"](5)


@case("exception that passes through")
def exception(tool: Tool) -> dict[str, bool]:
    """Each call raises, and the very exception arrives."""
    error = KeyError("mine")

    def failing() -> None:
        one = Pass("failing")
        one.spin()
        one.tell()
        raise error

    function = tool.mark(failing, "failing")
    caught: list[BaseException] = []
    for _ in range(2):
        try:
            function()
        except KeyError as raised:
            caught.append(raised)
    return {"the exception is the one that was raised": all(each is error for each in caught)}


@case("whole class")
def whole_class(tool: Tool) -> dict[str, bool]:
    """Each method of a class, marked through the class."""

    class Service:
        def first(self) -> None:
            one = Pass("first")
            one.spin()
            one.tell()

        @classmethod
        def second(cls) -> None:
            one = Pass("second")
            one.spin()
            one.tell()

        @staticmethod
        def third() -> None:
            one = Pass("third")
            one.spin()
            one.tell()

    made = tool.mark_class(Service, ["first", "second", "third"])
    service = made()
    service.first()
    service.second()
    service.third()
    return {"it stays that class": made is Service and isinstance(service, Service)}


@marked("found_again")
def found_again(value: int, *, factor: int = 2) -> int:
    """Multiply."""
    one = Pass("found_again")
    one.spin()
    one.tell()
    return value * factor


@case("signature, kind, documentation, pickling preserved")
def introspection(tool: Tool) -> dict[str, bool]:
    """What `inspect` and `pickle` say of functions of each kind."""

    def generates() -> Any:
        yield 1

    async def awaits() -> None:
        pass

    async def both() -> Any:
        yield 1

    checks = {
        "the signature is kept": str(inspect.signature(found_again))
        == "(value: 'int', *, factor: 'int' = 2) -> 'int'",
        "the documentation is kept": found_again.__doc__ == "Multiply.",
        "the name is kept": found_again.__name__ == "found_again",
        "a generator function is one": inspect.isgeneratorfunction(tool.mark(generates, "g")),
        "a coroutine function is one": inspect.iscoroutinefunction(tool.mark(awaits, "c")),
        "an asynchronous generator function is one": inspect.isasyncgenfunction(
            tool.mark(both, "b")
        ),
        "it works": found_again(21) == 42,
    }
    try:
        checks["it can be pickled"] = pickle.loads(pickle.dumps(found_again)) is found_again
    except Exception:
        checks["it can be pickled"] = False
    return checks
