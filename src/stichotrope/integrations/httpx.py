"""A block for each host that an httpx client calls: ``instrument(client, p)``."""

from __future__ import annotations

import inspect
from contextvars import ContextVar

from ._answers import Once, ServerAnswerError
from ._clients import Calls, fail_if_server_error, instrumented

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
    latter not with ``stream``; what another host answers after a redirect is a pass of that one's,
    in it. It fails by an exception, or by an answer of status 500 and above.
    ``stichotrope_calls_total`` counts answers by host and status class, among the metrics of the
    process.

    :param client: a ``Client`` or an ``AsyncClient``.
    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :param name: gives the block's name for a request, of which there should be only so many.
    :returns: the client.
    :raises TypeError: when the client is none of httpx, or the profiler is none.
    :raises ValueError: when it is instrumented already.
    """
    return instrumented(
        client, "an httpx.Client or AsyncClient", lambda: _Sent(client, profiler, track, name).way
    )


class _Call:
    """One call, from its first request to its answer.

    :param sent: which client's.
    :param request: its first request.
    :param is_read: whether the body of the answer is read in it.
    """

    __slots__ = ("sent", "request", "is_read")

    def __init__(self, sent: _Sent, request: Any, is_read: bool) -> None:
        self.sent = sent
        self.request = request
        self.is_read = is_read


_CALL: ContextVar[_Call | None] = ContextVar("stichotrope_call", default=None)
_SINGLE = "_send_single_request"  # what each request of a call goes through, redirects too


class _Sent(Calls):
    """Records what a client sends, and apart what other hosts answer that it is redirected to.

    :ivar way: how it sends from now on.
    """

    def __init__(
        self,
        client: Any,
        profiler: Profiler | None,
        track: int | str,
        name: Callable[[Any], str] | None,
    ) -> None:
        super().__init__(client.send, profiler, track, _host, name)
        is_async = inspect.iscoroutinefunction(client.send)
        self.way: Callable[..., Any] = self._send_call_async if is_async else self._send_call
        if not hasattr(client, _SINGLE):  # of another version: all is billed to the first host
            return
        self._single: Callable[..., Any] = getattr(client, _SINGLE)
        run = self._run_single_async if is_async else self._run_single
        self._singles = Once(self.profiler, track, run)
        setattr(client, _SINGLE, self._send_single_async if is_async else self._send_single)

    def _send_call(self, request: Any, *args: Any, **options: Any) -> Any:
        token = _CALL.set(_Call(self, request, not options.get("stream")))
        try:
            return super().send(request, *args, **options)
        finally:
            _CALL.reset(token)

    async def _send_call_async(self, request: Any, *args: Any, **options: Any) -> Any:
        token = _CALL.set(_Call(self, request, not options.get("stream")))
        try:
            return await super().send_async(request, *args, **options)
        finally:
            _CALL.reset(token)

    def _elsewhere(self, request: Any) -> _Call | None:
        """Return the call whose request this is, if it goes to another host than the first."""
        call = _CALL.get()
        if call is None or call.sent is not self or _host(call.request) == _host(request):
            return None
        return call

    def _send_single(self, request: Any) -> Any:
        call = self._elsewhere(request)
        if call is None:
            return self._single(request)
        answer: list[Any] = []
        try:
            self._singles[self.name(request)](answer, request, call)
        except ServerAnswerError:
            pass
        finally:
            self.count(request, answer)
        return answer[0]

    async def _send_single_async(self, request: Any) -> Any:
        call = self._elsewhere(request)
        if call is None:
            return await self._single(request)
        answer: list[Any] = []
        try:
            await self._singles[self.name(request)](answer, request, call)
        except ServerAnswerError:
            pass
        finally:
            self.count(request, answer)
        return answer[0]

    def _run_single(self, answer: list[Any], request: Any, call: _Call) -> None:
        response = self._single(request)
        answer.append(response)
        try:
            if call.is_read:
                response.read()
        except BaseException:
            response.close()
            raise
        fail_if_server_error(response)

    async def _run_single_async(self, answer: list[Any], request: Any, call: _Call) -> None:
        response = await self._single(request)
        answer.append(response)
        try:
            if call.is_read:
                await response.aread()
        except BaseException:
            await response.aclose()
            raise
        fail_if_server_error(response)

    def count(self, request: Any, answer: list[Any]) -> None:
        """Count the last answer of the host that a request went to."""
        if answer:
            response = answer[0]
            for one in reversed((*getattr(response, "history", ()), response)):
                if _host(getattr(one, "request", request)) == _host(request):
                    response = one
                    break
            answer = [response]
        super().count(request, answer)


def _host(request: Any) -> str:
    host: str = request.url.netloc.decode()
    return host
