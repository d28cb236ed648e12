"""Doors to web frameworks, databases and clients, without any of them: what each makes of what it is given."""

from __future__ import annotations

import asyncio
import itertools
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from conftest import Threads, recorded
from stichotrope import Profiler
from stichotrope.integrations import asgi, flask, httpx, requests, wsgi
from stichotrope.integrations._answers import Check, block_name, status_class
from stichotrope.integrations._statements import shape
from stichotrope.metrics import REGISTRY

pytestmark = pytest.mark.unit


def ended(p: Profiler) -> dict[str, tuple[int, int, int]]:
    """(hits, errors, open passes) of each block."""
    return {
        name: (block.hit_count, block.error_count, block.open_count)
        for name, block in recorded(p).items()
    }


def answered(route: str, status: str) -> int:
    """How many requests have been answered so."""
    wanted = f'stichotrope_requests_total{{route="{route}",status="{status}"}} '
    lines = REGISTRY.expose().splitlines()
    return sum(int(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))


# WSGI


class Body:
    """A body that knows whether it was closed."""

    def __init__(self, *parts: bytes, error: BaseException | None = None) -> None:
        self.parts = parts
        self.error = error
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Count it."""
        self.closed += 1


def served(p: Profiler, body: Any, status: str = "200 OK", **environ: Any) -> Iterable[bytes]:
    """What the middleware gives for a request that is answered with a body."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status, [("Content-Type", "text/plain")])
        if isinstance(body, BaseException):
            raise body
        return body  # type: ignore[no-any-return]

    started: list[Any] = []
    around = wsgi.Middleware(app, p, route=lambda environ: environ.get("route"))
    answer = around(
        {"REQUEST_METHOD": "GET", "route": "/a/<x>", **environ},
        lambda *given: started.append(given),
    )
    assert started == [(status, [("Content-Type", "text/plain")])]
    return answer


def test_a_list_is_given_on_as_it_is() -> None:
    """Servers look at its length; the pass ends with the call."""
    p = Profiler("wsgi")
    body = [b"all"]
    before = answered("GET /a/<x>", "2xx")
    assert served(p, body) is body
    assert ended(p) == {"GET /a/<x>": (1, 0, 0)}
    assert answered("GET /a/<x>", "2xx") == before + 1


def test_what_the_server_sends_by_itself_is_given_on_as_it_is() -> None:
    """A file in the server's own wrapper."""
    p = Profiler("wsgi")
    body = Body(b"file")
    assert served(p, body, "200 OK", **{"wsgi.file_wrapper": Body}) is body
    assert ended(p) == {"GET /a/<x>": (1, 0, 0)}


@pytest.mark.parametrize("reads", [0, 1, 3])
def test_a_pass_lasts_until_the_body_is_sent_or_closed(reads: int) -> None:
    """Whichever comes first; and it is closed as the server closes it."""
    p = Profiler("wsgi")
    body = Body(b"a", b"b")
    answer = served(p, body)
    assert ended(p) == {"GET /a/<x>": (0, 0, 1)}
    parts = list(answer)[:reads] if reads == 3 else [next(iter(answer)) for _ in range(reads)]
    assert parts == [b"a", b"b"][:reads]
    assert ended(p)["GET /a/<x>"][2] == (0 if reads == 3 else 1)
    answer.close()  # type: ignore[attr-defined]
    assert ended(p) == {"GET /a/<x>": (1, 0, 0)}
    assert body.closed == 1


