"""Metrics and blocks where Prometheus looks for them: a server, ASGI and WSGI apps, a collector.

None of it needs `prometheus_client`; where a program has that, its registries take our collectors,
and its apps our registries.
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from ..config import checks
from ..metrics import DEFAULT_BUCKETS, REGISTRY, Family, MetricRegistry, protobuf, text
from ..metrics.blocks import BlockCollector
from ..metrics.registry import Restricted
from ..profiler import profilers as live_profilers
from ._http import Response, asgi, wsgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from typing import Any

    from ..metrics.registry import Collector
    from ..profiler import Profiler
    from ._http import Answer

_PORTS = (0, 65_535)
_QUALITY = "q"
_MOST_BODY = 1 << 16  # bytes of a request's body that are read to keep its connection


class ProfilerCollector(BlockCollector):
    """Collects the blocks of profilers, for a registry of ours or of `prometheus_client`.

    Passes, errors, cancelled ones, seconds, what is open, and a histogram of how long passes took,
    with the labels profiler, track and block. All threads are merged when it is asked; none waits.

    :param profilers: which; by default all that there are whenever it is asked.
    :param buckets: upper bounds of the classic histograms, in seconds.
    :raises TypeError: when a bound is no number.
    :raises ValueError: when the bounds do not rise.
    """

    def __init__(
        self,
        profilers: Iterable[Profiler] | None = None,
        buckets: Iterable[float] = DEFAULT_BUCKETS,
    ) -> None:
        chosen = None if profilers is None else list(profilers)
        super().__init__(
            lambda: [one.get_results() for one in (live_profilers() if chosen is None else chosen)],
            buckets,
        )


def exposition(
    registry: Collector, accept: str = "", names: Iterable[str] = ()
) -> tuple[str, bytes]:
    """Return (content type, body) of a scrape.

    :param registry: what is collected.
    :param accept: the header of that name: text, OpenMetrics, or delimited protobuf, which has the
        native histograms.
    :param names: only samples of these names, if there are any.
    """
    wanted = frozenset(names)
    families: Iterable[Family] = _restricted(registry, wanted) if wanted else registry.collect()
    chosen = _preferred(accept)
    if chosen == protobuf.CONTENT_TYPE:
        return chosen, protobuf.render(families)
    render = text.render if chosen == text.CONTENT_TYPE else text.render_openmetrics
    return chosen, render(families).encode("utf-8", "replace")


def _restricted(registry: Collector, names: frozenset[str]) -> Iterator[Family]:
    return Restricted(registry, names).collect()


def _preferred(accept: str) -> str:
    """Return the content type that a header asks for: of the ones we have, the most wanted."""
    best, quality = text.CONTENT_TYPE, 0.0
    for part in accept.split(","):
        kind, *rest = (piece.strip() for piece in part.split(";"))
        options = dict(piece.split("=", 1) for piece in rest if "=" in piece)
        found = _offered(kind.lower(), options)
        wanted = _quality(options.get(_QUALITY, "1"))
        if found and wanted > quality:
            best, quality = found, wanted
    return best


def _offered(kind: str, options: dict[str, str]) -> str:
    """Return our content type for one of those that are asked for, or nothing."""
    if kind == "application/vnd.google.protobuf":
        is_ours = options.get("proto") == "io.prometheus.client.MetricFamily"
        return protobuf.CONTENT_TYPE if is_ours and options.get("encoding") == "delimited" else ""
    if kind == "application/openmetrics-text":
        is_ours = options.get("version", "1.0.0") in ("1.0.0", "0.0.1")
        return text.OPENMETRICS_CONTENT_TYPE if is_ours else ""
    return text.CONTENT_TYPE if kind in ("text/plain", "text/*", "*/*") else ""


def _quality(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


def _all_of(collectors: tuple[Collector, ...]) -> MetricRegistry:
    """Return one registry of several collectors: the default ones where none is given."""
    registry = MetricRegistry()
    taken: dict[str, Collector] = {}
    for collector in collectors or (REGISTRY, ProfilerCollector()):
        registry.register(collector)
        for metric in collector if isinstance(collector, MetricRegistry) else ():
            for name in getattr(metric, "names", ()):
                if taken.setdefault(name, collector) is not collector:
                    raise ValueError(
                        f"two registries that are to be exposed together have the name {name!r}: "
                        f"{taken[name]!r} and {collector!r}"
                    )
    return registry


def _answer(registry: Collector) -> Answer:
    """Return what answers scrapes of a registry."""

    def answer(query: str, headers: dict[str, str]) -> tuple[str, bytes]:
        return exposition(registry, headers.get("accept", ""), parse_qs(query).get("name[]", []))

    return answer


def make_wsgi_app(*collectors: Collector) -> Callable[[dict[str, Any], Any], list[bytes]]:
    """Return a WSGI app that answers scrapes, for Flask, Django, gunicorn and what else mounts one.

    :param collectors: what is collected, registries or others; by default
        `stichotrope.metrics.REGISTRY` and all profilers.
    """
    return wsgi(_answer(_all_of(collectors)))


def make_asgi_app(*collectors: Collector) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """Return an ASGI app that answers scrapes, for FastAPI, Starlette, uvicorn and their kin.

    Collecting and writing runs in a thread, not in the event loop.

    :param collectors: what is collected, registries or others; by default
        `stichotrope.metrics.REGISTRY` and all profilers.
    """
    return asgi(_answer(_all_of(collectors)))


class MetricsServer:
    """What `start_metrics_server` returns; as a context manager it stops at the end.

    :ivar address: where it listens.
    :ivar port: on which port.
    """

    def __init__(self, registry: Collector, address: str, port: int) -> None:
        self._http = _Http((address, port), registry)
        self.address = address
        self.port: int = self._http.server_address[1]
        self._pid = os.getpid()
        self._thread = threading.Thread(
            target=self._http.serve_forever, name="stichotrope-metrics", daemon=True
        )
        _SERVERS.add(self)
        self._thread.start()

    def stop(self) -> None:
        """Serve no more, and free the port. A second time does nothing.

        A scrape that is being answered is answered to its end; connections that wait are closed.
        """
        if self in _SERVERS:
            _SERVERS.discard(self)
            if self._pid == os.getpid():
                self._http.shutdown()
                self._thread.join()
                self._http.end_connections()
            else:
                self._http.leave_connections()
            self._http.server_close()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<MetricsServer http://{self.address}:{self.port}/metrics>"


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, where: tuple[str, int], registry: Collector) -> None:
        self.answer = _answer(registry)
        self.is_stopped = False
        self._connections: set[Any] = set()
        if ":" in where[0]:
            self.address_family = socket.AF_INET6
        super().__init__(where, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer what comes on a connection, on a thread of its own."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Read no further requests: what waits for one ends."""
        self.is_stopped = True
        for connection in list(self._connections):
            with suppress(OSError):  # it has just ended by itself
                connection.shutdown(socket.SHUT_RD)

    def leave_connections(self) -> None:
        """In a forked child: they are the parent's, and end with those that it holds."""
        for connection in list(self._connections):
            with suppress(OSError):
                os.close(connection.detach())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # of a connection on which nothing comes
    server: _Http

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.server.is_stopped:
            self.close_connection = True
            return
        if not self._has_read_body(headers):
            self.close_connection = True
        query = urlsplit(self.path).query
        response = Response(self.server.answer, self.command, query, headers)
        if self.server.is_stopped:
            self.close_connection = True
        status, _, reason = response.status.partition(" ")
        self.send_response(int(status), reason)
        for name, value in response.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(response.body)

    def _has_read_body(self, headers: dict[str, str]) -> bool:
        """Read a request's body, which nobody needs: the next request begins where it ends.

        :returns: whether all of it was read.
        """
        length = headers.get("content-length", "0").strip()
        if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
            return False
        if len(length) > len(str(_MOST_BODY)) or int(length) > _MOST_BODY:
            return False
        return len(self.rfile.read(int(length))) == int(length)

    do_GET = do_HEAD = do_POST = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: a program's own output is its own."""


_SERVERS: weakref.WeakSet[MetricsServer] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """Leave the port to the parent: only its thread answers."""
    for server in list(_SERVERS):
        server.stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def start_metrics_server(
    port: int = 9464, address: str = "127.0.0.1", collectors: Iterable[Collector] = ()
) -> MetricsServer:
    """Serve metrics over HTTP from a thread of this process, for Prometheus to scrape.

    It ends with the process. A forked child does not serve: it may start its own, on another port.

    :param port: which; 0 takes one that is free, and the server returned says which.
    :param address: where it listens: by default on this machine alone; ``"0.0.0.0"`` for all.
    :param collectors: what is collected, registries or others; by default
        `stichotrope.metrics.REGISTRY` and all profilers.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when there is no such port.
    :raises OSError: when the port is taken, or the address not this machine's.
    """
    checks.check_limit(port, "port", *_PORTS)
    checks.checked_text(address, "address")
    try:
        return MetricsServer(_all_of(tuple(collectors)), address, port)
    except OSError as error:
        raise OSError(
            error.errno,
            f"metrics cannot be served on {address}, port {port}: {error.strerror or error}",
        ) from error
