"""A block for each route, query and call of real frameworks, clients and databases: make frameworks."""

# mypy: ignore-errors
# What it is typed against is in another environment, and not each version of Python has all of it.

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stichotrope import Profiler
from stichotrope.metrics import REGISTRY

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]


OF_FASTAPI = Profiler("fastapi")  # which keeps what it was given for good


def passes(p: Profiler) -> dict[str, tuple[int, int]]:
    """(hits, errors) of each block that was entered, by its name."""
    blocks = [b for t in p.get_results().tracks.values() for b in t.blocks if b.hit_count]
    return {b.name: (b.hit_count, b.error_count) for b in blocks}


def paths(p: Profiler) -> set[str]:
    """Each path of the call tree."""
    path: list[str] = []
    found = set()
    for node, depth in p.get_results().tree.walk():
        del path[max(depth - 1, 0) :]
        if depth:
            path.append(node.name)
            found.add(" > ".join(path))
    return found


def counted(name: str, label: str) -> float:
    """What a counter of the process says."""
    for line in REGISTRY.expose().splitlines():
        if line.startswith(name) and label in line:
            return float(line.rpartition(" ")[2])
    return 0.0


@pytest.mark.parametrize("how", ["added", "around"])
def test_starlette_has_a_block_for_each_route(how: str) -> None:
    """Mounted ones too; streams and websockets to their end; what no route answers is one block."""
    pytest.importorskip("starlette")
    pytest.importorskip("httpx")
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Mount, Route, WebSocketRoute
    from starlette.testclient import TestClient

    from stichotrope.integrations.asgi import Middleware

    p = Profiler("starlette")

    async def item(request):
        with p.block("inner", "work"):
            await asyncio.sleep(0)
        return PlainTextResponse(request.path_params["id"])

    def plain(request):
        with p.block("inner", "in a thread"):
            return PlainTextResponse("plain")

    async def broken(request):
        raise KeyError("broken")

    async def refused(request):
        return PlainTextResponse("no", status_code=503)

    async def stream(request):
        async def parts():
            for number in range(3):
                with p.block("inner", "part"):
                    await asyncio.sleep(0)
                yield f"{number}"

        return StreamingResponse(parts())

    async def feed(websocket):
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    app = Starlette(
        routes=[
            Route("/items/{id}", item),
            Route("/plain", plain),
            Route("/broken", broken),
            Route("/refused", refused),
            Mount("/api", routes=[Route("/stream", stream), WebSocketRoute("/feed/{topic}", feed)]),
        ]
    )
    if how == "added":
        app.add_middleware(Middleware, profiler=p)
    served = app if how == "added" else Middleware(app, p)
    before = counted("stichotrope_requests_total", 'route="GET /refused",status="5xx"')
    with TestClient(served, raise_server_exceptions=False) as client:
        answers = [client.get(f"/items/{number}").text for number in range(3)]
        assert answers == ["0", "1", "2"]
        assert client.get("/plain").text == "plain"
        assert client.get("/broken").status_code == 500
        assert client.get("/refused").status_code == 503
        assert client.post("/refused").status_code == 405
        assert client.get("/nowhere/17").status_code == 404
        assert client.get("/api/stream").text == "012"
        with client.websocket_connect("/api/feed/news") as socket:
            socket.send_text("hello")
            assert socket.receive_text() == "hello"
    found = passes(p)
    assert found == {
        "GET /items/{id}": (3, 0),
        "GET /plain": (1, 0),
        "GET /broken": (1, 1),
        "GET /refused": (1, 1),
        "POST /refused": (1, 0),
        "GET (no route)": (1, 0),
        "GET /api/stream": (1, 0),
        "WS /api/feed/{topic}": (1, 0),
        "work": (3, 0),
        "in a thread": (1, 0),
        "part": (3, 0),
    }
    assert {"GET /items/{id} > work", "GET /api/stream > part"} <= paths(p)
    after = counted("stichotrope_requests_total", 'route="GET /refused",status="5xx"')
    assert after - before == 1