def test_each_part_of_a_body_may_be_asked_for_on_another_thread(threads: Threads) -> None:
    """As a server with a pool does; what is in it stays in it, and what the threads do besides does not."""
    p = Profiler("wsgi")

    class Parts:
        numbers = iter(range(3))

        def __iter__(self) -> Parts:
            return self

        def __next__(self) -> bytes:
            with p.block("inner", "part"):
                return b"%d" % next(self.numbers)

        def close(self) -> None:
            with p.block("inner", "close"):
                pass

    answer = iter(served(p, Parts()))
    parts: list[bytes] = []

    def take() -> None:
        with p.block("thread", "step"):
            parts.extend(itertools.islice(answer, 1))
        with p.block("thread", "else"):
            pass

    threads.one_by_one(take, take, take, take, lambda: answer.close())  # type: ignore[attr-defined]
    assert parts == [b"0", b"1", b"2"]
    assert ended(p)["GET /a/<x>"] == (1, 0, 0)
    assert {name: ended(p)[name][2] for name in ended(p)} == dict.fromkeys(ended(p), 0)
    below = [node.name for node, depth in p.get_results().tree.walk() if depth == 2]
    assert "else" not in below
    assert "GET /a/<x>" not in below


def test_a_body_that_is_closed_while_a_part_is_made_is_closed_at_once(threads: Threads) -> None:
    """The pass ends with that part, and nobody waits for it or gets an error."""
    p = Profiler("wsgi")
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Body):
        def __iter__(self) -> Iterator[bytes]:
            begun.set()
            assert go_on.wait(60)
            yield b"late"

    body = Slow()
    answer = iter(served(p, body))
    parts: list[bytes] = []
    join = threads.spawn(lambda: parts.extend(answer))
    assert begun.wait(60)
    answer.close()  # type: ignore[attr-defined]
    assert body.closed == 1
    go_on.set()
    join()
    assert parts == [b"late"]
    assert ended(p) == {"GET /a/<x>": (1, 0, 0)}


def test_nothing_is_below_a_body_that_nobody_reads() -> None:
    """It is open until it is dropped; other requests meanwhile are their own."""
    p = Profiler("wsgi")
    kept = served(p, Body(b"a", b"b"), route="/kept")
    assert list(served(p, Body(b"a"), route="/read")) == [b"a"]
    served(p, [b"a"], route="/list")
    assert ended(p) == {"GET /kept": (0, 0, 1), "GET /read": (1, 0, 0), "GET /list": (1, 0, 0)}
    assert {depth for _, depth in p.get_results().tree.walk()} == {0, 1}
    before = answered("GET /kept", "2xx")
    del kept
    assert ended(p)["GET /kept"] == (1, 0, 0)
    assert answered("GET /kept", "2xx") == before + 1


@pytest.mark.parametrize(
    ("length", "still_open"), [("2", 0), ("3", 1), ("0", 0), ("x", 1), (None, 1)]
)
def test_an_answer_is_complete_with_its_last_byte(length: str | None, still_open: int) -> None:
    """As its length says; a client of a test suite reads one part, and closes nothing."""
    p = Profiler("wsgi")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("content-Length", length)] if length else [])
        return Body(b"ab", b"c")

    around = wsgi.Middleware(app, p, route=lambda environ: "/a")
    bodies = [iter(around({"REQUEST_METHOD": "GET"}, lambda *_: None)) for _ in range(3)]
    assert [next(body) for body in bodies] == [b"ab"] * 3
    assert ended(p) == {"GET /a": (0 if still_open else 3, 0, 3 * still_open)}
    assert {depth for _, depth in p.get_results().tree.walk()} == {0, 1}
    assert [list(body) for body in bodies] == [[b"c"]] * 3
    assert ended(p) == {"GET /a": (3, 0, 0)}


