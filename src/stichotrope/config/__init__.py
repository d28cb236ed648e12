"""Settings: from arguments, the environment and a TOML file, checked and read when asked for."""

from __future__ import annotations

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
