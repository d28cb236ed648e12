"""Functions are chosen by patterns of their names, and tracked when their modules are imported."""

from __future__ import annotations

import builtins
import gc
import importlib
import importlib.machinery
import importlib.util
import inspect
import math
import pickle
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conftest import hits, recorded, run_program
from stichotrope import Profiler, _core, set_global_enabled
from stichotrope.instrumentation import patterns as instrument
from stichotrope.instrumentation.patterns import Instrumentation, Pattern

pytestmark = pytest.mark.integration


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Writes modules that can be imported until the end of the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(**modules: str) -> Path:
        for name, source in modules.items():
            parts = [part or "__init__" for part in name.split("__")]
            path = tmp_path.joinpath(*parts).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))
            for folder in path.relative_to(tmp_path).parents[:-1]:
                (tmp_path / folder / "__init__.py").touch()
        importlib.invalidate_caches()
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        if isinstance(module, ModuleType) and str(tmp_path) in str(vars(module).get("__file__")):
            del sys.modules[name]


@pytest.fixture
def track() -> Iterator[Callable[..., tuple[Profiler, Instrumentation]]]:
    """Installs patterns until the end of the test."""
    installed: list[Instrumentation] = []

    def install(*patterns: str, main: tuple[str, ...] = ()) -> tuple[Profiler, Instrumentation]:
        profiler = Profiler("chosen")
        instrumentation = Instrumentation(profiler, [Pattern(text) for text in patterns], main)
        installed.append(instrumentation)
        instrumentation.install()
        return profiler, instrumentation

    yield install
    while installed:
        installed.pop().remove()
    assert instrument._FINDER not in sys.meta_path


# Patterns


@pytest.mark.unit
@pytest.mark.parametrize(
    ("pattern", "module", "function", "expected"),
    [
        ("shop.orders:price", "shop.orders", "price", True),
        ("shop.orders:price", "shop.orders", "prices", False),
        ("shop.orders:price", "shop", "price", False),
        ("shop.orders:Order.total", "shop.orders", "Order.total", True),
        ("shop.orders:Order.total", "shop.orders", "Order.total.setter", True),
        ("shop.orders:Order.*", "shop.orders", "Order.Line.price", True),
        ("shop.orders:Order.*", "shop.orders", "Orders.price", False),
        ("shop.orders:Order", "shop.orders", "Order.total", True),
        ("shop.orders:Order", "shop.orders", "Orders", False),
        ("shop.orders", "shop.orders", "anything", True),
        ("shop.orders", "shop.orders.more", "anything", False),
        ("shop.*", "shop", "f", True),
        ("shop.*", "shop.orders.more", "f", True),
        ("shop.*", "shopping", "f", False),
        ("*.orders:load_*", "shop.orders", "load_all", True),
        ("*.orders:load_*", "shop.orders", "reload_all", False),
        ("sh?p:f", "shop", "f", True),
        ("shop:[fg]", "shop", "g", True),
        ("shop:[!fg]", "shop", "g", False),
        ("Shop:f", "shop", "f", False),
    ],
)
def test_a_pattern_takes_what_its_wildcards_say(pattern, module, function, expected):
    """A pattern takes the functions of the modules that its two parts name, wildcards included."""
    chosen = Pattern(pattern)
    assert (chosen.takes_module(module) and chosen.takes(function)) is expected


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("src/shop.py:f", "'src/shop.py:f' names a file, not a module as import does"),
        ("shop.py", "'shop.py' names a file, not a module as import does"),
        (":f", "'' in ':f' is no name for the module"),
        ("shop:", "'' in 'shop:' is no name for the function"),
        ("shop:f()", "'f()' in 'shop:f()' is no name for the function"),
        ("shop..orders", "'shop..orders' in 'shop..orders' is no name for the module"),
        ("shop:a:b", "'a:b' in 'shop:a:b' is no name for the function"),
    ],
)
def test_what_cannot_be_a_pattern_is_refused(text, sentence):
    """What cannot be a pattern is refused with what was given and how one is written."""
    with pytest.raises(ValueError, match="a pattern is written module:function") as error:
        Pattern(text)
    assert str(error.value).startswith(f"{sentence}; ")


@pytest.mark.unit
def test_a_pattern_is_a_text():
    """What is no text, or an empty one, is refused as a pattern."""
    with pytest.raises(TypeError, match="a pattern must be a str, not 1 of type int"):
        Pattern(1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a pattern must not be empty"):
        Pattern("")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "track"), [("shop.orders:f", "shop"), ("__main__:*", "__main__"), ("sh*.x", "sh*")]
)
def test_a_patterns_track_is_the_first_part_of_its_module(text, track):
    """The track of a pattern is named after the first part of its module, as it is written."""
    assert Pattern(text).track == track


# Modules that are imported


