"""A block for each route of a Django project, and for each of its queries.

``"stichotrope.integrations.django.Middleware"`` comes first in ``MIDDLEWARE``. The setting
``STICHOTROPE_PROFILER`` names the profiler (``"shop.profiling.p"``, or the object); without it, the
default one records.
"""

from __future__ import annotations

from ._answers import (
    Once,
    ServerAnswerError,
    block_name,
    default_profiler,
    requests_counter,
    status_class,
)
from ._statements import shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from typing import Any

    from ..profiler import Profiler

_SETTING = "STICHOTROPE_PROFILER"


def _chosen_profiler() -> Profiler:
    from django.conf import settings
    from django.utils.module_loading import import_string

    chosen = getattr(settings, _SETTING, None)
    return default_profiler(import_string(chosen) if isinstance(chosen, str) else chosen)


class Middleware:
    """Records each request as a pass of its route's block, with its queries in it.

    The blocks are called after method and template, ``GET orders/<int:pk>/``, on the track
    "requests", and after the shape of the statement on the track "queries". A pass fails by an
    exception, or by an answer of status 500 and above. What a streaming response gives is recorded
    as ``GET feed/ (stream)``, from its first part to its last. ``stichotrope_requests_total``
    counts answers by route and status class, among the metrics of the process.

    :param get_response: what answers, sync or async.
    :raises TypeError: when the setting names no profiler.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        from asgiref.sync import iscoroutinefunction, markcoroutinefunction

        self._get_response = get_response
        self._profiler = _chosen_profiler()
        is_async = iscoroutinefunction(get_response)
        if is_async:
            markcoroutinefunction(self)
        self._passes = Once(self._profiler, "requests", self._run_async if is_async else self._run)
        self._is_async = is_async
        self._streams = Once(self._profiler, "requests", _stream)
        self._async_streams = Once(self._profiler, "requests", _async_stream)
        self._answers = requests_counter()
        instrument_queries(self._profiler)

    def __call__(self, request: Any) -> Any:
        """Answer a request, and record it."""
        name = block_name(request.method or "", _template(request))
        if self._is_async:
            return self._answer_async(request, name)
        answer: list[Any] = []
        try:
            self._passes[name](request, answer)
        except ServerAnswerError:
            pass
        finally:
            self._count(name, answer)
        return self._streamed(name, answer[0])

    async def _answer_async(self, request: Any, name: str) -> Any:
        answer: list[Any] = []
        try:
            await self._passes[name](request, answer)
        except ServerAnswerError:
            pass
        finally:
            self._count(name, answer)
        return self._streamed(name, answer[0])

    def _run(self, request: Any, answer: list[Any]) -> None:
        answer.append(self._get_response(request))
        _fail_if_server_error(answer[0])

    async def _run_async(self, request: Any, answer: list[Any]) -> None:
        answer.append(await self._get_response(request))
        _fail_if_server_error(answer[0])

    def _count(self, name: str, answer: list[Any]) -> None:
        self._answers.labels(name, status_class(answer[0].status_code if answer else None)).inc()

    def _streamed(self, name: str, response: Any) -> Any:
        if getattr(response, "streaming", False) and not hasattr(response, "file_to_stream"):
            streams = self._async_streams if response.is_async else self._streams
            parts = response.streaming_content
            response.streaming_content = streams[f"{name} (stream)"](parts)
        return response


def _fail_if_server_error(response: Any) -> None:
    if response.status_code >= 500:
        raise ServerAnswerError(response.status_code)


def _stream(parts: Iterable[bytes]) -> Iterator[bytes]:
    yield from parts


async def _async_stream(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for part in parts:
        yield part


def _template(request: Any) -> str | None:
    from django.urls import resolve

    try:
        return str(resolve(request.path_info, getattr(request, "urlconf", None)).route)
    except Exception:  # no route, or a converter's own error: it is answered all the same
        return None


def instrument_queries(profiler: Profiler | None = None, *, track: int | str = "queries") -> None:
    """Record each query of all database connections as a pass of its statement's block.

    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :raises TypeError: when the profiler is none.
    """
    from django.db import connections
    from django.db.backends.signals import connection_created

    timed = default_profiler(profiler)
    uid = f"stichotrope {id(timed)} {track}"

    def wrapper(execute: Any, sql: Any, parameters: Any, many: bool, context: Any) -> Any:
        with timed.block(track, shape(str(sql))):
            return execute(sql, parameters, many, context)

    def add(connection: Any, **_: Any) -> None:
        if not any(getattr(one, "uid", None) == uid for one in connection.execute_wrappers):
            connection.execute_wrappers.append(wrapper)

    wrapper.uid = uid  # type: ignore[attr-defined]
    connection_created.connect(add, weak=False, dispatch_uid=uid)
    for connection in connections.all(initialized_only=True):
        add(connection)