def test_an_application_is_the_same_around_and_bare() -> None:
    """What it raises, also `StopIteration`; what has a length; and what goes on after an error."""
    p = Profiler("wsgi")
    stop = StopIteration("x")
    with pytest.raises(StopIteration) as raised:
        served(p, stop)
    assert raised.value is stop

    class Sized(Body):
        def __len__(self) -> int:
            return 1

    sized = Sized(b"a")
    assert served(p, sized, route="/sized") is sized

    class GoesOn:
        steps = iter(cast("list[bytes | KeyError]", [b"a", KeyError("b"), b"c"]))

        def __iter__(self) -> GoesOn:
            return self

        def __next__(self) -> bytes:
            step = next(self.steps)
            if isinstance(step, KeyError):
                raise step
            return step

    answer = iter(served(p, GoesOn(), route="/on"))
    assert next(answer) == b"a"
    with pytest.raises(KeyError, match="b"):
        next(answer)
    assert list(answer) == [b"c"]
    assert ended(p)["GET /on"] == (1, 1, 0)


def test_errors_and_statuses_from_500_on_fail() -> None:
    """Where they come from does not matter, and they go on as they are."""
    p = Profiler("wsgi")
    error = KeyError("x")
    with pytest.raises(KeyError) as raised:
        served(p, error)
    assert raised.value is error
    with pytest.raises(ValueError, match="late"):
        list(served(p, Body(b"a", error=ValueError("late")), route="/late"))
    served(p, [b"no"], "503 Busy", route="/busy")
    served(p, [b"no"], "404 Not Found", route=None)
    assert ended(p) == {
        "GET /a/<x>": (1, 1, 0),
        "GET /late": (1, 1, 0),
        "GET /busy": (1, 1, 0),
        "GET (no route)": (1, 0, 0),
    }


def test_a_router_that_fails_fails_nobody() -> None:
    """The request is answered all the same."""
    p = Profiler("wsgi")
    around = wsgi.Middleware(lambda environ, start: [b"ok"], p, route=lambda environ: environ["no"])
    assert around({"REQUEST_METHOD": "get"}, print) == [b"ok"]
    assert ended(p) == {"GET (no route)": (1, 0, 0)}


# ASGI


def test_a_request_is_a_pass_and_all_else_goes_by() -> None:
    """A lifespan is none; two at a time have their own passes."""
    p = Profiler("asgi")
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        await asyncio.sleep(0)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": scope["status"], "headers": []})

    around = asgi.Middleware(app, p, route=lambda scope: scope["route"])
    sent = []

    async def send(message: Any = None) -> Any:
        sent.append(message.get("status"))

    def request(status: int) -> Any:
        scope = {"type": "http", "method": "POST", "route": "/a/{x}", "status": status}
        return around(scope, send, send)

    async def main() -> None:
        await around({"type": "lifespan"}, send, send)
        await asyncio.gather(request(200), request(500), request(404))

    asyncio.run(main())
    assert seen == ["lifespan", "http", "http", "http"]
    assert sent == [200, 500, 404]
    assert ended(p) == {"POST /a/{x}": (3, 1, 0)}