def test_a_function_is_tracked_when_its_module_is_imported(project, track):
    """A chosen function is a block of its name and place, on the track of its package."""
    folder = project(
        shop__orders="""
        def price(n):
            return 2 * n

        def other():
            return 1
        """
    )
    profiler, _ = track("shop.orders:price")
    orders = importlib.import_module("shop.orders")

    assert (orders.price(2), orders.other()) == (4, 1)
    block = recorded(profiler)["price"]
    assert (block.hit_count, block.file, block.line) == (1, str(folder / "shop/orders.py"), 2)
    assert [one.track_name for one in profiler.get_results().tracks.values()] == ["shop"]
    assert hits(profiler) == {"price": 1}


def test_all_functions_of_a_class_are_tracked(project, track):
    """A class in a pattern stands for its methods of every kind, and those of nested classes."""
    project(
        shapes="""
        class Square:
            def __init__(self, side): self._side = side
            @property
            def side(self): return self._side
            @side.setter
            def side(self, value): self._side = value
            @classmethod
            def unit(cls): return cls(1)
            @staticmethod
            def corners(): return 4
            class Corner:
                def angle(self): return 90

        class Circle:
            def area(self): return 3
        """
    )
    profiler, _ = track("shapes:Square")
    shapes = importlib.import_module("shapes")
    Square = shapes.Square  # noqa: N806
    square = Square.unit()
    square.side = square.side + 1
    assert (Square.corners(), Square.Corner().angle(), shapes.Circle().area()) == (4, 90, 3)
    assert hits(profiler) == {
        "Square.__init__": 1,
        "Square.side": 1,
        "Square.side.setter": 1,
        "Square.unit": 1,
        "Square.corners": 1,
        "Square.Corner.angle": 1,
    }


def test_a_package_is_tracked_with_all_modules_below_it(project, track):
    """``package.*`` is the package's own functions and those of each module below it."""
    project(
        parts__="def own(): return 0",
        parts__one="def first(): return 1",
        parts__more__two="def second(): return 2",
        partsmore="def third(): return 3",
    )
    profiler, _ = track("parts.*")
    two = importlib.import_module("parts.more.two")
    one, parts = importlib.import_module("parts.one"), importlib.import_module("parts")
    partsmore = importlib.import_module("partsmore")

    values = parts.own(), one.first(), two.second(), partsmore.third()
    assert values == (0, 1, 2, 3)
    assert hits(profiler) == {"own": 1, "first": 1, "second": 1}


def test_what_says_that_it_is_of_its_package_is_of_the_module_that_it_was_written_in(
    project, track
):
    """As pandas has its classes and functions say; what was imported from another module is not."""
    said = """
        def of_package(value):
            value.__module__ = "frames"
            return value
        """
    project(
        frames__="",
        frames__said=said,
        frames__core="""
        from frames.said import of_package
        from frames.other import Other, other
        @of_package
        class Frame:
            def apply(self): return other()
            @property
            def size(self): return 5
        @of_package
        def concat(): return Other().get()
        """,
        frames__other="""
        from frames.said import of_package
        @of_package
        class Other:
            def get(self): return 3
        @of_package
        def other(): return 4
        """,
    )
    profiler, _ = track("frames.core")
    core = importlib.import_module("frames.core")
    assert (core.Frame().apply(), core.Frame().size, core.concat()) == (4, 5, 3)
    assert hits(profiler) == {"Frame.apply": 1, "Frame.size": 1, "concat": 1}


def test_names_that_were_imported_before_are_replaced(project, track):
    """What a module imported by name before the patterns came is tracked there too."""
    project(
        source="""
        def f(): return 1
        again = f
        class C:
            def m(self): return f()
        """,
        user="""
        from source import f as g, C
        from math import hypot
        HANDLERS = {"f": g}
        def call(): return g()
        """,
    )
    source = importlib.import_module("source")
    user = importlib.import_module("user")

    untracked = source.f
    profiler, instrumentation = track("source:f", "source:C", "math:hypot")
    assert (user.call(), source.again(), user.C().m(), user.hypot(3, 4)) == (1, 1, 1, 5.0)
    assert hits(profiler) == {"f": 3, "C.m": 1, "hypot": 1}
    assert user.HANDLERS["f"] is source.f
    assert (source.f is untracked) is _core.can_track_code()
    instrumentation.remove()
    assert (source.f, source.again, user.g, user.HANDLERS["f"]) == (untracked,) * 4
    assert user.hypot is math.hypot
    assert (user.call(), source.C().m(), math.hypot(3, 4)) == (1, 1, 5.0)
    assert hits(profiler) == {"f": 3, "C.m": 1, "hypot": 1}


def test_a_module_that_imports_back_gets_the_tracked_function(project, track):
    """In a circle of imports, the module that was there first is tracked in the second as well."""
    project(
        first="""
        def f(): return 1
        import second
        """,
        second="""
        from first import f
        def g(): return f()
        """,
    )
    profiler, _ = track("first:f")
    first = importlib.import_module("first")
    second = importlib.import_module("second")

    assert second.f is first.f
    assert second.g() == 1
    assert hits(profiler) == {"f": 1}


