"""What the language and its library make of functions: classes of every kind, and functools."""

# mypy: ignore-errors
# What it is typed against is in another environment, and not each version of Python has all of it.

from __future__ import annotations

import abc
import enum
import functools
import inspect
import runpy
import sys
import typing
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from frameworks.gallery import Mark, case


@case(
    hits={
        "describe": 3,
        "of_int": 1,
        "of_list": 1,
        "cached": 1,
        "value": 1,
        "add": 2,
        "__lt__": 2,
        "__eq__": 1,
    }
)
def functools_(mark: Mark) -> Any:
    """Generic functions, caches, partials, orders."""

    @functools.singledispatch
    @mark
    def describe(value: Any) -> str:
        return "something"

    @mark
    def of_int(value: int) -> str:
        return "int"

    describe.register(of_int)

    @describe.register(list)
    @mark
    def of_list(value: Any) -> str:
        return describe(None) + " listed"

    @functools.cache
    @mark
    def cached(n: int) -> int:
        return n

    class Kind:
        @functools.cached_property
        @mark
        def value(self) -> int:
            return 5

        @mark
        def add(self, a: int, b: int) -> int:
            return a + b

        add_one = functools.partialmethod(add, 1)

    @functools.total_ordering
    class Ordered:
        @mark
        def __lt__(self, other: Any) -> bool:
            return False

        @mark
        def __eq__(self, other: object) -> bool:
            return True

    kind, one, two = Kind(), Ordered(), Ordered()
    return (
        [describe(1), describe([]), describe(""), describe(None)],
        [cached(1), cached(1), cached.cache_info().hits],
        [kind.value, kind.value, kind.add_one(2), kind.add(1, 2)],
        [one <= two, one >= two, str(inspect.signature(Kind.add_one))],
    )


@case(
    hits={
        "go": 1,
        "named": 1,
        "make": 1,
        "__init_subclass__": 1,
        "__class_getitem__": 1,
        "__new__": 2,
    }
)
def classes(mark: Mark) -> Any:
    """Abstract, subclass hooks, `__new__`, generic by hand."""

    class Base(abc.ABC):
        registered: typing.ClassVar[list[str]] = []

        @mark
        def __init_subclass__(cls, **kwargs: Any) -> None:
            Base.registered.append(cls.__name__)

        @mark
        def __class_getitem__(cls, item: Any) -> Any:
            return cls.__name__, item

        @mark
        def __new__(cls) -> Any:
            return super().__new__(cls)

        @abc.abstractmethod
        @mark
        def go(self) -> str:
            """Go."""
            return "gone"

        @property
        @abc.abstractmethod
        @mark
        def named(self) -> str:
            return "named"

        @classmethod
        @mark
        def make(cls) -> Any:
            return cls()

    class Derived(Base):
        def go(self) -> str:
            return super().go()

        named = Base.named

    try:
        Base()  # type: ignore[abstract]
    except TypeError as error:
        refused = str(error)
    Derived.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    made = Derived.make()
    return (
        refused,
        made.go(),
        made.named,
        Base.registered,
        Derived[3],
        sorted(Base.__abstractmethods__),
    )


@case(hits={"__new__": 1, "__prepare__": 1, "__call__": 1, "__instancecheck__": 1, "method": 1})
def metaclass(mark: Mark) -> Any:
    """Everything that a metaclass can say."""

    class Meta(type):
        @mark
        def __new__(cls, name: str, bases: Any, namespace: Any) -> Any:
            namespace["by"] = "meta"
            return super().__new__(cls, name, bases, namespace)

        @classmethod
        @mark
        def __prepare__(cls, name: str, bases: Any) -> Any:
            return {"prepared": True}

        @mark
        def __call__(cls, *args: Any) -> Any:
            return super().__call__(*args)

        @mark
        def __instancecheck__(cls, instance: Any) -> bool:
            return instance == 5

    class Kind(metaclass=Meta):
        @mark
        def method(self) -> Any:
            return type(self).by, self.prepared  # type: ignore[attr-defined]

    return Kind().method(), isinstance(5, Kind)


