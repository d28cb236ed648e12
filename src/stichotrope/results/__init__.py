"""What a profiler measured, in integer nanoseconds: blocks, tracks, threads, the call tree.

Results are plain Python: they compare, pickle, copy, merge, and can be saved and loaded. What does
the last three is imported when it is first asked for.
"""

from __future__ import annotations

from .model import (
    FORMAT,
    FORMAT_VERSION,
    GATHERED_SUFFIX,
    OTHER_BLOCKS,
    OTHER_KINDS,
    OTHER_PATHS,
    OVERHEAD_FACTOR,
    WAITING_FACTOR,
    CallNode,
    Figures,
    ProcessorTime,
    ProcessResults,
    ProfileBlock,
    ProfilerResults,
    ProfileTrack,
    ThreadResults,
    default_track_name,
    is_mostly_overhead,
    is_waiting_unsure,
    results_of,
)
from .plain import ResultsFormatError
from .record import Record

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "GATHERED_SUFFIX",
    "OTHER_BLOCKS",
    "OTHER_KINDS",
    "OTHER_PATHS",
    "OVERHEAD_FACTOR",
    "WAITING_FACTOR",
    "CallNode",
    "Figures",
    "ProcessResults",
    "ProcessorTime",
    "ProfileBlock",
    "ProfileTrack",
    "ProfilerResults",
    "Record",
    "ResultsFormatError",
    "ThreadResults",
    "default_track_name",
    "is_mostly_overhead",
    "is_waiting_unsure",
    "results_of",
]