def test_the_first_pattern_gives_a_function_its_track(project, track):
    """A function that several patterns choose is one block, on the track of the first of them."""
    project(shop__orders="def price(): return 1\ndef other(): return 2")
    # Any module: "*" would take those of the other tests, too.
    profiler, instrumentation = track("*.orders:price", "shop.*")
    orders = importlib.import_module("shop.orders")

    assert (orders.price(), orders.other()) == (1, 2)
    tracks = profiler.get_results().tracks.values()
    assert {one.track_name: [block.name for block in one.blocks] for one in tracks} == {
        "*": ["price"],
        "shop": ["other"],
    }
    assert instrumentation.unmatched() == []


def test_a_module_has_its_own_loader_when_it_runs(project, track):
    """The module's loader and source are what they are without tracking, from its first line on."""
    project(
        honest="""
        seen = type(__loader__), type(__spec__.loader)
        def f(): return 1
        """
    )
    track("honest:f")
    honest = importlib.import_module("honest")

    kinds = importlib.machinery.SourceFileLoader
    assert honest.seen == (kinds, kinds)
    spec: Any = honest.__spec__
    assert (type(honest.__loader__), type(spec.loader)) == (kinds, kinds)
    assert inspect.getsource(honest.f) == "def f(): return 1\n"


def frames_of_failure(module: str) -> list[tuple[str, str]]:
    """File and function of each line of the traceback of an import."""
    with pytest.raises(ZeroDivisionError) as error:
        exec(f"import {module}")  # the statement leaves out frames that a function does not
    return [(frame.filename, frame.name) for frame in traceback.extract_tb(error.tb)]


def test_the_traceback_of_a_failed_import_is_the_usual_one(project, track):
    """A module that fails when it is imported has the same traceback with and without tracking."""
    project(
        outer="import inner",
        inner="""
        def f():
            return 1 / 0
        f()
        """,
    )
    usual = frames_of_failure("outer")
    track("outer:*", "inner:nothing")
    assert frames_of_failure("outer") == usual
    assert "inner" not in sys.modules


def test_a_reloaded_module_is_tracked_again(project, track):
    """After a reload the new functions are tracked, as the same blocks."""
    project(again="def f(): return 1")
    profiler, _ = track("again:f")
    again = importlib.import_module("again")

    old = again.f
    importlib.reload(again)
    assert again.f is not old
    assert (old(), again.f()) == (1, 1)
    assert hits(profiler) == {"f": 2}


class _Foreign:
    """A finder that knows one module, as pytest's knows those of the tests."""

    def __init__(self, name: str, path: Path) -> None:
        self._known = name, path

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name != self._known[0]:
            return None
        return importlib.util.spec_from_file_location(*self._known)


def test_a_finder_that_came_later_is_asked_by_ours(project, track, monkeypatch):
    """What another finder finds is tracked, also when it stands itself in front of ours."""
    folder = project(other="def f(): return 1", plain="")
    profiler, _ = track("foreign:f")
    # monkeypatch would put the list itself back, with ours in it.
    foreign = _Foreign("foreign", folder / "other.py")
    sys.meta_path.insert(0, foreign)  # type: ignore[arg-type]
    try:
        importlib.import_module("plain")  # asks ours, which sees that it is not the first

        foreign_module = importlib.import_module("foreign")
    finally:
        sys.meta_path.remove(foreign)  # type: ignore[arg-type]
    assert foreign_module.f() == 1
    assert hits(profiler) == {"f": 1}


def test_a_lazily_loaded_module_is_tracked_when_it_is_used(project, track):
    """A module that is executed at its first use is tracked then, and not executed before."""
    project(
        lazy="""
        import sys
        sys.lazy_was_executed = True
        def f(): return 1
        """
    )
    profiler, _ = track("lazy:f")
    spec = importlib.util.find_spec("lazy")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["lazy"] = module
    spec.loader.exec_module(module)
    track("nothing.of.this")  # looks through what is there
    assert not hasattr(sys, "lazy_was_executed")
    try:
        assert module.f() == 1
    finally:
        del sys.lazy_was_executed  # type: ignore[attr-defined]
    assert hits(profiler) == {"f": 1}


def test_what_is_no_module_among_the_modules_is_left_alone(project, track, monkeypatch):
    """An object that a program put among the modules is neither looked through nor changed."""

    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was asked for")

    monkeypatch.setitem(sys.modules, "odd", Odd())
    project(later="def f(): return 1")
    profiler, _ = track("odd:*", "later:f")
    later = importlib.import_module("later")

    assert later.f() == 1
    assert hits(profiler) == {"f": 1}


def test_the_package_itself_is_not_tracked(track):
    """Patterns that choose stichotrope's own functions choose nothing."""
    profiler, instrumentation = track("stichotrope.*")
    assert profiler.get_results().tracks == {}
    assert instrumentation.unmatched() == [
        "'stichotrope.*' matched nothing: no module 'stichotrope.*' was imported"
    ]