@case(hits={"area": 1, "_missing_": 1, "_generate_next_value_": 2, "__str__": 1, "__init__": 2})
def enumeration(mark: Mark) -> Any:
    """Members, methods, and the hooks of `enum`."""

    class Colour(enum.Enum):
        @staticmethod
        @mark
        def _generate_next_value_(name: str, start: int, count: int, last: Any) -> Any:
            return name.lower()

        RED = enum.auto()
        BLUE = enum.auto()

        @mark
        def __init__(self, value: str) -> None:
            self.shown = value.upper()

        @property
        @mark
        def area(self) -> str:
            return self.shown

        @classmethod
        @mark
        def _missing_(cls, value: object) -> Any:
            return cls.RED

        @mark
        def __str__(self) -> str:
            return f"<{self.name}>"

    return [c.value for c in Colour], Colour.RED.area, Colour("none"), str(Colour.BLUE)


@case(hits={"close": 1, "first": 1})
def typing_(mark: Mark) -> Any:
    """Protocols, overloads, hints, final."""

    @typing.runtime_checkable
    class Closes(typing.Protocol):
        @mark
        def close(self) -> str: ...

    class File:
        @mark
        def close(self) -> str:
            return "closed"

    @typing.overload
    @mark
    def first(value: int) -> int: ...
    @typing.overload
    @mark
    def first(value: str) -> str: ...
    @typing.final
    @mark
    def first(value: Any) -> Any:
        return value

    return (
        isinstance(File(), Closes),
        isinstance(3, Closes),
        File().close(),
        first(3),
        len(typing.get_overloads(first)),
        typing.get_type_hints(first),
        getattr(first, "__final__", None),
    )


@case(hits={"numbers": 1, "agen": 1, "context": 1, "acontext": 1, "main": 1})
def generators(mark: Mark) -> Any:
    """What is asked of what they give."""
    import asyncio
    import collections.abc
    import contextlib
    import types

    @mark
    def numbers() -> Any:
        received = yield 1
        yield received

    @mark
    async def agen() -> Any:
        yield 1

    @contextlib.contextmanager
    @mark
    def context() -> Any:
        yield "context"

    @contextlib.asynccontextmanager
    @mark
    async def acontext() -> Any:
        yield "acontext"

    @mark
    async def main() -> Any:
        with context() as one:
            async with acontext() as two:
                return [one, two, [n async for n in agen()]]

    running = numbers()
    coroutine = main()
    answers = [
        isinstance(running, types.GeneratorType),
        isinstance(running, collections.abc.Generator),
        inspect.isgenerator(running),
        inspect.getgeneratorstate(running),
        running.__name__,
        next(running),
        running.send(5),
        inspect.getgeneratorstate(running),
        running.gi_frame.f_lineno > 0,
        isinstance(coroutine, types.CoroutineType),
        isinstance(coroutine, collections.abc.Coroutine),
        inspect.iscoroutine(coroutine),
        inspect.isawaitable(coroutine),
        inspect.getcoroutinestate(coroutine),
        inspect.isasyncgen(agen()),
        inspect.isgeneratorfunction(numbers),
        inspect.isasyncgenfunction(agen),
        inspect.iscoroutinefunction(main),
        asyncio.iscoroutine(coroutine),
    ]
    running.close()
    return answers, asyncio.run(coroutine)


@case(hits={"helper": 1})
def zipapp(mark: Mark) -> Any:
    """A program in an archive."""
    import builtins

    vars(builtins)["gallery_mark"] = mark
    source = "import builtins\n@builtins.gallery_mark\ndef helper():\n    return __name__\nsaid = helper()"
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "program.pyz")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("__main__.py", source)
        names = runpy.run_path(path)
    return names["said"]


@case(hits={"inside": 1})
def namespace_package(mark: Mark) -> Any:
    """A module of a package without an `__init__`."""
    import builtins
    import importlib

    vars(builtins)["gallery_mark"] = mark
    with TemporaryDirectory() as folder:
        place = Path(folder) / "gallery_namespace"
        place.mkdir()
        (place / "part.py").write_text(
            "import builtins\n@builtins.gallery_mark\ndef inside():\n    return __name__\n"
        )
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
        try:
            part = importlib.import_module("gallery_namespace.part")
            return (
                part.inside(),
                inspect.getsource(part.inside),
                inspect.getmodule(part.inside) is part,
            )
        finally:
            sys.path.remove(folder)
            for name in ("gallery_namespace", "gallery_namespace.part"):
                sys.modules.pop(name, None)
