"""Callables that are more than that: the types that hand their special methods on.

Python looks those up in an object's type, not in the object. So a tracked callable is of a type
that has the same as its callee's, neither more nor less.
"""

from __future__ import annotations

from types import WrapperDescriptorType
from weakref import WeakKeyDictionary

from .. import _core

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
_KINDS: WeakKeyDictionary[type, type] = WeakKeyDictionary()


def kind_for(callee: object) -> type:
    """Return the type of the tracked callable that stands for one."""
    kind = type(callee)
    known = _KINDS.get(kind)
    if known is None:
        methods = _special_methods(kind)
        known = _core.callable_type(methods) if methods else _core.TrackedCallable
        known = _KINDS.setdefault(kind, known)
    return known


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