@pytest.mark.skipif(_core.can_track_code(), reason="nothing is replaced from CPython 3.12 on")
def test_a_class_that_refuses_is_a_sentence_and_nothing_more(project, track):
    """A module whose class does not let its methods be replaced works on, untracked."""
    project(
        stubborn="""
        class Meta(type):
            def __setattr__(cls, name, value): raise TypeError("not here")
        def f(): return 1
        class C(metaclass=Meta):
            def m(self): return 2
        """
    )
    profiler, instrumentation = track("stubborn:*")
    stubborn = importlib.import_module("stubborn")

    assert (stubborn.f(), stubborn.C().m()) == (1, 2)
    assert (hits(profiler)["f"], hits(profiler)["C.m"]) == (0, 0)
    assert instrumentation.failures() == ["stubborn could not be instrumented: not here"]


def test_an_action_waits_for_a_module_or_is_done_at_once(project):
    """What is to be done after an import is done once, then or right away."""
    project(awaited="x = 1")
    seen: list[ModuleType] = []
    instrument.after_import("awaited", seen.append)
    assert seen == []
    awaited = importlib.import_module("awaited")

    assert seen == [awaited]
    importlib.reload(awaited)
    assert seen == [awaited]
    instrument.after_import("awaited", seen.append)
    assert seen == [awaited, awaited]
    sys.meta_path.remove(instrument._FINDER)  # type: ignore[arg-type]


# What is said


def test_a_pattern_without_a_match_says_why_and_what_is_near(project, track):
    """A pattern that chose nothing says what is missing, and suggests the nearest names."""
    project(
        shop__orders="""
        from shop.prices import price, Price
        def load_all(): return 1
        """,
        shop__prices="""
        def price(): return 1
        class Price:
            def net(self): return 1
        """,
        shop__empty="x = 1",
    )
    _, instrumentation = track(
        "shop.order:load_all",
        "shop.orders:lode_all",
        "shop.orders:price",
        "shop.orders:Price.net",
        "shop.empty:f",
        "unrelated_zzz:f",
    )
    importlib.import_module("shop.empty")
    importlib.import_module("shop.orders")

    assert instrumentation.unmatched() == [
        "'shop.order:load_all' matched nothing: no module 'shop.order' was imported; "
        "did you mean shop.orders?",
        "'shop.orders:lode_all' matched nothing: no such function in shop.orders; "
        "did you mean load_all?",
        "'shop.orders:price' matched nothing: it is defined elsewhere; use 'shop.prices:price'",
        "'shop.orders:Price.net' matched nothing: it is defined elsewhere; "
        "use 'shop.prices:Price.net'",
        "'shop.empty:f' matched nothing: shop.empty defines no function",
        "'unrelated_zzz:f' matched nothing: no module 'unrelated_zzz' was imported",
    ]


def test_functions_that_were_never_called_are_named(project, track):
    """A pattern whose functions were not called says which those are, three of them at most."""
    project(quiet="".join(f"def f{n}(): return {n}\n" for n in range(5)))
    profiler, instrumentation = track("quiet:f[0-3]", "quiet:f4")
    quiet = importlib.import_module("quiet")

    quiet.f4()
    called = {name for name, count in hits(profiler).items() if count}
    assert instrumentation.uncalled(called) == [
        "'quiet:f[0-3]' chose f0, f1, f2 and 1 more, and none of it was called"
    ]


# The main program

PROGRAM = """\
import functools
from dataclasses import dataclass

def plain(n):
    return 2 * n

if plain(1):
    @functools.lru_cache
    def conditional():
        return 1

try:
    async def ignored(): ...
except ValueError:
    pass
else:
    class Outer:
        def method(self): return plain(3)
        class Inner:
            def method(self): return 4

@dataclass
class Point:
    x: int
    def norm(self): return self.x

def outer():
    def inner(): return 5
    return inner()

plain(1), conditional(), conditional(), Outer().method(), Outer.Inner().method()
Point(1).norm(), outer()
"""


def run_main(instrumentation: Instrumentation, source: str | bytes) -> dict[str, Any]:
    """Runs a main program as it is compiled for tracking."""
    namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    code = instrumentation.compiled(source, "program.py")
    assert code is not None
    exec(code, namespace)
    return namespace


def test_the_main_programs_own_functions_are_tracked_as_they_are_made(track):
    """Functions and classes that a main program defines are tracked before it calls them."""
    profiler, instrumentation = track("__main__:*")
    namespace = run_main(instrumentation, PROGRAM)
    by_code = _core.can_track_code()
    generated = {} if by_code else {"Point.__init__": 1}  # which are in no code of the program's
    within = {"outer.<locals>.inner": 1} if by_code else {}
    assert {name: count for name, count in hits(profiler).items() if count} == {
        "plain": 3,
        "conditional": 1,  # what its cache answers is no call
        "Outer.method": 1,
        "Outer.Inner.method": 1,
        "Point.norm": 1,
        "outer": 1,
        **generated,
        **within,
    }
    assert recorded(profiler)["plain"].line == 4
    assert recorded(profiler)["conditional"].line == 8  # its first decorator, as Python says
    assert recorded(profiler)["plain"].file == "program.py"
    usual: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(PROGRAM, "program.py", "exec", dont_inherit=True), usual)
    assert set(namespace) == set(usual)


