"""The rooms of the package import downstream only, and the stub mirrors the compiled core."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from stichotrope import _core

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "stichotrope"

# What every room may import: the ground floor.
GROUND = {"_text", "_version", "config"}

# What each room may import of the package besides, from the most downstream to the most upstream.
ROOMS: dict[str, set[str]] = {
    "_version": set(),
    "_text": set(),
    "_core": set(),
    # The clock is the core's; which one passes are timed with is a setting.
    "config": {"_core"},
    "results": set(),
    "statistics": {"results"},
    "export": {"_core", "results", "statistics"},
    "report": {"results", "statistics"},
    "instrumentation": {"_core"},
    "repetition": {"_core", "instrumentation", "statistics"},
    "snapshot": {"_core", "results"},
    "store": {"_core", "results", "snapshot"},
    "metrics": {"_core", "instrumentation", "results"},
    "_slow": {"snapshot"},
    "_flight": {"_slow", "export", "results"},
    "profiler": {"_core", "instrumentation", "results", "snapshot"},
    "_ended": {"_core"},
    "_session": {"_ended", "instrumentation", "profiler", "results", "store"},
    "attach": {"_core", "instrumentation", "profiler"},
    "cli": {"_ended", "_session", "instrumentation", "profiler", "results"},
    "__main__": {"cli"},
    "_sent": {"_core", "instrumentation", "profiler", "results"},
    "_taught": {"_core", "_sent", "instrumentation", "profiler"},
    "_default": {"_core", "profiler"},
    "_log": {"_default", "instrumentation", "profiler"},
    "integrations": {"_slow", "instrumentation", "metrics", "profiler", "report", "results"},
    "__init__": {"export", "profiler", "report", "results", "statistics"},
}
for _room, _used in ROOMS.items():
    _used.update(one for one in GROUND if list(ROOMS).index(one) < list(ROOMS).index(_room))

# What it may import besides, but inside a function only: importing the package must not load it.
LAZY: dict[str, set[str]] = {
    "profiler": {"_flight", "_slow", "export", "report", "repetition", "store"},
    "cli": {"_core", "attach", "export", "report", "statistics", "store"},
    "_default": {"report"},
    "_sent": {"store"},
    "integrations": {"_core", "_default", "cli", "export", "statistics", "store"},
    "__init__": {"_default", "_log", "_taught", "integrations"},
}

# Which packages from outside a room may import, besides the standard library.
OUTSIDE: dict[str, set[str]] = {
    # Of the standard library, from 3.14 on.
    "attach": {"_remote_debugging"},
    "_text": {"rich"},
    "cli": {"argcomplete", "rich"},
    "config": {"tomllib"},
    "integrations": {
        "cloudpickle",
        "IPython",
        "asgiref",
        "celery",
        "distributed",
        "tornado",  # which that is built on
        "django",
        "joblib",
        "mpi4py",
        "opentelemetry",
        "pyspark",
        "pytest",
        "ray",
        "sqlalchemy",
    },
    "report": {"rich"},
    "results": {"numpy", "pandas", "polars", "pyarrow"},
    "statistics": {"numpy", "ruptures", "scipy"},
}


# What begins with an underscore belongs to its room. These are the exceptions: room → the names of
# other rooms that it uses. Protocols tell what `profiler` shares with who gathers, sets up and
# instruments, being downstream of it; its own base class is in the core.
SHARED: dict[str, set[str]] = {
    "instrumentation": {"_wrap", "_wrapper"},
    "metrics": {"_describe", "_exemplars", "_is_described", "_restart", "_withdraw"},
    "store": {
        *("_end_file", "_gathering", "_map_in", "_open_file", "_say_site", "_say_track"),
        *("_start_ns", "_state", "_view"),
    },
}


class Import(NamedTuple):
    """One import: a room of the package or a top-level module from outside, and where it stands."""

    target: str
    inside: bool
    when: str
    line: int


ON_IMPORT = "when it is imported"
LATER = "inside a function"
TYPES_ONLY = "for its types"


def imports_of(source: str, package: list[str]) -> Iterator[Import]:
    """Every import in a module's source, and when it happens.

    Args:
        source: the text of the module.
        package: the parts of the dotted name of the package that the module stands in.
    """
    for node, when in walk(ast.parse(source), ON_IMPORT):
        for name in names_imported(node, package):
            first, *rest = name.split(".")
            inside = first == "stichotrope"
            target = (rest[0] if rest else "__init__") if inside else first
            yield Import(target, inside, when, getattr(node, "lineno", 0))


def walk(node: ast.AST, when: str) -> Iterator[tuple[ast.AST, str]]:
    """A node and all below it, each with when an import there would happen."""
    yield node, when
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for statement in node.body:
            yield from walk(statement, TYPES_ONLY)
        for statement in node.orelse:
            yield from walk(statement, when)
        return
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        when = LATER
    for child in ast.iter_child_nodes(node):
        yield from walk(child, when)


def names_imported(node: ast.AST, package: list[str]) -> Iterator[str]:
    """The dotted names of the modules that one statement or call imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) + 1 - node.level] if node.level else []
        origin = ".".join([*base, *([node.module] if node.module else [])])
        if origin == "stichotrope":
            # `from stichotrope import x` loads the room x, or takes a name from the package itself.
            rooms = [alias.name for alias in node.names if alias.name in ROOMS]
            yield from (f"stichotrope.{room}" for room in rooms)
            if len(rooms) < len(node.names):
                yield origin
        else:
            yield origin
    elif isinstance(node, ast.Call):
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called in ("import_module", "__import__"):
            argument = node.args[0] if node.args else None
            named = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            yield str(argument.value) if named else "<computed at run time>"  # type: ignore[union-attr]


