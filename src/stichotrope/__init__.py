"""stichotrope: times the blocks of a program that its author chose to name, on all threads.

PYTEST_DONT_REWRITE: pytest, whose plugin this package has, finds no assertions in it to rewrite.
"""

from __future__ import annotations

from ._text.format import format_time_ns
from ._version import __version__
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
from .profiler import BEFORE_FIRST, Profiler, is_global_enabled, set_global_enabled
from .report import export_html, print_results
from .results import ProfileBlock, ProfilerResults, ProfileTrack, ResultsFormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._default import profile
    from ._log import profile_function

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
]

# Names that only some programs need: their modules are imported when they are asked for.
_LATER = ("load_ipython_extension", "profile", "profile_function", "unload_ipython_extension")


def _teach_libraries() -> None:
    from . import _taught

    _taught.watch()


BEFORE_FIRST.append(_teach_libraries)


def __getattr__(name: str) -> object:
    value: object
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    if name == "profile":
        from ._default import profile as value
    elif name == "profile_function":
        from ._log import profile_function as value
    else:
        from .integrations import ipython

        value = getattr(ipython, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