def test_fastapi_has_a_block_for_each_route() -> None:
    """By its template, and with dependencies and thread pools inside."""
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    from fastapi import APIRouter, FastAPI
    from fastapi.testclient import TestClient

    from stichotrope.integrations.asgi import Middleware

    p = OF_FASTAPI
    app = FastAPI()
    router = APIRouter(prefix="/shop")

    @router.get("/orders/{number}")
    @p.track("handlers")
    def order(number: int) -> dict:
        return {"number": number}

    @p.track("handlers")
    @app.get("/bare")
    def bare() -> str:
        return "bare"

    app.include_router(router)
    app.add_middleware(Middleware, profiler=p)
    with TestClient(app) as client:
        with pytest.warns(RuntimeWarning, match="'bare' is tracked above the decorator of its"):
            assert client.get("/shop/orders/3").json() == {"number": 3}
        p.clear()
        assert client.get("/shop/orders/3").json() == {"number": 3}
        assert client.get("/shop/orders/x").status_code == 422
    assert passes(p) == {"GET /shop/orders/{number}": (2, 0), "order": (1, 0)}
    assert "GET /shop/orders/{number} > order" in paths(p)


def test_flask_has_a_block_for_each_rule() -> None:
    """Streams to their end; errors that Flask answers itself; a second time is refused."""
    pytest.importorskip("flask")
    from flask import Flask, Response

    from stichotrope.integrations.flask import instrument

    p = Profiler("flask")
    app = Flask(__name__)

    @app.get("/orders/<int:number>")
    def order(number):
        with p.block("inner", "work"):
            return f"{number}"

    @app.get("/broken")
    def broken():
        raise KeyError("broken")

    @app.get("/stream")
    def stream():
        def parts():
            for number in range(3):
                with p.block("inner", "part"):
                    text = f"{number}"
                yield text

        return Response(parts())

    @p.track("handlers")
    @app.get("/bare")
    def bare():
        return "bare"

    app.logger.disabled = True  # what it logs would stay, with its frames
    assert instrument(app, p) is app
    with pytest.raises(ValueError, match="is instrumented already"):
        instrument(app, p)
    client = app.test_client()
    with pytest.warns(RuntimeWarning, match="'bare' is tracked above the decorator of its route"):
        assert [client.get(f"/orders/{number}").text for number in range(3)] == ["0", "1", "2"]
    for path, status in (("/broken", 500), ("/orders/x", 404)):
        with client.get(path) as answer:
            assert answer.status_code == status
    assert client.get("/stream").text == "012"
    assert passes(p) == {
        "GET /orders/<int:number>": (3, 0),
        "GET /broken": (1, 1),
        "GET (no route)": (1, 0),
        "GET /stream": (1, 0),
        "work": (3, 0),
        "part": (3, 0),
    }
    assert {"GET /orders/<int:number> > work", "GET /stream > part"} <= paths(p)


DJANGO = """
    import asyncio, json, sys
    import django
    from django.conf import settings
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import include, path
    from stichotrope import Profiler

    p = Profiler("django")
    settings.configure(
        DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x",
        MIDDLEWARE=["stichotrope.integrations.django.Middleware"],
        STICHOTROPE_PROFILER=p,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()

    def order(request, number):
        from django.db import connection
        with connection.cursor() as cursor:
            for other in (number, number + 1):
                cursor.execute("SELECT %s AS number", [other])
        return HttpResponse(str(number))

    def broken(request):
        raise KeyError("broken")

    def stream(request):
        def parts():
            for number in range(3):
                with p.block("inner", "part"):
                    text = str(number)
                yield text
        return StreamingHttpResponse(parts())

    async def quick(request):
        await asyncio.sleep(0)
        return HttpResponse("quick")

    shop = [path("orders/<int:number>/", order), path("stream/", stream)]
    urlpatterns = [
        path("shop/", include(shop)), path("broken/", broken), path("quick/", quick),
    ]
    from django.test import AsyncClient, Client

    client = Client(raise_request_exception=False)
    assert client.get("/shop/orders/3/").content == b"3"
    assert client.get("/shop/orders/4/").content == b"4"
    assert client.get("/broken/").status_code == 500
    assert client.get("/nowhere/9/").status_code == 404
    assert b"".join(client.get("/shop/stream/").streaming_content) == b"012"

    async def asynchronously():
        return (await AsyncClient().get("/quick/")).content

    assert asyncio.run(asynchronously()) == b"quick"
    blocks = [b for t in p.get_results().tracks.values() for b in t.blocks if b.hit_count]
    print(json.dumps({b.name: [b.hit_count, b.error_count] for b in blocks}))
    below = [n.name for n, d in p.get_results().tree.walk() if d == 2]
    print(json.dumps(below))
"""


