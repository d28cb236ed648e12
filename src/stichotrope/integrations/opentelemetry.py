"""Metrics and blocks by OpenTelemetry: through its SDK, to whatever it exports to.

The SDK has no histogram that is observed rather than recorded into, so data points are made here,
and added to what its own instruments gave when that is exported. Log-linear histograms become
exponential ones: each of our buckets goes where its middle is. At scale 5 a value is off by 3.8 %
at most, at scale 4 by 4.9 %, and how long a pass took by 5 and 6 %; count and sum are exact, and so
are least and greatest.
"""

from __future__ import annotations

import time
from dataclasses import replace
from math import inf

from opentelemetry import trace
from opentelemetry.sdk.metrics import Counter as SdkCounter
from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    NumberDataPoint,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from .._version import __version__
from ..config import checks
from ..metrics import REGISTRY, Family, MetricRegistry
from ..metrics.samples import Native
from ..results.chain import Link
from .prometheus import ProfilerCollector

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .._slow import SlowPass, Watch
    from ..metrics.registry import Collector
    from ..profiler import Profiler

_START_NS = time.time_ns()
_SCALES = (0, 5)
_SCOPE = InstrumentationScope("stichotrope", __version__)
_CUMULATIVE = AggregationTemporality.CUMULATIVE
_DELTA = AggregationTemporality.DELTA
_BUCKETS = (1, 1 << 16)
_PROMETHEUS = "opentelemetry.exporter.prometheus"
# Each power of two of 40 in a row, from microseconds to days, at the scale that is chosen.
_MOST_BUCKETS = 640


def trace_labels() -> dict[str, str] | None:
    """Return trace and span of the current context as labels of an exemplar, or None without one.

    For ``Histogram(…, exemplars=trace_labels)``.
    """
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def slow_spans(
    profiler: Profiler, over: float | str, block: str = "*", *, tracer: Any = None
) -> Watch:
    """Have passes that take long be spans under the span that was current where they ended.

    A span begins and ends when the pass did; it has the block's name, ``code.filepath`` and
    ``code.lineno``, and the status ``ERROR`` where the pass failed. Passes within it are spans of
    their own beside it, if they are long, too.

    :param profiler: whose passes.
    :param over: what is long: seconds, or a text such as ``"250ms"``.
    :param block: the name of the blocks; ``*`` and ``?`` are wildcards.
    :param tracer: what makes the spans; by default the global provider's.
    :returns: what ends it, by ``stop()``.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when the duration is not above 0.
    """
    makes = trace.get_tracer("stichotrope", __version__) if tracer is None else tracer

    def to_span(slow: SlowPass) -> None:
        span = makes.start_span(
            slow.block,
            start_time=slow.start_ns,
            attributes={
                "code.filepath": slow.file,
                "code.lineno": slow.line,
                "thread.id": slow.thread_id,
                "stichotrope.profiler": slow.profiler,
                "stichotrope.track": slow.track,
                "stichotrope.outcome": slow.outcome,
            },
        )
        if slow.outcome == "failed":
            span.set_status(trace.StatusCode.ERROR)
        span.end(end_time=slow.start_ns + slow.duration_ns)

    return profiler.on_slow(block, over, to_span)


