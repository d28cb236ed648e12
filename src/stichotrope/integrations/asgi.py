"""A block for each route of an ASGI application: Starlette, FastAPI and their like.

``app.add_middleware(Middleware, profiler=p)``, or ``app = Middleware(app, p)`` around any other.
"""

from __future__ import annotations

from ._answers import (
    Check,
    Once,
    ServerAnswerError,
    block_name,
    checked_app,
    default_profiler,
    requests_counter,
    status_class,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
    from typing import Any, TypeAlias

    from ..profiler import Profiler

    Message: TypeAlias = MutableMapping[str, Any]
    Scope: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class Middleware:
    """Records each request and each websocket as a pass of its route's block, to its very end.

    The block is called after method and template, ``GET /orders/{id}``, or ``WS /feed``; what no
    route answers is ``GET (no route)``. A pass fails by an exception, or by an answer of status 500
    and above. ``stichotrope_requests_total`` counts answers by route and status class, among the
    metrics of the process.

    :param app: the application around which it is.
    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :param route: gives the template of a request, or None, from its scope; unless given, the
        routes of Starlette and what is built on it are asked.
    :raises TypeError: when the application cannot be called, or the profiler is none.
    """

    def __init__(
        self,
        app: App,
        profiler: Profiler | None = None,
        *,
        track: int | str = "requests",
        route: Callable[[Scope], str | None] | None = None,
    ) -> None:
        self.app = checked_app(app)
        self._route = route or self._of_starlette
        timed = default_profiler(profiler)
        self._passes = Once(timed, track, self._run)
        self._check = Check(timed)
        self._answers = requests_counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, and record it if it is a request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        name = _name(scope, self._template(scope))
        answer = _Answer(send)
        try:
            await self._passes[name](self.app, scope, receive, answer)
        except ServerAnswerError:
            pass
        finally:
            self._answers.labels(name, status_class(answer.status)).inc()

    @staticmethod
    async def _run(app: App, scope: Scope, receive: Receive, answer: _Answer) -> None:
        await app(scope, receive, answer)
        if answer.status is not None and answer.status >= 500:
            raise ServerAnswerError(answer.status)

    def _template(self, scope: Scope) -> str | None:
        try:
            return self._route(scope)
        except Exception:  # whatever a router thinks of a request, it is answered all the same
            return None

    def _of_starlette(self, scope: Scope) -> str | None:
        app = scope.get("app", self.app)
        routes = getattr(app, "routes", None)
        if routes is None:
            return None
        self._check.of(lambda: _endpoints(routes))
        return _matching(routes, {**scope})


class _Answer:
    """Sends on, and notes the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
        elif message["type"] == "websocket.accept":
            self.status = 101
        await self._send(message)


def _name(scope: Scope, template: str | None) -> str:
    if scope["type"] == "websocket":
        return f"WS {block_name('GET', template).partition(' ')[2]}"
    return block_name(scope["method"], template)


def _routes_below(route: Any) -> Iterable[Any] | None:
    """Return what a mount or a host holds, or a router that FastAPI has included."""
    included = getattr(route, "effective_candidates", None)
    if included is None:
        return getattr(route, "routes", None)
    return [getattr(one, "starlette_route", None) or one for one in included()]


def _endpoints(routes: Iterable[Any]) -> Iterator[Any]:
    """Yield what routes call."""
    for route in routes:
        yield getattr(route, "endpoint", None)
        yield from _endpoints(_routes_below(route) or ())


def _matching(routes: Iterable[Any], scope: Scope) -> str | None:
    """Return the template of the first route that takes a request, those of mounts joined."""
    partly = None
    for route in routes:
        match, inner = route.matches(scope)
        if match.name == "NONE":
            continue
        path = getattr(route, "path", "")
        below = _routes_below(route)
        if below:
            found = _matching(below, {**scope, **inner})
            path = None if found is None else path + found
        if match.name == "FULL" and path is not None:
            return path
        partly = partly or path
    return partly
