"""Metrics, spans and ranges: made for another viewer, and used to time functions and blocks too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers._peer import CALL, EVENTS, INLINE, NO, YES, Peer, Reading, Records


class _Prometheus(Peer):
    package = "prometheus_client"
    documentation = "https://prometheus.github.io/client_python/instrumenting/"
    metric = "Summary"
    records = Records(YES, YES, threads="added up")

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        import prometheus_client

        self.registry = prometheus_client.CollectorRegistry()
        made = getattr(prometheus_client, self.metric)
        self.kept = made("peer", "what is timed", registry=self.registry)

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        wrapped: Callable[..., Any] = self.kept.time()(function)
        return wrapped

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"metric": self.kept}

    def read(self) -> Reading:
        """See `Peer.read`."""
        count, total = (self.registry.get_sample_value(f"peer_{what}") for what in ("count", "sum"))
        return Reading(int(count or 0), 1e9 * (total or 0))


class SummaryCall(_Prometheus):
    """A summary's decorator."""

    name = "prometheus_client, Summary"
    form = CALL
    usage = "@SUMMARY.time()"


class HistogramCall(_Prometheus):
    """A histogram's decorator."""

    name = "prometheus_client, Histogram"
    form = CALL
    usage = "@HISTOGRAM.time()"
    metric = "Histogram"
    records = Records(YES, YES, percentiles="by buckets", threads="added up")


class SummaryBlock(_Prometheus):
    """A summary's block."""

    name = "prometheus_client, Summary block"
    form = INLINE
    usage = "with SUMMARY.time():"
    enters = "metric.time()"


class HistogramBlock(HistogramCall):
    """A histogram's block."""

    name = "prometheus_client, Histogram block"
    form = INLINE
    usage = "with HISTOGRAM.time():"
    enters = "metric.time()"


class _OpenTelemetry(Peer):
    package = "opentelemetry-sdk"
    documentation = "https://opentelemetry.io/docs/languages/python/instrumentation/"
    records = Records(EVENTS, EVENTS, EVENTS, EVENTS, EVENTS, YES, YES)
    note = "spans that stay in memory"
    exported = True

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.spans = InMemorySpanExporter()
        provider = TracerProvider()
        if self.exported:
            provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.tracer = provider.get_tracer("peers")

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        wrapped: Callable[..., Any] = self.tracer.start_as_current_span("call")(function)
        return wrapped

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"tracer": self.tracer}

    def read(self) -> Reading | None:
        """See `Peer.read`."""
        if not self.exported:
            return None
        spans = self.spans.get_finished_spans()
        taken = [(span.end_time or 0) - (span.start_time or 0) for span in spans]
        return Reading(len(spans), sum(taken))

    def reset(self) -> None:
        """See `Peer.reset`."""
        self.spans.clear()


class SpanCall(_OpenTelemetry):
    """The decorator; spans stay in memory."""

    name = "OpenTelemetry, span"
    form = CALL
    usage = '@tracer.start_as_current_span("price")'


class SpanBlock(_OpenTelemetry):
    """The block; spans stay in memory."""

    name = "OpenTelemetry, span block"
    form = INLINE
    usage = 'with tracer.start_as_current_span("query"):'
    enters = 'tracer.start_as_current_span("block")'


class SpanUnexported(SpanCall):
    """The decorator, of spans that go nowhere."""

    name = "OpenTelemetry, span, no exporter"
    note = "spans that nobody gets"
    records = Records(NO, NO)
    exported = False


class _Nvtx(Peer):
    package = "nvtx"
    note = "keeps nothing: what a viewer would see costs more"
    documentation = "https://nvtx.readthedocs.io/en/latest/basic.html"
    records = Records(NO, NO)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        import nvtx

        self.nvtx = nvtx


class NvtxCall(_Nvtx):
    """The decorator, with no viewer attached."""

    name = "nvtx, decorator, no viewer"
    form = CALL
    usage = "@nvtx.annotate()"

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        wrapped: Callable[..., Any] = self.nvtx.annotate()(function)
        return wrapped


class NvtxBlock(_Nvtx):
    """The block, with no viewer attached."""

    name = "nvtx, block, no viewer"
    form = INLINE
    usage = 'with nvtx.annotate("query"):'
    enters = 'nvtx.annotate("inline")'

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"nvtx": self.nvtx}


TELEMETRY: tuple[type[Peer], ...] = (
    SummaryCall,
    HistogramCall,
    SummaryBlock,
    HistogramBlock,
    SpanCall,
    SpanBlock,
    SpanUnexported,
    NvtxCall,
    NvtxBlock,
)
