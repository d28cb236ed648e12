"""A block for each query of a SQLAlchemy engine: ``instrument(engine, p)``."""

from __future__ import annotations

from ._answers import default_profiler
from ._statements import shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..profiler import Profiler

_KEY = "stichotrope"


def instrument(
    engine: Any, profiler: Profiler | None = None, *, track: int | str = "queries"
) -> Any:
    """Record each statement that an engine executes as a pass of its shape's block.

    :param engine: an ``Engine``, an ``AsyncEngine``, or the class ``Engine`` for all there are.
    :param profiler: what records; the default profiler unless given.
    :param track: the track's index or name.
    :returns: the engine.
    :raises TypeError: when the profiler is none.
    """
    from sqlalchemy import event

    timed = default_profiler(profiler)
    target = getattr(engine, "sync_engine", engine)

    def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        block = timed.block(track, shape(statement))
        block.__enter__()
        connection.info.setdefault(_KEY, []).append(block)

    def after(connection: Any, *_: Any) -> None:
        leave(connection, None)

    def failed(context: Any) -> None:
        if context.connection is not None:
            leave(context.connection, context.original_exception)

    def leave(connection: Any, error: BaseException | None) -> None:
        under_way = connection.info.get(_KEY)
        if under_way:
            under_way.pop().__exit__(None if error is None else type(error), error, None)

    event.listen(target, "before_cursor_execute", before)
    event.listen(target, "after_cursor_execute", after)
    event.listen(target, "handle_error", failed)
    return engine