def test_the_main_program_is_known_by_other_names_too(track):
    """A pattern may name the main program as its module is called."""
    profiler, instrumentation = track("script:f", main=("script",))
    run_main(instrumentation, b"def f(): return 1\ndef g(): return 2\nf(), g()\n")
    assert hits(profiler) == {"f": 1}


def test_a_main_program_without_patterns_is_not_compiled_anew(track):
    """Where no pattern is about the main program, its code stays as Python makes it."""
    _, instrumentation = track("json:*")
    assert instrumentation.compiled("x = 1", "program.py") is None


def test_a_main_program_with_a_mistake_is_a_syntax_error_of_its_own(track):
    """What is no Python is the same syntax error as without tracking, with no further frames."""
    _, instrumentation = track("__main__:*")
    with pytest.raises(SyntaxError) as error:
        instrumentation.compiled("def f(:", "program.py")
    assert (error.value.filename, error.value.lineno) == ("program.py", 1)
    own = [frame.filename for frame in traceback.extract_tb(error.tb)][1:]
    assert own == [instrument.__file__]


def test_a_tracked_function_of_the_main_program_is_pickled_by_name(track, monkeypatch):
    """A function of the main program is pickled by reference, as without tracking."""
    _, instrumentation = track("__main__:f")
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    code = instrumentation.compiled("def f(): return 1\n", "program.py")
    assert code is not None
    exec(code, vars(module))
    assert pickle.loads(pickle.dumps(module.f)) is module.f
    instrumentation.remove()
    assert type(module.f) is type(run_main)


def test_a_main_program_that_was_imported_is_tracked_afterwards(track, monkeypatch):
    """In a child process, the functions of the imported main program are tracked after it ran."""
    profiler, instrumentation = track("__main__:f")
    module = ModuleType("__mp_main__")
    exec("def f(): return 1", vars(module))
    monkeypatch.setitem(sys.modules, "__main__", module)
    instrumentation.track_main()
    assert module.f() == 1
    assert hits(profiler) == {"f": 1}


# Functions tracked by their code

by_code = pytest.mark.skipif(not _core.can_track_code(), reason="from CPython 3.12 on")

SHOP = """
import functools
def price(n): return n * 2
def tax(n): return n // 5
def label(n, render=price): return render(n)
STEPS = {"price": price, "tax": tax}
half = functools.partial(tax, 10)
class Till:
    rule = staticmethod(price)
    total = price
HOOKS = []
def hook(f):
    HOOKS.append(f)
    return f
@hook
def audit(n): return n
"""


def test_each_call_counts_whoever_holds_the_function(project, track):
    """Tables, default arguments, partial objects, other classes: all hold the same one."""
    project(registry_shop=SHOP)
    profiler, _ = track("registry_shop.*")
    shop = importlib.import_module("registry_shop")
    for _ in range(10):
        shop.STEPS["price"](1)
        shop.STEPS["tax"](1)
        shop.label(1)
        shop.half()
        shop.Till.rule(1)
        shop.HOOKS[0](1)
    while_importing = int(_core.can_track_code())
    assert hits(profiler) == {
        "price": 30,
        "tax": 20,
        "label": 10,
        "audit": 10,
        "hook": while_importing,
    }
    assert shop.STEPS["price"] is shop.price is shop.Till.rule is shop.label.__defaults__[0]
    assert shop.HOOKS[0] is shop.audit
    assert pickle.loads(pickle.dumps(shop.STEPS))["price"] is shop.price


HOLDERS = """
import functools
from collections import OrderedDict, defaultdict, deque, namedtuple
from math import hypot
Pair = namedtuple("Pair", "name call")
BY_NAME = {"first": 1, "hypot": hypot, "last": 2}
BY_CALL = {"first": 1, hypot: "hypot", "last": 2}
ORDERED, DEFAULT = OrderedDict(a=hypot, b=1), defaultdict(list, a=hypot)
LISTED, QUEUE, SET = [1, hypot], deque([hypot]), {hypot}
FIXED, FROZEN, NESTED = (1, (hypot,)), frozenset([hypot]), {"a": [({"b": hypot},)]}
PAIR = Pair("hypot", hypot)
PART, KEY = functools.partial(hypot, 3), functools.partial(map, hypot, key=hypot)
LISTED.append(LISTED)
def default(x, call=hypot, *, key=hypot): return call(x, 4), key(x, 4)
def closed():
    call = hypot
    return lambda: call(3, 4)
inner = closed()
inner.call = hypot
class Holder:
    rule = staticmethod(hypot)
    table = {"a": hypot}
    class Within:
        again = staticmethod(hypot)
@functools.wraps(hypot)
def around(*args): return args
"""


