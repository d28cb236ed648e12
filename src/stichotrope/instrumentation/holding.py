"""What else holds a function that was replaced: tables, partials, defaults, closures, classes."""

from __future__ import annotations

import gc
import sys
from collections import OrderedDict, defaultdict, deque
from functools import partial
from types import (
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
)

from . import wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

_DEEPEST = 20  # tables within tables; what lies deeper is data
_DICTS = (dict, OrderedDict, defaultdict)
_ALIKE = (list, deque)
_ORIGIN = "__wrapped__"  # says what a function stands around, and is not called
_NAMELESS = (*_DICTS, *_ALIKE, tuple, set, frozenset, CellType, FunctionType)
_OURS = (wrapping.Choice, wrapping.Alias, wrapping.Made)
# What holds a function while it runs, or is of the interpreter's own making.
_PASSING = frozenset({"frame", "generator", "coroutine", "async_generator", "traceback"})


class Exchange:
    """Puts other functions in the place of some, wherever modules lead to one of these.

    Dicts, lists, sets, partials, closures and defaults are changed in place; what cannot be
    changed, such as a tuple, is made anew, once, and put where it was found.

    :param pairs: what is to be replaced, and what is to stand in its place.
    """

    def __init__(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        self._instead = {id(found): (found, stands) for found, stands in pairs}
        self._kinds = {type(found) for found, _ in self._instead.values()}
        self._known: dict[int, tuple[Any, Any]] = {}  # id → what was looked at; what is to stand
        self._home: object = None  # the name of the module that is looked at

    def in_module(self, module: ModuleType) -> None:
        """Do so in a module, its classes, and in what its names lead to."""
        namespace = wrapping.namespace(module)
        self._home = namespace.get("__name__")
        self._in_dict(namespace, 0)
        for owner in wrapping.classes_in(module):
            self.in_class(owner)

    def in_class(self, owner: type) -> None:
        """Do so in a class, and in what its attributes lead to."""
        for attribute, value in list(vars(owner).items()):
            instead = self._new(value, 0)
            if instead is not value and not wrapping.is_kept_by_metaclass(owner, attribute):
                try:
                    wrapping.put(owner, attribute, instead)
                except Exception:  # whatever its metaclass says: it is told what holds a bare one
                    continue

    def in_themselves(self) -> None:
        """Do so in what the functions hold: their defaults, their closures."""
        for found, stands in list(self._instead.values()):
            for function in (found, stands):
                if type(function) is FunctionType:
                    self._in_function(function, 0)

    def _new(self, value: Any, depth: int) -> Any:
        """Return what is to stand where a value does, having looked through that."""
        known = self._instead.get(id(value)) or self._known.get(id(value))
        if known is not None:
            return known[1]
        look = None if wrapping.is_tracked(value) else _looks(type(value))
        if look is None or depth > _DEEPEST:
            return value
        self._known[id(value)] = (value, value)
        made = look(self, value, depth + 1)
        if made is not None:
            self._known[id(value)] = (value, made)
            self._known[id(made)] = (made, made)
            return made
        return value

    def _may_hold(self, values: Iterable[Any]) -> bool:
        """Return whether any of the values is of a type that is looked for, or looked into.

        Of large tables of data that is all there is to do.
        """
        kinds = set(map(type, list(values)))
        return any(kind in self._kinds or _looks(kind) is not None for kind in kinds)

    # Of each of these: what it was changed into, or None where it is the same, changed or not

    def _in_dict(self, table: dict[Any, Any], depth: int) -> None:
        if not self._may_hold(table.values()) and not self._may_hold(table):
            return
        items = list(table.items())
        new = [(self._new(key, depth), self._new(value, depth)) for key, value in items]
        if any(key is not old for (key, _), (old, _) in zip(new, items, strict=True)):
            table.clear()  # in the same order
            table.update(new)
            return
        for (key, value), (_, old) in zip(new, items, strict=True):
            # Another thread may have set it since.
            if value is not old and table.get(key) is old:
                table[key] = value

    def _in_list(self, table: Any, depth: int) -> None:
        if not self._may_hold(table):
            return
        for index, old in enumerate(list(table)):
            value = self._new(old, depth)
            if value is not old and index < len(table) and table[index] is old:
                table[index] = value

    def _in_set(self, table: set[Any], depth: int) -> None:
        if not self._may_hold(table):
            return
        for old in list(table):
            value = self._new(old, depth)
            if value is not old:
                table.discard(old)
                table.add(value)

    def _in_fixed(self, table: Any, depth: int) -> Any:
        if not self._may_hold(table):
            return None
        new = [self._new(value, depth) for value in table]
        if all(value is old for value, old in zip(new, table, strict=True)):
            return None
        kind: Any = type(table)
        return (tuple if issubclass(kind, tuple) else frozenset).__new__(kind, new)

    def _in_cell(self, cell: CellType, depth: int) -> None:
        try:
            old = cell.cell_contents
        except ValueError:  # empty
            return
        value = self._new(old, depth)
        if value is not old:
            cell.cell_contents = value

    def _in_function(self, function: FunctionType, depth: int) -> None:
        for cell in function.__closure__ or ():
            self._new(cell, depth)
        defaults = self._new(function.__defaults__, depth)
        if defaults is not function.__defaults__:
            function.__defaults__ = defaults
        self._new(function.__kwdefaults__, depth)
        for name, old in list(vars(function).items()):
            value = old if name == _ORIGIN else self._new(old, depth)
            if value is not old:
                vars(function)[name] = value

    def _in_partial(self, held: partial[Any], depth: int) -> None:
        old: tuple[Any, ...] = (held.func, held.args)
        function, args = (self._new(one, depth) for one in old)
        self._new(held.keywords, depth)
        if function is not held.func or args is not held.args:
            state = (function, args, held.keywords, vars(held))
            partial.__setstate__(held, state)  # type: ignore[attr-defined]

    def _in_method(self, bound: MethodType, depth: int) -> Any:
        function = self._new(bound.__func__, depth)
        return None if function is bound.__func__ else MethodType(function, bound.__self__)

    def _in_holder(self, holder: Any, depth: int) -> Any:
        """Look into a static method, a property and the like."""
        inside = [function for _, function in wrapping.functions(holder)]
        if not any(self._new(one, depth) is not one for one in inside):
            return None
        try:
            return wrapping.changed(holder, lambda function: self._new(function, depth))
        except TypeError:  # one that cannot be copied
            return None

    def _in_class(self, owner: type, depth: int) -> None:
        if self._home is not None and wrapping.home(owner) == self._home:
            self.in_class(owner)


_LOOKS: dict[type, Callable[[Exchange, Any, int], Any]] = {
    **dict.fromkeys(_DICTS, Exchange._in_dict),
    **dict.fromkeys(_ALIKE, Exchange._in_list),
    set: Exchange._in_set,
    frozenset: Exchange._in_fixed,
    CellType: Exchange._in_cell,
    FunctionType: Exchange._in_function,
    MethodType: Exchange._in_method,
}


def _looks(kind: type) -> Callable[[Exchange, Any, int], Any] | None:
    """Return what looks through values of a type; None for those that hold no function."""
    found = _LOOKS.get(kind)
    if found is not None:
        return found
    if issubclass(kind, tuple):
        return Exchange._in_fixed
    if issubclass(kind, type):
        return Exchange._in_class
    if issubclass(kind, partial):
        return Exchange._in_partial
    return Exchange._in_holder if wrapping.is_holder(kind) else None


# Where to look


def exchange(pairs: Iterable[tuple[Any, Any]], modules: Iterable[ModuleType]) -> None:
    """Put other functions in the place of some, in modules and in what their names lead to.

    :param pairs: what is to be replaced, and what is to stand in its place.
    :param modules: where.
    """
    exchanging = Exchange(pairs)
    exchanging.in_themselves()
    for module in modules:
        exchanging.in_module(module)


def exchange_around(pairs: Iterable[tuple[Any, Any]], place: type | ModuleType) -> None:
    """Do so where the functions of a class or module may be held.

    :param pairs: what is to be replaced, and what is to stand in its place.
    :param place: the class, which is looked at with its module; or the module, with all others.
    """
    if isinstance(place, ModuleType):
        known = [one for one in list(sys.modules.values()) if issubclass(type(one), ModuleType)]
        exchange(pairs, {id(one): one for one in (place, *deep(known))}.values())
        return
    exchanging = Exchange(pairs)
    exchanging.in_themselves()
    exchanging.in_class(place)
    module = sys.modules.get(str(wrapping.home(place)))
    if isinstance(module, ModuleType):
        exchanging.in_module(module)


def deep(modules: Iterable[ModuleType]) -> Iterator[ModuleType]:
    """Give those of some modules whose tables are looked into: all but the standard library's."""
    for module in modules:
        name = wrapping.namespace(module).get("__name__")
        if isinstance(name, str) and name.partition(".")[0] not in sys.stdlib_module_names:
            yield module


def named_in(module: ModuleType) -> list[ModuleType]:
    """Return the modules whose functions, classes or objects a module has names for.

    These are where it may have put what it defines, as a decorator of theirs does.
    """
    found: dict[str, ModuleType] = {}
    for value in list(wrapping.namespace(module).values()):
        if issubclass(type(value), ModuleType):
            called = wrapping.namespace(value).get("__name__")
        else:
            called = getattr(value if _has_home(value) else type(value), "__module__", None)
        known = sys.modules.get(called) if isinstance(called, str) else None
        if isinstance(known, ModuleType) and known is not module:
            found[str(called)] = known
    return list(found.values())


def _has_home(value: Any) -> bool:
    return type(value) is FunctionType or issubclass(type(value), type)


# What is left


def bare(made: list[wrapping.Made]) -> list[tuple[Any, str]]:
    """Return the functions that something holds which was not replaced, and what that is.

    :param made: what was replaced.
    """
    if not _bare(made):
        return []
    gc.collect()  # it may be garbage that holds them
    return _bare(made)


def _bare(made: list[wrapping.Made]) -> list[tuple[Any, str]]:
    wanted = {id(one.function): one.function for one in made}
    found: dict[int, str] = {}
    asked = object()  # which says what was made for the question: the tuple of its arguments
    for holder in gc.get_referrers(*wanted.values(), asked) if wanted else ():
        if holder is wanted or _is_ours(holder):
            continue
        if type(holder) is tuple and holder and holder[-1] is asked:
            continue
        held = [id(one) for one in gc.get_referents(holder) if id(one) in wanted]
        for key in held:
            if key not in found and not _says_only(holder, wanted[key]):
                found[key] = _described(holder)
    return [(wanted[key], what) for key, what in found.items() if what]


def _is_ours(holder: Any) -> bool:
    """Return whether something only stands around a function, or is gone soon."""
    kind = type(holder)
    return (
        wrapping.is_tracked(holder)
        or kind.__name__ in _PASSING
        or kind in (CodeType, FunctionType)
        or kind in _OURS
    )


def _says_only(holder: Any, function: Any) -> bool:
    """Return whether a dict holds a function only to say what another stands around."""
    return type(holder) is dict and all(
        name == _ORIGIN for name, value in holder.items() if value is function
    )


def _described(holder: Any) -> str:
    """Return what to call something that holds a function; nothing where that is kept by us."""
    if _is_named(holder):
        return _called(holder)
    named = [owner for owner in gc.get_referrers(holder) if _is_named(owner)]
    if any(type(owner) in _OURS for owner in named):
        return ""
    return _called(named[0]) if named else f"a {type(holder).__name__}"


def _is_named(holder: Any) -> bool:
    kind = type(holder)
    return not (kind in _NAMELESS or kind.__name__ in _PASSING or wrapping.is_holder(kind))


def _called(holder: Any) -> str:
    kind = type(holder)
    if issubclass(kind, ModuleType):
        return f"the module {wrapping.namespace(holder).get('__name__')}"
    if issubclass(kind, type):
        return f"the class {holder.__qualname__}"
    return f"a {kind.__qualname__} of {kind.__module__}"