class Exporter(MetricExporter):  # type: ignore[misc]
    """Adds metrics and blocks to whatever an exporter is given, under the same resource.

    Where the exporter prefers differences (``DELTA``), counters and histograms are what was
    recorded since the last export that succeeded. A series that began anew has a new start.

    :param exporter: any exporter of the SDK, OTLP's for example.
    :param collectors: what is added; by default `stichotrope.metrics.REGISTRY` and all profilers.
    :param scale: how fine exponential histograms are: each power of two has ``2 ** scale`` buckets.
    :param max_buckets: how many of them a histogram may have, above and below 0 each; where values
        lie further from each other, its scale is coarser. The SDK's own have at most 160.
    :param exponential: whether log-linear histograms become exponential ones, or have their classic
        buckets.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when the scale is not from 0 to 5.
    """

    def __init__(
        self,
        exporter: Any,
        collectors: Iterable[Collector] = (),
        *,
        scale: int = 4,
        max_buckets: int = _MOST_BUCKETS,
        exponential: bool = True,
    ) -> None:
        self._ours = _Ours(exporter, collectors, (scale, max_buckets, exponential))
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,
            preferred_aggregation=exporter._preferred_aggregation,
        )
        self._exporter = exporter

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **options: Any
    ) -> MetricExportResult:
        """Export what the SDK gives, and what is collected now."""
        before = self._ours.streams.newest()
        data, streams = self._ours.beside(metrics_data, before)
        result: MetricExportResult = self._exporter.export(
            data, timeout_millis=timeout_millis, **options
        )
        if result is MetricExportResult.SUCCESS and before.gone_on_by(streams):
            self._ours.streams = streams  # else the next one has it
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Have the exporter send what it still holds."""
        return bool(self._exporter.force_flush(timeout_millis))

    def shutdown(self, timeout_millis: float = 30_000, **options: Any) -> None:
        """End the exporter."""
        self._exporter.shutdown(timeout_millis=timeout_millis, **options)


def add_metrics(
    reader: Any,
    collectors: Iterable[Collector] = (),
    *,
    scale: int = 4,
    max_buckets: int = _MOST_BUCKETS,
    exponential: bool | None = None,
) -> Any:
    """Have a reader of the SDK read metrics and blocks beside the instruments of its provider.

    It may be any: one that exports from time to time, one that is asked, such as
    ``InMemoryMetricReader`` and ``PrometheusMetricReader``, or a program's own. Where it prefers
    differences (``DELTA``), counters and histograms are what was recorded since it read last. The
    SDK reads nothing as long as its provider has no instrument: `meter_provider` makes one.

    :param reader: the reader.
    :param collectors: what is added; by default `stichotrope.metrics.REGISTRY` and all profilers.
    :param scale: see `Exporter`.
    :param max_buckets: likewise.
    :param exponential: whether log-linear histograms become exponential ones, or have their classic
        buckets; by default the former, but for ``PrometheusMetricReader``, which knows none.
    :returns: the reader.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when the scale is not from 0 to 5, or the reader reads ours already.
    """
    if not isinstance(reader, MetricReader):
        raise TypeError(
            f"metrics are added to a reader of OpenTelemetry's SDK, not {checks.shown(reader)}"
        )
    if "_receive_metrics" in vars(reader) or isinstance(_exporter_of(reader), Exporter):
        raise ValueError(f"this reader reads metrics of ours already: {reader!r}")
    if exponential is None:
        exponential = not any(
            one.__module__.startswith(_PROMETHEUS) for one in type(reader).__mro__
        )
    if _exporter_of(reader) is None:
        _add_to_reader(reader, _Ours(reader, collectors, (scale, max_buckets, exponential)))
    else:  # who exports knows whether that has succeeded
        reader._exporter = Exporter(
            reader._exporter,
            collectors,
            scale=scale,
            max_buckets=max_buckets,
            exponential=exponential,
        )
    return reader


def _exporter_of(reader: Any) -> Any:
    """Return what a reader exports with, or None where it does something else."""
    is_periodic = isinstance(reader, PeriodicExportingMetricReader)
    return getattr(reader, "_exporter", None) if is_periodic else None


def _add_to_reader(reader: Any, ours: _Ours) -> None:
    received = reader._receive_metrics

    def receive(metrics_data: MetricsData, *arguments: Any, **options: Any) -> None:
        received(ours.read_beside(metrics_data), *arguments, **options)

    reader._receive_metrics = receive  # which is made to be overridden


def meter_provider(
    exporter: Any,
    collectors: Iterable[Collector] = (),
    *,
    every_s: float | None = None,
    scale: int = 4,
    max_buckets: int = _MOST_BUCKETS,
    **options: Any,
) -> MeterProvider:
    """Return a meter provider that exports metrics and blocks from time to time, or when asked.

    :param exporter: any exporter of the SDK, OTLP's for example, or a reader: see `add_metrics`.
    :param collectors: what is exported beside the provider's own instruments; by default
        `stichotrope.metrics.REGISTRY` and all profilers.
    :param every_s: the period in seconds, 60 unless given; a reader has its own.
    :param scale: see `Exporter`.
    :param max_buckets: likewise.
    :param options: those of the provider: ``resource`` for one.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when a figure makes no sense.
    """
    if isinstance(exporter, MetricReader):
        if every_s is not None:
            raise ValueError(f"a reader has a period of its own: every_s is not for {exporter!r}")
        reader = add_metrics(exporter, collectors, scale=scale, max_buckets=max_buckets)
    else:
        period_s = _checked_period(exporter, 60.0 if every_s is None else every_s)
        reader = PeriodicExportingMetricReader(
            Exporter(exporter, collectors, scale=scale, max_buckets=max_buckets),
            export_interval_millis=period_s * 1000,
        )
    provider = MeterProvider(metric_readers=[reader], **options)
    # Without any instrument the SDK exports nothing, and asks nobody.
    provider.get_meter("stichotrope", __version__).create_observable_gauge(
        "stichotrope.up", [_up], description="1: it is asked."
    )
    return provider


def _checked_period(exporter: object, every_s: object) -> float:
    if not callable(getattr(exporter, "export", None)):
        raise TypeError(
            "a meter provider needs an exporter of metrics, or a reader, "
            f"not {checks.shown(exporter)}"
        )
    if isinstance(every_s, bool) or not isinstance(every_s, (int, float)):
        raise TypeError(f"a period must be a number of seconds, not {checks.shown(every_s)}")
    if not 0 < every_s < inf:
        raise ValueError(f"a period must be more than 0 s, and finite, not {every_s!r}")
    return every_s


class _Ours:
    """What is put beside what the SDK has collected.

    :param prefers: the exporter or the reader, which may prefer differences.
    :param collectors: what is collected.
    :param shape: how fine exponential histograms are, how many buckets they may have, and whether
        there are any.
    """

    def __init__(
        self,
        prefers: Any,
        collectors: Iterable[Collector],
        shape: tuple[int, int, bool],
    ) -> None:
        checks.check_limit(shape[0], "scale", *_SCALES)
        checks.check_limit(shape[1], "max_buckets", *_BUCKETS)
        self._shape = shape
        self.streams = _Streams(getattr(prefers, "_preferred_temporality", None) or {})
        self._registry = MetricRegistry()
        for collector in tuple(collectors) or (REGISTRY, ProfilerCollector()):
            self._registry.register(collector)

    def beside(self, data: MetricsData, before: _Streams) -> tuple[MetricsData, _Streams]:
        """Return what the SDK collected with ours beside it, and the streams as they go on.

        :param data: what the SDK collected.
        :param before: the streams as they are.
        """
        found = list(data.resource_metrics)
        streams = before.copy()
        if not found:
            return data, streams
        metrics = points(self._registry.collect(), *self._shape)
        metrics = [streams.continued(metric) for metric in metrics]
        if metrics:
            first = found[0]
            scopes = [*first.scope_metrics, ScopeMetrics(_SCOPE, metrics, "")]
            found[0] = ResourceMetrics(first.resource, scopes, first.schema_url)
        return MetricsData(found), streams

    def read_beside(self, data: MetricsData) -> MetricsData:
        """Return the same, for one that reads by itself: it gets each difference once.

        :param data: what the SDK collected.
        """
        while True:
            before = self.streams.newest()
            made, streams = self.beside(data, before)
            # Another thread may have read in between.
            if before.gone_on_by(streams):
                self.streams = streams
                return made


def _up(options: Any) -> list[Any]:
    from opentelemetry.metrics import Observation

    return [Observation(1)]


class _Streams(Link):
    """What was exported last of each series, and what was exported next.

    :param temporality: of instruments' classes, which one the exporter prefers.
    """

    def __init__(self, temporality: dict[type, AggregationTemporality]) -> None:
        super().__init__()
        self._temporality = temporality
        self._last: dict[tuple[Any, ...], tuple[int, Any]] = {}  # series → start, point

    def copy(self) -> _Streams:
        """Return the same, to go on from."""
        made = _Streams(self._temporality)
        made._last = self._last.copy()
        return made

    def continued(self, metric: Metric) -> Metric:
        """Return a metric as it goes on from the last export: whole, or what was recorded since.

        :param metric: as it is since the process began.
        """
        data = metric.data
        if isinstance(data, Gauge):
            return metric
        instrument = SdkCounter if isinstance(data, Sum) else SdkHistogram
        chosen = self._temporality.get(instrument, _CUMULATIVE)
        made = [self._point(metric.name, point, chosen is _DELTA) for point in data.data_points]
        return replace(metric, data=replace(data, data_points=made, aggregation_temporality=chosen))

    def _point(self, name: str, point: Any, is_delta: bool) -> Any:
        key = (name, type(point), *sorted(point.attributes.items()))
        start, before = self._last.get(key, (_START_NS, None))
        if before is not None and _fell(point, before):
            start, before = before.time_unix_nano, None
        self._last[key] = start, point
        if is_delta and before is not None:
            since = before.time_unix_nano
            return replace(_difference(point, before), start_time_unix_nano=since)
        return replace(point, start_time_unix_nano=start)


def _fell(point: Any, before: Any) -> bool:
    """Return whether a series has begun anew since a point of it."""
    if isinstance(point, NumberDataPoint):
        return bool(point.value < before.value)
    if isinstance(point, HistogramDataPoint):
        return point.explicit_bounds != before.explicit_bounds or any(
            count < earlier
            for count, earlier in zip(point.bucket_counts, before.bucket_counts, strict=True)
        )
    changes = _changes(point, before)
    return point.count < before.count or any(
        count < 0 for side in changes for count in side.values()
    )


def _changes(point: Any, before: Any) -> tuple[dict[int, int], dict[int, int]]:
    """Return by how much each bucket grew, above and below 0, at the coarser of both scales."""
    scale = min(point.scale, before.scale)
    found = []
    for side in ("positive", "negative"):
        counts: dict[int, int] = {}
        for one, sign in ((point, 1), (before, -1)):
            buckets = getattr(one, side)
            for place, count in enumerate(buckets.bucket_counts, buckets.offset):
                if count:
                    wider = place >> (one.scale - scale)
                    counts[wider] = counts.get(wider, 0) + sign * count
        found.append({place: count for place, count in counts.items() if count})
    return found[0], found[1]


def _difference(point: Any, before: Any) -> Any:
    """Return what was recorded since a point of the same series: least and greatest not known."""
    if isinstance(point, NumberDataPoint):
        return replace(point, value=point.value - before.value)
    common = {
        "count": point.count - before.count,
        "sum": point.sum - before.sum,
        "min": None,
        "max": None,
    }
    if isinstance(point, HistogramDataPoint):
        pairs = zip(point.bucket_counts, before.bucket_counts, strict=True)
        return replace(point, bucket_counts=[a - b for a, b in pairs], **common)
    positive, negative = _changes(point, before)
    return replace(
        point,
        scale=min(point.scale, before.scale),
        zero_count=point.zero_count - before.zero_count,
        positive=_dense(positive),
        negative=_dense(negative),
        **common,
    )


def points(
    families: Iterable[Family],
    scale: int = 4,
    max_buckets: int = _MOST_BUCKETS,
    exponential: bool = True,
) -> list[Metric]:
    """Return what collecting gave as metrics of the SDK, cumulative since the process began.

    :param families: what collecting gave.
    :param scale: how fine exponential histograms are.
    :param max_buckets: how many buckets they may have, above and below 0 each: see `Exporter`.
    :param exponential: whether there are any, or the classic buckets of each histogram.
    """
    now = time.time_ns()
    most = max_buckets if exponential else 0
    made = (_metric(family, scale, most, now) for family in families)
    return [one for one in made if one.data.data_points]


def _metric(family: Family, scale: int, most: int, now: int) -> Metric:
    data: Any
    if family.type == "histogram" and family.natives and most:
        exponential = [_exponential(*one, scale, most, now) for one in family.natives]
        data = ExponentialHistogram(exponential, _CUMULATIVE)
    elif family.type == "histogram":
        data = Histogram(_explicit(family, now), _CUMULATIVE)
    else:
        numbers = [
            NumberDataPoint(sample.labels, _START_NS, now, sample.value)
            for sample in family.samples
        ]
        is_sum = family.type == "counter"
        data = Sum(numbers, _CUMULATIVE, True) if is_sum else Gauge(numbers)
    return Metric(family.name, family.documentation, _unit(family.name), data)


def _unit(name: str) -> str:
    return next(
        (unit for ending, unit in (("_seconds", "s"), ("_bytes", "By")) if name.endswith(ending)),
        "1",
    )


def _exponential(
    labels: dict[str, str], native: Native, scale: int, most: int, now: int
) -> ExponentialHistogramDataPoint:
    native = native.coarser(scale)
    while max(map(_width, (native.positive, native.negative))) > most:
        native = native.coarser(native.schema - 1)

    # Ours are counted by their upper bounds, theirs by their lower ones.
    positive, negative = (
        _dense({place - 1: count for place, count in side.items()})
        for side in (native.positive, native.negative)
    )
    return ExponentialHistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=_START_NS,
        time_unix_nano=now,
        count=native.values,
        sum=native.sum,
        scale=native.schema,
        zero_count=native.zero_count,
        positive=positive,
        negative=negative,
        flags=0,
        min=native.least,
        max=native.greatest,
    )


def _dense(buckets: dict[int, int]) -> Buckets:
    if not buckets:
        return Buckets(0, [0])
    first, last = min(buckets), max(buckets)
    return Buckets(first, [buckets.get(place, 0) for place in range(first, last + 1)])


def _width(buckets: dict[int, int]) -> int:
    """Return how many buckets there are from the first to the last."""
    return max(buckets) - min(buckets) + 1 if buckets else 0


def _explicit(family: Family, now: int) -> list[HistogramDataPoint]:
    """Return the series of a histogram of fixed buckets."""
    series: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        one = series.setdefault(
            tuple(labels.items()), {"labels": labels, "bounds": [], "counts": [], "sum": 0.0}
        )
        if "le" in sample.labels:
            one["bounds"].append(float(sample.labels["le"]))
            one["counts"].append(sample.value)
        elif sample.name.endswith("_sum"):
            one["sum"] = sample.value
    found = []
    for key, one in series.items():
        # The exporters leave out what is None: that is not known, or there are no values.
        least, greatest = family.extremes.get(key, (None, None))
        counts = [n - before for before, n in zip([0, *one["counts"]], one["counts"], strict=False)]
        found.append(
            HistogramDataPoint(
                attributes=one["labels"],
                start_time_unix_nano=_START_NS,
                time_unix_nano=now,
                count=sum(counts),
                sum=one["sum"],
                bucket_counts=counts,
                explicit_bounds=one["bounds"][:-1],
                min=least,
                max=greatest,
            )
        )
    return found
