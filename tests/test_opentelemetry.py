"""What the SDK of OpenTelemetry exports of metrics and blocks: read by its own in-memory exporter."""

from __future__ import annotations

import itertools
import math
import threading
from typing import Any

import pytest
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from conftest import ManualClock
from stichotrope import Profiler, _slow
from stichotrope.integrations.opentelemetry import (
    add_metrics,
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
        self.result = MetricExportResult.SUCCESS

    def export(
        self, metrics_data: Any, timeout_millis: float = 10_000, **options: Any
    ) -> MetricExportResult:
        """Keep it."""
        self.exported.append(metrics_data)
        return self.result

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


def exported(kept: Any, provider: Any) -> dict[str, Any]:
    """The metrics of one more export, by their names."""
    provider.force_flush()
    (resource,) = kept.exported[-1].resource_metrics
    return {
        metric.name: metric.data for scope in resource.scope_metrics for metric in scope.metrics
    }


@pytest.mark.parametrize("delta", [True, False])
def test_an_exporter_gets_differences_where_it_prefers_them_and_a_new_start_after_a_reset(delta):
    """What was recorded since the last export that succeeded; a series that begins anew says since when."""
    registry = MetricRegistry()
    jobs = Counter("jobs", registry=registry)
    fixed = Histogram("fixed", buckets=(1, 2), registry=registry)
    wide = Histogram("wide", registry=registry)
    level = Gauge("level", registry=registry)
    kept = Kept()
    if delta:
        kept._preferred_temporality = {
            SdkCounter: AggregationTemporality.DELTA,
            SdkHistogram: AggregationTemporality.DELTA,
        }
    provider = meter_provider(kept, [registry], every_s=1e5)
    recorded = [(3, 0.5, 3.0), (2, 1.5, 1e-30), (0, 5.0, 1e30)]
    parts = []
    for number, value, size in recorded:
        jobs.inc(number)
        fixed.observe(value)
        wide.observe(size)
        level.set(number)
        parts.append(exported(kept, provider))
    chosen = AggregationTemporality.DELTA if delta else AggregationTemporality.CUMULATIVE
    assert {part[name].aggregation_temporality for part in parts for name in ("jobs", "wide")} == {
        chosen
    }
    points_of = {
        name: [part[name].data_points[0] for part in parts]
        for name in ("jobs", "fixed", "wide", "level")
    }
    assert [point.value for point in points_of["level"]] == [3, 2, 0]
    assert [point.value for point in points_of["jobs"]] == ([3, 2, 0] if delta else [3, 5, 5])
    assert [list(point.bucket_counts) for point in points_of["fixed"]] == (
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]] if delta else [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    )
    assert [point.sum for point in points_of["fixed"]] == ([0.5, 1.5, 5] if delta else [0.5, 2, 7])
    counts = [sum(point.positive.bucket_counts) for point in points_of["wide"]]
    assert (
        counts == [point.count for point in points_of["wide"]] == ([1] * 3 if delta else [1, 2, 3])
    )
    for found in points_of.values():
        for before, after in itertools.pairwise(found):
            if hasattr(found[0], "count") or found is points_of["jobs"]:
                since = before.time_unix_nano if delta else before.start_time_unix_nano
                assert after.start_time_unix_nano == since
    registry.reset()
    jobs.inc()
    after = exported(kept, provider)["jobs"].data_points[0]
    assert after.value == 1
    assert after.start_time_unix_nano >= points_of["jobs"][-1].time_unix_nano
    provider.shutdown()


def test_what_could_not_be_exported_is_in_the_next_difference():
    """An export that fails loses nothing of what is exported as differences."""
    registry = MetricRegistry()
    jobs = Counter("jobs", registry=registry)
    kept = Kept()
    kept._preferred_temporality = {SdkCounter: AggregationTemporality.DELTA}
    provider = meter_provider(kept, [registry], every_s=1e5)
    found = []
    for result in (
        MetricExportResult.SUCCESS,
        MetricExportResult.FAILURE,
        MetricExportResult.SUCCESS,
    ):
        kept.result = result
        jobs.inc()
        found.append(exported(kept, provider)["jobs"].data_points[0].value)
    assert found == [1, 1, 2]
    provider.shutdown()


def test_an_exponential_histogram_has_no_more_buckets_than_the_sdks_own():
    """Values that lie far from each other have coarser buckets, in which each still is."""
    histogram = Histogram("h")
    values = (1e-30, 3.0, 1e30, -1e-300, -1e300)
    for value in values:
        histogram.observe(value)
    ((point,),) = [metric.data.data_points for metric in points(histogram.collect())]
    for buckets, sizes in (
        (point.positive, [value for value in values if value > 0]),
        (point.negative, [-value for value in values if value < -(2.0**-128)]),
    ):
        assert len(buckets.bucket_counts) <= 640
        assert sum(buckets.bucket_counts) == len(sizes)
        for size in sizes:
            place = math.log2(size) * 2.0**point.scale - buckets.offset
            near = {math.floor(place - 0.1), math.floor(place + 0.1)}
            assert any(
                buckets.bucket_counts[one] for one in near if one < len(buckets.bucket_counts)
            )
    assert point.count == len(values)


