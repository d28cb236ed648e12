"""Small programs of odd Python: what stands in classes, what runs in frames, what looks at functions."""

# mypy: ignore-errors
# Not each version of Python has all of what is typed here.

from __future__ import annotations

import abc
import asyncio
import contextlib
import copy
import dataclasses
import enum
import functools
import gc
import inspect
import io
import operator
import pickle
import sys
import types
import typing
import weakref
from typing import Any

from frameworks.gallery import Mark, case


@case(hits={"__get__": 5, "__set__": 2, "__delete__": 1, "__set_name__": 2, "__init__": 1})
def descriptors(mark: Mark) -> Any:
    """Data descriptors and others, told their names, over and under each other."""

    class Field:
        @mark
        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name
            owner.fields = [*getattr(owner, "fields", []), name]

        @mark
        def __get__(self, instance: Any, owner: type) -> Any:
            return self if instance is None else vars(instance).get(self.name, "unset")

        @mark
        def __set__(self, instance: Any, value: Any) -> None:
            vars(instance)[self.name] = value * 2

        @mark
        def __delete__(self, instance: Any) -> None:
            del vars(instance)[self.name]

    class Row:
        wide, high = Field(), Field()

        @mark
        def __init__(self) -> None:
            self.wide = 3
            self.high = 4

    row = Row()
    first = (row.wide, row.high, type(Row.wide).__name__)
    del row.wide
    return first, row.wide, Row.fields, inspect.isdatadescriptor(vars(Row)["wide"]), Row.high.name


@case(hits={"lazy": 2, "owner_of": 3, "twice": 2})
def functions_that_bind(mark: Mark) -> Any:
    """Descriptors written by hand around a function, which bind it as they like."""

    class Lazy:
        def __init__(self, function: Any) -> None:
            self.function = function
            functools.update_wrapper(self, function)

        def __get__(self, instance: Any, owner: type) -> Any:
            if instance is None:
                return self
            value = self.function(instance)
            vars(instance)[self.function.__name__] = value
            return value

    class ClassProperty:
        def __init__(self, function: Any) -> None:
            self.bind = function.__get__

        def __get__(self, instance: Any, owner: type) -> Any:
            return self.bind(owner, type(owner))()

    class Kind:
        @Lazy
        @mark
        def lazy(self) -> int:
            """Made once."""
            return id(self) % 1

        @ClassProperty
        @mark
        def owner_of(self) -> str:
            return self.__name__

        @mark
        def twice(self, n: int) -> int:
            return n * 2

    class Derived(Kind):
        pass

    kind = Kind()
    bound = kind.twice
    return (
        (kind.lazy, kind.lazy, Kind().lazy, Kind.lazy.__doc__),
        (Kind.owner_of, Derived.owner_of, kind.owner_of),
        (bound(1), Kind.twice(kind, 2), bound == kind.twice, hash(bound) == hash(kind.twice)),
        (bound.__self__ is kind, bound.__func__ is vars(Kind)["twice"], bound.__name__),
    )


@case(hits={"__call__": 2, "__new__": 2, "__init__": 1, "mro": 2, "__getattr__": 1, "__dir__": 1})
def singletons(mark: Mark) -> Any:
    """A metaclass that makes one of each, chooses its order of resolution, and answers for its classes."""

    class Single(type):
        made: typing.ClassVar[dict[type, Any]] = {}

        @mark
        def __new__(cls, name: str, bases: Any, body: Any, **options: Any) -> Any:
            body["options"] = options
            return super().__new__(cls, name, bases, body)

        def __init__(cls, name: str, bases: Any, body: Any, **options: Any) -> None:
            super().__init__(name, bases, body)

        @mark
        def __call__(cls, *args: Any) -> Any:
            if cls not in cls.made:
                cls.made[cls] = super().__call__(*args)
            return cls.made[cls]

        @mark
        def mro(cls) -> Any:
            return super().mro()

        @mark
        def __getattr__(cls, name: str) -> str:
            return f"no {name}"

        @mark
        def __dir__(cls) -> Any:
            return ["only"]

    class Base(metaclass=Single):
        pass

    class Kind(Base, level=3):
        @mark
        def __init__(self, n: int) -> None:
            self.n = n

    one, other = Kind(1), Kind(2)
    return (
        one is other,
        one.n,
        Kind.options,
        Kind.missing,
        dir(Kind),
        inspect.signature(Kind.__init__).parameters.keys(),
    )


@case(hits={"__call__": 4, "__repr__": 1, "__eq__": 1, "__hash__": 1, "__len__": 1, "__bool__": 1})
def callable_instances(mark: Mark) -> Any:
    """Objects that are called, shown, compared, kept in sets; and their class called in between."""

    class Adder:
        def __init__(self, n: int) -> None:
            self.n = n

        @mark
        def __call__(self, value: int = 0, /, *more: int, by: int = 1) -> int:
            return (self.n + value + sum(more)) * by

        @mark
        def __repr__(self) -> str:
            return f"Adder({self.n})"

        @mark
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Adder) and other.n == self.n

        @mark
        def __hash__(self) -> int:
            return self.n

        @mark
        def __len__(self) -> int:
            return self.n

        @mark
        def __bool__(self) -> bool:
            return False

    add = Adder(5)
    return (
        [add(1), add(1, 2, by=3), Adder.__call__(add), list(map(add, [4]))],
        [repr(add), add == Adder(5), len({add}), len(add), bool(add)],
        [str(inspect.signature(Adder.__call__)), callable(add), inspect.isroutine(Adder.__call__)],
    )


