"""Counters, gauges and histograms on the profiler's core: recorded per thread, without a lock.

What is counted or observed is exact, however many threads do it, and there when a thread has ended.
"""

from __future__ import annotations

from .buckets import DEFAULT_BUCKETS
from .metric import Counter, Gauge, Histogram
from .registry import REGISTRY, MetricRegistry
from .samples import Exemplar, Family, Sample
from .timer import Timer

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
    "Timer",
]