@pytest.mark.parametrize(
    ("scale", "most"), [(5, 0.0376), (4, 0.0491), (3, 0.0729), (2, 0.0962), (1, 0.2072), (0, 0.5)]
)
def test_exponential_buckets_are_as_far_from_the_values_as_is_said_and_no_further(scale, most):
    """Of each bucket of a power of two, the least and the greatest value: count and sum are exact."""
    edges = [1 + step / 16 for step in range(17)]
    errors = []
    for lower, upper in itertools.pairwise(edges):
        for value in (math.nextafter(lower, 2), upper):
            for sign in (1, -1):
                histogram = Histogram("h")
                histogram.observe(sign * value)
                ((point,),) = [one.data.data_points for one in points(histogram.collect(), scale)]
                assert (point.scale, point.count, point.sum) == (scale, 1, sign * value)
                assert (point.min, point.max) == (sign * value, sign * value)
                (middle,) = middles(point.positive if sign > 0 else point.negative, scale)
                errors.append(abs(middle / value - 1))
    assert most - 0.0001 < max(errors) <= most + 1e-9


@pytest.mark.parametrize(("scale", "most"), [(5, 0.05), (4, 0.06)])
def test_exponential_buckets_are_near_to_how_long_passes_took(clock, scale, most):
    """From a microsecond on, whatever the unit makes of the bounds of a block's own buckets."""
    profiler = Profiler("p")
    expected = [round(1000 * 1.0173**step) for step in range(600)]
    for ns in expected:
        with profiler.block(0, str(ns)):
            clock.advance(ns)
    families = points(ProfilerCollector([profiler]).collect(), scale)
    (metric,) = [one for one in families if one.name.endswith("duration_seconds")]
    found = {int(point.attributes["block"]): point for point in metric.data.data_points}
    assert set(found) == set(expected)
    for ns, point in found.items():
        assert (point.count, point.sum) == (1, ns / 1e9)
        (middle,) = middles(point.positive, scale)
        assert abs(middle / (ns / 1e9) - 1) <= most


def middles(buckets: Any, scale: int) -> list[float]:
    """The middle of the bucket of each value."""
    base = 2**2**-scale
    return [
        base ** (buckets.offset + place) * (1 + base) / 2
        for place, count in enumerate(buckets.bucket_counts)
        for _ in range(count)
    ]


def test_exponential_histograms_hold_what_is_0_and_what_lies_on_either_side():
    """Each value in a bucket of its side, 0 in one of its own."""
    histogram = Histogram("h")
    values = [math.ldexp(1 + step / 97, power) for power in range(-20, 20) for step in range(97)]
    for number, value in enumerate(values):
        histogram.observe(value if number % 3 else -value)
    histogram.observe(0)
    ((point,),) = [metric.data.data_points for metric in points(histogram.collect(), 4, 1280)]
    assert (point.scale, point.count, point.zero_count) == (4, len(values) + 1, 1)
    above = [value for number, value in enumerate(values) if number % 3]
    assert (point.min, point.max) == (-max(values[::3]), max(above))
    found = middles(point.positive, 4)
    assert len(found) + len(middles(point.negative, 4)) == len(values)
    assert max(abs(one / value - 1) for one, value in zip(found, above, strict=True)) <= 0.0491


