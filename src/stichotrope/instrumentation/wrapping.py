"""What can be tracked, and how it is wrapped: functions, what holds functions, classes, modules."""

from __future__ import annotations

import gc
import sys
from collections import namedtuple
from functools import (
    cached_property,
    partial,
    partialmethod,
    singledispatchmethod,
    update_wrapper,
)
from types import (
    BuiltinFunctionType,
    CodeType,
    DynamicClassAttribute,
    FunctionType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)

from .. import _core
from ..config import checks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeAlias

    # (function, name of its block, whose place in the sources is the block's) → the tracked one
    Wrap: TypeAlias = Callable[[Any, str, Any], Any]
    # (function, suffix of its block's name, whose place is the block's) → what goes in its stead
    Change: TypeAlias = Callable[[Any, str, Any], Any]
    Include: TypeAlias = Callable[[str, Callable[..., Any]], bool]

_METHOD_DESCRIPTOR = 1 << 17  # Py_TPFLAGS_METHOD_DESCRIPTOR
_IMMUTABLE, _MADE_BY_PYTHON = 1 << 8, 1 << 9  # Py_TPFLAGS_IMMUTABLETYPE, Py_TPFLAGS_HEAPTYPE
_SUSPENDING = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR

_TRACKED = (_core.TrackedFunction, _core.TrackedRoutine, _core.TrackedCallable)


def is_tracked(value: object) -> bool:
    """Return whether something is a tracked callable, whatever it says that it is."""
    return issubclass(type(value), _TRACKED)


_MOST_LAYERS = 100  # an object that answers for every name has a `__wrapped__` without end

# What holds functions instead of being one: the type, and the attributes that they are held in.
_HOLDERS: list[tuple[Any, tuple[str, ...]]] = [
    (staticmethod, ("__func__",)),
    (classmethod, ("__func__",)),
    (property, ("fget", "fset", "fdel")),
    (DynamicClassAttribute, ("fget", "fset", "fdel")),
    (cached_property, ("func",)),
    (partialmethod, ("func",)),
    (singledispatchmethod, ("func",)),
    (partial, ("func",)),
]
_HOLDING = tuple(base for base, _ in _HOLDERS)
_PLAIN = frozenset({FunctionType, str, int, bool, dict, tuple, list, type, type(None)})  # at once
_SUFFIXES = {"fset": ".setter", "fdel": ".deleter"}

# Functions of these that stand in a class were put there to be recognised by their identity, such
# as the `__init__` of a protocol, or `Enum.__new__`.
_MACHINERY = frozenset({"enum", "typing", "typing_extensions"})
# The interpreter takes these apart instead of calling them.
_ANNOTATING = frozenset({"__annotate__", "__annotate_func__"})


# What a target consists of


def holds(kind: type, *attributes: str) -> None:
    """Have what is of a type be copied with its functions tracked, as a property is.

    :param kind: a type of a library, whose instances have a `__dict__`.
    :param attributes: what they hold functions in.
    """
    global _HOLDING
    if kind not in _HOLDING:
        _HOLDERS.append((kind, attributes))
        _HOLDING = (*_HOLDING, kind)


