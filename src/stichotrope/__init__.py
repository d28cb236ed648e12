"""stichotrope: times the blocks of a program that its author chose to name, on all threads.

PYTEST_DONT_REWRITE: pytest, whose plugin this package has, finds no assertions in it to rewrite.
"""

from __future__ import annotations

from ._text.format import format_time_ns
from ._version import __version__
from .profiler import BEFORE_FIRST, Profiler, is_global_enabled, set_global_enabled
from .results import ProfileBlock, ProfilerResults, ProfileTrack, ResultsFormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._default import profile
    from ._log import profile_function
    from .export import (
        export_chrome,
        export_collapsed,
        export_csv,
        export_json,
        export_perfetto,
        export_pprof,
        export_pstats,
        export_speedscope,
    )
    from .integrations.prometheus import start_metrics_server
    from .report import export_html, print_results

__all__ = [
    "ProfileBlock",
    "ProfileTrack",
    "Profiler",
    "ProfilerResults",
    "ResultsFormatError",
    "__version__",
    "export_chrome",
    "export_collapsed",
    "export_csv",
    "export_html",
    "export_json",
    "export_perfetto",
    "export_pprof",
    "export_pstats",
    "export_speedscope",
    "format_time_ns",
    "is_global_enabled",
    "print_results",
    "profile",
    "profile_function",
    "set_global_enabled",
    "start_metrics_server",
]

# What a program needs later, or never: the modules of these are imported when they are asked for.
_EXPORTS = tuple(name for name in __all__ if name.startswith("export_") and name != "export_html")
_REPORTS = ("export_html", "print_results")
_EXTENSION = ("load_ipython_extension", "unload_ipython_extension")
_LATER = (*_EXPORTS, *_REPORTS, *_EXTENSION, "profile", "profile_function", "start_metrics_server")


def _teach_libraries() -> None:
    from . import _taught

    _taught.watch()


BEFORE_FIRST.append(_teach_libraries)


def __getattr__(name: str) -> object:
    room: Any
    if name in _EXPORTS:
        from . import export as room
    elif name in _REPORTS:
        from . import report as room
    elif name in _EXTENSION:
        from .integrations import ipython as room
    elif name == "profile":
        from . import _default as room
    elif name == "profile_function":
        from . import _log as room
    elif name == "start_metrics_server":
        from .integrations import prometheus as room
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    value: object = getattr(room, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