def held(m: Any) -> list[Any]:
    """What the holders hold: all the same one."""
    return [
        *(m.hypot, m.BY_NAME["hypot"], next(k for k in m.BY_CALL if callable(k))),
        *(m.ORDERED["a"], m.DEFAULT["a"], m.LISTED[1], m.QUEUE[0], *m.SET, m.FIXED[1][0]),
        *(*m.FROZEN, m.NESTED["a"][0][0]["b"], m.PAIR.call, m.PART.func, m.KEY.args[0]),
        *(m.KEY.keywords["key"], m.default.__defaults__[0], m.default.__kwdefaults__["key"]),
        *(m.inner.__closure__[0].cell_contents, m.inner.call, m.Holder.rule, m.Holder.table["a"]),
        m.Holder.Within.again,
    ]


def test_what_is_replaced_is_so_wherever_a_module_leads_to_it(project, track):
    """A function of C, in tables and the like; and put back from there, in the same order."""
    project(holders=HOLDERS)
    module: Any = importlib.import_module("holders")
    bare = math.hypot
    profiler, instrumentation = track("math:hypot")
    assert len(set(map(id, held(module)))) == 1
    assert held(module)[0] is math.hypot is not bare
    assert [call(3, 4) for call in held(module)] == [5.0] * 22
    assert (module.default(3), module.inner(), module.PART(4)) == ((5.0, 5.0), 5.0, 5.0)
    assert list(module.BY_CALL.values()) == [1, "hypot", 2]
    assert (list(module.ORDERED), type(module.PAIR)) == (["a", "b"], module.Pair)
    assert module.LISTED[2] is module.LISTED
    assert module.around.__wrapped__ is bare  # which says what it is around
    assert hits(profiler) == {"hypot": 26}
    assert not [one for one in instrumentation.held_bare() if "holders" in one]
    instrumentation.remove()
    assert all(one is bare for one in held(module))
    assert list(module.BY_CALL.values()) == [1, "hypot", 2]


def test_a_lazy_object_in_a_class_or_module_is_not_made_by_looking(project, track):
    """It answers for the class of what it would be, as those of Django do."""
    project(
        lazy_object="""
        from math import trunc
        MADE = []
        class Lazy:
            @property
            def __class__(self): MADE.append(self); return str
            def __getattr__(self, name): MADE.append(name); raise AttributeError(name)
        class Holder:
            lazy = Lazy()
            def f(self): return trunc(1.5)
        lazy = Lazy()
        TABLE = [lazy, {"lazy": lazy}, (lazy, trunc)]
        """
    )
    profiler, _ = track("lazy_object.*", "math:trunc")
    module = importlib.import_module("lazy_object")
    assert (module.Holder().f(), module.MADE) == (1, [])
    found = hits(profiler)
    assert (found["Holder.f"], found["trunc"]) == (1, 1)


def test_what_is_put_into_a_table_of_another_module_is_replaced_there(project, track):
    """By a decorator of that, which was imported before, or by a name of it."""
    project(
        table_of="from math import gcd\nHOOKS = []\ndef hook(f):\n    HOOKS.append(f)\n    return f\n",
        table_user="from table_of import hook\n@hook\ndef audit(n): return n\n",
    )
    table = importlib.import_module("table_of")
    profiler, instrumentation = track("table_user.*")
    user = importlib.import_module("table_user")
    table.HOOKS[0](1)
    assert table.HOOKS[0] is user.audit
    assert (hits(profiler), instrumentation.held_bare()) == ({"audit": 1}, [])


def test_what_still_holds_a_bare_function_is_named(project, track):
    """An object that a module does not lead to, by what it is; once for each function."""
    project(
        still_held="""
        from math import isqrt
        class Registry:
            def __init__(self): self.calls = [isqrt]
        registry = Registry()
        """
    )
    importlib.import_module("still_held")
    _, instrumentation = track("math:isqrt")
    (sentence,) = instrumentation.held_bare()
    assert sentence == (
        "calls are not recorded where something still holds a function that was replaced: "
        "isqrt (a Registry of still_held)"
    )
    instrumentation.remove()
    assert instrumentation.held_bare() == []


@pytest.mark.skipif(_core.can_track_code(), reason="before CPython 3.12")
def test_what_the_main_programs_decorators_register_is_tracked(track):
    """The decorator for that is below them; a decorated function is called when they call it."""
    profiler, instrumentation = track("__main__:*")
    namespace = run_main(instrumentation, SHOP)
    namespace["HOOKS"][0](1), namespace["STEPS"]["tax"](1), namespace["half"]()
    assert namespace["HOOKS"] == [namespace["audit"]]
    assert {n: c for n, c in hits(profiler).items() if c} == {"hook": 1, "audit": 1, "tax": 2}


@by_code
def test_functions_inside_functions_and_calls_while_importing_count(project, track):
    """Views of a factory, what a decorator returns, what runs while the module is imported."""
    project(
        factory="""
        def route(f): return f
        def create():
            @route
            def home(): return "hi"
            return home
        def loud(f):
            def called(*args): return f(*args)
            return called
        @loud
        def shout(): return 1
        early = shout()
        """
    )
    profiler, _ = track("factory:*")
    factory = importlib.import_module("factory")
    assert (factory.create()(), factory.shout()) == ("hi", 1)
    assert hits(profiler) == {
        "route": 1,
        "create": 1,
        "create.<locals>.home": 1,
        "loud": 1,
        "loud.<locals>.called": 2,
        "shout": 2,
    }


