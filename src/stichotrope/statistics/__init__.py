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
from ._history import (
    KEPT,
    HistoryChange,
    HistoryEntry,
    add_to_history,
    changes,
    comparable,
    entry_of,
    load_history,
)
from ._pairs import MARGIN, compare_pairs, pairs_needed
from ._runs import METRICS, Run, Runs, load_runs
from .samples import (
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
    "KEPT",
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
    "HistoryChange",
    "HistoryEntry",
    "LoneBlock",
    "PathCount",
    "Run",
    "Runs",
    "add_to_history",
    "bootstrap_interval",
    "changes",
    "comparable",
    "compare",
    "compare_pairs",
    "differing",
    "entry_of",
    "holm",
    "load_history",
    "load_runs",
    "mean_interval",
    "median_interval",
    "outliers",
    "pairs_needed",
    "quantile_interval",
    "tukey_fences",
]