@case(hits={"norm": 2, "__post_init__": 3, "make": 1, "with_x": 1, "area": 1})
def frozen_slots(mark: Mark) -> Any:
    """A frozen dataclass with slots is made again by its decorator; `__class__` and `super()` mean the new one."""

    class Base:
        __slots__ = ()

        def norm(self) -> Any:
            return "base", __class__.__name__

    @dataclasses.dataclass(frozen=True, slots=True, order=True)
    class Point(Base):
        x: int
        y: int = 2

        @mark
        def __post_init__(self) -> None:
            object.__setattr__(self, "x", abs(self.x))

        @mark
        def norm(self) -> Any:
            return super().norm(), __class__ is type(self), __class__.__slots__

        @classmethod
        @mark
        def make(cls) -> Any:
            return cls(-7)

        @mark
        def with_x(self, x: int) -> Any:
            return dataclasses.replace(self, x=x)

        @property
        @mark
        def area(self) -> int:
            return self.x * self.y

    def normed(point: Any) -> Any:
        try:
            return point.norm()
        except TypeError as error:  # before 3.14 it still means the first one
            return str(error)

    point = Point.make()
    try:
        point.x = 3
    except dataclasses.FrozenInstanceError as error:
        refused = str(error)
    back = pickle_by_hand(point)
    return (
        (normed(point), point, point.with_x(3), point.area, refused),
        (back == point, Point(1) < point, normed(point)),
    )


def pickle_by_hand(value: Any) -> Any:
    """Made again of what a pickle would hold; a class of a function cannot be found by name."""
    made, state = object.__new__(type(value)), value.__reduce_ex__(4)[2]
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
    else:
        for name, each in (state[1] if isinstance(state, tuple) else state).items():
            object.__setattr__(made, name, each)
    return made


@case(hits={"__getstate__": 2, "__setstate__": 2, "__reduce__": 2, "restore": 2})
def pickled(mark: Mark) -> Any:
    """How instances say what is kept of them, pickled, and copied."""
    module = types.ModuleType("gallery_pickled")
    sys.modules["gallery_pickled"] = module

    class Kept:
        n = 1

        @mark
        def __getstate__(self) -> Any:
            return {"n": self.n}

        @mark
        def __setstate__(self, state: Any) -> None:
            self.n = state["n"] + 1

    @mark
    def restore(*args: Any) -> Any:
        return module.Made(*args)

    class Made:
        def __init__(self, *args: Any) -> None:
            self.args = args

        @mark
        def __reduce__(self) -> Any:
            return module.restore, (*self.args, "again")

    for each in (Kept, Made, restore):
        each.__module__ = "gallery_pickled"
        each.__qualname__ = each.__name__
        setattr(module, each.__name__, each)
    kept, made = Kept(), Made(1)
    try:
        return (
            pickle.loads(pickle.dumps(kept)).n,
            copy.copy(kept).n,
            pickle.loads(pickle.dumps(made)).args,
            copy.deepcopy(made).args,
            pickle.loads(pickle.dumps(restore)) is restore,
            copy.deepcopy(restore) is restore,
            pickle.dumps(restore, 2),
        )
    finally:
        del sys.modules["gallery_pickled"]


@case(hits={"gone": 2, "final": 1, "method": 1, "__del__": 1})
def weakly(mark: Mark) -> Any:
    """Weak references to functions and methods, callbacks, finalizers, and what a cycle ends with."""
    heard: list[Any] = []

    @mark
    def gone(reference: Any) -> None:
        heard.append(("gone", reference() is None))

    @mark
    def final(name: str) -> None:
        heard.append(name)

    class Kind:
        @mark
        def method(self) -> str:
            return "method"

        @mark
        def __del__(self) -> None:
            heard.append("deleted")

    kind = Kind()
    references = [weakref.ref(kind, gone), weakref.WeakMethod(kind.method, gone)]
    weakref.finalize(kind, final, "final")
    called = references[1]()()
    kind.itself = kind.method
    del kind
    gc.collect()

    def made() -> Any:
        @mark
        def inner() -> None: ...

        return weakref.ref(inner)

    watched = made()
    gc.collect()
    seen = weakref.WeakKeyDictionary({gone: 1})
    return (
        sorted(map(str, heard)),
        called,
        [each() for each in references],
        watched() is None,
        seen[gone],
    )


