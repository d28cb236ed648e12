"""Functions by their code: what a module defines, before it runs, and what of it is alive."""

from __future__ import annotations

import gc
from functools import singledispatchmethod
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from weakref import ref

from .. import _core
from . import holding, wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol, TypeAlias

    from .wrapping import Choice

    # a code object, and what it is called
    Named: TypeAlias = tuple[CodeType, str]

    class Tracking(Protocol):
        """What tracks functions for a profiler, on one of its tracks."""

        def __call__(self, function: Any, name: str, place: Any, /) -> Any:
            """Return what stands for a function; the block's place is that of `place`."""

        def codes(self, named: list[Named], /) -> list[CodeType]:
            """Track functions by their code; those are returned that were not tracked yet."""

        def register(self, name: str, file: str, line: int, /) -> int:
            """Make a block, if there is none yet, and return the number of its call site."""


_OPTIMIZED = 0x1  # CO_OPTIMIZED: a function's, not a class body's or a module's
_BODY = "<body>"
# What computes annotations is run by the interpreter, not called by the program.
_ANNOTATING = frozenset({"__annotate__", "__annotate_func__"})
# What may hold a function that a module has defined, and is looked into.
_CONTAINERS = (dict, list, tuple, set, frozenset, CellType, MethodType)
_ACCESSORS = frozenset({"setter", "deleter"})


def can_track() -> bool:
    """Return whether functions are tracked by their code here: from CPython 3.12 on, where the
    interpreter has a number left for a tool.
    """
    return _core.can_track_code()


# What code defines


def defined(code: CodeType) -> list[Named]:
    """Return what a module's or function's code defines, nested functions included.

    :param code: the code; what it is the body of is not among them.
    :returns: each code object and its qualified name. That of a class body ends in ``.<body>``,
        that of a property's other functions in ``.setter`` and ``.deleter``.
    """
    found: list[Named] = []
    _add_defined(found, code)
    return found


def _add_defined(found: list[Named], code: CodeType) -> None:
    inner = [constant for constant in code.co_consts if type(constant) is CodeType]
    accessors = _accessors(code, inner) if len(inner) > 1 else {}
    for one in inner:
        name = one.co_qualname if one.co_flags & _OPTIMIZED else name_of(one)
        if accessors:
            name += accessors.get(id(one), "")
        if one.co_name not in _ANNOTATING:
            found.append((one, name))
        _add_defined(found, one)


def name_of(code: CodeType) -> str:
    """Return the qualified name of what a code object is the body of."""
    return code.co_qualname if _is_functions(code) else f"{code.co_qualname}.{_BODY}"


def _is_functions(code: CodeType) -> bool:
    return bool(code.co_flags & _OPTIMIZED)


def is_unnamed(name: str) -> bool:
    """Return whether a name is one that a lambda, a comprehension or a class body has."""
    return name.endswith(">")


def _accessors(code: CodeType, inner: list[CodeType]) -> dict[int, str]:
    """Return id → the suffix of functions of properties, which are all named after these."""
    if _is_functions(code) or _ACCESSORS.isdisjoint(code.co_names):
        return {}
    found: dict[int, str] = {}
    holder = attribute = None
    for made in _loaded(code):
        if type(made) is CodeType and attribute in _ACCESSORS and holder == made.co_name:
            found[id(made)] = f".{attribute}"
        holder, attribute = attribute, made
    return found


def _loaded(code: CodeType) -> Iterator[Any]:
    """Give the names and constants that instructions load, and None for each other instruction."""
    from opcode import opmap

    left_out = {opmap[name] for name in ("CACHE", "PUSH_NULL")}
    constant, attribute = opmap["LOAD_CONST"], opmap["LOAD_ATTR"]
    extended, named = opmap["EXTENDED_ARG"], opmap["LOAD_NAME"]
    more = 0
    for kind, argument in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument |= more
        more = argument << 8 if kind == extended else 0
        if kind == constant:
            yield code.co_consts[argument]
        elif kind == named:
            yield code.co_names[argument]
        elif kind == attribute:  # its lowest bit says whether it is called as a method
            yield code.co_names[argument >> 1]
        elif kind != extended and kind not in left_out:
            yield None


# What is alive