@by_code
def test_what_has_no_name_is_tracked_only_when_it_is_named(project, track):
    """Lambdas, generator expressions and the bodies of classes."""
    project(
        nameless="""
        double = lambda n: 2 * n
        def total(numbers): return sum(double(n) for n in numbers)
        class Body:
            size = double(2)
        """
    )
    profiler, instrumentation = track("nameless:*")
    nameless = importlib.import_module("nameless")
    assert nameless.total([1, 2]) == 6
    assert hits(profiler) == {"total": 1}
    assert instrumentation.unmatched() == []
    instrumentation.remove()
    named, _ = track("nameless:<lambda>", "nameless:*.<genexpr>", "nameless:Body.<body>")
    importlib.reload(nameless).total([1, 2])
    assert hits(named) == {"<lambda>": 3, "total.<locals>.<genexpr>": 1, "Body.<body>": 1}


@by_code
def test_what_is_there_already_is_found_wherever_it_is(project, track):
    """In a closure, in a table, in an instance, in another module; nested in what is found."""
    project(
        there="""
        TABLE = []
        def put(f): TABLE.append(f)
        def hidden(f):
            def around(): return f()
            return around
        @hidden
        def inside(): return 1
        @put
        def tabled():
            def deeper(): return 2
            return deeper()
        class Owner:
            @property
            def size(self): return self._size
            @size.setter
            def size(self, value): self._size = value
        class Holder: pass
        holder = Holder()
        def held(): return 3
        holder.f = held
        del held
        """
    )
    there = importlib.import_module("there")
    profiler, instrumentation = track("there:*")
    owner = there.Owner()
    owner.size = 4
    assert (there.inside(), there.TABLE[0](), there.holder.f(), owner.size) == (1, 2, 3, 4)
    counted = {name: count for name, count in hits(profiler).items() if count}
    assert counted == {
        "hidden.<locals>.around": 1,
        "inside": 1,
        "tabled": 1,
        "tabled.<locals>.deeper": 1,
        "held": 1,
        "Owner.size": 1,
        "Owner.size.setter": 1,
    }
    instrumentation.remove()
    there.inside()
    assert hits(profiler)["inside"] == 1
    assert _core.code_events(there.TABLE[0].__code__) == 0


@by_code
def test_what_was_made_of_text_is_tracked_when_its_module_is_there(project, track):
    """The methods of dataclasses and named tuples, from then on; by the names that they have."""
    project(
        made="""
        from collections import namedtuple
        from dataclasses import dataclass
        @dataclass(order=True)
        class Point:
            x: int
            def norm(self): return self.x
        Pair = namedtuple("Pair", "a b")
        early = Point(1)
        """
    )
    profiler, _ = track("made:*")
    made = importlib.import_module("made")
    assert (made.Point(2) > made.early, made.Pair(1, 2).b, made.Point(3).norm()) == (True, 2, 3)
    found = {name: count for name, count in hits(profiler).items() if count}
    assert found == {"Point.__init__": 2, "Point.__gt__": 1, "Point.norm": 1, "Pair.__new__": 1}


@by_code
def test_a_function_that_is_given_other_code_is_tracked_with_that(project, track):
    """As `types.coroutine` does, to functions and to methods."""
    project(
        recoded="""
        import types
        @types.coroutine
        def turn(): yield 1
        class Loop:
            @types.coroutine
            def turn(self): yield 1
        def plain(): return 1
        """
    )
    profiler, _ = track("recoded:*turn")
    module = importlib.import_module("recoded")
    list(module.turn()), list(module.Loop().turn()), module.plain()
    assert hits(profiler) == {"turn": 1, "Loop.turn": 1}


@by_code
def test_a_loader_that_executes_its_module_itself_is_followed_afterwards(project, track):
    """Its functions are tracked from the end of the import on."""
    folder = project(rewritten="def f(): return 1\nearly = f()\n")

    class Loader(importlib.machinery.SourceFileLoader):
        def exec_module(self, module: ModuleType) -> None:
            super().exec_module(module)

    class Finder:
        def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
            if name != "rewritten":
                return None
            loader = Loader(name, str(folder / "rewritten.py"))
            return importlib.util.spec_from_file_location(name, loader=loader)

    finder: Any = Finder()
    sys.meta_path.insert(0, finder)
    try:
        profiler, _ = track("rewritten:f")
        rewritten = importlib.import_module("rewritten")
    finally:
        sys.meta_path.remove(finder)
    assert rewritten.f() == 1
    assert hits(profiler) == {"f": 1}


