"""What clients of other services have in common: a block for each host."""

from __future__ import annotations

from ._answers import (
    Once,
    ServerAnswerError,
    block_name,
    calls_counter,
    default_profiler,
    status_class,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..profiler import Profiler


_KEY = "_stichotrope"


def instrumented(client: Any, expected: str, make: Callable[[], Any]) -> Any:
    """Return a client that sends in another way from now on.

    :param client: the client.
    :param expected: what it should be.
    :param make: gives what sends.
    :raises TypeError: when it is something else.
    :raises ValueError: when it is instrumented already: each call would count twice.
    """
    if isinstance(client, type) or not callable(getattr(client, "send", None)):
        raise TypeError(f"what is instrumented is {expected}, not {client!r}")
    if _KEY in vars(client):
        raise ValueError(f"{client!r} is instrumented already")
    client.send = make()
    setattr(client, _KEY, True)
    return client


class Calls:
    """Records what a client sends, each call as a pass of its block.

    :param send: what sends a request, and gives its response.
    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :param host: gives the host of a request.
    :param name: gives the block's name for a request; unless given, ``GET api.example.com``.
    """

    def __init__(
        self,
        send: Callable[..., Any],
        profiler: Profiler | None,
        track: int | str,
        host: Callable[[Any], str],
        name: Callable[[Any], str] | None,
    ) -> None:
        self._send = send
        self._host = host
        self.name = name or (lambda request: block_name(request.method or "", host(request)))
        self._answers = calls_counter()
        self.profiler = default_profiler(profiler)
        self._passes = Once(self.profiler, track, self._run)
        self._async_passes = Once(self.profiler, track, self._run_async)

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        """Send a request."""
        answer: list[Any] = []
        try:
            self._passes[self.name(request)](answer, request, args, options)
        except ServerAnswerError:
            pass
        finally:
            self.count(request, answer)
        return answer[0]

    async def send_async(self, request: Any, *args: Any, **options: Any) -> Any:
        """Send a request, as a coroutine."""
        answer: list[Any] = []
        try:
            await self._async_passes[self.name(request)](answer, request, args, options)
        except ServerAnswerError:
            pass
        finally:
            self.count(request, answer)
        return answer[0]

    def _run(self, answer: list[Any], request: Any, args: Any, options: dict[str, Any]) -> None:
        answer.append(self._send(request, *args, **options))
        fail_if_server_error(answer[0])

    async def _run_async(
        self, answer: list[Any], request: Any, args: Any, options: dict[str, Any]
    ) -> None:
        answer.append(await self._send(request, *args, **options))
        fail_if_server_error(answer[0])

    def count(self, request: Any, answer: list[Any]) -> None:
        """Count an answer, or that there is none."""
        status = answer[0].status_code if answer else None
        self._answers.labels(self._host(request), status_class(status)).inc()


def fail_if_server_error(response: Any) -> None:
    """Have the pass fail of an answer of status 500 and above."""
    if response.status_code >= 500:
        raise ServerAnswerError(response.status_code)
