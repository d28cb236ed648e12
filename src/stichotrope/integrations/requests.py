"""A block for each host that a session of requests calls: ``instrument(session, p)``."""

from __future__ import annotations

from urllib.parse import urlsplit

from ._clients import Calls, instrumented

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..profiler import Profiler


def instrument(
    session: Any,
    profiler: Profiler | None = None,
    *,
    track: int | str = "calls",
    name: Callable[[Any], str] | None = None,
) -> Any:
    """Record each call of a session as a pass of its host's block, ``GET api.example.com``.

    A pass lasts until the response is there, the reading of its body included, but with
    ``stream=True``; redirects are passes in it. It fails by an exception, or by an answer of status
    500 and above. ``stichotrope_calls_total`` counts answers by host and status class, among the
    metrics of the process.

    :param session: a ``requests.Session``.
    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :param name: gives the block's name for a prepared request, of which there should be only so
        many.
    :returns: the session.
    :raises TypeError: when the session or the profiler is none.
    :raises ValueError: when it is instrumented already.
    """
    return instrumented(
        session,
        "a requests.Session",
        lambda: Calls(session.send, profiler, track, _host, name).send,
    )


def _host(request: Any) -> str:
    return urlsplit(str(request.url)).netloc.rpartition("@")[2]