@case(hits={"annotated": 1, "default": 1})
def looked_at(mark: Mark) -> Any:
    """Signatures with strings resolved, hints with extras, closures, sources, arguments bound."""

    number = int

    @mark
    def annotated(
        a: int, b: typing.Annotated[str, "note"] = "b", *, c: list[int] | None = None
    ) -> bool:
        """Say so."""
        return bool(a)

    @mark
    def default(value: number = 3, /, **rest: Any) -> Any:
        return value, number, rest

    bound = inspect.signature(annotated).bind(1, c=[2])
    bound.apply_defaults()
    spec = inspect.getfullargspec(annotated)
    return (
        str(inspect.signature(annotated, eval_str=True)),
        typing.get_type_hints(annotated, include_extras=True),
        inspect.get_annotations(annotated, eval_str=True),
        (annotated(*bound.args, **bound.kwargs), bound.arguments),
        (spec.args, spec.kwonlyargs, spec.kwonlydefaults, spec.annotations),
        inspect.getclosurevars(default).nonlocals,
        (default(), inspect.getdoc(annotated), inspect.getsource(default).count("\n")),
        inspect.getcallargs(annotated, 5),
        inspect.cleandoc(annotated.__doc__),
        inspect.isfunction(annotated) and inspect.unwrap(default).__name__,
    )


@case(hits={"innermost": 3})
def wraps_chains(mark: Mark) -> Any:
    """Decorators over the mark, each of which says what it wraps, and what leads through them."""

    def counted(function: Any) -> Any:
        @functools.wraps(function)
        def outer(*args: Any, **kwargs: Any) -> Any:
            outer.calls += 1
            return function(*args, **kwargs)

        outer.calls = 0
        return outer

    @counted
    @functools.cache
    @counted
    @mark
    def innermost(a: int, b: float = 2.0) -> str:
        """Innermost."""
        return f"{a} {b}"

    said = innermost(1), innermost(1), innermost(2), innermost(1, b=3.0)
    chain, layer = [], innermost
    while layer is not None and len(chain) < 3:
        chain.append((layer.__name__, layer.__qualname__, layer.__doc__, type(layer).__name__))
        layer = getattr(layer, "__wrapped__", None)
    return (
        said,
        innermost.calls,
        innermost.__wrapped__.__wrapped__.calls,
        innermost.__wrapped__.cache_info(),
        chain,
        str(inspect.signature(innermost)),
        inspect.unwrap(innermost).__code__.co_name,
        functools.WRAPPER_ASSIGNMENTS[:4],
    )


@case(hits={"Tree.left": 1, "Tree.walk": 5})
def hints(mark: Mark) -> Any:
    """Types that are known later, of methods, classes and generics."""

    def named(name: str) -> Mark:
        def give(function: Any) -> Any:
            function.__name__ = name
            return mark(function)

        return give

    T = typing.TypeVar("T")

    class Tree(typing.Generic[T]):
        def __init__(self, value: T, *below: Any) -> None:
            self.value, self.below = value, below

        @named("Tree.walk")
        def walk(self) -> typing.Iterator[T]:
            yield self.value
            for each in self.below:
                yield from each.walk()

        @named("Tree.left")
        def left(self: Tree[T], otherwise: T | None = None) -> Tree[T] | None:
            return self.below[0] if self.below else None

    tree = Tree[int](1, Tree(2, Tree(3)), Tree(4), Tree(5))
    return (
        list(tree.walk()),
        tree.left().value,
        typing.get_type_hints(Tree.left, localns={"Tree": Tree, "T": T}),
        typing.get_type_hints(Tree.walk, localns={"Tree": Tree, "T": T}),
        Tree.walk.__name__,
        str(inspect.signature(Tree.left)),
    )


@case(hits={"work": 2, "steps": 1})
def traced(mark: Mark) -> Any:
    """What `sys.settrace` and `sys.setprofile` are told, in their order."""
    told: list[Any] = []

    @mark
    def work(n: int) -> int:
        m = n + 1
        return m * 2

    @mark
    def steps() -> Any:
        yield work(1)
        yield 2

    ours = {inspect.unwrap(work).__code__, inspect.unwrap(steps).__code__}

    def trace(frame: Any, event: str, arg: Any) -> Any:
        if frame.f_code in ours:
            told.append(
                (event, frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno, arg)
            )
            return trace
        return None

    def profile(frame: Any, event: str, arg: Any) -> None:
        if frame.f_code in ours:
            told.append((event, frame.f_code.co_name, arg if event == "return" else None))

    before, watched = sys.gettrace(), sys.getprofile()
    sys.settrace(trace)
    try:
        answer = list(steps())
    finally:
        sys.settrace(before)
    sys.setprofile(profile)
    try:
        again = work(5)
    finally:
        sys.setprofile(watched)
    return answer, again, told


