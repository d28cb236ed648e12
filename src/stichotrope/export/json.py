"""The JSON export: the very document that `ProfilerResults.save` writes."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from ..results import ProfilerResults


def render(results: ProfilerResults, indent: int | None = 2) -> str:
    """Return results as JSON text.

    :param results: the results.
    :param indent: spaces for each level, or None for everything on one line.
    :raises TypeError: when ``indent`` is of the wrong type, or the metadata holds what JSON cannot.
    :raises ValueError: when ``indent`` is negative.
    """
    return results.to_json(indent)
