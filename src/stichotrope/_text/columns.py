"""Reports as settings, options and headings name them: forms, columns, sorts."""

from __future__ import annotations

PRINTED = ("table", "tree", "workers")  # the forms of a report that is printed

# Of passes beside their times: there where they say something.
OF_PASSES = {
    "running": "Running",
    "open": "Open",
    "errors": "Errors",
    "cancelled": "Cancelled",
    "concurrency": "At a time",
    "cpu": "CPU",
    "waiting": "Waiting",
    "bytes": "Bytes/s",
    "items": "Items/s",
}
# Those of them that a path of the call tree has.
OF_PATHS = tuple(key for key in OF_PASSES if key != "running")
# Those between a block's name and its place, in their order.
HEADINGS = {
    "hits": "Hits",
    **OF_PASSES,
    "total": "Total",
    "self": "Self",
    "share": "Share",
    "bar": "",
    "mean": "Mean",
    "p50": "p50",
    "p95": "p95",
    "p99": "p99",
    "min": "Min",
    "max": "Max",
}
# Columns of figures → the figure of a block, and of a path as far as it has it.
FIGURES = {
    "hits": "hit_count",
    "running": "active_time_ns",
    "open": "open_count",
    "errors": "error_count",
    "cancelled": "cancelled_count",
    "concurrency": "concurrency",
    "cpu": "cpu_time_ns",
    "waiting": "waiting",
    "bytes": "bytes_per_second",
    "items": "items_per_second",
    "total": "total_time_ns",
    "self": "self_time_ns",
    "mean": "avg_time_ns",
    "p50": "p50_time_ns",
    "p95": "p95_time_ns",
    "p99": "p99_time_ns",
    "min": "min_time_ns",
    "max": "max_time_ns",
}
SORTS = ("total", "self", "hits", "mean", "max", *OF_PASSES, "name")
SORTED_BY = "total, self, hits, mean, name or another one (total)"