@case(hits={"__replace__": 1, "__copy__": 1, "__deepcopy__": 1, "check": 2})
def copied(mark: Mark) -> Any:
    """Copies, deep and changed ones: by hand for versions that have no `copy.replace`."""

    class Value:
        def __init__(self, n: int) -> None:
            self.n = n

        @mark
        def __replace__(self, /, **changes: Any) -> Any:
            return Value(changes.get("n", self.n))

        @mark
        def __copy__(self) -> Any:
            return Value(self.n + 1)

        @mark
        def __deepcopy__(self, memo: Any) -> Any:
            memo["seen"] = True
            return Value(self.n + 2)

    @dataclasses.dataclass
    class Data:
        n: int
        check: Any = dataclasses.field(default=mark_as(mark, "check", lambda n: n > 1))

        def good(self) -> bool:
            return bool(self.check(self.n))

    replace = getattr(copy, "replace", lambda value, **changes: value.__replace__(**changes))
    value, data = Value(1), Data(2)
    return (
        [replace(value, n=9).n, copy.copy(value).n, copy.deepcopy(value).n],
        [data.good(), dataclasses.replace(data, n=1).good(), copy.deepcopy(data) == data],
        sorted(dataclasses.asdict(data)),
    )


def mark_as(mark: Mark, name: str, function: Any) -> Any:
    """Mark what has no name of its own, under one."""
    function.__name__ = name
    return mark(function)


if sys.version_info >= (3, 12):

    @case(hits={"first": 2, "push": 2, "top": 1, "size": 1})
    def type_parameters(mark: Mark) -> Any:
        """Functions and classes with parameters of their own, and aliases."""
        source = '''
@mark
def first[T: (int, str), *Ts, **P](values: list[T], *rest: *Ts) -> T:
    return values[0]

type Stacked[T] = list[T]

class Stack[T]:
    """Holds."""
    def __init__(self) -> None:
        self.items: Stacked[T] = []

    @mark
    def push(self, item: T) -> "Stack[T]":
        self.items.append(item)
        return self

    @mark
    def top[D](self, otherwise: D) -> T | D:
        return self.items[-1] if self.items else otherwise

    @property
    @mark
    def size(self) -> int:
        return len(self.items)
'''
        names: dict[str, Any] = {"mark": mark, "__name__": "gallery_parameters"}
        exec(source, names)
        first, kind = names["first"], names["Stack"]
        stack = kind[int]().push(1).push(2)
        return (
            (first([1]), first(["x"], 2), [str(each) for each in first.__type_params__]),
            (first.__type_params__[0].__constraints__, str(inspect.signature(first))),
            (stack.top(None), stack.size, kind.__type_params__[0].__name__),
            [str(each) for each in kind.top.__type_params__],
            {key: str(value) for key, value in kind.top.__annotations__.items()},
            kind.push.__qualname__,
        )


@case(hits={"fail": 4, "handled": 2, "collect": 1, "one": 1})
def groups(mark: Mark) -> Any:
    """Groups of exceptions taken apart by `except*`, notes, causes, and the lines of tracebacks."""
    import traceback

    @mark
    def fail(kind: Any, text: str) -> None:
        try:
            raise kind(text)
        except Exception as error:
            error.add_note(f"note on {text}")
            raise

    @mark
    def collect() -> None:
        errors = []
        for kind, text in ((ValueError, "a"), (TypeError, "b"), (KeyError, "c")):
            try:
                fail(kind, text)
            except Exception as error:
                errors.append(error)
        raise ExceptionGroup("all", [*errors[:2], ExceptionGroup("inner", errors[2:])])

    @mark
    def handled(group: Any) -> Any:
        return sorted(type(each).__name__ for each in group.exceptions)

    @mark
    def one() -> None:
        try:
            fail(OSError, "deep")
        except OSError as error:
            raise LookupError("outer") from error

    seen = []
    try:
        collect()
    except* (ValueError, TypeError) as group:
        seen.append(handled(group))
    except* KeyError as group:
        seen.append(handled(group))
    try:
        one()
    except LookupError as error:
        cause = error.__cause__
        lines = [each.name for each in traceback.extract_tb(cause.__traceback__)]
        outer = [each.name for each in traceback.extract_tb(error.__traceback__)]
        return seen, str(cause), cause.__notes__, lines, outer


@case(hits={"numbers": 3, "double": 3, "keep": 3, "main": 1, "pause": 3})
def comprehensions(mark: Mark) -> Any:
    """Asynchronous ones, nested, over what is tracked, with awaits in every place."""

    @mark
    async def numbers(n: int) -> Any:
        for each in range(n):
            await pause()
            yield each

    @mark
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return n * 2

    @mark
    async def keep(n: int) -> bool:
        return n != 1

    @mark
    @types.coroutine
    def pause() -> Any:
        yield

    @mark
    async def main() -> Any:
        doubled = [await double(n) async for n in numbers(3) if await keep(n)]
        nested = {n: [m async for m in numbers(n)] for n in (0,)}
        lazy = (n async for n in numbers(0))
        one = [await double(5)]
        return doubled, nested, [n async for n in lazy], one

    return asyncio.run(main())