def alive(modules: dict[str, ModuleType]) -> dict[str, list[Named]]:
    """Return module's name → the code of its functions that are alive, and what is in that.

    Those that only a table, a closure or another module holds are among them; a function that runs
    and that nothing holds is not.

    :param modules: name → module.
    """
    found: dict[str, dict[int, Named]] = {name: {} for name in modules}
    for name, module in modules.items():
        for code, called in in_classes(module):
            found[name][id(code)] = code, called
        for function in _reachable(module):
            _add(found[name], function)
    # The collector does not show what a program has frozen, and shows the rest wherever it is.
    homes = {id(wrapping.namespace(module)): name for name, module in modules.items()}
    namespaces = [wrapping.namespace(module) for module in modules.values()]
    for function in gc.get_referrers(*namespaces) if namespaces else ():
        if type(function) is FunctionType and id(function.__globals__) in homes:
            _add(found[homes[id(function.__globals__)]], function)
    return {name: sorted(named.values(), key=_place) for name, named in found.items()}


def _place(named: Named) -> tuple[str, int, str]:
    code, name = named
    return code.co_filename, code.co_firstlineno, name


def made_since(module: ModuleType, given: list[Named]) -> Iterator[Named]:
    """Give the code of functions in a module and its classes that it has made while it ran.

    A function may be given other code than it was compiled to, as by `types.coroutine`.

    :param given: what the module's code defines.
    """
    namespace = wrapping.namespace(module)
    known = {id(code) for code, _ in given}
    for value in list(namespace.values()):
        if type(value) is FunctionType and id(value.__code__) not in known:
            yield from _own_code(value, namespace)
    for owner in wrapping.classes_in(module):
        for attribute, value in list(vars(owner).items()):
            if type(value) is FunctionType and id(value.__code__) in known:
                continue  # nearly all
            for suffix, function in wrapping.functions(value):
                if type(function) is not FunctionType:
                    continue
                if suffix or is_generated(function.__code__):
                    yield from _in_class(owner, attribute, suffix, function, namespace)
                elif id(function.__code__) not in known:
                    yield from _own_code(function, namespace)


def _own_code(function: FunctionType, namespace: dict[str, Any]) -> Iterator[Named]:
    code = function.__code__
    is_of_module = function.__globals__ is namespace and not is_generated(code)
    if is_of_module and code.co_name not in _ANNOTATING:
        yield code, code.co_qualname


def in_classes(module: ModuleType) -> Iterator[Named]:
    """Give the code in a module's classes that is not called what its code says: what was made of
    text, as by dataclasses and named tuples, and a property's functions but the first.
    """
    namespace = wrapping.namespace(module)
    for owner in wrapping.classes_in(module):
        for attribute, value in list(vars(owner).items()):
            for suffix, function in wrapping.functions(value):
                if type(function) is FunctionType:
                    yield from _in_class(owner, attribute, suffix, function, namespace)


def _in_class(
    owner: type, attribute: str, suffix: str, function: FunctionType, namespace: dict[str, Any]
) -> Iterator[Named]:
    code = function.__code__
    if attribute in _ANNOTATING:
        return
    if is_generated(code):
        yield code, f"{owner.__qualname__}.{attribute}{suffix}"
    elif suffix and function.__globals__ is namespace:
        yield code, code.co_qualname + suffix


def _reachable(module: ModuleType) -> Iterator[FunctionType]:
    """Give the functions that a module's namespace leads to, by what usually holds one."""
    namespace = wrapping.namespace(module)
    called = namespace.get("__name__")
    seen = {id(namespace)}
    waiting: list[Any] = list(namespace.values())
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        kind = type(one)
        if kind is FunctionType:
            # A main program's that was run as a module are in a copy of what it was run in.
            if one.__globals__ is namespace or one.__globals__.get("__name__") == called:
                yield one
            waiting += [*(one.__closure__ or ()), *vars(one).values(), *(one.__defaults__ or ())]
        elif issubclass(kind, type):
            if wrapping.home(one) == called:
                waiting += vars(one).values()
        elif kind in _CONTAINERS or wrapping.holds_functions(one):
            waiting += gc.get_referents(one)


def is_generated(code: CodeType) -> bool:
    """Return whether code was made of text that is in no file."""
    return code.co_filename.startswith("<")


def _add(found: dict[int, Named], function: FunctionType) -> None:
    code = function.__code__
    if code.co_name in _ANNOTATING:
        return
    called = function.__qualname__ if is_generated(code) else code.co_qualname
    found.setdefault(id(code), (code, called))
    for inner, name in defined(code):
        found.setdefault(id(inner), (inner, name))


