"""Results as data frames: a row for each block, node or thread, in columns that stay as they are."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from handmade import block, sample, single, troubled
from stichotrope.results import ProfilerResults
from stichotrope.results.frames import SCHEMAS, columns

pytestmark = pytest.mark.unit

KINDS = ("pandas", "polars", "arrow")
DTYPES: dict[str, dict[str, tuple[str, ...]]] = {
    "pandas": {
        "int64": ("int64",),
        "float64": ("float64",),
        "string": ("string", "str"),
        "bool": ("bool",),
    },
    "polars": {
        "int64": ("Int64",),
        "float64": ("Float64",),
        "string": ("String",),
        "bool": ("Boolean",),
    },
    "arrow": {
        "int64": ("int64",),
        "float64": ("double",),
        "string": ("string",),
        "bool": ("bool",),
    },
}


def frame(results: ProfilerResults, kind: str, level: str = "block") -> Any:
    """A data frame of a kind; the test is left out where its library is not installed."""
    pytest.importorskip({"arrow": "pyarrow"}.get(kind, kind))
    return getattr(results, f"to_{kind}")(level)


def dtypes(table: Any, kind: str) -> dict[str, str]:
    """Column → type, as the library calls it."""
    if kind == "arrow":
        return {field.name: str(field.type) for field in table.schema}
    names = list(table.columns)
    return dict(zip(names, map(str, table.dtypes), strict=True))


def rows(table: Any, kind: str) -> list[dict[str, Any]]:
    """The rows as plain Python."""
    if kind == "pandas":
        return list(table.to_dict("records"))
    return list(table.to_dicts() if kind == "polars" else table.to_pylist())


def plain(results: ProfilerResults, level: str) -> list[dict[str, Any]]:
    """The rows that `columns` has."""
    found = columns(results, level)
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def test_a_row_of_a_block_has_its_figures() -> None:
    """Exactly, with the name of its track and of the profiler."""
    first, *_, never = plain(sample(), "block")
    assert first == {
        "profiler": "census",
        "track_idx": 0,
        "track": "I/O",
        "block_idx": 0,
        "block": "read",
        "file": "/srv/app/io.py",
        "line": 10,
        "hit_count": 3,
        "total_time_ns": 600,
        "self_time_ns": 350,
        "active_time_ns": 600,
        "sum_time_ns": 600,
        "avg_time_ns": 200.0,
        "stddev_time_ns": pytest.approx((20_000 / 3) ** 0.5),
        "min_time_ns": 100,
        "p50_time_ns": sample().tracks[0].blocks[0].percentile(50),
        "p95_time_ns": sample().tracks[0].blocks[0].percentile(95),
        "p99_time_ns": sample().tracks[0].blocks[0].percentile(99),
        "max_time_ns": 300,
        "open_count": 0,
        "error_count": 0,
        "cancelled_count": 0,
        "concurrency": 1.0,
        "cpu_count": 0,
        "cpu_time_ns": 0,
        "waiting": 0.0,
        "byte_count": 0,
        "item_count": 0,
        "bytes_per_second": 0.0,
        "items_per_second": 0.0,
        "bytes_per_pass": 0.0,
        "items_per_pass": 0.0,
    }
    assert (never["block"], never["hit_count"], never["avg_time_ns"]) == ("never", 0, 0.0)


def test_nodes_know_their_parents() -> None:
    """The root is node 0 and has none, -1."""
    found = plain(sample(), "node")
    assert [(row["node"], row["parent"], row["depth"], row["block"]) for row in found] == [
        (0, -1, 0, ""),
        (1, 0, 1, "read"),
        (2, 1, 2, "decode µ"),
        (3, 0, 1, "parse"),
    ]
    assert [row["track"] for row in found] == ["", "I/O", "I/O", "parsing"]
    assert [row["self_time_ns"] for row in found] == [0, 350, 250, 1_000_000]


def test_a_row_of_a_thread_has_its_sums() -> None:
    """And the process that it is of."""
    first, second = plain(sample(), "thread")
    assert first == {
        "profiler": "census",
        "thread_key": 1,
        "thread": "MainThread",
        "host": "",
        "pid": 4711,
        "os_id": 140_000,
        "alive": True,
        "hit_count": 5,
        "total_time_ns": 600,
        "open_count": 0,
        "error_count": 0,
        "cancelled_count": 0,
    }
    assert (second["thread"], second["alive"], second["hit_count"]) == ("pool_0", False, 1)


@pytest.mark.parametrize("level", ["block", "node", "thread-block"])
def test_a_row_tells_how_passes_ended_and_which_are_open(level: str) -> None:
    """Of a block without hits, too."""
    names = ("hit_count", "open_count", "error_count", "cancelled_count", "concurrency")
    found = {row["block"]: tuple(row[name] for name in names) for row in plain(troubled(), level)}
    assert found["serve"] == (0, 1, 0, 0, 1.0)
    assert found["handle"] == (4, 1, 2, 1, 2.5)


def test_a_row_of_a_thread_has_the_sums_of_these() -> None:
    """All of them of the thread that has recorded."""
    names = ("hit_count", "open_count", "error_count", "cancelled_count")
    found = [tuple(row[name] for name in names) for row in plain(troubled(), "thread")]
    assert found == [(4, 2, 2, 1), (0, 0, 0, 0)]


def test_blocks_of_threads_are_told_apart() -> None:
    """A row for each block in each thread, the thread's key first."""
    found = plain(sample(), "thread-block")
    assert [(row["thread_key"], row["block"], row["hit_count"]) for row in found] == [
        (1, "read", 3),
        (1, "decode µ", 2),
        (2, "parse", 1),
        (2, "never", 0),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", SCHEMAS)
def test_every_library_has_the_same_rows(kind: str, level: str) -> None:
    """Whatever holds them."""
    assert rows(frame(sample(), kind, level), kind) == plain(sample(), level)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", SCHEMAS)
@pytest.mark.parametrize("results", [sample(), ProfilerResults("empty")], ids=["some", "none"])
def test_the_schema_is_the_same_without_rows(
    kind: str, level: str, results: ProfilerResults
) -> None:
    """Names, order and types do not depend on what was recorded."""
    found = dtypes(frame(results, kind, level), kind)
    assert list(found) == list(SCHEMAS[level])
    for name, given in found.items():
        assert given in DTYPES[kind][SCHEMAS[level][name]]


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_are_no_unicode_are_escaped(kind: str) -> None:
    """A lone surrogate becomes what Python writes for it."""
    (row,) = rows(frame(single(block("lone \udc80", (1,))), kind), kind)
    assert row["block"] == "lone \\udc80"


def test_a_figure_beyond_64_bits_is_refused() -> None:
    """With the column's name, rather than rounded."""
    with pytest.raises(OverflowError, match="64 bits, and a value of total_time_ns is 9,223,"):
        columns(single(block("long", (2**63,))), "block")


@pytest.mark.parametrize("level", ["blocks", "", None, ["block"]])
def test_an_unknown_level_is_refused(level: object) -> None:
    """With those that there are."""
    with pytest.raises(
        ValueError, match="a level is one of block, node, thread, thread-block, not"
    ):
        columns(sample(), level)  # type: ignore[arg-type]


def test_the_names_of_columns_are_those_that_are_documented() -> None:
    """A program that reads them goes on reading them."""
    assert list(SCHEMAS) == ["block", "node", "thread", "thread-block"]
    where = ["profiler", "track_idx", "track", "block_idx", "block", "file", "line"]
    passes = ["hit_count", "total_time_ns", "self_time_ns"]
    ended = ["open_count", "error_count", "cancelled_count"]
    cpu = ["cpu_count", "cpu_time_ns", "waiting"]
    rates = ["bytes_per_second", "items_per_second", "bytes_per_pass", "items_per_pass"]
    work = ["byte_count", "item_count", *rates]
    since = ["sum_time_ns", *ended, "concurrency"]
    assert list(SCHEMAS["node"]) == [
        "node",
        "parent",
        "depth",
        *where,
        *passes,
        *since,
        "avg_time_ns",
        *cpu,
        *work,
    ]
    assert list(SCHEMAS["thread"])[-3:] == ended
    assert list(SCHEMAS["block"])[-13:] == [*ended, "concurrency", *cpu, *work]
    assert list(SCHEMAS["block"])[:10] == [*where, *passes]


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_package_a_frame_names_the_extra(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the sentence of the error."""
    package = {"arrow": "pyarrow"}.get(kind, kind)
    monkeypatch.setitem(sys.modules, package, None)
    said = f"^this takes the package {package}: pip install 'stichotrope\\[{kind}\\]'$"
    with pytest.raises(ImportError, match=said):
        getattr(sample(), f"to_{kind}")()