@case(
    hits={
        "opened": 4,
        "aopened": 1,
        "__enter__": 1,
        "__exit__": 1,
        "closing": 1,
        "recorded": 2,
        "fails": 1,
    }
)
def managers(mark: Mark) -> Any:
    """`contextlib`: as a decorator, in stacks, suppressing, of both kinds."""
    said: list[str] = []

    @contextlib.contextmanager
    @mark
    def opened(name: str) -> Any:
        said.append(f"open {name}")
        try:
            yield name
        except LookupError as error:
            said.append(f"swallow {error}")
        finally:
            said.append(f"close {name}")

    @contextlib.asynccontextmanager
    @mark
    async def aopened() -> Any:
        yield "a"

    class Own(contextlib.ContextDecorator):
        @mark
        def __enter__(self) -> Any:
            return self

        @mark
        def __exit__(self, *error: Any) -> bool:
            return error[0] is ValueError

    @mark
    def closing() -> None:
        said.append("callback")

    @opened("decorated")
    @mark
    def recorded(n: int) -> int:
        return n

    @Own()
    @mark
    def fails() -> None:
        raise ValueError

    async def asynchronous() -> Any:
        async with aopened() as one, contextlib.AsyncExitStack() as stack:
            return one, stack.enter_context(opened("in stack"))

    with opened("outer") as name, contextlib.ExitStack() as stack:
        stack.callback(closing)
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        raise LookupError("inside")
    return (
        name,
        recorded(1),
        fails(),
        asyncio.run(asynchronous()),
        said,
        recorded.__wrapped__.__name__,
        recorded(2),
    )


@case(hits={"ready": 1, "late": 1})
def abstract(mark: Mark) -> Any:
    """Methods that are abstract, become it, and cease to be."""

    class Base(abc.ABC):
        @property
        @mark
        @abc.abstractmethod
        def ready(self) -> str: ...

        @staticmethod
        @abc.abstractmethod
        @mark
        def late() -> str: ...

    class Half(Base):
        @property
        @mark
        def ready(self) -> str:
            return "ready"

    before = sorted(Half.__abstractmethods__)
    Half.late = staticmethod(mark_as(mark, "late", lambda: "late"))
    abc.update_abstractmethods(Half)
    half = Half()
    return (
        before,
        sorted(Half.__abstractmethods__),
        half.ready,
        half.late(),
        Base.ready.__isabstractmethod__,
        inspect.isabstract(Base),
        inspect.isabstract(Half),
        sorted(Base.__abstractmethods__),
    )


@case(
    hits={
        "plus": 1,
        "minus": 1,
        "describe": 1,
        "__call__": 1,
        "_generate_next_value_": 2,
        "__or__": 1,
    }
)
def enum_of_functions(mark: Mark) -> Any:
    """Members that are values, attributes that are functions, and members that hold functions."""

    @mark
    def plus(a: int, b: int) -> int:
        return a + b

    @mark
    def minus(a: int, b: int) -> int:
        return a - b

    class Operation(enum.Enum):
        PLUS = functools.partial(plus)
        MINUS = (minus,)
        TIMES = enum.member(operator.mul)
        helper = plus  # a function is a method, no member

        @mark
        def __call__(self, a: int, b: int) -> int:
            function = self.value[0] if isinstance(self.value, tuple) else self.value
            return function(a, b)

        @classmethod
        @mark
        def describe(cls) -> Any:
            return [each.name for each in cls]

    class Flags(enum.Flag):
        @mark
        @staticmethod
        def _generate_next_value_(name: str, start: int, count: int, last: Any) -> int:
            return 1 << (count + 3)

        ONE = enum.auto()
        TWO = enum.auto()

        @mark
        def __or__(self, other: Any) -> Any:
            return super().__or__(other)

    return (
        sorted(Operation.describe()),
        Operation.MINUS(5, 3),
        Operation.helper(1, 2),
        sorted(each for each in vars(Operation) if not each.startswith("_")),
        (Flags.ONE | Flags.TWO).value,
        Flags.TWO.value,
    )


@case(hits={"who": 2, "outer": 1, "__init__": 1, "made": 1, "changed": 1})
def class_cells(mark: Mark) -> Any:
    """`super()` and `__class__` in methods, comprehensions, functions within, and classes made by `type`."""

    class Base:
        def who(self) -> Any:
            return ["base"]

    class Derived(Base):
        @mark
        def __init__(self, n: int = 0) -> None:
            super().__init__()
            self.n = n

        @mark
        def who(self) -> Any:
            return [*super().who(), __class__.__name__]

        @mark
        def outer(self) -> Any:
            def inner() -> Any:
                return super(__class__, self).who()

            return inner(), [__class__.__qualname__ for _ in range(1)]

    @mark
    def made(self: Any) -> Any:
        return type(self).__name__

    named = type("Made", (Derived,), {"made": made, "__slots__": ("extra",)})

    @mark
    def changed(self: Any) -> Any:
        return "changed"

    one = named(1)
    first = one.who()
    Derived.who, kept = changed, Derived.who
    second = one.who()
    Derived.who = kept
    cell = Derived.outer.__closure__[0]
    return first, second, one.outer(), one.made(), cell.cell_contents is Derived, kept(one)


