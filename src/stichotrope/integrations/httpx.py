"""A block for each host that an httpx client calls: ``instrument(client, p)``."""

from __future__ import annotations

import inspect

from ._clients import Calls, instrumented

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..profiler import Profiler


def instrument(
    client: Any,
    profiler: Profiler | None = None,
    *,
    track: int | str = "calls",
    name: Callable[[Any], str] | None = None,
) -> Any:
    """Record each call of a client as a pass of its host's block, ``GET api.example.com``.

    A pass lasts until the response is there, redirects and the reading of its body included, the
    latter not with ``stream``; all of it is billed to the first host. It fails by an exception, or
    by an answer of status 500 and above. ``stichotrope_calls_total`` counts answers by host and
    status class, among the metrics of the process.

    :param client: a ``Client`` or an ``AsyncClient``.
    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :param name: gives the block's name for a request, of which there should be only so many.
    :returns: the client.
    :raises TypeError: when the profiler is none.
    :raises ValueError: when it is instrumented already.
    """
    calls = Calls(client.send, profiler, track, lambda request: request.url.netloc.decode(), name)
    is_async = inspect.iscoroutinefunction(client.send)
    return instrumented(client, lambda: calls.send_async if is_async else calls.send)