def test_django_has_a_block_for_each_route_and_query() -> None:
    """Sync and async, streams apart. In a process of its own: settings are made once."""
    pytest.importorskip("django")
    import json

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DJANGO)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found, below = map(json.loads, done.stdout.splitlines())
    assert found == {
        "GET shop/orders/<int:number>/": [2, 0],
        "GET broken/": [1, 1],
        "GET (no route)": [1, 0],
        "GET shop/stream/": [1, 0],
        "GET shop/stream/ (stream)": [1, 0],
        "GET quick/": [1, 0],
        "SELECT ? AS number": [4, 0],
        "part": [3, 0],
    }
    assert sorted(below) == ["SELECT ? AS number", "part"]


def test_sqlalchemy_has_a_block_for_each_shape_of_a_statement() -> None:
    """What fails is an error; the values are not in the name."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from stichotrope.integrations.sqlalchemy import instrument

    p = Profiler("sqlalchemy")
    engine = instrument(sqlalchemy.create_engine("sqlite://"), p)
    with engine.begin() as connection, p.block("inner", "unit of work"):
        connection.exec_driver_sql("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        for number in range(3):
            connection.exec_driver_sql(f"INSERT INTO t VALUES ({number})")
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        rows = connection.execute(sqlalchemy.text("SELECT a FROM t WHERE a > :a"), {"a": 0}).all()
    assert len(rows) == 2
    assert passes(p) == {
        "CREATE TABLE t (a INTEGER PRIMARY KEY)": (1, 0),
        "INSERT INTO t VALUES (?)": (4, 1),
        "SELECT a FROM t WHERE a > ?": (1, 0),
        "unit of work": (1, 0),
    }
    assert "unit of work > INSERT INTO t VALUES (?)" in paths(p)


def test_a_statement_is_recorded_once_by_whatever_engine_is_listened_to() -> None:
    """The same engine is refused; one that was derived from it is not, and records what it did before."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from stichotrope.integrations.sqlalchemy import instrument

    p = Profiler("once")
    engine = instrument(sqlalchemy.create_engine("sqlite://"), p)
    with pytest.raises(ValueError, match=r"Engine\(sqlite://\) is instrumented already"):
        instrument(engine, p)
    derived = engine.execution_options(isolation_level="AUTOCOMMIT")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(derived), "_stichotrope", False, raising=False)
        instrument(derived, p)
    with derived.connect() as connection:
        for number in range(3):
            connection.execute(sqlalchemy.text("SELECT :a"), {"a": number})
        with pytest.raises(sqlalchemy.exc.OperationalError):
            connection.exec_driver_sql("SELECT nothing")
        with pytest.raises(sqlalchemy.exc.OperationalError):
            connection.exec_driver_sql("SELECT nothing")
    with engine.connect() as connection, connection.begin_nested():
        connection.execute(sqlalchemy.text("SELECT :a"), {"a": 1})
    assert passes(p) == {
        "SELECT ?": (4, 0),
        "SELECT nothing": (2, 2),
        "SAVEPOINT ?": (1, 0),
        "RELEASE SAVEPOINT ?": (1, 0),
    }


