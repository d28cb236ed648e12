"""stichotrope: times the blocks of a program that its author chose to name, on all threads."""

from __future__ import annotations

from ._format import format_time_ns
from ._version import __version__
from .export import export_csv, export_json
from .profiler import Profiler, is_global_enabled, set_global_enabled
from .report import print_results
from .results import ProfileBlock, ProfilerResults, ProfileTrack, ResultsFormatError

__all__ = [
    "ProfileBlock",
    "ProfileTrack",
    "Profiler",
    "ProfilerResults",
    "ResultsFormatError",
    "__version__",
    "export_csv",
    "export_json",
    "format_time_ns",
    "is_global_enabled",
    "print_results",
    "set_global_enabled",
]
