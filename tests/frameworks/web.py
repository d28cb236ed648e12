"""Web frameworks: what they register, inspect, call, and inject into."""

# mypy: ignore-errors
# What it is typed against is in another environment, and not each version of Python has all of it.

from __future__ import annotations

import asyncio
import sys
import types
from typing import Any

from frameworks.gallery import Mark, case


@case("starlette", "httpx", hits={"home": 1, "sync": 1, "seen": 2})
def starlette(mark: Mark) -> Any:
    """Routes of both kinds, and a middleware."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    @mark
    async def home(request: Any) -> Any:
        return PlainTextResponse("home")

    @mark
    def sync(request: Any) -> Any:
        return PlainTextResponse("sync")

    app = Starlette(routes=[Route("/", home), Route("/sync", sync)])

    @app.middleware("http") if hasattr(app, "middleware") else _middleware(app)
    @mark
    async def seen(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["seen"] = "yes"
        return response

    client = TestClient(app)
    return [(r.text, r.headers["seen"]) for r in (client.get("/"), client.get("/sync"))]


def _middleware(app: Any) -> Any:
    from starlette.middleware.base import BaseHTTPMiddleware

    def add(dispatch: Any) -> Any:
        app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
        return dispatch

    return add


@case("starlette", "httpx", hits={"application": 1})
def asgi(mark: Mark) -> Any:
    """An application that is a function."""
    from starlette.testclient import TestClient

    @mark
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"raw"})

    return TestClient(application).get("/").text


@case("starlette", "httpx", hits={"Mail": 1, "Teapot": 1})
def asynchronous_instances(mark: Mark) -> Any:
    """A background task and a handler of exceptions, asked by their `__call__` whether they are coroutines."""
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    sent = []

    class Mail:
        async def __call__(self, to: str) -> None:
            sent.append(to)

    class Teapot:
        async def __call__(self, request: Any, error: Exception) -> Any:
            return PlainTextResponse("short and stout", 418)

    mail = mark(Mail())

    async def home(request: Any) -> Any:
        return PlainTextResponse("home", background=BackgroundTask(mail, "bob"))

    async def broken(request: Any) -> Any:
        raise LookupError

    app = Starlette(
        routes=[Route("/", home), Route("/broken", broken)],
        exception_handlers={LookupError: mark(Teapot())},
    )
    client = TestClient(app)
    return [(r.status_code, r.text) for r in (client.get("/"), client.get("/broken"))], sent


@case("fastapi", "httpx", hits={"item": 1, "plain": 1, "current": 3, "session": 2, "Body.check": 2})
def fastapi(mark: Mark) -> Any:
    """Parameters, dependencies that yield, methods, background tasks; the schema too."""
    from fastapi import Depends, FastAPI
    from fastapi.testclient import TestClient
    from pydantic import BaseModel, field_validator

    app = FastAPI()
    closed: list[str] = []

    class Body(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        @mark_as("Body.check", mark)
        def check(cls, value: str) -> str:
            return value.upper()

    @mark
    def current(token: str = "none") -> str:
        return f"user {token}"

    @mark
    async def session() -> Any:
        yield "session"
        closed.append("closed")

    def item(
        number: int, body: Body, user: str = Depends(current), s: str = Depends(session)
    ) -> Any:
        return {"number": number, "user": user, "name": body.name, "session": s}

    def plain(user: str = Depends(current)) -> Any:
        return [user]

    item.__annotations__ = {"number": int, "body": Body, "user": str, "s": str}
    plain.__annotations__ = {"user": str}
    app.post("/items/{number}")(mark(item))
    app.get("/plain")(mark(plain))
    client = TestClient(app)
    answers = [
        client.post("/items/3?token=t", json={"name": "x"}).json(),
        client.post("/items/no", json={"name": "x"}).status_code,
        client.get("/plain").json(),
    ]
    return answers, closed, client.get("/openapi.json").json()


def mark_as(name: str, mark: Mark) -> Mark:
    """Mark under a name of its own."""

    def give(function: Any) -> Any:
        function.__name__ = name
        return mark(function)

    return give


@case("flask", hits={"index": 1, "show": 1, "before": 2, "wrong": 1, "shout": 1, "hello": 1})
def flask(mark: Mark) -> Any:
    """Views, hooks, error handlers, filters and commands."""
    import flask

    app = flask.Flask("gallery")

    @app.get("/")
    @mark
    def index() -> str:
        return flask.render_template_string("{{ 'x' | shout }}")

    @app.route("/show/<int:number>", methods=["GET", "POST"])
    @mark
    def show(number: int) -> Any:
        raise LookupError(number)

    @app.before_request
    @mark
    def before() -> None:
        flask.g.seen = True

    @app.errorhandler(LookupError)
    @mark
    def wrong(error: LookupError) -> Any:
        return f"wrong {error} {flask.g.seen}", 418

    @app.template_filter()
    @mark
    def shout(text: str) -> str:
        return text.upper()

    @app.cli.command()
    @mark
    def hello() -> None:
        print("hello from a command")

    client = app.test_client()
    said = app.test_cli_runner().invoke(args=["hello"]).output
    answer = client.get("/show/3")
    return (
        client.get("/").text,
        answer.text,
        answer.status_code,
        said,
        sorted(app.view_functions),
        [r.endpoint for r in app.url_map.iter_rules()],
    )


@case("django", hits={"view": 1, "seen": 1, "shout": 1, "handle": 1, "area": 1, "Room.__str__": 1})
def django(mark: Mark) -> Any:
    """Views, signals, template filters, management commands, models."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ROOT_URLCONF="gallery_urls",
            ALLOWED_HOSTS=["*"],
            SECRET_KEY="secret",
            TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        )
        django.setup()
    from django.core.management import call_command
    from django.core.management.base import BaseCommand
    from django.db import models
    from django.dispatch import Signal, receiver
    from django.http import HttpResponse
    from django.template import Context, Engine, Library
    from django.test import Client
    from django.urls import clear_url_caches, path

    heard: list[Any] = []
    signal = Signal()

    @receiver(signal)
    @mark
    def seen(sender: Any, **kwargs: Any) -> None:
        heard.append((sender, kwargs["number"]))

    @mark
    def view(request: Any, number: int) -> Any:
        signal.send("view", number=number)
        return HttpResponse(f"view {number}")

    urls = types.ModuleType("gallery_urls")
    urls.urlpatterns = [path("<int:number>/", view)]  # type: ignore[attr-defined]
    sys.modules["gallery_urls"] = urls
    clear_url_caches()
    answer = Client().get("/5/").content

    library = Library()

    @library.filter
    @mark
    def shout(value: str) -> str:
        return value.upper()

    engine = Engine()
    engine.template_builtins.append(library)
    text = engine.from_string("{{ 'x'|shout }}").render(Context())

    class Command(BaseCommand):
        @mark
        def handle(self, *args: Any, **options: Any) -> str:
            return "handled"

    name = f"Room{id(mark)}"

    class Room(models.Model):
        wide = models.IntegerField()

        class Meta:
            app_label = name

        @property
        @mark
        def area(self) -> int:
            return int(self.wide) * 2

        @mark_as("Room.__str__", mark)
        def __str__(self) -> str:
            return f"room {self.wide}"

    room = Room(wide=3)
    import io

    out = io.StringIO()
    call_command(Command(), stdout=out)
    return answer, heard, text, out.getvalue(), room.area, str(room)


