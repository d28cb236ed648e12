"""What is marked, sent to another process by value.

cloudpickle does that, which joblib, loky, Dask and Ray use, and dill. They take a function apart
and put together a bare one. So they are taught to track it again on the other side, by a profiler
of the same name, where stichotrope can be imported; else it stays bare. `pickle` sends functions by
reference, and is left as it is; callable instances it sends by value, and they are tracked again.
"""

from __future__ import annotations

import builtins
import os
import threading
from types import FunctionType
from weakref import WeakKeyDictionary, WeakValueDictionary

from . import _core
from .instrumentation import codes, wrapping
from .profiler import (
    Profiler,
    ask_for_work,
    described,
    name_if_free,
    profilers,
    site_at,
    work_asked,
)
from .results import default_track_name
from .results.places import receive_root, root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any


# What is sent

_KEYS: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
_BY_KEY: WeakValueDictionary[str, Any] = WeakValueDictionary()


def _about(site: int, owner: Profiler) -> dict[str, Any]:
    """Return what the other side needs to know of a block."""
    block, track_name = described(owner, site)
    return {
        **_about_profiler(owner),
        "track": block.track_idx,
        "track_name": track_name,
        "block": block.name,
        "file": block.file,
        "line": block.line,
        "root": root_of(block.file),
        "work": work_asked(owner, site),
    }


def _about_profiler(profiler: Profiler) -> dict[str, Any]:
    from .store.gather import folder_of

    return {
        "profiler": profiler.name,
        "gather": folder_of(profiler),
        "cpu": profiler.takes_cpu,
        "timeline": profiler.timeline_size,
    }


def _by_value(function: Any) -> Any:
    """Return a copy of a function that is sent whole: it is of no module to be imported."""
    return FunctionType(function.__code__, {"__name__": "__main__", "__builtins__": vars(builtins)})


def _make_tracked(make, arguments, about):  # type: ignore[no-untyped-def] # runs where there may be nothing of this
    function = make(*arguments)
    try:
        from stichotrope._sent import arrived
    except ImportError:
        return function
    return arrived(function, about)


def _track_again(function, about):  # type: ignore[no-untyped-def] # likewise
    try:
        from stichotrope._sent import arrived
    except ImportError:
        return function
    return arrived(function, about)


def _make_recorded(make, arguments, marks):  # type: ignore[no-untyped-def] # likewise
    function = make(*arguments)
    try:
        from stichotrope._sent import code_arrived
    except ImportError:
        return function
    code_arrived(function.__code__, marks)
    return function


_MAKE_TRACKED, _TRACK_AGAIN = _by_value(_make_tracked), _by_value(_track_again)
_MAKE_RECORDED = _by_value(_make_recorded)


def _marks_of(code: CodeType) -> list[tuple[int, dict[str, Any]]]:
    """Return what is tracked by its code, of a function and those inside of it, and as what."""
    return [
        (number, _about(site, owner))
        for owner in profilers()
        for number, one in enumerate(_codes_of(code))
        if (site := _core.site_of_code(owner, one)) is not None
    ]


def _codes_of(code: CodeType) -> list[CodeType]:
    return [code, *(inner for inner, _ in codes.defined(code))]


# Who sends


def teach_cloudpickle(module: Any) -> None:
    """Have what it takes for a bare function be tracked again, and profilers and blocks go by name.

    :param module: the one that has its ``CloudPickler``.
    """
    pickler: Any = getattr(module, "CloudPickler", None)
    reduce: Callable[[Any, Any], Any] | None = getattr(pickler, "_dynamic_function_reduce", None)
    # Several modules may show one class: it is taught once, or each pass would count twice.
    if reduce is None or getattr(reduce, "__module__", None) == __name__:
        return

    def _dynamic_function_reduce(self: Any, function: Any) -> Any:
        make, arguments, *rest = reduce(self, function)
        if type(function) is _core.TrackedFunction:
            _, site, owner = _core.marked(function)
            return (_MAKE_TRACKED, (make, arguments, _about(site, owner)), *rest)
        marks = _marks_of(function.__code__)
        if marks:
            return (_MAKE_RECORDED, (make, arguments, marks), *rest)
        return (make, arguments, *rest)

    pickler._dynamic_function_reduce = _dynamic_function_reduce
    table = getattr(pickler, "dispatch_table", None)
    if table is not None:
        table[Profiler] = _reduced_profiler
        table[_core.Block] = _reduced_block


