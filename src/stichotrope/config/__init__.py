"""Settings: from arguments, the environment and a TOML file, checked and read when asked for."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from .apply import configured
    from .file import FILE, SHARED_FILE, TABLE, find
    from .kinds import ConfigError, TrackSettings
    from .settings import FILE_VARIABLE, FORMATS, PREFIX, Settings, load

__all__ = [
    "FILE",
    "FILE_VARIABLE",
    "FORMATS",
    "PREFIX",
    "SHARED_FILE",
    "TABLE",
    "ConfigError",
    "Settings",
    "TrackSettings",
    "configured",
    "find",
    "load",
]


def __getattr__(name: str) -> object:
    # Every program needs `clock` and `checks`, few the rest: that is imported when asked for.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    from . import apply, file, kinds, settings

    for module in (kinds, file, settings, apply):
        found = vars(module)
        globals().update({known: found[known] for known in __all__ if known in found})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
