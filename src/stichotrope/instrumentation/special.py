"""Callables that are more than that: the types of tracked ones, which are their callees otherwise.

An attribute is the callee's, read and written. Special methods Python looks up in an object's type,
not in the object: so a tracked callable is of a type that has the same as its callee's, neither
more nor less.
"""

from __future__ import annotations

import copy
from functools import update_wrapper
from itertools import pairwise
from types import CodeType, FunctionType, MethodType, WrapperDescriptorType
from weakref import WeakKeyDictionary

from .. import _core
from . import wrapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# What a tracked callable does itself, or what belongs to the type and not to its instances.
_LEFT_OUT = frozenset(
    {
        *("__call__", "__get__", "__repr__", "__class__", "__copy__", "__deepcopy__"),
        *("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__"),
        *("__getnewargs_ex__", "__new__", "__init__", "__del__", "__init_subclass__"),
        *("__subclasshook__", "__class_getitem__", "__getattribute__", "__getattr__"),
        *("__setattr__", "__delattr__", "__annotate__", "__annotate_func__"),
    }
)
# What it answers itself, where its callee answers that.
_REDUCING = ("__reduce__", "__reduce_ex__")
_OWN = frozenset({"__copy__", "__deepcopy__", *_REDUCING})
_TYPE: Any = _core.TrackedCallable
_MADE = vars(_TYPE)["__dict__"]  # what is its own; its `__dict__` is its callee's
_COROUTINE, _GENERATING = 0x80, 0x20 | 0x200  # CO_COROUTINE; CO_GENERATOR, CO_ASYNC_GENERATOR
_OF_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR"})
_KINDS: WeakKeyDictionary[type, type] = WeakKeyDictionary()


def kind_for(callee: object) -> type:
    """Return the type of the tracked callable that stands for one."""
    kind = type(callee)
    known = _KINDS.get(kind)
    if known is None:
        made = _core.callable_type({**_ALWAYS, **_special_methods(kind), **_binding(kind)})
        made.__name__, made.__qualname__ = kind.__name__, kind.__qualname__  # for error messages
        known = _KINDS.setdefault(kind, made)
    return known


def _again(tracked: Any, instead: Any) -> Any:
    """Return something else, tracked as one is; what that would make no sense of, as it is."""
    callee, site, owner = _core.marked(tracked)
    if instead is callee:
        return tracked
    if isinstance(instead, type) or not callable(instead):
        return instead
    return wrapping.wrapped(owner, instead, site)


# Attributes


def _getattribute(self: Any, name: str) -> Any:
    callee = _callee(self)
    if name == "__wrapped__":
        return getattr(callee, name, callee)
    if name in _OWN:
        return _TYPE.__getattribute__(self, name)
    value = getattr(callee, name)
    if value is callee:
        return self
    if name == "__call__":
        return _called(self, value)
    if type(value) is MethodType and value.__self__ is callee:
        function = value.__func__
        made = _once(self, function, lambda: _giving_tracked(function))
        return value if made is None else MethodType(made, self)
    return value


def _setattr(self: Any, name: str, value: Any) -> None:
    setattr(_callee(self), name, value)


def _delattr(self: Any, name: str) -> None:
    delattr(_callee(self), name)


def _called(tracked: Any, found: Any) -> Any:
    """Return what is called when a callable is, for who asks for it: recorded, too."""
    callee, site, owner = _core.marked(tracked)
    if isinstance(callee, type):  # it has its instances' one
        return found
    bound = type(found) is MethodType
    function = found.__func__ if bound else found
    if not isinstance(function, FunctionType):
        return _TYPE.__getattribute__(tracked, "__call__")
    made = _once(tracked, (function, "__call__"), lambda: wrapping.wrapped(owner, function, site))
    return MethodType(made, found.__self__) if bound else made


def _once(tracked: Any, key: Any, make: Callable[[], Any]) -> Any:
    """Return what was made of a function for a tracked callable: asked twice, it is the same."""
    made = _MADE.__get__(tracked)
    return made[key] if key in made else made.setdefault(key, make())


# Methods that give the instance


def _giving_tracked(function: Any) -> Any:
    """Return a method of tracked ones that gives the tracked one where a method gives its instance.

    None where that is out of the question: who looks for its caller would see it.
    """
    code = getattr(function, "__code__", None)
    if type(code) is not CodeType or code.co_flags & _GENERATING or not _may_give_first(code):
        return None
    method = _giving_async if code.co_flags & _COROUTINE else _giving
    return update_wrapper(method(function), function)