def teach_dill(module: Any) -> None:
    """Do the same for dill.

    :param module: the one that has its ``Pickler``.
    """

    def save_function(pickler: Any, function: Any) -> None:
        if module._locate_function(function, pickler):
            module.StockPickler.save_global(pickler, function, name=function.__qualname__)
            return
        callee, site, owner = _core.marked(function)
        state = vars(function) or None
        arguments = (callee, _about(site, owner))
        pickler.save_reduce(_TRACK_AGAIN, arguments, state, obj=function)

    def save(reduce: Callable[[Any], Any]) -> Callable[[Any, Any], None]:
        return lambda pickler, value: pickler.save_reduce(*reduce(value), obj=value)

    module.register(_core.TrackedFunction)(save_function)
    module.register(Profiler)(save(_reduced_profiler))
    module.register(_core.Block)(save(_reduced_block))


def reduced_callable(callee: Any, site: int, owner: Profiler) -> Any:
    """Return how `pickle` sends a tracked callable by value: with its block and its profiler."""
    about = _about(site, owner)
    if not all(map(_is_importable, about["work"])):
        about["work"] = (None, None)  # else what could be sent without them could not any more
    return arrived, (callee, about)


def reduced_function(function: Any) -> Any:
    """Return how `pickle` sends a tracked function: by its name.

    Where its module has the bare one under that, it goes as that one, to be tracked again; in this
    process it is found again, as `copy` expects of functions.
    """
    callee, site, owner = _core.marked(function)
    if _is_importable(function) or not _is_importable(callee):
        return function.__reduce_ex__(2)
    key = _KEYS.setdefault(function, os.urandom(16).hex())
    _BY_KEY[key] = function
    return function_arrived, (key, *reduced_callable(callee, site, owner)[1])


def _is_importable(function: Any) -> bool:
    """Return whether `pickle` can send a function by its name, or there is none."""
    name = getattr(function, "__qualname__", "")
    return function is None or wrapping.is_named(function, function, name)


def _reduced_profiler(profiler: Profiler) -> Any:
    return profiler_named, (_about_profiler(profiler),)


def _reduced_block(block: Any) -> Any:
    _, site, owner = _core.marked(block)
    return block_named, (_about(site, owner),)


# Where it arrives

_LOCK = threading.Lock()
_MADE: list[Profiler] = []  # kept for what arrives later, and for their results


def profiler_named(about: dict[str, Any]) -> Profiler:
    """Return the profiler of a name, made when there is none; it gathers where the sender's does.

    :param about: its name, the directory that the sender gathers in, whether it takes processor
        time, and how many passes its timeline has.
    """
    name = about["profiler"]
    with _LOCK:
        alive = [each for each in profilers() if each.name == name]
        kept = about.get("timeline") or None
        profiler = alive[0] if alive else Profiler(name, cpu=about["cpu"], timeline=kept)
        if not alive:
            _MADE.append(profiler)
    if about["gather"] is not None:
        from .store.gather import has_gathered

        if not has_gathered(profiler):
            profiler.gather(about["gather"], anew=False)  # others of this run are there already
    return profiler


def _place(about: dict[str, Any]) -> tuple[Profiler, int | str]:
    """Return the profiler and the track of a block: the one of that name, if it has one."""
    profiler = profiler_named(about)
    if about.get("root") is not None:
        receive_root(about["root"])
    track, name = about["track"], about["track_name"]
    if name == default_track_name(track):
        return profiler, track
    name_if_free(profiler, track, name)
    return profiler, name


def arrived(function: Any, about: dict[str, Any]) -> Any:
    """Return a function that was sent by value, tracked as it was where it came from.

    :param function: the bare one, or whatever an instance is sent as.
    :param about: the names of its profiler, its track and its block, and where that stands.
    """
    if not _core.is_everything_enabled() or not callable(function):
        return function
    profiler, track = _place(about)
    site = site_at(profiler, track, about["block"], about["file"], about["line"])
    ask_for_work(profiler, site, about.get("work", (None, None)))
    return wrapping.wrapped(profiler, function, site)


def function_arrived(key: str, function: Any, about: dict[str, Any]) -> Any:
    """Return a function that was sent by name, tracked; the very one, where it was sent from.

    :param key: what it is known by in each process.
    :param function: the bare one.
    :param about: as for `arrived`.
    """
    known = _BY_KEY.get(key)
    return arrived(function, about) if known is None else known


def code_arrived(code: CodeType, marks: list[tuple[int, dict[str, Any]]]) -> None:
    """Have code that was sent by value be recorded as it was where it came from.

    :param code: a function's.
    :param marks: which of it and of those inside of it, by number, and as what.
    """
    if not _core.is_everything_enabled() or not _core.can_track_code():
        return
    found = _codes_of(code)
    for number, about in marks:
        if number < len(found):
            profiler, track = _place(about)
            site = site_at(profiler, track, about["block"], about["file"], about["line"])
            ask_for_work(profiler, site, about["work"])
            _core.track_code(profiler, found[number], site)


def block_named(about: dict[str, Any]) -> _core.Block:
    """Return a block that was kept, and sent by value.

    :param about: as for `arrived`.
    """
    profiler, track = _place(about)
    return profiler.block_at(track, about["block"], about["file"], about["line"])