@case("tornado", hits={"get": 1, "prepare": 1, "helper": 1})
def tornado(mark: Mark) -> Any:
    """Handlers with coroutines, and a `gen.coroutine`."""
    from tornado import gen, httpserver, netutil, web
    from tornado.httpclient import AsyncHTTPClient

    @gen.coroutine
    @mark
    def helper() -> Any:
        yield gen.sleep(0)
        return "helped"

    class Handler(web.RequestHandler):
        @mark
        def prepare(self) -> None:
            self.note = "prepared"

        @mark
        async def get(self, number: str) -> None:
            self.write(f"{number} {self.note} {await helper()}")

    async def main() -> str:
        (socket,) = netutil.bind_sockets(0, "127.0.0.1")
        server = httpserver.HTTPServer(web.Application([(r"/(\d+)", Handler)]))
        server.add_sockets([socket])
        port = socket.getsockname()[1]
        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/7")
        server.stop()
        await server.close_all_connections()
        return answer.body.decode()

    return asyncio.run(main())


@case("strawberry", hits={"greeting": 1, "double": 1})
def strawberry(mark: Mark) -> Any:
    """Fields with arguments, of both kinds."""
    import strawberry

    def greeting(self: Any, name: str) -> str:
        return f"hello {name}"

    async def double(self: Any, number: int) -> int:
        return number * 2

    # Strings would be resolved in this module.
    greeting.__annotations__ = {"name": str, "return": str}
    double.__annotations__ = {"number": int, "return": int}

    @strawberry.type
    class Query:
        greet = strawberry.field(resolver=mark(greeting))
        twice = strawberry.field(resolver=mark(double))

    schema = strawberry.Schema(query=Query)
    answer = asyncio.run(schema.execute('{ greet(name: "x") twice(number: 4) }'))
    return answer.data, str(answer.errors), schema.as_str()


@case("bottle", hits={"index": 1})
def bottle(mark: Mark) -> Any:
    """A route with a typed part."""
    import bottle

    app = bottle.Bottle()

    @app.route("/<number:int>")
    @mark
    def index(number: int) -> str:
        return f"number {number}"

    route, arguments = app.match({"PATH_INFO": "/4", "REQUEST_METHOD": "GET"})
    return route.call(**arguments)


@case("falcon", hits={"on_get": 1})
def falcon(mark: Mark) -> Any:
    """A resource, which is looked at for its responders."""
    from falcon import App, testing

    class Thing:
        @mark
        def on_get(self, request: Any, response: Any, number: int) -> None:
            response.media = {"number": number}

    app = App()
    app.add_route("/{number:int}", Thing())
    return testing.TestClient(app).simulate_get("/6").json


@case("aiohttp", hits={"handler": 1, "middleware": 1})
def aiohttp(mark: Mark) -> Any:
    """A handler and a middleware."""
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    @web.middleware
    @mark
    async def middleware(request: Any, handler: Any) -> Any:
        response = await handler(request)
        response.headers["Seen"] = "yes"
        return response

    @mark
    async def handler(request: Any) -> Any:
        return web.Response(text=request.match_info["name"])

    async def main() -> Any:
        app = web.Application(middlewares=[middleware])
        app.router.add_get("/{name}", handler)
        async with TestClient(TestServer(app)) as client:
            answer = await client.get("/x")
            return await answer.text(), answer.headers["Seen"]

    return asyncio.run(main())