def test_an_asynchronous_engine_has_them_too() -> None:
    """Two tasks at a time, each under what it is called from."""
    pytest.importorskip("aiosqlite")
    pytest.importorskip("sqlalchemy")
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    from stichotrope.integrations.sqlalchemy import instrument

    p = Profiler("asynchronous")
    engine = instrument(create_async_engine("sqlite+aiosqlite://"), p)

    @p.track("inner")
    async def ask(number):
        async with engine.connect() as connection:
            return (await connection.execute(text("SELECT :a"), {"a": number})).scalar()

    async def main():
        answers = await asyncio.gather(*map(ask, range(5)))
        await engine.dispose()
        return answers

    assert asyncio.run(main()) == list(range(5))
    assert passes(p)["SELECT ?"] == (5, 0)
    assert "ask > SELECT ?" in paths(p)


class _Server(BaseHTTPRequestHandler):
    def do_GET(self):
        code = {"/broken": 503, "/moved": 302}.get(self.path, 200)
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@contextmanager
def server() -> Iterator[str]:
    """A server on this machine: its host and port."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()


def test_requests_has_a_block_for_each_host() -> None:
    """Not for each URL; what could not be reached failed, and so did 5xx."""
    requests = pytest.importorskip("requests")
    from stichotrope.integrations.requests import instrument

    p = Profiler("requests")
    with server() as host, instrument(requests.Session(), p) as session:
        session.trust_env = False
        assert [session.get(f"http://{host}/{number}").text for number in range(3)] == ["ok"] * 3
        assert session.get(f"http://{host}/broken").status_code == 503
        assert session.get(f"http://{host}/moved").status_code == 200
    with pytest.raises(requests.ConnectionError), instrument(requests.Session(), p) as session:
        session.get("http://127.0.0.1:1/")
    found = passes(p)
    assert found == {f"GET {host}": (6, 1), "GET 127.0.0.1:1": (1, 1)}
    assert counted("stichotrope_calls_total", f'host="{host}",status="5xx"') == 1


def test_httpx_has_a_block_for_each_host() -> None:
    """Of both kinds of clients, or under names of one's own."""
    httpx = pytest.importorskip("httpx")
    from stichotrope.integrations.httpx import instrument

    p = Profiler("httpx")

    async def calls(host: str) -> Any:
        async with instrument(httpx.AsyncClient(trust_env=False), p) as client:
            answers = await asyncio.gather(*(client.get(f"http://{host}/{n}") for n in range(5)))
            return [answer.text for answer in answers]

    with server() as host:
        with instrument(
            httpx.Client(trust_env=False), p, name=lambda r: f"own {r.method}"
        ) as client:
            assert client.get(f"http://{host}/").text == "ok"
            assert client.get(f"http://{host}/broken").status_code == 503
        assert asyncio.run(calls(host)) == ["ok"] * 5
    with pytest.raises(httpx.ConnectError), instrument(httpx.Client(trust_env=False), p) as client:
        client.get("http://127.0.0.1:1/")
    assert passes(p) == {"own GET": (2, 1), f"GET {host}": (5, 0), "GET 127.0.0.1:1": (1, 1)}


def test_a_redirect_of_httpx_to_another_host_is_a_pass_of_that_one() -> None:
    """Both kinds of clients; what the program sees is what it saw without the mark."""
    httpx = pytest.importorskip("httpx")
    from stichotrope.integrations.httpx import instrument

    def answer(request: Any) -> Any:
        if request.url.host == "first":
            return httpx.Response(302, headers={"Location": "http://second/x"})
        return httpx.Response(200, text="moved")

    options = {"transport": httpx.MockTransport(answer), "follow_redirects": True}

    async def call(p: Profiler) -> Any:
        async with instrument(httpx.AsyncClient(**options), p) as client:
            return await client.get("http://first/")

    def call_sync(p: Profiler) -> Any:
        with instrument(httpx.Client(**options), p) as client:
            return client.get("http://first/")

    for called in (call_sync, lambda p: asyncio.run(call(p))):
        p = Profiler("redirects")
        one = called(p)
        assert (one.text, [before.status_code for before in one.history]) == ("moved", [302])
        assert passes(p) == {"GET first": (1, 0), "GET second": (1, 0)}
        assert paths(p) == {"GET first", "GET first > GET second"}