def _may_give_first(code: CodeType) -> bool:
    """Return whether code does more with its first argument than to ask for its attributes."""
    from dis import get_instructions

    steps = list(get_instructions(code))
    first = code.co_varnames[:1] if code.co_argcount else ()
    return any(
        step.opname.startswith("LOAD_")
        and (step.argval if isinstance(step.argval, tuple) else (step.argval,))[-1:] == first
        and then.opname not in _OF_ATTRIBUTES
        for step, then in pairwise(steps)
    )


def _giving(function: Any) -> Any:
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        callee = _callee(self)
        found = function(callee, *args, **kwargs)
        return self if found is callee else found

    return method


def _giving_async(function: Any) -> Any:
    async def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        callee = _callee(self)
        found = await function(callee, *args, **kwargs)
        return self if found is callee else found

    return method


# Copies


def _copied(self: Any) -> Any:
    return _again(self, copy.copy(_callee(self)))


def _deeply_copied(self: Any, memo: Any) -> Any:
    return _again(self, copy.deepcopy(_callee(self), memo))


def _reduced(self: Any, protocol: Any = 2) -> Any:
    """Go by reference, as functions do, where its module holds it under its callee's name.

    Else what it calls is sent, to be tracked again.
    """
    callee, site, owner = _core.marked(self)
    if not isinstance(callee, type) and _may_go_by_name(type(callee)):
        found = callee.__reduce_ex__(protocol)
        if isinstance(found, str) and wrapping.is_named(self, callee, found):
            return found
    return owner._reduced(callee, site)


def _may_go_by_name(kind: type) -> bool:
    """Return whether there is need to ask: that may run what a class does to give its state."""
    return any(getattr(kind, name) is not getattr(object, name) for name in _REDUCING)


# Standing in a class


def _binding(kind: type) -> dict[str, Any]:
    """Return how a descriptor in Python is asked; what C makes of its own, the core sees to."""
    get = getattr(kind, "__get__", None)
    is_in_python = get is not None and not isinstance(get, WrapperDescriptorType)
    return {"__get__": _bind} if is_in_python else {}


def _bind(self: Any, instance: Any, owner: Any = None) -> Any:
    callee = _callee(self)
    bound = _bound(callee, "__get__")(instance, owner)
    if type(bound) is MethodType and bound.__func__ is callee:
        return MethodType(self, bound.__self__)
    return _again(self, bound)


# Special methods


def _special_methods(kind: type) -> dict[str, Any]:
    """Return the special methods of a type, handed on; what it declares not to have, it has not."""
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        if base is object:
            break
        for name, value in vars(base).items():
            if name in found or name in _LEFT_OUT or not _is_special(name):
                continue
            if value is None:
                found[name] = None
            elif callable(value) or _is_method(type(value)):
                found[name] = _handing_on(name)
    return {name: method for name, method in found.items() if not _is_objects_own(kind, name)}


def _is_special(name: str) -> bool:
    return len(name) > 4 and name.startswith("__") and name.endswith("__")


def _is_method(kind: type) -> bool:
    """Return whether a descriptor gives methods: what can be set gives data."""
    return hasattr(kind, "__get__") and not hasattr(kind, "__set__")


def _is_objects_own(kind: type, name: str) -> bool:
    """Return whether a slot is only passed down, as C types do, or holds data of the type."""
    value = getattr(kind, name, None)
    own = getattr(object, name, None)
    return own is not None and isinstance(value, WrapperDescriptorType) and value is own


def _handing_on(name: str) -> Callable[..., Any]:
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        callee = _callee(self)
        found = _bound(callee, name)(*map(_callee, args), **kwargs)
        return self if found is callee else found

    method.__name__ = name
    return method


def _callee(value: Any) -> Any:
    return _core.marked(value)[0] if issubclass(type(value), _core.TrackedCallable) else value


def _bound(callee: Any, name: str) -> Any:
    """Return a special method as the interpreter finds it: past what the instance has."""
    for base in type(callee).__mro__:
        if name in vars(base):
            value = vars(base)[name]
            get = getattr(type(value), "__get__", None)
            return value if get is None else get(value, callee, type(callee))
    raise AttributeError(f"{type(callee).__name__!r} object has no {name}")


_ALWAYS: dict[str, Any] = {
    "__getattribute__": _getattribute,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__copy__": _copied,
    "__deepcopy__": _deeply_copied,
    "__reduce__": _reduced,
    "__reduce_ex__": _reduced,
    "__eq__": _handing_on("__eq__"),
    "__hash__": _handing_on("__hash__"),
}