@case(hits={"attribute": 2, "plain": 1, "__setattr__": 1, "__getattribute__": 4, "__delattr__": 1})
def attributes(mark: Mark) -> Any:
    """Everything that says what an attribute is, and functions that have some."""

    class Kind:
        @mark
        def __getattribute__(self, name: str) -> Any:
            return name.upper() if name.startswith("x") else object.__getattribute__(self, name)

        @mark
        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name, [value])

        @mark
        def __delattr__(self, name: str) -> None:
            object.__delattr__(self, name)

    @mark
    def attribute(n: int = 1) -> Any:
        attribute.calls = getattr(attribute, "calls", 0) + n
        return attribute.calls

    @mark
    def plain(n: int = 1) -> Any:
        return n

    kind = Kind()
    kind.y = 1
    answers = [kind.xylem, kind.y, operator.attrgetter("xenon")(kind)]
    del kind.y
    attribute.__defaults__ = (5,)
    counts = [attribute(), attribute(2)]
    plain.__code__ = (lambda n=0: "replaced").__code__
    counts.append(plain())
    attribute.__name__, attribute.__doc__ = "other", "Other."
    del attribute.calls
    return (
        answers,
        hasattr(kind, "y"),
        counts,
        attribute.__name__,
        attribute.__doc__,
        vars(attribute),
    )


@case(hits={"numbers": 2, "delegating": 1, "closed": 1, "averager": 1})
def generators_by_hand(mark: Mark) -> Any:
    """`send`, `throw`, `close`, `yield from`, what is returned, and what they are while they run."""

    @mark
    def numbers(n: int) -> Any:
        for each in range(n):
            got = yield each
            if got:
                yield f"got {got}"
        return "end"

    @mark
    def delegating() -> Any:
        first = yield from numbers(2)
        second = yield from numbers(1)
        return first, second

    @mark
    def averager() -> Any:
        total, count = 0.0, 0
        while True:
            try:
                total += yield total / count if count else None
                count += 1
            except LookupError as error:
                yield f"thrown {error}"

    @mark
    def closed(said: list[str]) -> Any:
        try:
            yield 1
        except GeneratorExit:
            said.append("exit")
            raise
        finally:
            said.append("finally")

    running, told = delegating(), []
    told.append(next(running))
    told.append(running.send("x"))
    told.append(running.gi_yieldfrom.gi_code.co_name)
    while True:
        try:
            told.append(next(running))
        except StopIteration as stop:
            told.append(stop.value)
            break
    average, said = averager(), []
    told += [next(average), average.send(4), average.throw(LookupError("hm")), average.send(None)]
    ending = closed(said)
    next(ending)
    ending.close()
    return (
        told,
        said,
        ending.gi_frame is None,
        inspect.getgeneratorstate(ending),
        average.gi_code.co_name,
    )


@case(
    hits={
        "area": 2,
        "area.setter": 1,
        "of": 2,
        "static": 1,
        "__init_subclass__": 1,
        "__class_getitem__": 1,
    }
)
def outermost(mark: Mark) -> Any:
    """The mark above `property`, `classmethod`, `staticmethod` and others."""

    class Base:
        @mark
        @property
        def area(self) -> Any:
            """An area."""
            return self.__dict__.get("a")

        @area.setter
        def area(self, value: Any) -> None:
            self.__dict__["a"] = value

        area = mark(area)

        @mark
        @classmethod
        def of(cls, n: int) -> Any:
            return cls.__name__, n

        @mark
        @staticmethod
        def static(n: int = 4) -> int:
            return n

        @mark
        @classmethod
        def __init_subclass__(cls, **options: Any) -> None:
            cls.options = options

        @mark
        @classmethod
        def __class_getitem__(cls, item: Any) -> Any:
            return types.GenericAlias(cls, item)

    class Derived(Base, extra=1):
        pass

    one = Derived()
    one.area = 3
    area = one.area
    return (
        area,
        Derived.of(1),
        one.of(2),
        Base.static(),
        Derived.options,
        str(Derived[int])[-30:],
        Base.area.__doc__,
    )


