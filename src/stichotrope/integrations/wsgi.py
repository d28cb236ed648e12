"""A block for each route of a WSGI application: ``app = Middleware(app, p, route=…)``."""

from __future__ import annotations

from ._answers import (
    ServerAnswerError,
    block_name,
    default_profiler,
    requests_counter,
    status_class,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeAlias

    from ..profiler import Profiler

    Environ: TypeAlias = dict[str, Any]
    Start: TypeAlias = Callable[..., Any]
    App: TypeAlias = Callable[[Environ, Start], Iterable[bytes]]


class Middleware:
    """Records each request as a pass of its route's block, until its body has been sent.

    The block is called after method and template, ``GET /orders/<id>``; where nobody says the
    template, ``GET (no route)``. A pass fails by an exception, or by an answer of status 500 and
    above. ``stichotrope_requests_total`` counts answers by route and status class, among the
    metrics of the process.

    :param app: the application around which it is.
    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :param route: gives the template of a request, or None, from its environ.
    :raises TypeError: when the profiler is none.
    """

    def __init__(
        self,
        app: App,
        profiler: Profiler | None = None,
        *,
        track: int | str = "requests",
        route: Callable[[Environ], str | None] = lambda environ: None,
    ) -> None:
        self.app = app
        self._profiler = default_profiler(profiler)
        self._track = track
        self._route = route
        self._answers = requests_counter()

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """Run the application, and record it."""
        name = block_name(environ["REQUEST_METHOD"], self._template(environ))
        block = self._profiler.block(self._track, name)
        answer = _Answer(block, start_response, lambda kind: self._answers.labels(name, kind).inc())
        block.__enter__()
        try:
            body = self.app(environ, answer.start)
        except BaseException as error:
            answer.end(error)
            raise
        # Servers look at the length of a list, and send a file by themselves.
        if isinstance(body, (list, tuple)) or type(body) is environ.get("wsgi.file_wrapper"):
            answer.end(None)
            return body
        return _Body(body, answer)

    def _template(self, environ: Environ) -> str | None:
        try:
            return self._route(environ)
        except Exception:  # whatever a router thinks of a request, it is answered all the same
            return None


class _Answer:
    """A pass that is open, and the status that its answer has."""

    def __init__(self, block: Any, start_response: Start, count: Callable[[str], object]) -> None:
        self._block = block
        self._start_response = start_response
        self._count = count
        self._status: int | None = None
        self._is_open = True

    def start(self, status: str, *rest: Any) -> Any:
        """Begin the answer."""
        code = status[:3]
        self._status = int(code) if code.isdecimal() else None
        return self._start_response(status, *rest)

    def end(self, error: BaseException | None) -> None:
        """Leave the block, once."""
        if not self._is_open:
            return
        self._is_open = False
        self._count(status_class(self._status))
        if error is None and self._status is not None and self._status >= 500:
            error = ServerAnswerError(self._status)
        self._block.__exit__(None if error is None else type(error), error, None)


class _Body:
    """The body of an answer, whose end is that of the pass."""

    def __init__(self, body: Iterable[bytes], answer: _Answer) -> None:
        self._body = body
        self._parts = iter(body)
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except StopIteration:
            self._answer.end(None)
            raise
        except BaseException as error:
            self._answer.end(error)
            raise

    def close(self) -> None:
        """Close the body, as its server does in the end."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._answer.end(None)
