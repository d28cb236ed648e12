"""Statistics of timings: intervals, outliers, and comparisons of two versions of a program.

All but `bootstrap_interval` works without further packages, and gives the same figures whatever is
installed.
"""

from __future__ import annotations

from ._comparison import (
    FASTER,
    NO_DIFFERENCE,
    PAIRS,
    PASSES,
    RUNS,
    SLOWER,
    THRESHOLDS,
    TOO_LITTLE,
    VERDICTS,
    BlockComparison,
    Comparison,
    LoneBlock,
    compare,
    differing,
)
from ._counts import PathCount
from ._pairs import MARGIN, compare_pairs, pairs_needed
from ._runs import METRICS, Run, Runs, load_runs
from ._samples import (
    bootstrap_interval,
    holm,
    mean_interval,
    median_interval,
    outliers,
    quantile_interval,
    tukey_fences,
)

__all__ = [
    "FASTER",
    "MARGIN",
    "METRICS",
    "NO_DIFFERENCE",
    "PAIRS",
    "PASSES",
    "RUNS",
    "SLOWER",
    "THRESHOLDS",
    "TOO_LITTLE",
    "VERDICTS",
    "BlockComparison",
    "Comparison",
    "LoneBlock",
    "PathCount",
    "Run",
    "Runs",
    "bootstrap_interval",
    "compare",
    "compare_pairs",
    "differing",
    "holm",
    "load_runs",
    "mean_interval",
    "median_interval",
    "outliers",
    "pairs_needed",
    "quantile_interval",
    "tukey_fences",
]