class Asked(MetricReader):  # type: ignore[misc]
    """A program's own reader: keeps what it is given when it is asked."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.given: list[Any] = []

    def _receive_metrics(
        self, metrics_data: Any, timeout_millis: float = 10_000, **options: Any
    ) -> None:
        self.given.append(metrics_data)

    def shutdown(self, timeout_millis: float = 30_000, **options: Any) -> None:
        """Nothing to end."""


def by_name(data: Any) -> dict[str, Any]:
    """The metrics of what was read, by their names, of the one resource that there is."""
    (resource,) = data.resource_metrics
    assert resource.resource.attributes["service.name"] == "shop"
    return {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}


SHOP = Resource.create({"service.name": "shop"})


@pytest.mark.parametrize("is_provided", [True, False])
def test_a_reader_that_is_asked_has_ours_beside_its_providers(is_provided):
    """The SDK's own in memory, with a provider of ours or of the program's, under its resource."""
    registry = MetricRegistry()
    jobs = Counter("jobs", registry=registry)
    jobs.inc(3)
    Histogram("wide", registry=registry).observe(1.5)
    profiler = Profiler("shop")
    with profiler.block("db", "query"):
        pass
    reader = InMemoryMetricReader()
    collectors: list[Any] = [registry, ProfilerCollector([profiler])]
    if is_provided:
        provider = meter_provider(reader, collectors, resource=SHOP)
    else:
        assert add_metrics(reader, collectors) is reader
        provider = MeterProvider(metric_readers=[reader], resource=SHOP)
    provider.get_meter("own").create_counter("own.counter").add(2)
    found = by_name(reader.get_metrics_data())
    assert found["own.counter"].data.data_points[0].value == 2
    assert found["jobs"].data.data_points[0].value == 3
    assert found["wide"].data.data_points[0].scale == 4
    assert found["stichotrope_block_passes"].data.data_points[0].value == 1
    jobs.inc()
    assert by_name(reader.get_metrics_data())["jobs"].data.data_points[0].value == 4
    provider.shutdown()


def test_a_reader_that_prefers_differences_gets_each_once():
    """However many threads ask it: what they get together is what was counted."""
    registry = MetricRegistry()
    jobs = Counter("jobs", registry=registry)
    reader = Asked(preferred_temporality={SdkCounter: AggregationTemporality.DELTA})
    provider = meter_provider(reader, [registry], resource=SHOP)
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        for _ in range(50):
            jobs.inc()
            reader.collect()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader.collect()
    parts = [by_name(data)["jobs"].data for data in reader.given]
    assert {part.aggregation_temporality for part in parts} == {AggregationTemporality.DELTA}
    values = [part.data_points[0].value for part in parts]
    assert (sum(values), min(values) >= 0) == (200, True)
    provider.shutdown()


def test_a_reader_that_exports_has_what_could_not_be_exported_in_the_next_difference():
    """As `Exporter` has it: only who exports knows."""
    registry = MetricRegistry()
    jobs = Counter("jobs", registry=registry)
    kept = Kept()
    kept._preferred_temporality = {SdkCounter: AggregationTemporality.DELTA}
    reader = PeriodicExportingMetricReader(kept, export_interval_millis=1e8)
    provider = meter_provider(reader, [registry])
    found = []
    for result in (MetricExportResult.FAILURE, MetricExportResult.SUCCESS):
        kept.result = result
        jobs.inc()
        found.append(exported(kept, provider)["jobs"].data_points[0].value)
    assert found == [1, 2]
    provider.shutdown()


@pytest.mark.parametrize("exponential", [True, False])
def test_log_linear_histograms_have_classic_buckets_where_nobody_knows_exponential_ones(
    exponential,
):
    """With the same count, sum, least and greatest."""
    registry = MetricRegistry()
    sizes = Histogram("sizes", classic_buckets=(1, 10), registry=registry)
    for value in (0.5, 5, 50, 60):
        sizes.observe(value)
    reader = add_metrics(InMemoryMetricReader(), [registry], exponential=exponential)
    provider = MeterProvider(metric_readers=[reader], resource=SHOP)
    provider.get_meter("own").create_counter("own.counter").add(2)
    (point,) = by_name(reader.get_metrics_data())["sizes"].data.data_points
    assert (point.count, point.sum, point.min, point.max) == (4, 115.5, 0.5, 60)
    if exponential:
        assert sum(point.positive.bucket_counts) == 4
    else:
        assert (point.explicit_bounds, point.bucket_counts) == ([1, 10], [1, 1, 2])
    provider.shutdown()


def test_a_reader_that_is_none_or_has_ours_already_is_refused():
    """Each series would be there twice."""
    with pytest.raises(TypeError, match="a reader of OpenTelemetry's SDK, not 3"):
        add_metrics(3)
    periodic = PeriodicExportingMetricReader(Kept(), export_interval_millis=1e8)
    for reader in (InMemoryMetricReader(), periodic):
        add_metrics(reader)
        with pytest.raises(ValueError, match="reads metrics of ours already"):
            add_metrics(reader)
        with pytest.raises(ValueError, match="a reader has a period of its own"):
            meter_provider(reader, every_s=3)
        reader.shutdown()


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


@pytest.mark.parametrize(
    ("exporter", "every_s", "error", "says"),
    [
        (None, 60, TypeError, "needs an exporter of metrics, or a reader, not None"),
        (Kept(), "5", TypeError, "must be a number of seconds, not '5'"),
        (Kept(), 0, ValueError, "more than 0 s"),
        (Kept(), math.nan, ValueError, "more than 0 s"),
    ],
)
def test_a_provider_that_could_not_export_is_refused(exporter, every_s, error, says):
    """In a sentence, before anything runs."""
    with pytest.raises(error, match=says):
        meter_provider(exporter, every_s=every_s)
