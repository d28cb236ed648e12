"""A block for each host that an httpx client calls: ``instrument(client, p)``."""

from __future__ import annotations

import inspect

from ._clients import Calls

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
    latter not with ``stream``. It fails by an exception, or by an answer of status 500 and above.
    ``stichotrope_calls_total`` counts answers by host and status class, among the metrics of the
    process.

    :param client: a ``Client`` or an ``AsyncClient``.
    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :param name: gives the block's name for a request, of which there should be only so many.
    :returns: the client.
    :raises TypeError: when the profiler is none.
    """
    calls = Calls(client.send, profiler, track, lambda request: request.url.netloc.decode(), name)
    client.send = calls.send_async if inspect.iscoroutinefunction(client.send) else calls.send
    return client
