"""What doors to web frameworks and clients share: names of blocks, and how answers end."""

from __future__ import annotations

import threading
from warnings import warn

from ..metrics import REGISTRY, Counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..profiler import Profiler

NO_ROUTE = "(no route)"  # of what nobody answers, and of who does not say: URLs have no end
_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")
)
_LOCK = threading.Lock()
_COUNTERS: dict[str, Counter] = {}


class ServerAnswerError(Exception):
    """An answer of status 500 and above: its pass is one that failed."""


def default_profiler(given: Profiler | None) -> Profiler:
    """Return the profiler that was given, or the default one.

    :raises TypeError: when it is none.
    """
    from ..profiler import Profiler

    if given is None:
        from .._default import profile

        return profile.profiler
    if not isinstance(given, Profiler):
        raise TypeError(f"profiler is a Profiler or None, not {given!r}")
    return given


def checked_app(app: Any) -> Any:
    """Return what a middleware is around.

    :raises TypeError: when it cannot be called.
    """
    if not callable(app):
        raise TypeError(f"a middleware is around an application that can be called, not {app!r}")
    return app


def block_name(method: str, template: str | None) -> str:
    """Return what a request's block is called: ``GET /orders/{id}``. There are only so many.

    :param method: as the client wrote it.
    :param template: the route's, or None.
    """
    method = method.upper()
    return f"{method if method in _METHODS else 'OTHER'} {template or NO_ROUTE}"


def counter(name: str, text: str, label: str) -> Counter:
    """Return a counter of answers by status class, one for the process.

    :param name: the metric's name.
    :param text: what it counts.
    :param label: what tells answers apart besides their class.
    """
    with _LOCK:
        if name not in _COUNTERS:
            _COUNTERS[name] = Counter(name, text, [label, "status"], registry=REGISTRY)
        return _COUNTERS[name]


def requests_counter() -> Counter:
    """Return the counter of requests answered, by route and status class."""
    return counter("stichotrope_requests", "Requests answered, by route and class.", "route")


def calls_counter() -> Counter:
    """Return the counter of calls to other services, by host and status class."""
    return counter("stichotrope_calls", "Calls answered, by host and class.", "host")


def status_class(status: int | None) -> str:
    """Return ``2xx`` and the like; ``none`` for an answer that never began."""
    return f"{status // 100}xx" if status is not None and 100 <= status < 600 else "none"


class Once:
    """Tracked functions by the names of their blocks, each made when it is first wanted.

    :param profiler: what records them.
    :param track: the track's index or name.
    :param function: what each of them runs.
    """

    def __init__(self, profiler: Profiler, track: int | str, function: Callable[..., Any]) -> None:
        self._profiler = profiler
        self._track = track
        self._function = function
        self._made: dict[str, Callable[..., Any]] = {}

    def __getitem__(self, name: str) -> Callable[..., Any]:
        made = self._made.get(name)
        if made is None:
            tracked = self._profiler.track(self._track, name)(self._function)
            made = self._made.setdefault(name, tracked)
        return made


class Check:
    """Warns, once, of functions that are tracked where it has no effect.

    A decorator that registers what it is given, such as ``app.get``, has registered the bare
    function when a mark stands above it.

    :param profiler: whose marks.
    """

    def __init__(self, profiler: Profiler) -> None:
        self._profiler = profiler
        self._is_done = False

    def of(self, endpoints: Callable[[], Iterable[Any]]) -> None:
        """Look at what routes call.

        :param endpoints: gives the functions.
        """
        if self._is_done:
            return
        self._is_done = True
        from .._core import tracks_code

        tracks = self._profiler.get_results().tracks.values()
        unhit = {(b.file, b.line) for track in tracks for b in track.blocks if not b.was_entered}
        for function in endpoints():
            code = getattr(function, "__code__", None)
            if code is None or hasattr(function, "__wrapped__"):
                continue
            where = (code.co_filename, code.co_firstlineno)
            if where in unhit and not tracks_code(self._profiler, code):
                warn(
                    f"{function.__name__!r} is tracked above the decorator of its route, which "
                    f"calls the bare function: put the mark below it ({where[0]}:{where[1]})",
                    RuntimeWarning,
                    stacklevel=2,
                )