def _holder(target: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the type because of which something holds functions, and where; else None and ()."""
    kind = type(target)
    if kind in _PLAIN or not issubclass(kind, _HOLDING):
        return None, ()
    for base, attributes in _HOLDERS:
        if issubclass(type(target), base):  # not isinstance: a proxy answers for another
            if base is partial and type(target).__call__ is not partial.__call__:
                break  # its call is its own: what it holds may never be called
            return base, attributes
    return None, ()


def _parts(target: Any) -> Iterator[tuple[str, Any]]:
    """Give each attribute of a holder in which there is something, and what."""
    for attribute in _holder(target)[1]:
        part = getattr(target, attribute)
        if part is not None:
            yield attribute, part


def functions(target: Any, suffix: str = "") -> Iterator[tuple[str, Any]]:
    """Give the functions in a target, each with what its block's name ends in."""
    if _holder(target)[0] is None:
        yield suffix, target
    for attribute, part in _parts(target):
        yield from functions(part, suffix + _SUFFIXES.get(attribute, ""))


def holds_functions(value: object) -> bool:
    """Return whether something is a descriptor or the like that functions are inside of."""
    return _holder(value)[0] is not None


def is_holder(kind: type) -> bool:
    """Return whether what is of a type holds functions, as a property does."""
    return kind not in _PLAIN and issubclass(kind, _HOLDING)


def changed(holder: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy of what holds functions, with others in it.

    :param holder: a descriptor or the like.
    :param change: from a function in it to what is to be there.
    :raises TypeError: when it cannot be copied.
    """
    return _changed(holder, lambda function, suffix, place: change(function))


def _below(function: Any, attribute: str = "__wrapped__") -> Any:
    """Return what a tracked callable calls, what another one says it stands around, or None."""
    if is_tracked(function):
        return _core.marked(function)[0]
    return getattr(function, attribute, None)


def layers(function: Any) -> Iterator[Any]:
    """Give a callable, and what it says that it stands around, one after the other."""
    for _ in range(_MOST_LAYERS):
        yield function
        function = _below(function)
        if function is None:
            return


def check_target(target: object) -> None:
    """Refuse what cannot be wrapped: classes, modules, and what cannot be called."""
    if isinstance(target, type):
        raise TypeError(
            f"{target.__qualname__} is a class; decorate it with track_class, or track its methods"
        )
    if isinstance(target, ModuleType):
        raise TypeError(f"{target.__name__} is a module; give it to track_module instead")
    if _holder(target)[0] is None and not callable(target):
        raise TypeError(f"what is tracked must be callable, not {checks.shown(target)}")
    if not isinstance(target, partial):  # may hold a class, and nothing that cannot be called
        for _, part in _parts(target):
            check_target(part)


def own_name(target: object) -> str:
    """Return the name that a target calls itself, or that of its type."""
    for _, part in () if isinstance(target, partial) else _parts(target):
        return own_name(part)
    return checks.checked_name(getattr(target, "__name__", None) or type(target).__name__)


def definition(function: Any) -> tuple[str, int]:
    """Return file and line of a definition; where there is no Python code, the module and 0."""
    for _ in range(_MOST_LAYERS):
        inner = _below(function, "func" if isinstance(function, partial) else "__wrapped__")
        if inner is None:
            break
        function = inner
    code = _code(function)
    if code is None:
        module = getattr(function, "__module__", None) or type(function).__module__
        return f"<{module}>", 0
    return code.co_filename, code.co_firstlineno


def _code(function: Any) -> CodeType | None:
    """Return the code that runs when something is called, if that is in Python."""
    for called in (function, getattr(type(function), "__call__", None)):  # noqa: B004
        code = getattr(called, "__code__", None)
        if type(code) is CodeType:  # a mock says that its own is one
            return code
    return None


def binds(function: object) -> bool:
    """Return whether a callable becomes a method when it stands in a class, as functions do.

    Other descriptors are asked each time; see Py_TPFLAGS_METHOD_DESCRIPTOR in the C API.
    """
    return bool(type(function).__flags__ & _METHOD_DESCRIPTOR)


def suspends(function: Any) -> bool:
    """Return whether a call gives a generator or a coroutine, whose run is then the pass.

    Not one of Cython: that has code which says so, but nothing in it, and gives objects of its own.
    There the call that makes them is the pass.
    """
    while isinstance(function, MethodType) or is_tracked(function):
        function = _below(function, "__func__")
    code = _code(function)
    return code is not None and bool(code.co_flags & _SUSPENDING) and any(code.co_code)


# Wrapping


def wrapped(recorder: _core.Recorder, function: Any, site: int) -> Any:
    """Return the callable that stands for one and records its calls as passes of a call site."""
    kind = None
    if not binds(function):
        from . import special

        kind = special.kind_for(function)
    made: Any = recorder._wrap(function, site, binds(function), suspends(function), kind)
    if issubclass(type(made), _core.TrackedRoutine):
        if not hasattr(function, "__module__"):
            made.__module__ = None  # else that of its type is found
        update_wrapper(made, function)
        if hasattr(function, "__wrapped__"):  # what a decorator that it is behind says so of
            made.__wrapped__ = function.__wrapped__
    return made


def is_named(value: Any, function: Any, name: str) -> bool:
    """Return whether a function's module holds something under a name, which may be dotted.

    That is what `pickle` sends by reference.
    """
    found: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def tracked(target: Any, name: str | None, wrap: Wrap) -> Any:
    """Return a target with every function in it wrapped.

    :param name: the name of its block; by default the target's own.
    :raises TypeError: when it holds functions and cannot be rebuilt with others.
    """
    base = own_name(target) if name is None else name

    def change(function: Any, suffix: str, place: Any) -> Any:
        return wrap(function, base + suffix, place)

    return _changed(target, change)


def _changed(target: Any, change: Change, suffix: str = "", place: Any = None) -> Any:
    """Return a target with each function in it replaced."""
    if _holder(target)[0] is None:
        return change(target, suffix, target if place is None else place)
    parts = {
        attribute: _changed(part, change, suffix + _SUFFIXES.get(attribute, ""), place)
        for attribute, part in _parts(target)
    }
    return _rebuilt(target, parts, change, suffix)


def _rebuilt(target: Any, parts: dict[str, Any], change: Change, suffix: str) -> Any:
    """Return a copy of a holder that holds other functions."""
    try:
        rebuilt = _copy(target, parts)
        if isinstance(target, singledispatchmethod):
            rebuilt.dispatcher = _Dispatcher(target, change, suffix)
        kept = all(getattr(rebuilt, attribute) is part for attribute, part in parts.items())
    except Exception as error:
        raise TypeError(f"{checks.shown(target)} cannot be copied to be tracked") from error
    if not kept:
        raise TypeError(f"{checks.shown(target)} cannot be tracked: it replaces what it holds")
    return rebuilt


def _copy(target: Any, parts: dict[str, Any]) -> Any:
    # None of these calls what a subclass made of `__new__` and `__init__`: that may take anything.
    kind: Any = type(target)
    if isinstance(target, partial):
        copy: Any = partial.__new__(kind, parts["func"])
        # Without attributes it has none: else a partial of it would hold it, not what it holds.
        reduced: Any = partial.__reduce__(target)
        attributes = reduced[2][3]
        state = (parts["func"], target.args, target.keywords, attributes and dict(attributes))
        partial.__setstate__(copy, state)  # type: ignore[attr-defined]
        _copy_slots(target, copy)
    elif isinstance(target, property):
        copy = property.__new__(kind)
        # None lets it go on with the documentation of whatever getter it gets.
        getter_doc = getattr(target.fget, "__doc__", None)
        doc = None if target.__doc__ == getter_doc else target.__doc__
        property.__init__(copy, parts.get("fget"), parts.get("fset"), parts.get("fdel"), doc)
        _copy_state(target, copy)
    elif isinstance(target, (staticmethod, classmethod)):
        base: Any = staticmethod if isinstance(target, staticmethod) else classmethod
        copy = base.__new__(kind, parts["__func__"])  # takes it from 3.15 on
        base.__init__(copy, parts["__func__"])
        _copy_state(target, copy)
    else:
        copy = object.__new__(kind)
        _copy_state(target, copy)
        for attribute, part in parts.items():
            setattr(copy, attribute, part)
    return copy


def _copy_state(source: Any, copy: Any) -> None:
    state = getattr(source, "__dict__", None)
    if state:
        copy.__dict__.update(state)
    _copy_slots(source, copy)


def _copy_slots(source: Any, copy: Any) -> None:
    """Copy what subclasses keep in slots; what the C base keeps is not in any."""
    for kind in type(source).__mro__:
        for slot in vars(kind).values() if "__slots__" in vars(kind) else ():
            if isinstance(slot, MemberDescriptorType):
                try:
                    value = slot.__get__(source)
                except AttributeError:  # empty
                    continue
                slot.__set__(copy, value)


class _Dispatcher:
    """The generic function in a `singledispatchmethod`, giving tracked implementations.

    All of them are one block, as they are with `functools.singledispatch`.
    """

    def __init__(self, method: Any, change: Change, suffix: str) -> None:
        self._generic = method.dispatcher
        self._place = next(function for _, function in functions(method))
        self._change = change
        self._suffix = suffix
        self._known: dict[int, tuple[Any, Any]] = {}  # id → the implementation, kept; tracked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generic, name)

    def dispatch(self, kind: type) -> Any:
        """Return the tracked implementation for a class."""
        found = self._generic.dispatch(kind)
        known = self._known.get(id(found))
        if known is None:
            made = _changed(found, self._change, self._suffix, self._place)
            known = self._known.setdefault(id(found), (found, made))
        return known[1]


# Classes and modules


class Choice:
    """An attribute of a class or module that is to be tracked.

    :ivar owner: the class or module.
    :ivar attribute: its name there.
    :ivar found: what stood there.
    :ivar stands: what was put there last.
    :ivar blocks: suffix of each function in it that was chosen → the name of its block.
    """

    __slots__ = ("attribute", "blocks", "found", "owner", "stands")

    def __init__(self, owner: Any, attribute: str, found: Any, blocks: dict[str, str]) -> None:
        self.owner = owner
        self.attribute = attribute
        self.found = self.stands = found
        self.blocks = blocks

    @property
    def place(self) -> tuple[int, str]:
        """What it shares with each other replacement of the same attribute."""
        return _place_of(self.owner), self.attribute

    def tracked(self, wrap: Wrap) -> Any:
        """Return what is to stand there."""

        def change(function: Any, suffix: str, place: Any) -> Any:
            name = self.blocks.get(suffix)
            return function if name is None else wrap(function, name, place)

        return _changed(self.found, change)

    def put(self, value: Any) -> None:
        """Set the attribute."""
        self.stands = value
        if isinstance(self.owner, ModuleType):
            vars(self.owner)[self.attribute] = value
        else:
            put(self.owner, self.attribute, value)

    def put_back(self) -> None:
        """Set what stood there, whatever a metaclass says."""
        if vars(self.owner)[self.attribute] is self.found:
            return
        try:
            self.put(self.found)
        except Exception:
            type.__setattr__(self.owner, self.attribute, self.found)


def put(owner: type, attribute: str, value: Any) -> None:
    """Set an attribute of a class."""
    if isinstance(value, property):
        property.__set_name__(value, owner, attribute)  # type: ignore[attr-defined]
    setattr(owner, attribute, value)


class Alias:
    """Another name in a module, for something that was replaced.

    :ivar namespace: the module's.
    :ivar name: the name in it.
    :ivar found: what stood there.
    :ivar stands: what was put there.
    """

    __slots__ = ("found", "name", "namespace", "stands")

    def __init__(self, namespace: dict[str, Any], name: str, found: Any, stands: Any) -> None:
        self.namespace = namespace
        self.name = name
        self.found = found
        self.stands = stands

    @property
    def place(self) -> tuple[int, str]:
        """What it shares with each other replacement of the same name."""
        return id(self.namespace), self.name

    def put_back(self) -> None:
        """Set what stood there, unless somebody else has set it since."""
        if self.namespace.get(self.name) is self.stands:
            self.namespace[self.name] = self.found


def _place_of(owner: Any) -> int:
    return id(vars(owner) if isinstance(owner, ModuleType) else owner)


def check_class(cls: object) -> None:
    """Refuse what is no class, and classes whose methods cannot be replaced."""
    if not isinstance(cls, type):
        raise TypeError(f"track_class decorates a class, not {checks.shown(cls)}")
    if not _can_change(cls):
        raise TypeError(
            f"{cls.__qualname__} is a class of C, whose methods cannot be replaced; "
            "track a class derived from it, or what calls it"
        )


def check_module(module: object) -> None:
    """Refuse what is no module."""
    if isinstance(module, str):
        raise TypeError(
            f"track_module takes the module itself, not its name {module!r}: import it first"
        )
    if not isinstance(module, ModuleType):
        raise TypeError(f"track_module takes a module, not {checks.shown(module)}")


def choose_in_class(
    cls: type, include: Include | None, owner: _core.Recorder, *, plain: bool = True
) -> list[Choice]:
    """Return what `track_class` of a profiler is to replace in a class, in order.

    :param plain: whether functions of Python that nothing holds but the class are among it.
    """
    return [
        choice
        for attribute, found in list(vars(cls).items())
        if plain or type(found) not in _PLAIN
        # A lazy object would be made if it were asked of which class it is.
        if not is_kept_by_metaclass(cls, attribute) and not issubclass(type(found), partial)
        for choice in _choose(cls, attribute, found, f"{cls.__qualname__}.", include, owner)
    ]


def choose_in_module(
    module: ModuleType, include: Include | None, owner: _core.Recorder, *, plain: bool = True
) -> list[Choice]:
    """Return what `track_module` of a profiler is to replace in a module, in order.

    :param plain: whether functions of Python that nothing else holds are among it.
    """
    choices: list[Choice] = []
    classes: set[int] = set()
    for attribute, found in list(namespace(module).items()):
        is_class = issubclass(type(found), type)
        if not is_class and not plain and type(found) in _PLAIN:
            continue
        if not is_class and not _is_function(found) and type(found) is not BuiltinFunctionType:
            continue
        if not _is_of(found, module):
            continue
        if not is_class:
            choices += _choose(module, attribute, found, "", include, owner)
        elif _can_change(found) and id(found) not in classes:
            classes.add(id(found))
            choices += choose_in_class(found, include, owner, plain=plain)
    return choices


def _choose(
    place: Any,
    attribute: str,
    found: Any,
    prefix: str,
    include: Include | None,
    owner: _core.Recorder,
) -> Iterable[Choice]:
    """Give the choice of one attribute, if anything in it is to be tracked."""
    if attribute in _ANNOTATING:
        return
    blocks = {
        suffix: prefix + attribute + suffix
        for suffix, function in functions(found)
        if _can_be_chosen(function, place)
        and not _is_tracked_by(function, owner)
        and (include is None or include(attribute + suffix, function))
    }
    if blocks:
        yield Choice(place, attribute, found, blocks)


# A function, and the wrapper that stands for it.
Made = namedtuple("Made", ("function", "stands"))


class Wrappers:
    """One wrapper a function, wherever it stands and whatever stands around it.

    :ivar made: id of the function → both.
    """

    def __init__(self) -> None:
        self.made: dict[int, Made] = {}

    def take_below(self, others: Iterable[Made]) -> None:
        """Stand for what others have stood for, which are going to be gone."""
        for other in others:
            known = self.made.pop(id(other.stands), None)
            if known is not None:
                self.made[id(other.function)] = Made(other.function, known.stands)

    def once(self, choices: list[Choice], wrap: Wrap, names: list[str]) -> Wrap:
        """Return what wraps a function the first time only, in a block named as it calls itself.

        :param choices: what is going to be wrapped.
        :param wrap: what wraps.
        :param names: gets those of the blocks that are made.
        """
        own = dict(_called_as_they_are(choices))

        def wrap_once(function: Any, name: str, place: Any) -> Any:
            known = self.made.get(id(function))
            if known is None:
                name = own.get(id(function), name)
                known = self.made[id(function)] = Made(function, wrap(function, name, place))
                names.append(name)
            return known.stands

        return wrap_once


def _called_as_they_are(choices: list[Choice]) -> Iterator[tuple[int, str]]:
    for choice in choices:
        for suffix, function in functions(choice.found):
            name = choice.blocks.get(suffix, "")
            if name.removesuffix(suffix) == getattr(function, "__qualname__", None):
                yield id(function), name


def replace(choices: list[Choice], wrap: Wrap, wrappers: Wrappers | None = None) -> list[str]:
    """Track what was chosen, all of it or nothing, and return the names of the blocks.

    What stands under several names is wrapped once: it goes on being one object.

    :param choices: what was chosen.
    :param wrap: what wraps a function.
    :param wrappers: the wrappers that there are, which get those that are made.
    """
    names: list[str] = []
    wrappers = wrappers or Wrappers()
    before = dict(wrappers.made)
    wrap = wrappers.once(choices, wrap, names)
    made: dict[int, Any] = {}
    begun: list[Choice] = []
    try:
        for choice in choices:
            if id(choice.found) not in made:
                made[id(choice.found)] = choice.tracked(wrap)
        for choice in choices:
            begun.append(choice)
            choice.put(made[id(choice.found)])
    except BaseException:
        wrappers.made = before
        for choice in reversed(begun):
            choice.put_back()
        raise
    return names


def namespace(module: ModuleType) -> dict[str, Any]:
    """Return what a module holds, without loading one that is loaded when it is first used."""
    found: dict[str, Any] = ModuleType.__getattribute__(module, "__dict__")
    return found


def home(cls: type) -> object:
    """Return the name of a class's module; a class made in C, or by a metaclass, may have none."""
    return getattr(cls, "__module__", None)


def _is_of(value: Any, module: ModuleType) -> bool:
    """Return whether a function or class is a module's own.

    Packages have what is theirs say that it is of the whole package, as pandas does; where it was
    written, its globals tell.
    """
    said = getattr(value, "__module__", None)
    if said == module.__name__:
        return True
    if not isinstance(said, str) or not module.__name__.startswith(f"{said}."):
        return False
    functions = vars(value).values() if issubclass(type(value), type) else (value,)
    own = namespace(module)
    # Nothing is asked of other objects: a lazy one would be made by it.
    return any(type(one) is FunctionType and one.__globals__ is own for one in functions)


def home_namespace(place: Any) -> dict[str, Any] | None:
    """Return what the module holds that a class was defined in, or that is a module itself."""
    module = place if isinstance(place, ModuleType) else sys.modules.get(str(home(place)))
    return namespace(module) if isinstance(module, ModuleType) else None


def classes_in(module: ModuleType) -> list[type]:
    """Return the classes that a module defines, nested ones included."""
    name = namespace(module).get("__name__")
    found = [
        value
        for value in list(namespace(module).values())
        if issubclass(type(value), type) and _is_of(value, module)
    ]
    known = set(map(id, found))
    for outer in found:
        for inner in list(vars(outer).values()):
            nested = issubclass(type(inner), type) and inner.__qualname__.startswith(
                outer.__qualname__
            )
            if nested and home(inner) == name and id(inner) not in known:
                known.add(id(inner))
                found.append(inner)
    return found


def _can_change(cls: type) -> bool:
    return cls.__flags__ & (_IMMUTABLE | _MADE_BY_PYTHON) == _MADE_BY_PYTHON


def _can_be_chosen(function: Any, place: Any) -> bool:
    if isinstance(place, ModuleType):
        return True
    module = getattr(function, "__module__", None)
    return _is_function(function) and (module not in _MACHINERY or module == place.__module__)


def _is_function(value: object) -> bool:
    """Return whether something is a function or a wrapper like one; methods of C types are not."""
    inherited = (MethodDescriptorType, WrapperDescriptorType)
    return is_tracked(value) or (binds(value) and type(value) not in inherited)


def is_kept_by_metaclass(cls: type, attribute: str) -> bool:
    """Return whether setting an attribute of a class sets something else, as with `__class__`."""
    metaclass: Any = type(cls)
    for kind in metaclass.__mro__:
        if attribute in vars(kind):
            return hasattr(type(vars(kind)[attribute]), "__set__")
    return False


def _is_tracked_by(function: Any, owner: _core.Recorder) -> bool:
    """Return whether one of the layers of tracking around a function is a profiler's, or its code
    is tracked by that.
    """
    while is_tracked(function):
        if any(held is owner for held in gc.get_referents(function)):
            return True
        function = _below(function)
    return type(function) is FunctionType and _core.tracks_code(owner, function.__code__)
