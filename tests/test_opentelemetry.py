"""What the SDK of OpenTelemetry exports of metrics and blocks: read by its own in-memory exporter."""

from __future__ import annotations

import math
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from conftest import ManualClock
from stichotrope import Profiler, _slow
from stichotrope.integrations.opentelemetry import (
    meter_provider,
    points,
    slow_spans,
    trace_labels,
)
from stichotrope.integrations.prometheus import ProfilerCollector
from stichotrope.metrics import Counter, Gauge, Histogram, MetricRegistry

pytestmark = pytest.mark.integration


class Kept(MetricExporter):  # type: ignore[misc]
    """Keeps what is exported."""

    def __init__(self) -> None:
        super().__init__()
        self.exported: list[Any] = []

    def export(
        self, metrics_data: Any, timeout_millis: float = 10_000, **options: Any
    ) -> MetricExportResult:
        """Keep it."""
        self.exported.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing is held."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **options: Any) -> None:
        """Nothing to end."""


def test_metrics_and_blocks_are_exported_under_the_programs_resource():
    """Beside the SDK's own instruments, ours are exported, with the resource of the service."""
    registry = MetricRegistry()
    Counter("jobs", "Jobs.", ["queue"], registry=registry).labels("a").inc(3)
    Gauge("level", registry=registry).set(-1.5)
    fixed = Histogram("size_bytes", buckets=(1, 2), registry=registry)
    for value in (0.5, 5, 6):
        fixed.observe(value)
    profiler = Profiler("shop")
    for _ in range(4):
        with profiler.block("db", "query"):
            pass
    kept = Kept()
    provider = meter_provider(
        kept,
        [registry, ProfilerCollector([profiler])],
        every_s=1e5,
        resource=Resource.create({"service.name": "shop"}),
    )
    provider.get_meter("own").create_counter("own.counter").add(2)
    provider.force_flush()
    provider.shutdown()
    (resource,) = kept.exported[0].resource_metrics
    assert resource.resource.attributes["service.name"] == "shop"
    found = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    assert found["own.counter"].data.data_points[0].value == 2
    jobs = found["jobs"].data
    assert (jobs.is_monotonic, jobs.data_points[0].attributes, jobs.data_points[0].value) == (
        True,
        {"queue": "a"},
        3,
    )
    assert found["level"].data.data_points[0].value == -1.5
    (sizes,) = found["size_bytes"].data.data_points
    assert (sizes.explicit_bounds, sizes.bucket_counts, sizes.count, sizes.sum) == (
        [1, 2],
        [1, 0, 2],
        3,
        11.5,
    )
    assert (sizes.min, sizes.max) == (0.5, 6)
    assert found["size_bytes"].unit == "By"
    (block,) = found["stichotrope_block_duration_seconds"].data.data_points
    assert block.attributes == {"profiler": "shop", "track": "db", "block": "query"}
    own = profiler.get_results()["db"]["query"]
    assert (block.count, block.min, block.max) == (4, own.min_time_ns / 1e9, own.max_time_ns / 1e9)
    assert block.sum == own.sum_time_ns / 1e9
    assert found["stichotrope_block_passes"].data.data_points[0].value == 4


def test_a_histogram_of_fixed_buckets_has_its_least_and_greatest_by_labels():
    """Least and greatest are those of each series, below 0 too, and left out where there is no value."""
    histogram = Histogram("h", "", ["a"], buckets=(1, 2))
    for value in (-3, -7):
        histogram.labels("x").observe(value)
    histogram.labels("y")
    (metric,) = points(histogram.collect())
    found = {point.attributes["a"]: (point.min, point.max) for point in metric.data.data_points}
    assert found == {"x": (-7, -3), "y": (None, None)}


@pytest.mark.parametrize(("scale", "most"), [(5, 0.043), (4, 0.054), (0, 1.05)])
def test_exponential_buckets_are_where_the_values_are(scale, most):
    """Count, sum, least and greatest are exact, and each value is as near to its bucket as is said."""
    histogram = Histogram("h")
    values = [math.ldexp(1 + step / 97, power) for power in range(-20, 20) for step in range(97)]
    for number, value in enumerate(values):
        histogram.observe(value if number % 3 else -value)
    histogram.observe(0)
    ((point,),) = [metric.data.data_points for metric in points(histogram.collect(), scale)]
    assert (point.scale, point.count, point.zero_count) == (scale, len(values) + 1, 1)
    positive = [value for number, value in enumerate(values) if number % 3]
    assert (point.min, point.max) == (-max(values[::3]), max(positive))
    assert sum(point.positive.bucket_counts) + sum(point.negative.bucket_counts) == len(values)
    base = 2**2**-scale
    middles = []
    for place, count in enumerate(point.positive.bucket_counts):
        lower = base ** (point.positive.offset + place)
        middles += [lower * (1 + base) / 2] * count
    assert (
        max(
            abs(middle / value - 1) for middle, value in zip(middles, sorted(positive), strict=True)
        )
        <= most
    )


def test_exemplars_take_the_current_span():
    """With `trace_labels`, an exemplar has the trace and the span of the context that it was recorded in."""
    assert trace_labels() is None
    histogram = Histogram("h", exemplars=trace_labels)
    histogram.observe(1)
    assert histogram._exemplars() == {}
    tracer = TracerProvider().get_tracer("t")
    with tracer.start_as_current_span("s") as span:
        histogram.observe(2)
    (kept,) = histogram._exemplars().values()
    assert kept[0]["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert kept[1] == 2


def test_slow_passes_are_spans_under_the_current_one(clock: ManualClock) -> None:
    """As long as the pass, with its outcome, in the trace of the request; short ones are none."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer = provider.get_tracer("test")
    profiler = Profiler("shop")
    watch = slow_spans(profiler, "1ms", "query*", tracer=tracer)

    def query(ns: int) -> None:
        with profiler.block("db", "query 1"):
            clock.advance(ns)
            if ns == 3_000_000:
                raise KeyError

    with tracer.start_as_current_span("request") as request:
        for ns in (999_999, 2_000_000):
            query(ns)
        with pytest.raises(KeyError):
            query(3_000_000)
    query(5_000_000)
    _slow.finish()
    watch.stop()
    by_length = {
        one.end_time - one.start_time: one
        for one in spans.get_finished_spans()
        if one.name == "query 1"
    }
    assert sorted(by_length) == [2_000_000, 3_000_000, 5_000_000]
    for length in (2_000_000, 3_000_000):
        parent = by_length[length].parent
        assert parent is not None
        assert parent.span_id == request.get_span_context().span_id
        assert by_length[length].context.trace_id == request.get_span_context().trace_id
    assert by_length[5_000_000].parent is None
    assert by_length[3_000_000].status.status_code.name == "ERROR"
    assert by_length[2_000_000].status.status_code.name == "UNSET"
    assert by_length[2_000_000].attributes["stichotrope.track"] == "db"
    assert by_length[2_000_000].attributes["code.filepath"] == __file__
