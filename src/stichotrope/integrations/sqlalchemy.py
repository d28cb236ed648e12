"""A block for each query of a SQLAlchemy engine: ``instrument(engine, p)``."""

from __future__ import annotations

from ._answers import default_profiler
from ._statements import shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..profiler import Profiler

_KEY = "stichotrope"
_MARK = "_stichotrope"


def instrument(
    engine: Any, profiler: Profiler | None = None, *, track: int | str = "queries"
) -> Any:
    """Record each statement that an engine executes as a pass of its shape's block.

    :param engine: an ``Engine``, an ``AsyncEngine``, or the class ``Engine`` for all there are.
    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :returns: the engine.
    :raises TypeError: when the engine or the profiler is none.
    :raises ValueError: when the engine is instrumented already, by itself or by its class.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    target = getattr(engine, "sync_engine", engine)
    kind = target if isinstance(target, type) else type(target)
    if not issubclass(kind, Engine):
        raise TypeError(f"what is instrumented is an engine of SQLAlchemy, not {engine!r}")
    if getattr(target, _MARK, False):
        raise ValueError(f"{engine!r} is instrumented already")
    timed = default_profiler(profiler)

    # An engine and its class, or what it was derived from, may both be listened to: one of them
    # records a statement, known by its context.
    def before(connection: Any, _: Any, statement: str, __: Any, context: Any, *___: Any) -> None:
        under_way = connection.info.setdefault(_KEY, [])
        if context is not None and any(one is context for one, _ in under_way):
            return
        block = timed.block(track, shape(statement))
        block.__enter__()
        under_way.append((context, block))

    def after(connection: Any, _: Any, __: Any, ___: Any, context: Any, *____: Any) -> None:
        leave(connection, context, None)

    def failed(error: Any) -> None:
        if error.connection is not None:
            leave(error.connection, error.execution_context, error.original_exception)

    def leave(connection: Any, context: Any, error: BaseException | None) -> None:
        under_way = connection.info.get(_KEY)
        if under_way and under_way[-1][0] is context:
            block = under_way.pop()[1]
            block.__exit__(None if error is None else type(error), error, None)

    event.listen(target, "before_cursor_execute", before)
    event.listen(target, "after_cursor_execute", after)
    event.listen(target, "handle_error", failed)
    setattr(target, _MARK, True)
    return engine