@by_code
def test_where_no_number_is_left_functions_are_replaced_and_that_is_said(project):
    """Two other tools have taken those that are ours to take."""
    folder = project(crowded="def f(): return 1\nTABLE = [f]\n")
    done = run_program(
        f"""
        import sys
        sys.path.insert(0, {str(folder)!r})
        for number in (3, 4):
            sys.monitoring.use_tool_id(number, "other")
        from stichotrope import Profiler
        from stichotrope.instrumentation.patterns import Instrumentation, Pattern
        profiler = Profiler("p")
        instrumentation = Instrumentation(profiler, [Pattern("crowded:f")])
        instrumentation.install()
        import crowded
        crowded.f(), crowded.TABLE[0]()
        print([b.hit_count for b in profiler.get_results().tracks[0].blocks])
        print(instrumentation.failures()[0])
        """
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[2]", instrument.NO_NUMBER]


@by_code
def test_classes_and_modules_are_tracked_by_their_code(project):
    """With what is inside their functions; nothing is replaced; a class keeps its profiler."""
    project(held_shop=SHOP + "\ndef outer():\n    def inner(): return 1\n    return inner()\n")
    shop = importlib.import_module("held_shop")
    before = dict(vars(shop))
    profiler = Profiler("held")
    names = profiler.track_module(0, shop)
    assert names == ["price", "tax", "label", "hook", "audit", "outer", "outer.<locals>.inner"]
    shop.STEPS["price"](1)
    shop.outer()
    assert all(vars(shop)[name] is value for name, value in before.items())
    assert {n for n, count in hits(profiler).items() if count} == {
        "price",
        "outer",
        "outer.<locals>.inner",
    }
    assert profiler.track_module(1, shop) == []


def test_functions_are_tracked_by_patterns_from_inside(project):
    """Of modules that are loaded and of those that come in; until they are left."""
    project(inside_now="def f(): pass\ndef g(): pass\n", inside_later="def h(): pass\n")
    now = importlib.import_module("inside_now")
    profiler = Profiler("inside")
    assert profiler.track_code("inside_*:f", "inside_later", track="ours") == ["f"]
    later = importlib.import_module("inside_later")
    later.h(), now.f(), now.g()
    assert profiler.track_code("inside_now:g") == ["g"]
    now.g()
    profiler.untrack_code("inside_now:g")
    now.g(), later.h()
    assert hits(profiler) == {"f": 1, "g": 1, "h": 2}
    assert {t.track_name: len(t.blocks) for t in profiler.get_results().tracks.values()} == {
        "ours": 2,
        "inside_now": 1,
    }
    profiler.untrack_code()
    now.f(), later.h()
    assert hits(profiler) == {"f": 1, "g": 1, "h": 2}
    with pytest.raises(ValueError, match="track_code was not given 'inside_now:g'"):
        profiler.untrack_code("inside_now:g")


@pytest.mark.parametrize("first", [0, 1, 2])
def test_profilers_that_chose_the_same_leave_it_in_any_order(project, first):
    """Each leaves what the others have put there, also under other names; the last leaves what there was."""
    project(layers_user="from math import hypot\nTABLE = {'a': hypot}\n")
    user, bare = importlib.import_module("layers_user"), math.hypot
    profilers = [Profiler(f"layer {number}") for number in range(3)]
    for profiler in profilers:
        profiler.track_code("math:hypot")
    order = [*profilers[first:], *profilers[:first]]
    math.hypot(3, 4), user.TABLE["a"](3, 4)
    while order:
        order.pop(0).untrack_code()
    math.hypot(3, 4), user.hypot(3, 4), user.TABLE["a"](3, 4)
    assert math.hypot is user.hypot is user.TABLE["a"] is bare
    assert [hits(profiler) for profiler in profilers] == [{"hypot": 2}] * 3


def test_a_profiler_that_is_gone_waits_for_no_module(project):
    """What it chose goes with it."""
    project(gone_shop="def f(): pass\n")
    profiler = Profiler("gone")
    profiler.track_code("gone_shop")
    del profiler
    gc.collect()
    shop = importlib.import_module("gone_shop")
    shop.f()
    assert _core.code_events(shop.f.__code__) == 0
    assert all(type(one).__module__ != instrument.__name__ for one in [shop.__loader__])


@pytest.mark.parametrize(
    ("given", "track", "error", "message"),
    [
        ((), None, ValueError, "give at least one pattern"),
        (("a/b.py",), None, ValueError, "names a file"),
        ((3,), None, TypeError, "a pattern"),
        (("a",), -1, ValueError, "track"),
        (("a",), 1.5, TypeError, "track"),
    ],
)
def test_what_is_no_pattern_is_refused(given, track, error, message):
    """Before anything is tracked."""
    profiler = Profiler("refused")
    with pytest.raises(error, match=message):
        profiler.track_code(*given, track=track)
    profiler.untrack_code()


def test_nothing_is_chosen_while_profiling_is_disabled(project):
    """As with the decorator."""
    project(disabled_shop="def f(): pass\n")
    shop = importlib.import_module("disabled_shop")
    profiler = Profiler("disabled")
    set_global_enabled(False)
    assert profiler.track_code("disabled_shop") == []
    set_global_enabled(True)
    shop.f()
    assert hits(profiler) == {}
