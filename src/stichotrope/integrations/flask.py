"""A block for each route of a Flask application: ``instrument(app, p)``."""

from __future__ import annotations

from ._answers import Check, default_profiler
from .wsgi import Middleware

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..profiler import Profiler

_KEY = "stichotrope"
_PARTS = ("wsgi_app", "url_map", "view_functions", "extensions")


def instrument(app: Any, profiler: Profiler | None = None, *, track: int | str = "requests") -> Any:
    """Record each request as a pass of its route's block, until its body has been sent.

    The blocks are called after method and rule, ``GET /orders/<int:id>``; see
    `stichotrope.integrations.wsgi.Middleware`.

    :param app: the ``Flask`` application, or anything with a ``url_map`` and a ``wsgi_app``.
    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :returns: the application.
    :raises TypeError: when the application or the profiler is none.
    :raises ValueError: when the application is instrumented already.
    """
    if isinstance(app, type) or not all(hasattr(app, name) for name in _PARTS):
        raise TypeError(f"what is instrumented is a Flask application, not {app!r}")
    if _KEY in app.extensions:
        raise ValueError(f"{app!r} is instrumented already")

    timed = default_profiler(profiler)
    check = Check(timed)

    def route(environ: dict[str, Any]) -> str:
        check.of(app.view_functions.values)
        rule, _ = app.url_map.bind_to_environ(environ).match(return_rule=True)
        return str(rule.rule)

    app.wsgi_app = Middleware(app.wsgi_app, timed, track=track, route=route)
    app.extensions[_KEY] = app.wsgi_app
    return app