# What a class or module holds


def track_chosen(
    choices: list[Choice], tracking: Tracking, place: type | ModuleType, recorder: object
) -> list[str]:
    """Track functions of a class or module, by their code where that is possible.

    :param choices: the functions; what is inside of those that are tracked by their code is too.
    :param tracking: what tracks them.
    :param place: the class or module, which keeps what records its code.
    :param recorder: what that is.
    :returns: the names of the blocks, in order.
    """
    if not can_track():
        return _replace(choices, tracking, place)
    found = list(_divided(choices))
    for name, _, where in found:
        tracking.register(name, *where)
    _replace([choice for choice in choices if choice.blocks], tracking, place)
    if any(code is not None for _, code, _ in found):
        _keep(place, recorder)
    added = set(
        map(id, tracking.codes([(code, name) for name, code, _ in found if code is not None]))
    )
    return [name for name, code, _ in found if code is None or id(code) in added]


def _replace(choices: list[Choice], tracking: Tracking, place: type | ModuleType) -> list[str]:
    """Replace functions of a class or module, wherever these lead to one."""
    wrappers = wrapping.Wrappers()
    names = wrapping.replace(choices, tracking, wrappers)
    if wrappers.made:
        holding.exchange_around(wrappers.made.values(), place)
    return names


def _divided(choices: list[Choice]) -> Iterator[tuple[str, CodeType | None, tuple[str, int]]]:
    """Give the name of each block, its code, its file and line; and leave in the choices' blocks
    what is to be replaced, for which there is no code.
    """
    codes = {id(code) for choice in choices for _, code in _codes_in(choice) if code is not None}
    known: set[int] = set()
    for choice in choices:
        for suffix, code in list(_codes_in(choice)):
            name = choice.blocks[suffix]
            function = dict(wrapping.functions(choice.found))[suffix]
            if code is None and not any(id(one) in codes for one in _codes_behind(function)):
                if id(choice.found) not in known:
                    yield name, None, wrapping.definition(function)
                continue
            del choice.blocks[suffix]  # also of what is tracked under the name that it was given
            for inner, called in () if code is None else ((code, name), *defined(code)):
                if id(inner) not in known and not is_unnamed(called):
                    known.add(id(inner))
                    yield called, inner, (inner.co_filename, inner.co_firstlineno)
        if choice.blocks:
            known.add(id(choice.found))


def _codes_in(choice: Choice) -> Iterator[tuple[str, CodeType | None]]:
    """Give the suffix of each function that is chosen, and its code, by which it is tracked.

    That of what a decorator stands around, if that says so. None for what is not in Python, for
    what other functions share a decorator's code with, and for what comes from elsewhere.
    """
    namespace = wrapping.home_namespace(choice.owner)
    scope = "" if isinstance(choice.owner, ModuleType) else f"{choice.owner.__qualname__}."
    for suffix, function in wrapping.functions(choice.found):
        if suffix not in choice.blocks:
            continue
        # One block for all implementations of a generic method, of which there will be more.
        layers = () if type(choice.found) is singledispatchmethod else _functions_behind(function)
        own = (
            inner.__code__
            for inner in layers
            if (inner.__globals__ is namespace and inner.__code__.co_qualname.startswith(scope))
            or is_generated(inner.__code__)
        )
        yield suffix, next(own, None)


def _functions_behind(function: Any) -> Iterator[FunctionType]:
    """Give a function of Python, and those that it says that it stands around."""
    for inner in wrapping.layers(function):
        if wrapping.is_tracked(inner):
            return
        if type(inner) is FunctionType:
            yield inner


def _codes_behind(function: Any) -> Iterator[CodeType]:
    return (inner.__code__ for inner in _functions_behind(function))


def is_python(function: Any) -> bool:
    """Return whether something is a function of Python, or stands around one and says so."""
    return any(type(inner) is FunctionType for inner in wrapping.layers(function))


def _keep(place: type | ModuleType, recorder: object) -> None:
    """Keep a profiler for as long as a class or module is there whose code it records."""
    key = id(place)
    known = _KEPT.get(key)
    if known is None:
        known = _KEPT[key] = (ref(place, lambda _: _KEPT.pop(key, None)), [])
    if not any(one is recorder for one in known[1]):
        known[1].append(recorder)


_KEPT: dict[int, tuple[ref[Any], list[object]]] = {}