def test_an_error_and_a_cancellation_of_a_request_go_on() -> None:
    """One is an error, the other is not."""
    p = Profiler("asgi")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "GET":
            raise KeyError("x")
        await asyncio.Event().wait()

    around = asgi.Middleware(app, p)

    async def main() -> None:
        scope = {"type": "http", "method": "GET"}
        with pytest.raises(KeyError):
            await around(scope, None, None)  # type: ignore[arg-type]
        task = asyncio.create_task(around({**scope, "method": "PUT"}, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended(p) == {"GET (no route)": (1, 1, 0), "PUT (no route)": (1, 0, 0)}
    assert recorded(p)["PUT (no route)"].cancelled_count == 1


# Clients


class Client:
    """A client whose answers are told by what is asked for."""

    def send(self, request: Any, **options: Any) -> Any:
        """Answer."""
        if request.status is None:
            raise OSError("not reached")
        return SimpleNamespace(status_code=request.status, **options)


class AsyncClient:
    """The same, as a coroutine."""

    async def send(self, request: Any, **options: Any) -> Any:
        """Answer."""
        await asyncio.sleep(0)
        return Client().send(request, **options)


def asked(status: int | None, netloc: bytes = b"api.example.com") -> Any:
    """A request that both kinds of clients understand."""
    url = SimpleNamespace(netloc=netloc)
    return SimpleNamespace(method="GET", url=url, status=status)


def test_a_call_is_a_pass_of_its_host() -> None:
    """Sync and async; what goes on is what the client gave."""
    p = Profiler("calls")
    client, waiting = httpx.instrument(Client(), p), httpx.instrument(AsyncClient(), p)
    assert client.send(asked(200), stream=True) == SimpleNamespace(status_code=200, stream=True)
    assert client.send(asked(502)).status_code == 502
    with pytest.raises(OSError, match="not reached"):
        client.send(asked(None))
    assert asyncio.run(waiting.send(asked(503, b"other:80"))).status_code == 503
    assert ended(p) == {"GET api.example.com": (3, 2, 0), "GET other:80": (1, 1, 0)}


def test_a_session_shows_nobody_its_password() -> None:
    """The host alone is named, or what the program says."""
    p = Profiler("calls")
    request = asked(200)
    request.url = "http://user:secret@api.example.com:81/orders/3?token=x"
    requests.instrument(Client(), p).send(request)
    requests.instrument(Client(), p, name=lambda request: "orders").send(request)
    assert ended(p) == {"GET api.example.com:81": (1, 0, 0), "orders": (1, 0, 0)}


@pytest.mark.parametrize("door", [httpx, requests])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_is_instrumented_once(door: Any, kind: Any) -> None:
    """A second time would count each call twice; another client is another one."""
    p = Profiler("calls")
    client = door.instrument(kind(), p)
    send = client.send
    for other in (p, Profiler("other")):
        with pytest.raises(ValueError, match=r"Client object at .* is instrumented already"):
            door.instrument(client, other)
    assert client.send == send
    door.instrument(kind(), p)


class Redirected:
    """A client that follows redirects by itself: from the first host to others."""

    def __init__(self, *hosts: bytes, last: int = 200) -> None:
        self.hosts = hosts
        self.last = last
        self.read: list[str] = []

    def send(self, request: Any, **options: Any) -> Any:
        """Answer."""
        history: list[Any] = []
        for host in (request.url.netloc, *self.hosts):
            history.append(self._send_single_request(asked(302, host)))
        history[-1].history = history[:-1]
        return history[-1]

    def _send_single_request(self, request: Any) -> Any:
        host = request.url.netloc
        status = self.last if host == self.hosts[-1] else 302
        if status is None:
            raise OSError("not reached")
        read, close = (lambda: self.read.append(host.decode())), (lambda: None)
        return SimpleNamespace(status_code=status, request=request, read=read, close=close)


class AsyncRedirected(Redirected):
    """The same, as a coroutine."""

    async def send(self, request: Any, **options: Any) -> Any:
        """Answer."""
        history: list[Any] = []
        for host in (request.url.netloc, *self.hosts):
            history.append(await self._send_single_request(asked(302, host)))
        history[-1].history = history[:-1]
        return history[-1]

    async def _send_single_request(self, request: Any) -> Any:
        await asyncio.sleep(0)
        response = Redirected._send_single_request(self, request)
        sync = response.read

        async def aread() -> None:
            sync()

        response.aread = aread
        return response


@pytest.mark.parametrize("kind", [Redirected, AsyncRedirected])
def test_a_redirect_to_another_host_is_a_pass_of_that_one(kind: Any) -> None:
    """In that of the first; one to the same host is part of its pass. Each host's last answer counts."""
    p = Profiler("calls")
    client = httpx.instrument(kind(b"api.example.com", b"cdn", b"files", last=503), p)
    before = [called(host, kind) for host, kind in (("api.example.com", "3xx"), ("files", "5xx"))]
    answer = client.send(asked(200))
    if kind is AsyncRedirected:
        answer = asyncio.run(answer)
    assert answer.status_code == 503
    assert ended(p) == {
        "GET api.example.com": (1, 1, 0),
        "GET cdn": (1, 0, 0),
        "GET files": (1, 1, 0),
    }
    tree = p.get_results().tree
    assert [(node.name, depth) for node, depth in tree.walk() if depth] == [
        ("GET api.example.com", 1),
        ("GET cdn", 2),
        ("GET files", 2),
    ]
    assert client.read == ["cdn", "files"]
    after = [called(host, kind) for host, kind in (("api.example.com", "3xx"), ("files", "5xx"))]
    assert after == [one + 1 for one in before]


def test_a_host_that_is_not_reached_after_a_redirect_fails() -> None:
    """And so does the call; a request outside of a call is nobody's."""
    p = Profiler("calls")
    client = httpx.instrument(Redirected(b"away", last=None), p)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="not reached"):
        client.send(asked(200), stream=True)
    assert ended(p) == {"GET api.example.com": (1, 1, 0), "GET away": (1, 1, 0)}
    assert client._send_single_request(asked(302)).status_code == 302
    assert ended(p) == {"GET api.example.com": (1, 1, 0), "GET away": (1, 1, 0)}


def called(host: str, status: str) -> int:
    """How many calls a host has answered so."""
    wanted = f'stichotrope_calls_total{{host="{host}",status="{status}"}} '
    lines = REGISTRY.expose().splitlines()
    return sum(int(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))


@pytest.mark.parametrize("given", [object(), None, Client, "client"])
def test_what_is_no_client_or_application_is_refused_in_a_sentence(given: Any) -> None:
    """With what is expected."""
    p = Profiler("calls")
    for instrument, expected in (
        (httpx.instrument, "an httpx.Client or AsyncClient"),
        (requests.instrument, "a requests.Session"),
        (flask.instrument, "a Flask application"),
    ):
        with pytest.raises(TypeError) as error:
            instrument(given, p)
        assert str(error.value) == f"what is instrumented is {expected}, not {given!r}"
    for middleware in (asgi.Middleware, wsgi.Middleware):
        if not callable(given):
            with pytest.raises(TypeError, match="a middleware is around an application that can"):
                middleware(given, p)


# Names


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1", "SELECT ?"),
        (
            "select *\n  from t\twhere a = 'it''s' -- why\n and b=-1.5e3",
            "select * from t where a = ? and b=?",
        ),
        (
            "SELECT a1, t2.b FROM t2 WHERE c = %s AND d = %(d)s",
            "SELECT a1, t2.b FROM t2 WHERE c = ? AND d = ?",
        ),
        (
            "SELECT a FROM t WHERE a = :a AND b = ?1 AND c = $2",
            "SELECT a FROM t WHERE a = ? AND b = ? AND c = ?",
        ),
        ("SELECT a::int FROM t", "SELECT a::int FROM t"),
        ("SELECT a FROM t WHERE a IN (1, 2, 3)", "SELECT a FROM t WHERE a IN (...)"),
        ("SELECT a FROM t WHERE a IN (1)", "SELECT a FROM t WHERE a IN (...)"),
        ("SELECT a FROM t WHERE a in ( %s )", "SELECT a FROM t WHERE a in (...)"),
        ("SELECT a FROM t WHERE (a, b) IN ((1, 2))", "SELECT a FROM t WHERE (a, b) IN ((...))"),
        (
            "SELECT a FROM t WHERE (a, b) IN ((1, 2), (3, 4))",
            "SELECT a FROM t WHERE (a, b) IN ((...))",
        ),
        ("SELECT a FROM t WHERE a = ANY(ARRAY[1])", "SELECT a FROM t WHERE a = ANY(ARRAY[...])"),
        ("SELECT a FROM t WHERE a = ANY(ARRAY[1, 2])", "SELECT a FROM t WHERE a = ANY(ARRAY[...])"),
        ("INSERT INTO t VALUES (1, now()), (2, now())", "INSERT INTO t VALUES (?, now())"),
        ('SAVEPOINT "s140270935104384_x1"', "SAVEPOINT ?"),
        ("savepoint sa_savepoint_12", "savepoint ?"),
        ('RELEASE SAVEPOINT "s140270935104384_x1"', "RELEASE SAVEPOINT ?"),
        ("RELEASE `s1_x1`;", "RELEASE ?;"),
        ('ROLLBACK TO SAVEPOINT "s1_x1"', "ROLLBACK TO SAVEPOINT ?"),
        ("ROLLBACK TO s1_x1", "ROLLBACK TO ?"),
        ("ROLLBACK WORK TO SAVEPOINT s1", "ROLLBACK WORK TO SAVEPOINT ?"),
        ("SAVE TRANSACTION s1_x1", "SAVE TRANSACTION ?"),
        ("ROLLBACK TRANSACTION s1_x1", "ROLLBACK TRANSACTION ?"),
        ("ROLLBACK", "ROLLBACK"),
        ("ROLLBACK TRANSACTION", "ROLLBACK TRANSACTION"),
        (
            'DECLARE "_django_curs_1_2" NO SCROLL CURSOR FOR SELECT a FROM t',
            "DECLARE ? NO SCROLL CURSOR FOR SELECT a FROM t",
        ),
        ('FETCH FORWARD 100 FROM "_django_curs_1_2"', "FETCH FORWARD ? FROM ?"),
        ('CLOSE "_django_curs_1_2"', "CLOSE ?"),
        ("SELECT savepoint FROM t", "SELECT savepoint FROM t"),
        ("INSERT INTO t VALUES (1, 'a'), (2, 'b')", "INSERT INTO t VALUES (...)"),
        ("INSERT INTO t VALUES (?), (?), (?)", "INSERT INTO t VALUES (?)"),
        ('SELECT "a 1" FROM `t 2` WHERE [b 3] = 0x1F', 'SELECT "a 1" FROM `t 2` WHERE [b 3] = ?'),
        ("/* 17 */ SELECT 1", "SELECT ?"),
        ("", "(empty)"),
    ],
)
def test_a_statement_has_the_shape_that_all_of_its_kind_have(statement: str, expected: str) -> None:
    """Values, places for values, lists of them, comments and blanks do not tell statements apart."""
    assert shape(statement) == expected


