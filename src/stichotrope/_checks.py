"""What callers may give: checks that say what was given, what is expected, and where."""

from __future__ import annotations

from types import MethodType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_METHOD_DESCRIPTOR = 1 << 17  # Py_TPFLAGS_METHOD_DESCRIPTOR
_SUSPENDING = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR


def check_track(track: object) -> None:
    """Refuse what is neither a track's index nor its name."""
    if isinstance(track, str):
        checked_text(track, "a track's name")
    elif isinstance(track, bool) or not isinstance(track, int):
        raise TypeError(
            "a track is given by its index (an int from 0 on) or its name (a str), "
            f"not {_shown(track)}"
        )
    elif track < 0:
        raise ValueError(f"a track's index must be 0 or more, not {track}")


def check_switch(value: object) -> None:
    """Refuse what is not True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"a switch is True or False, not {_shown(value)}")


def check_limit(value: object, what: str, least: int, most: int) -> None:
    """Refuse what is not an int from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be an int, not {_shown(value)}")
    if not least <= value <= most:
        raise ValueError(f"{what} must lie between {least:,} and {most:,}, not {value}")


def check_thread_key(key: object) -> None:
    """Refuse what cannot be a thread's key."""
    if not isinstance(key, int) or isinstance(key, bool):
        raise TypeError(f"a thread is chosen by its key, an int, not {_shown(key)}")


def checked_text(text: object, what: str) -> str:
    """Return a text that is not empty, as an exact str."""
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str, not {_shown(text)}")
    if not text:
        raise ValueError(f"{what} must not be empty")
    return str.__str__(text)


def checked_name(name: object) -> str:
    """Return the name of a block, as an exact str."""
    return checked_text(name, "a block's name")


def check_trackable(function: object) -> None:
    """Refuse what cannot be wrapped: classes, and what cannot be called."""
    if isinstance(function, type):
        raise TypeError(f"{function.__qualname__} is a class; track its methods instead")
    if not callable(function):
        raise TypeError(f"what is tracked must be callable, not {_shown(function)}")


def own_name(function: object) -> str:
    """Return the name that a callable calls itself, or that of its type."""
    return checked_name(getattr(function, "__name__", None) or type(function).__name__)


def definition(function: Any) -> tuple[str, int]:
    """Return file and line of a definition; where there is no Python code, the module and 0."""
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(getattr(function, "func", None), "__code__", None)
    if code is None:
        module = getattr(function, "__module__", None) or type(function).__module__
        return f"<{module}>", 0
    return code.co_filename, code.co_firstlineno


def binds(function: object) -> bool:
    """Return whether a callable becomes a method when it stands in a class, as functions do.

    Other descriptors are asked each time; see Py_TPFLAGS_METHOD_DESCRIPTOR in the C API.
    """
    return bool(type(function).__flags__ & _METHOD_DESCRIPTOR)


def suspends(function: Any) -> bool:
    """Return whether a call gives a generator or a coroutine, whose run is then the pass."""
    while isinstance(function, MethodType):
        function = function.__func__
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & _SUSPENDING)


def _shown(value: object) -> str:
    return f"{value!r} of type {type(value).__name__}"
