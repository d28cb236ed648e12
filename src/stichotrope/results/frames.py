"""Results as columns, and those as data frames: of pandas, polars or Arrow.

The columns of each level are in `SCHEMAS`: their names, their order and their types stay as they
are; a later version may add some at the end.
"""

from __future__ import annotations

from contextlib import contextmanager

from .model import CallNode, ProfileBlock

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_INTEGER, _REAL, _TEXT, _FLAG = "int64", "float64", "string", "bool"
_WHERE = {
    "profiler": _TEXT,
    "track_idx": _INTEGER,
    "track": _TEXT,
    "block_idx": _INTEGER,
    "block": _TEXT,
    "file": _TEXT,
    "line": _INTEGER,
}
# Those of the first version, in whose order they stay. What is not here has come since.
_FIRST_OF_BLOCK = (
    *("hit_count", "total_time_ns", "self_time_ns", "active_time_ns", "sum_time_ns"),
    *("avg_time_ns", "stddev_time_ns", "min_time_ns", "p50_time_ns", "p95_time_ns", "p99_time_ns"),
    *("max_time_ns", "open_count", "error_count", "cancelled_count", "concurrency"),
    *("cpu_count", "cpu_time_ns", "waiting"),
)
_FIRST_OF_NODE = (
    *("hit_count", "total_time_ns", "self_time_ns", "sum_time_ns"),
    *("open_count", "error_count", "cancelled_count", "concurrency"),
    *("avg_time_ns", "cpu_count", "cpu_time_ns", "waiting"),
)


def _kinds(figures: dict[str, float], first: tuple[str, ...]) -> dict[str, str]:
    """Return the type of each figure, those of the first version first."""
    kinds = {name: _REAL if isinstance(one, float) else _INTEGER for name, one in figures.items()}
    return {**{name: kinds[name] for name in first}, **kinds}


_BLOCK = {**_WHERE, **_kinds(ProfileBlock("", "", 0, 0, 0).figures(), _FIRST_OF_BLOCK)}
_NODE = _kinds(CallNode.root().figures(), _FIRST_OF_NODE)
_OPEN_AND_ENDED = {
    "open_count": _INTEGER,
    "error_count": _INTEGER,
    "cancelled_count": _INTEGER,
}
_THREAD = {"thread_key": _INTEGER, "thread": _TEXT, "host": _TEXT, "pid": _INTEGER}

# Level → column → type.
SCHEMAS: dict[str, dict[str, str]] = {
    "block": _BLOCK,
    "node": {"node": _INTEGER, "parent": _INTEGER, "depth": _INTEGER, **_WHERE, **_NODE},
    "thread": {
        "profiler": _TEXT,
        **_THREAD,
        "os_id": _INTEGER,
        "alive": _FLAG,
        "hit_count": _INTEGER,
        "total_time_ns": _INTEGER,
        **_OPEN_AND_ENDED,
    },
    "thread-block": {**_THREAD, **_BLOCK},
}
_LARGEST = 2**63


def columns(results: Any, level: str) -> dict[str, list[Any]]:
    """Return the figures of results, one list for each column of a level.

    :param results: a `ProfilerResults`.
    :param level: one of `SCHEMAS`.
    :raises ValueError: when it is none of them.
    :raises OverflowError: when a figure is too large for 64 bits.
    """
    lines = rows(results, level)
    found: dict[str, list[Any]] = {name: [] for name in SCHEMAS[level]}
    for row in lines:
        for name, kind in SCHEMAS[level].items():
            found[name].append(_cell(row[name], kind, name))
    return found


def rows(results: Any, level: str) -> Iterator[dict[str, Any]]:
    """Return the figures of results as rows of a level, each by the names of its columns.

    :param results: a `ProfilerResults`.
    :param level: one of `SCHEMAS`.
    :raises ValueError: when it is none of them.
    """
    if not isinstance(level, str) or level not in SCHEMAS:
        raise ValueError(f"a level is one of {', '.join(SCHEMAS)}, not {level!r}")
    return _ROWS[level](results)


