"""What answers requests over HTTP, as a WSGI app, as an ASGI app, or from a server of ours."""

from __future__ import annotations

import gzip
import logging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import Any

    # From the query and the headers, by their names in lower case, to a content type and a body.
    Answer = Callable[[str, dict[str, str]], tuple[str, bytes]]


_log = logging.getLogger("stichotrope")


class RefusedError(Exception):
    """What an answer raises instead of answering.

    :param status: such as "400 Bad Request".
    :param sentence: why.
    """

    def __init__(self, status: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Response:
    """What answers a request, whichever way it came.

    :param answer: what gives the body.
    :param method: of the request.
    :param query: likewise.
    :param headers: likewise, by their names in lower case.
    """

    def __init__(self, answer: Answer, method: str, query: str, headers: dict[str, str]) -> None:
        self.status = "200 OK"
        self.body = b""
        if method not in ("GET", "HEAD"):
            self.status = "405 Method Not Allowed"
            self.headers = [("Allow", "GET, HEAD"), ("Content-Type", "text/plain")]
            self.headers.append(("Content-Length", "0"))
            return
        kind, body = self._answered(answer, query, headers)
        self.headers = [("Content-Type", kind), ("Vary", "Accept, Accept-Encoding")]
        is_packed = body[:2] == b"\x1f\x8b"
        if not is_packed and _takes_gzip(headers.get("accept-encoding", "")):
            body = gzip.compress(body, 5)
            self.headers.append(("Content-Encoding", "gzip"))
        self.headers.append(("Content-Length", str(len(body))))
        self.body = b"" if method == "HEAD" else body

    def _answered(self, answer: Answer, query: str, headers: dict[str, str]) -> tuple[str, bytes]:
        """Return content type and body: those of a sentence where it refuses or fails."""
        try:
            return answer(query, headers)
        except RefusedError as refusal:
            self.status = refusal.status
            return "text/plain; charset=utf-8", f"{refusal}\n".encode("utf-8", "replace")
        except Exception as error:
            _log.exception("a request could not be answered: ?%s", query)
            self.status = "500 Internal Server Error"
            said = f"this could not be answered: {type(error).__name__}: {error}\n"
            return "text/plain; charset=utf-8", said.encode("utf-8", "replace")


def _takes_gzip(accepted: str) -> bool:
    for part in accepted.split(","):
        kind, *rest = (piece.strip() for piece in part.split(";"))
        if kind.lower() in ("gzip", "*"):
            return not any(piece.replace(" ", "") in ("q=0", "q=0.0") for piece in rest)
    return False


def wsgi(answer: Answer) -> Callable[[dict[str, Any], Any], list[bytes]]:
    """Return a WSGI app.

    :param answer: what gives the bodies.
    """

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        headers = {
            "accept": environ.get("HTTP_ACCEPT", ""),
            "accept-encoding": environ.get("HTTP_ACCEPT_ENCODING", ""),
        }
        query = environ.get("QUERY_STRING", "")
        response = Response(answer, environ["REQUEST_METHOD"], query, headers)
        start_response(response.status, response.headers)
        return [response.body]

    return app


def asgi(answer: Answer) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """Return an ASGI app, which answers in a thread, not in the event loop.

    :param answer: what gives the bodies.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"this is served over http, not {scope['type']}")
        response = await _in_thread(
            Response,
            answer,
            scope["method"],
            scope.get("query_string", b"").decode("latin-1"),
            _joined(scope.get("headers", ())),
        )
        headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
        status = int(response.status[:3])
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    return app


async def _lifespan(receive: Any, send: Any) -> None:
    """Answer that there is nothing to do when a server starts and stops."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a thread where asyncio runs; elsewhere, as under trio, in place."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name, those that are given twice joined."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.decode("latin-1").lower()
        found[key] = ", ".join(filter(None, (found.get(key), value.decode("latin-1"))))
    return found