@case(
    hits={
        "Awaited.__await__": 2,
        "Stream.__aiter__": 1,
        "Stream.__anext__": 3,
        "Scope.__aenter__": 1,
        "Scope.__aexit__": 1,
        "Items.__iter__": 2,
        "agen": 2,
    }
)
def protocols_of_waiting(mark: Mark) -> Any:
    """The methods behind `await`, `async for`, `async with` and `for`, written as generators and coroutines."""
    import warnings

    def named(name: str) -> Mark:
        def give(function: Any) -> Any:
            function.__name__ = name
            return mark(function)

        return give

    class Awaited:
        @named("Awaited.__await__")
        def __await__(self) -> Any:
            got = yield from asyncio.sleep(0, "slept").__await__()
            return got

    class Stream:
        left = 2

        @named("Stream.__aiter__")
        def __aiter__(self) -> Any:
            return self

        @named("Stream.__anext__")
        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    class Scope:
        @named("Scope.__aenter__")
        async def __aenter__(self) -> str:
            return await Awaited()

        @named("Scope.__aexit__")
        async def __aexit__(self, *error: Any) -> bool:
            return error[0] is KeyError

    class Items:
        @named("Items.__iter__")
        def __iter__(self) -> Any:
            yield from "ab"

    @mark
    async def never() -> None: ...

    @mark
    async def agen() -> Any:
        try:
            got = yield 1
            yield got
        except LookupError:
            yield "thrown"

    async def main() -> Any:
        said = [await Awaited(), [n async for n in Stream()]]
        async with Scope() as scope:
            said.append(scope)
            raise KeyError
        first, second = agen(), agen()
        said += [await first.__anext__(), await first.asend("sent")]
        said += [
            await anext(second),
            await second.athrow(LookupError()),
            await anext(second, "none"),
        ]
        await first.aclose()
        async with contextlib.aclosing(second):
            return said, [type(each).__name__ for each in (first, second)]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        never()
        gc.collect()
    first, *rest = Items()
    return (
        asyncio.run(main()),
        [str(each.message)[-70:] for each in caught],
        first,
        rest,
        "b" in Items(),
    )


@case(
    hits={
        "excepted": 1,
        "unraisable": 1,
        "factory": 1,
        "display": 1,
        "broken": 1,
        "thread_failed": 1,
    }
)
def hooks(mark: Mark) -> Any:
    """Functions that the interpreter calls by itself."""
    import builtins
    import logging
    import threading

    said: list[Any] = []

    @mark
    def excepted(kind: Any, error: Any, where: Any) -> None:
        said.append(("excepted", kind.__name__, str(error)))

    @mark
    def unraisable(told: Any) -> None:
        said.append(("unraisable", type(told.exc_value).__name__))

    @mark
    def display(value: Any) -> None:
        said.append(("display", value))

    @mark
    def thread_failed(told: Any) -> None:
        said.append(("thread", str(told.exc_value)))

    @mark
    def factory(*args: Any, **kwargs: Any) -> Any:
        record = logging.LogRecord(*args, **kwargs)
        record.extra = "extra"
        return record

    @mark
    def broken(reference: Any) -> None:
        raise ValueError("in a callback")

    def fail() -> None:
        raise LookupError("in a thread")

    class Kind:
        pass

    kept = sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook
    made = logging.getLogRecordFactory()
    try:
        sys.excepthook, sys.unraisablehook, sys.displayhook = excepted, unraisable, display
        threading.excepthook = thread_failed
        logging.setLogRecordFactory(factory)
        sys.excepthook(ValueError, ValueError("x"), None)
        exec(compile("1 + 1", "shown", "single"))
        kind = Kind()
        watched = weakref.ref(kind, broken)
        del kind
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        record = logging.getLogger("gallery").makeRecord("gallery", 10, "f", 1, "m", (), None)
    finally:
        sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook = kept
        logging.setLogRecordFactory(made)
    return said, record.extra, watched() is None, builtins.len is len


