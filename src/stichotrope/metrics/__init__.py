"""Counters, gauges and histograms on the profiler's core: recorded per thread, without a lock.

What is counted or observed is exact, however many threads do it, and there when a thread has ended.
"""

from __future__ import annotations

from .buckets import DEFAULT_BUCKETS
from .metric import Counter, Gauge, Histogram
from .registry import REGISTRY, MetricRegistry
from .samples import Exemplar, Family, Sample
from .timer import Timer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .shared import SharedCollector, share_metrics

__all__ = [
    "DEFAULT_BUCKETS",
    "REGISTRY",
    "Counter",
    "Exemplar",
    "Family",
    "Gauge",
    "Histogram",
    "MetricRegistry",
    "Sample",
    "SharedCollector",
    "Timer",
    "share_metrics",
]


def __getattr__(name: str) -> object:
    # Programs of one process do not need it.
    if name in ("SharedCollector", "share_metrics"):
        from . import shared

        return getattr(shared, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