def test_a_long_statement_is_cut() -> None:
    """Its beginning says what it is."""
    assert len(shape(f"SELECT {', '.join(f'column_{i}' for i in range(100))}")) == 160


def test_methods_and_statuses_are_only_so_many() -> None:
    """Whatever a client makes up."""
    assert block_name("get", "/a") == "GET /a"
    assert block_name("MADEUP", None) == "OTHER (no route)"
    classes = [status_class(one) for one in (None, 99, 101, 204, 404, 599, 600)]
    assert classes == ["none", "none", "1xx", "2xx", "4xx", "5xx", "none"]


def test_who_is_no_profiler_is_refused() -> None:
    """Where the door is opened."""
    with pytest.raises(TypeError, match="profiler is a Profiler or None, not 'p'"):
        wsgi.Middleware(lambda environ, start: [], "p")  # type: ignore[arg-type]


def test_a_mark_that_has_no_effect_is_warned_of_once() -> None:
    """Not one that is where it belongs."""
    p = Profiler("marks")
    routes = []

    def register(function: Any) -> Any:
        routes.append(function)
        return function

    @p.track(0)
    @register
    def above() -> None: ...

    @register
    @p.track(0)
    def below() -> None: ...

    @register
    def unmarked() -> None: ...

    check = Check(p)
    with pytest.warns(RuntimeWarning, match="'above' is tracked above") as warned:
        check.of(lambda: routes)
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check.of(lambda: routes)
    assert above is not routes[0]
    assert (below, unmarked) == tuple(routes[1:])