@case(
    hits={
        "key": 4,
        "compare": 1,
        "replace": 2,
        "default": 1,
        "hook": 1,
        "made": 1,
        "function": 2,
        "Total.step": 3,
        "Total.finalize": 1,
        "called_by_c": 2,
        "codec_error": 1,
        "number": 2,
        "do_greet": 1,
        "visit_Name": 2,
        "start": 2,
        "__missing__": 1,
        "readinto": 2,
        "__fspath__": 1,
        "__index__": 1,
        "__format__": 1,
        "reduce_it": 1,
        "__length_hint__": 1,
    }
)
def called_by_the_library(mark: Mark) -> Any:
    """Functions and methods that modules of C and of the library call, or find by their names."""
    import argparse
    import ast
    import cmd
    import codecs
    import collections
    import copyreg
    import json
    import os
    import re
    import sqlite3
    from xml.parsers import expat

    def named(name: str) -> Mark:
        def give(function: Any) -> Any:
            function.__name__ = name
            return mark(function)

        return give

    @mark
    def key(n: int) -> int:
        return -n

    @mark
    def compare(a: int, b: int) -> int:
        return a - b

    @mark
    def replace(match: Any) -> str:
        return match[0].upper()

    @mark
    def default(value: Any) -> Any:
        return sorted(value)

    @mark
    def hook(pairs: Any) -> Any:
        return pairs

    @mark
    def made() -> list[int]:
        return [0]

    @mark
    def function(a: int) -> int:
        return a * 2

    class Total:
        def __init__(self) -> None:
            self.n = 0

        @named("Total.step")
        def step(self, n: int) -> None:
            self.n += n

        @named("Total.finalize")
        def finalize(self) -> int:
            return self.n

    @mark
    def codec_error(error: Any) -> Any:
        return "?", error.end

    @mark
    def number(text: str) -> int:
        return int(text)

    class Shell(cmd.Cmd):
        @mark
        def do_greet(self, line: str) -> bool:
            """Greet somebody."""
            print("hello", line, file=self.stdout)
            return True

    class Names(ast.NodeVisitor):
        seen: typing.ClassVar[list[str]] = []

        @mark
        def visit_Name(self, node: Any) -> None:
            self.seen.append(node.id)

    @mark
    def start(name: str, attributes: Any) -> None:
        elements.append(name)

    class Counts(dict):
        @mark
        def __missing__(self, key: str) -> str:
            return f"no {key}"

    class Raw(io.RawIOBase):
        left = b"line\n"

        @mark
        def readinto(self, buffer: Any) -> int:
            size = len(self.left)
            buffer[:size], self.left = self.left, b""
            return size

        def readable(self) -> bool:
            return True

    class Odd:
        @mark
        def __fspath__(self) -> str:
            return "/somewhere"

        @mark
        def __index__(self) -> int:
            return 2

        @mark
        def __format__(self, how: str) -> str:
            return f"<{how}>"

        @mark
        def __length_hint__(self) -> int:
            return 7

    @mark
    def reduce_it(value: Any) -> Any:
        return complex, (1, 2)

    @mark
    def called_by_c(one: Any, other: Any) -> int:
        return one[0] - other[0]

    elements: list[str] = []
    database = sqlite3.connect(":memory:")
    database.create_function("f", 1, function)
    database.create_aggregate("total_of", 1, Total)
    rows = database.execute(
        "select f(1), f(2), total_of(c) from (select 1 c union select 2 union select 3)"
    )
    row = rows.fetchone()
    database.close()
    codecs.register_error("gallery", codec_error)
    parser = argparse.ArgumentParser(prog="x", exit_on_error=False)
    parser.add_argument("n", type=number)
    try:
        parser.parse_args(["no"])
    except argparse.ArgumentError as error:
        refused = str(error)
    out = io.StringIO()
    shell = Shell(stdout=out)
    shell.onecmd("greet you")
    shell.onecmd("help greet")
    Names().visit(ast.parse("a = b"))
    xml = expat.ParserCreate()
    xml.StartElementHandler = start
    xml.Parse("<a><b/></a>", True)

    class Reduced:
        pass

    copyreg.pickle(Reduced, reduce_it)
    reduced = pickle.loads(pickle.dumps(Reduced()))
    encoded = "é".encode("ascii", "gallery")
    # They would keep what was marked.
    del copyreg.dispatch_table[Reduced]
    codecs.register_error("gallery", codecs.strict_errors)
    import ctypes

    integers = (ctypes.c_int * 3)(3, 1, 2)
    pointer = ctypes.POINTER(ctypes.c_int)
    callback = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer)(called_by_c)
    differences = [callback(integers, ctypes.pointer(ctypes.c_int(n))) for n in (1, 2)]
    return (
        [sorted([1, 3, 2], key=key), max([4], key=key)],
        functools.cmp_to_key(compare)(1) < functools.cmp_to_key(compare)(2),
        re.sub("[ab]", replace, "abc"),
        [json.dumps({2, 1}, default=default), json.loads('{"a": 1}', object_pairs_hook=hook)],
        [collections.defaultdict(made)["x"], Counts()["k"], row, encoded],
        [refused, parser.parse_args(["4"]).n, out.getvalue(), Names.seen, elements],
        [io.BufferedReader(Raw()).read(), os.fspath(Odd()), [0, 1, 2][Odd()], f"{Odd():how}"],
        [reduced, operator.length_hint(Odd()), differences],
    )


@case(
    hits={"area": 2, "make": 2, "__new__": 1, "scale": 1, "describe": 2, "matched": 2, "of_int": 1}
)
def records(mark: Mark) -> Any:
    """Named tuples with methods, pattern matching, generic functions by annotation, new classes by hand."""

    class Box(typing.NamedTuple):
        wide: int
        high: int = 2

        @property
        @mark
        def area(self) -> int:
            return self.wide * self.high

        @classmethod
        @mark
        def make(cls, n: int) -> Any:
            return cls(n)

    class Big(Box):
        __slots__ = ()

        @mark
        def __new__(cls, wide: int) -> Any:
            return super().__new__(cls, wide * 10)

    class Describer:
        @functools.singledispatchmethod
        @mark
        def describe(self, value: Any) -> str:
            return "any"

        @describe.register
        @mark
        def of_int(self, value: int) -> str:
            return "int " + self.describe("")

        @describe.register(list)
        @mark
        def _(self, value: Any) -> str:
            return "list"

    @mark
    def matched(value: Any) -> Any:
        match value:
            case Box(wide=1, high=high):
                return "one", high
            case Box(wide, _):
                return "box", wide
            case _:
                return None

    def body(namespace: Any) -> None:
        namespace["scale"] = mark_as(mark, "scale", lambda self, n: self.n * n)
        namespace["n"] = 4

    new = types.new_class("Made", (), {}, body)
    return (
        (Box.make(3).area, Box.make(1)._replace(high=9), Big(2).area, new().scale(3)),
        [Describer().describe(1), Describer().describe(None)],
        [matched(Box(1)), matched(Box(5, 5))],
        Box._fields,
        typing.get_type_hints(Describer.of_int),
    )