@pytest.mark.parametrize("given", [object(), None])
def test_what_is_no_engine_is_refused_in_a_sentence(given: Any) -> None:
    """With what is expected."""
    pytest.importorskip("sqlalchemy")
    from stichotrope.integrations.sqlalchemy import instrument

    with pytest.raises(TypeError, match="what is instrumented is an engine of SQLAlchemy, not"):
        instrument(given, Profiler("queries"))


GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "web.md"
DRIVES = {
    "fastapi": """
        from fastapi.testclient import TestClient
        from fastapi_app import app, p
        with TestClient(app) as client:
            assert client.get("/orders/3").json() == {"number": 3, "price": 3}
        expected = ["GET /orders/{number}", "order", "sum"]
    """,
    "flask": """
        from flask_app import app, p
        assert app.test_client().get("/orders/3").json == {"number": 3, "price": 3}
        expected = ["GET /orders/<int:number>", "order", "sum"]
    """,
    "django": """
        import django_settings, django
        from django.conf import settings
        from django.http import HttpResponse
        from django.urls import path
        from shop_profiling import p
        settings.configure(**{k: v for k, v in vars(django_settings).items() if k.isupper()}, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
        django.setup()
        urlpatterns = [path("orders/<int:number>/", lambda request, number: HttpResponse("ok"))]
        from django.test import Client
        assert Client().get("/orders/3/").content == b"ok"
        expected = ["GET orders/<int:number>/"]
    """,
    "sqlalchemy": """
        from clients import engine
        from shop_profiling import p
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        expected = ["SELECT ?"]
    """,
}


@pytest.mark.parametrize("framework", DRIVES)
def test_what_the_guide_says_to_copy_runs(framework: str, tmp_path: Path) -> None:
    """As it stands there, with the blocks that it says."""
    pytest.importorskip(framework)
    for title, text in re.findall(r'```python title="([^"]+)"\n(.*?)```', GUIDE.read_text(), re.S):
        (tmp_path / title).write_text(text)
    check = (
        "found = [n.name for n, depth in p.get_results().tree.walk() if depth]\n"
        "assert found == expected, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(DRIVES[framework]) + check],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_opentelemetrys_reader_for_prometheus_has_ours_under_their_names():
    """With classic buckets, for it knows no exponential ones."""
    import prometheus_client
    from opentelemetry.sdk.resources import Resource
    from prometheus_client.parser import text_string_to_metric_families

    from stichotrope.integrations.opentelemetry import meter_provider
    from stichotrope.integrations.prometheus import ProfilerCollector
    from stichotrope.metrics import Counter, Histogram, MetricRegistry

    prometheus = pytest.importorskip("opentelemetry.exporter.prometheus")
    registry, theirs = MetricRegistry(), prometheus_client.CollectorRegistry()
    Counter("jobs", "Jobs.", ["queue"], registry=registry).labels("a").inc(3)
    latency = Histogram("latency_seconds", classic_buckets=(0.1, 1), registry=registry)
    for value in (0.05, 0.5, 5):
        latency.observe(value)
    profiler = Profiler("shop")
    with profiler.block("db", "query"):
        pass
    reader = prometheus.PrometheusMetricReader(registry=theirs)
    collectors = [registry, ProfilerCollector([profiler])]
    provider = meter_provider(
        reader, collectors, resource=Resource.create({"service.name": "shop"})
    )
    text = prometheus_client.generate_latest(theirs).decode()
    found = {
        (sample.name, *(sample.labels.get(name) for name in ("queue", "le", "block"))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["jobs_total", "a", None, None] == 3
    buckets = [found["latency_seconds_bucket", None, le, None] for le in ("0.1", "1.0", "+Inf")]
    assert buckets == [1, 2, 3]
    assert found["latency_seconds_sum", None, None, None] == 5.55
    assert found["stichotrope_block_passes_total", None, None, "query"] == 1
    assert found["stichotrope_block_duration_seconds_count", None, None, "query"] == 1
    assert 'service_name="shop"' in text
    provider.shutdown()
