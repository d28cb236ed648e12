"""`/debug/pprof` for a program that serves HTTP: for Pyroscope, Parca and `go tool pprof`."""

from __future__ import annotations

import time
from urllib.parse import parse_qs

from ..profiler import profilers as live_profilers
from ..results import ProfilerResults
from ._http import RefusedError, asgi, wsgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import Any

    from ..profiler import Profiler
    from ._http import Answer

CONTENT_TYPE = "application/vnd.google.protobuf+gzip"
# Of each, what it saw last is kept, and their names come from whoever can ask.
_MOST_READERS = 32
_FORGOTTEN_S = 3600.0  # a name that nobody has asked by for as long makes room for another
_LONGEST_NAME = 100


def make_wsgi_app(
    profilers: Iterable[Profiler] | None = None,
) -> Callable[[dict[str, Any], Any], list[bytes]]:
    """Return a WSGI app that answers with a pprof profile of what happened since the last scrape.

    :param profilers: which; by default all that there are whenever it is asked. A scraper that
        gives ``?reader=name`` has a last time of its own; with ``?whole=1`` it gets all that was
        recorded. There are at most 32 such names, and one that has not asked for an hour is
        forgotten; a 33rd is refused, with status 403.
    """
    return wsgi(_answer(profilers))


def make_asgi_app(
    profilers: Iterable[Profiler] | None = None,
) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """Return an ASGI app that answers with a pprof profile; see `make_wsgi_app`.

    :param profilers: which; by default all that there are whenever it is asked.
    """
    return asgi(_answer(profilers))


def _answer(profilers: Iterable[Profiler] | None) -> Answer:
    chosen = None if profilers is None else list(profilers)

    def answer(query: str, headers: dict[str, str]) -> tuple[str, bytes]:
        from ..export.pprof import render

        options = parse_qs(query)
        reader = "" if "whole" in options else _reader_of(options)
        found = [
            one.get_results() if "whole" in options else one.snapshot_delta(reader)
            for one in (live_profilers() if chosen is None else chosen)
        ]
        if not found:
            found = [ProfilerResults("no profiler")]
        return CONTENT_TYPE, render(found[0] if len(found) == 1 else found[0].merge(*found[1:]))

    return answer


def _reader_of(options: dict[str, list[str]]) -> str:
    """Return what a scraper is known by.

    :raises RefusedError: when its name is too long, or there are as many others as there may be.
    """
    name = options.get("reader", [""])[0]
    if len(name) > _LONGEST_NAME:
        raise RefusedError(
            "400 Bad Request",
            f"a reader's name has at most {_LONGEST_NAME} characters: {len(name)}",
        )
    if name and name not in _READERS:
        _forget_readers()
        if len(_READERS) >= _MOST_READERS:
            raise RefusedError(
                "403 Forbidden",
                f"there are {_MOST_READERS} readers, as many as there may be, and what each saw "
                f"last is kept: {name!r} is not one of them",
            )
    if name:
        _READERS[name] = time.monotonic()
    return _known_as(name)


def _known_as(name: str) -> str:
    """Return what a reader is called where profilers know it."""
    return f"pprof {name}"


def _forget_readers() -> None:
    """Keep no more what readers saw that have not asked for long."""
    since = time.monotonic() - _FORGOTTEN_S
    for name in [one for one, asked in list(_READERS.items()) if asked < since]:
        _READERS.pop(name, None)
        for profiler in live_profilers():
            profiler.forget_reader(_known_as(name))


# Named ones, of all apps, and when they asked last: what they saw is kept with the profilers.
_READERS: dict[str, float] = {}
