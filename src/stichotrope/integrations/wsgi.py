"""A block for each route of a WSGI application: ``app = Middleware(app, p, route=…)``."""

from __future__ import annotations

import threading

from ._answers import (
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
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import Any, TypeAlias

    from ..profiler import Profiler

    Environ: TypeAlias = dict[str, Any]
    Start: TypeAlias = Callable[..., Any]
    App: TypeAlias = Callable[[Environ, Start], Iterable[bytes]]


class Middleware:
    """Records each request as a pass of its route's block, until its body has been sent.

    That is when all of its ``Content-Length`` is there, when it ends, or when it is closed; from
    one part to the next the pass is suspended, and may go on on another thread.

    The block is called after method and template, ``GET /orders/<id>``; where nobody says the
    template, ``GET (no route)``. A pass fails by an exception, or by an answer of status 500 and
    above. ``stichotrope_requests_total`` counts answers by route and status class, among the
    metrics of the process.

    :param app: the application around which it is.
    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :param route: gives the template of a request, or None, from its environ.
    :raises TypeError: when the application cannot be called, or the profiler is none.
    """

    def __init__(
        self,
        app: App,
        profiler: Profiler | None = None,
        *,
        track: int | str = "requests",
        route: Callable[[Environ], str | None] = lambda environ: None,
    ) -> None:
        self.app = checked_app(app)
        self._passes = Once(default_profiler(profiler), track, _steps)
        self._route = route
        self._answers = requests_counter()

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """Run the application, and record it."""
        name = block_name(environ["REQUEST_METHOD"], self._template(environ))
        answer = _Answer(start_response, lambda kind: self._answers.labels(name, kind).inc())
        request = _Pass(self._passes[name], answer)
        body: Iterable[bytes] = request.run(lambda: self.app(environ, answer.start))
        # Servers look at the length of a list, and send a file by themselves.
        if hasattr(body, "__len__") or type(body) is environ.get("wsgi.file_wrapper"):
            request.end()
            return body
        return _Body(body, request, answer)

    def _template(self, environ: Environ) -> str | None:
        try:
            return self._route(environ)
        except Exception:  # whatever a router thinks of a request, it is answered all the same
            return None


class _Answer:
    """What is known of an answer, and the step that is to be taken towards it."""

    def __init__(self, start_response: Start, count: Callable[[str], object]) -> None:
        self._start_response = start_response
        self._count = count
        self._status: int | None = None
        self.step: Callable[[], Any] | None = None
        self.outcome: Any = None
        self.stop: StopIteration | None = None
        self.left: int | None = None  # bytes of the body that are to come, where somebody said

    def start(self, status: str, *rest: Any) -> Any:
        """Begin the answer."""
        code = status[:3]
        self._status = int(code) if code.isdecimal() else None
        self.left = _length(rest[0]) if rest else None
        return self._start_response(status, *rest)

    def tell(self) -> None:
        """Say how it was answered."""
        self._count(status_class(self._status))

    def fail_if_server_error(self) -> None:
        """Raise what the pass fails by, if its status is such a one."""
        if self._status is not None and self._status >= 500:
            raise ServerAnswerError(self._status)


def _length(headers: Any) -> int | None:
    """Return what headers say of the length of a body, or None."""
    if isinstance(headers, list):  # as it has to be; what a server refuses is not for us to look at
        for header in headers:
            if isinstance(header, tuple) and len(header) == 2:
                name, value = map(str, header)
                if name.lower() == "content-length":
                    return int(value) if value.isdecimal() else None
    return None


def _steps(answer: _Answer) -> Generator[None, None, None]:
    """Take the steps of an answer, until there is none, one raises, or the body is complete.

    A generator: while it is suspended its pass belongs to no thread, and nothing is below it.
    """
    try:
        while answer.step is not None:
            try:
                answer.outcome = answer.step()
            except StopIteration as stop:  # which no generator can raise
                answer.stop = stop
                break
            if answer.left is not None and answer.left <= 0:
                break
            yield
        answer.fail_if_server_error()
    finally:
        answer.tell()


class _Pass:
    """The pass of a request: what of it runs, whoever calls it, and on whatever thread.

    :param steps: `_steps`, tracked.
    :param answer: that of the request. It does not refer to the pass: one that a server forgets
        ends when nobody refers to it any more.
    """

    def __init__(self, steps: Callable[[_Answer], Any], answer: _Answer) -> None:
        self._answer = answer
        self._steps = steps(answer)
        self._turn = threading.Lock()
        self._is_over = False
        self._is_to_end = False

    def run(self, step: Callable[[], Any]) -> Any:
        """Call something that takes nothing in the pass, and return what it gives.

        What comes while another step is under way, or after the end, is called all the same.
        """
        if self._is_over or not self._turn.acquire(blocking=False):
            return step()
        answer = self._answer
        try:
            self._take(step)
            outcome, stop = answer.outcome, answer.stop
            answer.outcome = answer.stop = None
            if self._is_to_end:
                self._take(None)
        finally:
            self._turn.release()
        if stop is not None:
            raise stop
        return outcome

    def end(self) -> None:
        """Let the pass end: now, or when the step that is under way is over."""
        self._is_to_end = True
        if self._turn.acquire(blocking=False):
            try:
                self._take(None)
            finally:
                self._turn.release()

    def _take(self, step: Callable[[], Any] | None) -> None:
        if self._is_over:
            if step is not None:
                self._answer.outcome = step()
            return
        self._answer.step = step
        self._is_over = True
        try:
            next(self._steps)
            self._is_over = False
        except (StopIteration, ServerAnswerError):
            pass
        finally:
            self._answer.step = None


class _Body:
    """The body of an answer, whose end is that of the pass."""

    def __init__(self, body: Iterable[bytes], request: _Pass, answer: _Answer) -> None:
        self._body = body
        self._parts: Iterator[bytes] | None = None
        self._request = request
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        part: bytes = self._request.run(self._next)
        return part

    def _next(self) -> bytes:
        if self._parts is None:
            self._parts = iter(self._body)
        part = next(self._parts)
        if self._answer.left is not None and isinstance(part, bytes):
            self._answer.left -= len(part)
        return part

    def close(self) -> None:
        """Close the body, as its server does in the end."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                self._request.run(close)
        finally:
            self._request.end()