def is_private(name: str) -> bool:
    """Whether a name belongs to its room: it begins with one underscore."""
    return name.startswith("_") and not name.startswith("__")


class Names(NamedTuple):
    """Private names in the modules of a room: those that it defines, and those that it uses."""

    defined: set[str]
    used: set[str]


def private_names(sources: list[str], room: str) -> Names:
    """The private names of a room; what it uses of itself, as ``self._name``, is not among the used.

    A protocol defines nothing: it says what others are to have.
    """
    found = Names(set(), set())
    for source in sources:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and any(map(is_protocol, node.bases)):
                node.body = [ast.Pass()]
        for node in ast.walk(tree):
            found.defined.update(filter(is_private, names_defined(node)))
            found.used.update(filter(is_private, names_used(node, room)))
    return found


def names_defined(node: ast.AST) -> Iterator[str]:
    """What one node defines, names that a text in a class lists included: of slots and the like."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node):
        yield node.attr
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def names_used(node: ast.AST, room: str) -> Iterator[str]:
    """What one node takes from something else than itself and than the rooms' own modules."""
    if isinstance(node, ast.Attribute) and not is_own(node):
        yield node.attr
    elif isinstance(node, ast.ImportFrom):
        path = (node.module or "").split(".") if node.level or node.module else []
        inside = path[1:] if path[:1] == ["stichotrope"] else path if node.level else []
        if inside and inside[0] in ROOMS and inside[0] != room:
            yield from [*inside[1:], *(alias.name for alias in node.names)]


def is_protocol(base: ast.expr) -> bool:
    """Whether what a class derives from makes it a protocol."""
    return ast.unparse(base).split("[")[0] in ("Protocol", "typing.Protocol")


def is_own(node: ast.Attribute) -> bool:
    """Whether an attribute is of the object itself, or of its class."""
    return ast.unparse(node.value) in ("self", "cls", "super()")


def modules() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def violations(source: str, parts: list[str]) -> list[str]:
    """Each import of a module that its room is not allowed, as a sentence.

    Args:
        source: the text of the module.
        parts: its file below the package, folders and then its name; the first is its room.
    """
    room = parts[0]
    order = list(ROOMS)
    allowed = {
        ON_IMPORT: ROOMS[room] | {room},
        LATER: ROOMS[room] | {room} | LAZY.get(room, set()),
        # A name for the type checker loads nothing; it has to keep the direction, and no more.
        TYPES_ONLY: set(order[: order.index(room) + 1]),
    }
    outside = sys.stdlib_module_names | OUTSIDE.get(room, set())
    return [
        f"line {line}: {room} may not import {target} {when}"
        for target, inside, when, line in imports_of(source, ["stichotrope", *parts[:-1]])
        if target not in (allowed[when] if inside else outside)
    ]