@contextmanager
def _brought_by(extra: str, package: str) -> Iterator[None]:
    """Say which extra brings a package that is imported here.

    :raises ImportError: when it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError(
            f"this takes the package {package}: pip install 'stichotrope[{extra}]'", name=package
        ) from None


def pandas_frame(results: Any, level: str) -> Any:
    """Return the rows of a level as a `pandas.DataFrame`."""
    data = columns(results, level)
    with _brought_by("pandas", "pandas"):
        import pandas

    schema = SCHEMAS[level]
    return pandas.DataFrame(
        {name: pandas.Series(cells, dtype=schema[name]) for name, cells in data.items()}
    )


def polars_frame(results: Any, level: str) -> Any:
    """Return the rows of a level as a `polars.DataFrame`."""
    data = columns(results, level)
    with _brought_by("polars", "polars"):
        import polars

    kinds = {
        _INTEGER: polars.Int64,
        _REAL: polars.Float64,
        _TEXT: polars.String,
        _FLAG: polars.Boolean,
    }
    schema = {name: kinds[kind] for name, kind in SCHEMAS[level].items()}
    return polars.DataFrame(data, schema=schema)


def arrow_table(results: Any, level: str) -> Any:
    """Return the rows of a level as a `pyarrow.Table`."""
    data = columns(results, level)
    with _brought_by("arrow", "pyarrow"):
        import pyarrow

    kinds = {
        _INTEGER: pyarrow.int64(),
        _REAL: pyarrow.float64(),
        _TEXT: pyarrow.string(),
        _FLAG: pyarrow.bool_(),
    }
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in SCHEMAS[level].items()])
    return pyarrow.Table.from_pydict(data, schema=schema)


# Rows


def _block_rows(results: Any) -> Iterator[dict[str, Any]]:
    yield from _rows_of_tracks(results.tracks, results.profiler_name)


def _rows_of_tracks(tracks: dict[int, Any], profiler: str) -> Iterator[dict[str, Any]]:
    for _, track in sorted(tracks.items()):
        for block in track.blocks:
            yield {
                **_where(block, profiler, track.track_name),
                **block.figures(),
            }


def _node_rows(results: Any) -> Iterator[dict[str, Any]]:
    """Yield the nodes of the call tree, a parent before its children; the root is node 0."""
    path: list[int] = []
    for number, (node, depth) in enumerate(results.tree.walk()):
        del path[depth:]
        track = results.tracks.get(node.track_idx)
        yield {
            "node": number,
            "parent": path[-1] if path else -1,
            "depth": depth,
            **_where(node, results.profiler_name, track.track_name if track else ""),
            **node.figures(),
        }
        path.append(number)


def _thread_rows(results: Any) -> Iterator[dict[str, Any]]:
    for thread in results.threads:
        yield {
            "profiler": results.profiler_name,
            **_whose(thread),
            "os_id": thread.os_id,
            "alive": thread.alive,
            "hit_count": thread.total_hits,
            "total_time_ns": thread.total_time_ns,
            "open_count": thread.total_open,
            "error_count": thread.total_errors,
            "cancelled_count": thread.total_cancelled,
        }


def _thread_block_rows(results: Any) -> Iterator[dict[str, Any]]:
    for thread in results.threads:
        for row in _rows_of_tracks(thread.tracks, results.profiler_name):
            yield {**_whose(thread), **row}


_ROWS: dict[str, Callable[[Any], Iterator[dict[str, Any]]]] = {
    "block": _block_rows,
    "node": _node_rows,
    "thread": _thread_rows,
    "thread-block": _thread_block_rows,
}


def _where(one: Any, profiler: str, track: str) -> dict[str, Any]:
    return {
        "profiler": profiler,
        "track_idx": one.track_idx,
        "track": track,
        "block_idx": one.block_idx,
        "block": one.name,
        "file": one.file,
        "line": one.line,
    }


def _whose(thread: Any) -> dict[str, Any]:
    process = thread.process
    return {
        "thread_key": thread.key,
        "thread": thread.name,
        "host": process.host if process else "",
        "pid": process.pid if process else 0,
    }


def _cell(value: Any, kind: str, name: str) -> Any:
    """Return a value as every kind of frame can hold it."""
    if kind == _TEXT:
        # A lone surrogate (from a file name that is not UTF-8) has no place in Arrow's texts.
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if kind == _INTEGER and not -_LARGEST <= value < _LARGEST:
        raise OverflowError(f"a column holds 64 bits, and a value of {name} is {value:,}")
    return value
