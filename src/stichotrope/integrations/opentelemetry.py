"""Metrics and blocks by OpenTelemetry: through its SDK, to whatever it exports to.

The SDK has no histogram that is observed rather than recorded into, so data points are made here,
and added to what its own instruments gave when that is exported. Log-linear histograms become
exponential ones: each of our buckets goes where its middle is. At scale 5 that is off by 4.2 % at
most, at scale 4 by 5.3 %; count and sum are exact, and so are least and greatest.
"""

from __future__ import annotations

import time

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
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

    :param exporter: any exporter of the SDK, OTLP's for example.
    :param collectors: what is added; by default `stichotrope.metrics.REGISTRY` and all profilers.
    :param scale: how fine exponential histograms are: each power of two has ``2 ** scale`` buckets.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when the scale is not from 0 to 5.
    """

    def __init__(
        self, exporter: Any, collectors: Iterable[Collector] = (), *, scale: int = 4
    ) -> None:
        checks.check_limit(scale, "scale", *_SCALES)
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,
            preferred_aggregation=exporter._preferred_aggregation,
        )
        self._exporter = exporter
        self._scale = scale
        self._registry = MetricRegistry()
        for collector in tuple(collectors) or (REGISTRY, ProfilerCollector()):
            self._registry.register(collector)

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **options: Any
    ) -> MetricExportResult:
        """Export what the SDK gives, and what is collected now."""
        found = list(metrics_data.resource_metrics)
        metrics = points(self._registry.collect(), self._scale)
        if metrics and found:
            first = found[0]
            scopes = [*first.scope_metrics, ScopeMetrics(_SCOPE, metrics, "")]
            found[0] = ResourceMetrics(first.resource, scopes, first.schema_url)
        return self._exporter.export(MetricsData(found), timeout_millis=timeout_millis, **options)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Have the exporter send what it still holds."""
        return bool(self._exporter.force_flush(timeout_millis))

    def shutdown(self, timeout_millis: float = 30_000, **options: Any) -> None:
        """End the exporter."""
        self._exporter.shutdown(timeout_millis=timeout_millis, **options)


def meter_provider(
    exporter: Any,
    collectors: Iterable[Collector] = (),
    *,
    every_s: float = 60.0,
    scale: int = 4,
    **options: Any,
) -> MeterProvider:
    """Return a meter provider that exports metrics and blocks from time to time.

    :param exporter: any exporter of the SDK, OTLP's for example.
    :param collectors: what is exported beside the provider's own instruments; by default
        `stichotrope.metrics.REGISTRY` and all profilers.
    :param every_s: the period in seconds.
    :param scale: see `Exporter`.
    :param options: those of the provider: ``resource`` for one.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when a figure makes no sense.
    """
    reader = PeriodicExportingMetricReader(
        Exporter(exporter, collectors, scale=scale), export_interval_millis=every_s * 1000
    )
    provider = MeterProvider(metric_readers=[reader], **options)
    # Without any instrument the SDK exports nothing, and asks nobody.
    provider.get_meter("stichotrope", __version__).create_observable_gauge(
        "stichotrope.up", [_up], description="1: it is asked."
    )
    return provider


def _up(options: Any) -> list[Any]:
    from opentelemetry.metrics import Observation

    return [Observation(1)]


def points(families: Iterable[Family], scale: int = 4) -> list[Metric]:
    """Return what collecting gave as metrics of the SDK, cumulative since the process began.

    :param families: what collecting gave.
    :param scale: how fine exponential histograms are.
    """
    now = time.time_ns()
    made = (_metric(family, scale, now) for family in families)
    return [one for one in made if one.data.data_points]


def _metric(family: Family, scale: int, now: int) -> Metric:
    data: Any
    if family.type == "histogram" and family.natives:
        exponential = [_exponential(*one, scale, now) for one in family.natives]
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
    labels: dict[str, str], native: Native, scale: int, now: int
) -> ExponentialHistogramDataPoint:
    from opentelemetry.sdk.metrics.export import Buckets

    native = native.coarser(scale)

    def dense(buckets: dict[int, int]) -> Any:
        if not buckets:
            return Buckets(0, [0])
        first, last = min(buckets), max(buckets)
        # Ours are counted by their upper bounds, theirs by their lower ones.
        return Buckets(first - 1, [buckets.get(place, 0) for place in range(first, last + 1)])

    return ExponentialHistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=_START_NS,
        time_unix_nano=now,
        count=native.values,
        sum=native.sum,
        scale=native.schema,
        zero_count=native.zero_count,
        positive=dense(native.positive),
        negative=dense(native.negative),
        flags=0,
        min=native.least,
        max=native.greatest,
    )


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