@pytest.mark.unit
@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_room_may(path: Path):
    """A module imports only the rooms and packages that its own room is allowed."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    assert parts[0] in ROOMS, f"{path} belongs to no room: give {parts[0]} its line in ROOMS"
    assert violations(path.read_text(encoding="utf-8"), parts) == []


@pytest.mark.unit
def test_a_room_keeps_to_itself_what_begins_with_an_underscore():
    """No room uses a private name that another defines, those apart that are listed, each in use."""
    sources: dict[str, list[str]] = {}
    for path in modules():
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        sources.setdefault(room, []).append(path.read_text(encoding="utf-8"))
    names = {room: private_names(texts, room) for room, texts in sources.items()}
    for path in modules():
        room, *inner = path.relative_to(PACKAGE).with_suffix("").parts
        names[room].defined.update(filter(is_private, inner))
    core = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.px[di]"))
    core += (ROOT / "src" / "_core.pyx").read_text(encoding="utf-8")
    of_the_core = set(re.findall(r"\bdef (_\w+)\(", core))
    used = {}
    for room, own in names.items():
        others = of_the_core.union(*(one.defined for other, one in names.items() if other != room))
        # A room of such a name is no secret of another.
        taken = (own.used & others) - own.defined - set(ROOMS)
        if taken:
            used[room] = taken
    assert {room: sorted(taken) for room, taken in used.items()} == {
        room: sorted(names) for room, names in SHARED.items()
    }


@pytest.mark.unit
@pytest.mark.parametrize(
    ("source", "defined", "used"),
    [
        ("x._a", set(), {"_a"}),
        ("self._a; cls._b; super()._c", set(), set()),
        ("self._a = 1", {"_a"}, set()),
        ("x._a = 1", set(), {"_a"}),
        ("class C:\n    __slots__ = ('_a',)", {"_a"}, set()),
        ("class P(Protocol):\n    _a: int\n    def _b(self): ...", set(), set()),
        ("from .profiler import _A", set(), {"_A"}),
        ("from ..statistics._samples import fences", set(), {"_samples"}),
        ("from stichotrope.profiler import _A", set(), {"_A"}),
        ("from . import _text", set(), set()),
        ("from ._passes import cell", set(), set()),
        ("from os import _exit", set(), set()),
    ],
)
def test_the_check_sees_every_way_to_reach_into_a_room(source, defined, used):
    """The check sees attributes, imports of names and of modules within a room, and protocols."""
    assert private_names([source], "report") == (defined, used)


@pytest.mark.unit
def test_the_rooms_have_a_direction():
    """Nothing downstream imports anything upstream: a room comes after all that it may import."""
    written = list(ROOMS)
    upstream = [
        (room, used)
        for room in ROOMS
        for used in ROOMS[room] | LAZY.get(room, set())
        if written.index(used) >= written.index(room)
    ]
    assert upstream == []


@pytest.mark.unit
@pytest.mark.parametrize(
    ("source", "module", "expected"),
    [
        ("from stichotrope.profiler import Profiler", "results", 1),
        ("import stichotrope.profiler", "results", 1),
        ("from stichotrope import Profiler", "results", 1),
        ("from stichotrope import _text", "results", 0),
        ("from . import profiler", "results", 1),
        ("from .profiler import Profiler", "results", 1),
        ("from ..profiler import Profiler", "export.csv", 1),
        ("from ..results import ProfileBlock", "export.csv", 0),
        ("from .csv import render", "export.__init__", 0),
        ("from ..profiler import Profiler", "export.__init__", 1),
        ("if TYPE_CHECKING:\n    from .export import x", "results", 1),
        ("if TYPE_CHECKING:\n    from ._core import x", "results", 0),
        ("if TYPE_CHECKING:\n    import scipy", "results", 1),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    from ._core import x", "results", 1),
        ("import rich", "profiler", 1),
        ("from rich.table import Table", "report.console", 0),
        ("from .export import x", "profiler", 1),
        ("def f():\n    from .export import x", "profiler", 0),
        ("def f():\n    from .export import x", "results", 1),
        ("import importlib\nimportlib.import_module(name)", "results", 1),
        ("__import__('stichotrope.export')", "results", 1),
    ],
)
def test_the_check_sees_every_way_to_import(source, module, expected):
    """The check sees absolute, relative, conditional, lazy and run-time imports."""
    assert len(violations(source, module.split("."))) == expected


@pytest.mark.unit
@pytest.mark.parametrize(
    "name",
    [
        "_core.pyx",
        "_end.h",
        "_function.h",
        "_platform.h",
        *(f"_core/{path.name}" for path in (ROOT / "src/_core").iterdir()),
    ],
)
def test_the_core_never_imports_the_package(name: str):
    """The compiled core imports libc and CPython only."""
    text = (ROOT / "src" / name).read_text(encoding="utf-8")
    imports = r"^\s*(?:from\s+(?:stichotrope|\.)\S*\s+c?import|c?import\s+stichotrope)"
    by_name = r"(?:import_module|__import__|PyImport_\w+)\(\s*b?[\"']stichotrope"
    assert re.findall(f"{imports}|{by_name}", text, re.MULTILINE | re.IGNORECASE) == []


def public(names: set[str]) -> set[str]:
    """The names without a leading underscore."""
    return {name for name in names if not name.startswith("_")}


def declared(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """The names that the body of a stub, or of a class in it, declares to exist when it runs.

    Imports are not its own, and an alias of a type is for the type checker only.
    """
    names: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if ast.unparse(node.annotation).endswith("TypeAlias"):
                continue
            names[node.target.id] = node
        elif isinstance(node, ast.Assign):
            names.update({name.id: node for name in node.targets if isinstance(name, ast.Name)})
    return names


STUB = declared(ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8")).body)


@pytest.mark.unit
def test_the_stub_has_the_public_names_of_the_core():
    """Every public name of the compiled core is in its stub, and the other way round."""
    compiled = {name for name, value in vars(_core).items() if not isinstance(value, ModuleType)}
    assert public(set(STUB)) == public(compiled)


@pytest.mark.unit
@pytest.mark.parametrize(
    "name", sorted(name for name in public(set(STUB)) if isinstance(STUB[name], ast.ClassDef))
)
def test_the_stub_has_the_public_members_of_each_class(name: str):
    """Every public member of a class of the core is in its stub, and the other way round."""
    node = STUB[name]
    assert isinstance(node, ast.ClassDef)
    stated = set(declared(node.body))
    compiled = set(vars(getattr(_core, name)))
    for base in node.bases:  # what several kinds have in common: of the stub alone, or of both
        shared = STUB[ast.unparse(base)]
        assert isinstance(shared, ast.ClassDef)
        stated |= set(declared(shared.body))
        compiled |= set(vars(getattr(_core, shared.name, object)))
    assert public(stated) == public(compiled)
