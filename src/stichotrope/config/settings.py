"""Settings: from arguments, the environment and a file, checked and read when asked for."""

from __future__ import annotations

import os
from types import MappingProxyType

from .._text.columns import PRINTED, SORTS
from . import checks, kinds
from .file import chosen, found, place_of
from .kinds import ConfigError, TrackSettings

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, NoReturn

    from .._text.files import StrPath

PREFIX = "STICHOTROPE_"
FILE_VARIABLE = "STICHOTROPE_CONFIG"

# Variables that are no settings: of the build, the tests and the benchmarks, and what
# `stichotrope run` tells the processes that its program starts.
_OTHER_VARIABLES = ("COVERAGE", "DEBUG", "DIST", "SANITIZE", "SPEEDSCOPE", "WORKLOAD")
_OTHER_PREFIXES = ("TEST_", "RUN_")

FORMATS = PRINTED


def _clocks() -> Iterable[str]:
    from .clock import CHOICES

    return CHOICES


def _signals() -> Iterable[str]:
    """Return the names of the signals that a program may be sent for a purpose of its own."""
    import signal

    taken = ("SIGKILL", "SIGSTOP", "SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS", "SIGABRT")
    names = (one.name for one in signal.Signals)
    return ["SIGUSR2", *(name for name in names if name != "SIGUSR2" and name not in taken)]


class _Setting:
    """One setting.

    :param kind: what it can be.
    :param default: its value when nothing is said.
    :param variable: its environment variable, unless it is called as the setting is.
    """

    __slots__ = ("default", "kind", "variable")

    def __init__(self, kind: kinds.Kind, default: Any = None, variable: str | None = None) -> None:
        self.kind = kind
        self.default = default
        self.variable = variable


_SETTINGS: dict[str, _Setting] = {
    "enabled": _Setting(kinds.Switch(), True),
    "name": _Setting(kinds.Text()),
    "tracks": _Setting(kinds.Tracks(), {}),
    "clock": _Setting(kinds.Choice(_clocks)),
    "cpu": _Setting(kinds.Switch(), False),
    "targets": _Setting(kinds.Texts(), ()),
    "output": _Setting(kinds.Path()),
    "format": _Setting(kinds.Choice(lambda: FORMATS), "table"),
    "sort": _Setting(kinds.Choice(lambda: SORTS), "total"),
    "limit": _Setting(kinds.Count(1)),
    "report_at_exit": _Setting(kinds.Switch(), False, PREFIX + "REPORT"),
    "store": _Setting(kinds.Path()),
    "store_limit_bytes": _Setting(kinds.Count(*checks.STORE_LIMIT_BYTES)),
    "gather": _Setting(kinds.Path()),
    "gather_period_s": _Setting(kinds.Seconds(), 1.0),
    "gather_anew": _Setting(kinds.Switch(), False),
    "retain_threads": _Setting(kinds.Count(*checks.RETAIN_THREADS)),
    "max_nodes": _Setting(kinds.Count(*checks.MAX_NODES)),
    "max_blocks": _Setting(kinds.Count(*checks.MAX_BLOCKS)),
    "timeline": _Setting(kinds.Count(*checks.TIMELINE)),
    "dump_to": _Setting(kinds.Path()),
    "dump_signal": _Setting(kinds.Choice(_signals), "SIGUSR2"),
}

_VARIABLES = {setting.variable or PREFIX + key.upper(): key for key, setting in _SETTINGS.items()}


class Settings:
    """All settings, each from whoever has the last word: see `load`. They cannot be changed.

    :ivar enabled: whether a profiler records from the start; if not, `Profiler.start` makes it.
    :ivar name: what a profiler is called to which the program gives no name, or None.
    :ivar tracks: track index or name → `TrackSettings`. By index a track gets a name, a switch, or
        both; by name a switch, which acts when the program makes that track.
    :ivar clock: "counter" or "monotonic"; None leaves the choice to what the machine offers.
    :ivar cpu: whether passes take processor time, too; see `Profiler`.
    :ivar targets: patterns of the functions to track without marks, such as "shop.orders:*".
    :ivar output: the file that results are saved in at the end, or None.
    :ivar format: the form of a printed report: "table" or "tree".
    :ivar sort: what a report is sorted by; see `print_results`.
    :ivar limit: how many blocks a report shows of each track; None for all.
    :ivar report_at_exit: whether the default profiler prints its report when the program ends.
    :ivar store: the directory in which profilers keep what they record in mapped files, or None.
    :ivar store_limit_bytes: how large such a directory may become; None for the default of
        `Profiler`.
    :ivar gather: the directory that each process keeps its results in, or None; see
        `Profiler.gather`.
    :ivar gather_period_s: the time between these writes in seconds. Where nobody gave it, they are
        made on the way only where no file can be mapped.
    :ivar gather_anew: whether what earlier runs have left there is removed first.
    :ivar retain_threads: how many ended threads keep a line of their own; None for the default of
        `Profiler`.
    :ivar max_nodes: how large each thread's call tree may grow; None for the default of `Profiler`.
    :ivar max_blocks: how many blocks there may be; None for the default of `Profiler`.
    :ivar timeline: how many of its newest passes each thread keeps one by one; None for none.
    :ivar dump_to: the directory that the last seconds of the timeline are written to whenever a
        signal comes, or None; see `Profiler.dump_on_signal`.
    :ivar dump_signal: the name of that signal.
    :ivar source: the file that was read, or None.
    :ivar origins: the name of each setting that somebody gave → who: "argument", the name of an
        environment variable, or the path of the file.
    """

    __slots__ = (*_SETTINGS, "origins", "source")

    enabled: bool
    name: str | None
    tracks: Mapping[int | str, TrackSettings]
    clock: str | None
    cpu: bool
    targets: tuple[str, ...]
    output: str | None
    format: str
    sort: str
    limit: int | None
    report_at_exit: bool
    store: str | None
    store_limit_bytes: int | None
    gather: str | None
    gather_period_s: float
    gather_anew: bool
    retain_threads: int | None
    max_nodes: int | None
    max_blocks: int | None
    timeline: int | None
    dump_to: str | None
    dump_signal: str
    source: str | None
    origins: Mapping[str, str]

    def __init__(self, values: dict[str, Any], source: str | None, origins: dict[str, str]) -> None:
        for key in _SETTINGS:
            object.__setattr__(self, key, values[key])
        object.__setattr__(self, "tracks", MappingProxyType(dict(self.tracks)))
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "origins", MappingProxyType(dict(origins)))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"settings are frozen; load them again with {name}=… instead")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"settings are frozen; {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        return all(getattr(self, key) == getattr(other, key) for key in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # of mappings

    def __repr__(self) -> str:
        given = (f"{key}={getattr(self, key)!r}" for key in _SETTINGS if key in self.origins)
        return f"<Settings {', '.join(given) or 'by default'}>"

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as what JSON can hold, without where they come from."""
        values = {key: getattr(self, key) for key in _SETTINGS}
        values["targets"] = list(self.targets)
        values["tracks"] = {
            str(key): {"name": track.name, "enabled": track.enabled}
            for key, track in self.tracks.items()
        }
        return values


_WARNED: set[str] = set()  # variables of the process that were told to be unknown, or known


def load(
    path: StrPath | None = None, environ: Mapping[str, str] | None = None, **programmatic: Any
) -> Settings:
    """Return the settings of this program.

    A keyword counts more than the environment, the environment more than the file, and the file
    more than the defaults; of ``tracks``, each part of each track by itself. Nothing is kept: each
    call reads anew.

    The file is the one given, else the one that ``STICHOTROPE_CONFIG`` names, else the one that
    `find` finds. Its paths are meant from the directory that it is in, others from the working
    directory. A variable is called ``STICHOTROPE_`` and the setting's name in capitals, except
    ``STICHOTROPE_REPORT`` for ``report_at_exit``; an empty one is as good as none.

    :param path: the file: ``pyproject.toml`` with a table ``[tool.stichotrope]``, or one of any
        other name that holds settings only, such as ``os.devnull`` for none.
    :param environ: the environment, by default that of the process.
    :param programmatic: settings by name; None stands for one that is not given.
    :raises ConfigError: for a setting that is unknown or has a wrong value, with the place where it
        stands; for a file that cannot be read, or is no TOML.
    :warns UserWarning: for a variable that begins with ``STICHOTROPE_`` and is unknown: it may
        belong to another version.
    """
    variables = os.environ if environ is None else environ
    given = path if path is not None else variables.get(FILE_VARIABLE) or None
    source, table = found(None) if given is None else chosen(given)
    values = {key: setting.default for key, setting in _SETTINGS.items()}
    origins: dict[str, str] = {}
    if source is not None:
        _add_file(source, table, values, origins)
    _add_environment(variables, values, origins)
    _add_arguments(programmatic, values, origins)
    values["tracks"] = _finished_tracks(values["tracks"], origins)
    return Settings(values, source, origins)


def is_in_environment(key: str) -> bool:
    """Return whether the environment says anything of one setting.

    :param key: the setting.
    """
    return bool(os.environ.get(_variable(key)))


def _variable(key: str) -> str:
    return _SETTINGS[key].variable or PREFIX + key.upper()


def from_environment(key: str) -> Any:
    """Return what the environment says of one setting, or its default.

    :param key: the setting.
    :raises ConfigError: when it is a wrong value.
    """
    setting = _SETTINGS[key]
    variable = _variable(key)
    text = os.environ.get(variable, "")
    if not text:
        return setting.default
    try:
        return setting.kind.added(setting.kind.read(text), setting.default)
    except kinds.WrongError as error:
        raise ConfigError(f"the variable {variable} {error}") from None


def _add_file(
    path: str, table: dict[str, Any], values: dict[str, Any], origins: dict[str, str]
) -> None:
    for key, value in table.items():
        setting = _SETTINGS.get(key)
        if setting is None:
            raise ConfigError(
                f"{place_of(path, (key,))}: {kinds.unknown(key, _SETTINGS, 'setting')}"
            )
        try:
            checked = setting.kind.checked(value, os.path.dirname(path))
        except kinds.WrongError as error:
            where = (key, *error.key)
            raise ConfigError(f"{place_of(path, where)}: {'.'.join(where)} {error}") from None
        values[key] = setting.kind.added(checked, values[key])
        origins[key] = path


def _add_environment(
    environ: Mapping[str, str], values: dict[str, Any], origins: dict[str, str]
) -> None:
    for variable, key in _VARIABLES.items():
        text = environ.get(variable, "")
        if not text:
            continue
        kind = _SETTINGS[key].kind
        try:
            values[key] = kind.added(kind.read(text), values[key])
        except kinds.WrongError as error:
            inner = f": {'.'.join(error.key)}" if error.key else ""
            raise ConfigError(f"the variable {variable}{inner} {error}") from None
        origins[key] = variable
    for variable in environ:
        if variable.startswith(PREFIX) and variable not in _WARNED:
            if environ is os.environ:  # which is read by each that needs settings: once is enough
                _WARNED.add(variable)
            _warn_if_unknown(variable)


def _warn_if_unknown(variable: str) -> None:
    rest = variable[len(PREFIX) :]
    if variable in _VARIABLES or variable == FILE_VARIABLE or rest in _OTHER_VARIABLES:
        return
    if rest.startswith(_OTHER_PREFIXES):
        return
    from warnings import warn

    known = [*_VARIABLES, FILE_VARIABLE]
    warn(f"the environment has an {kinds.unknown(variable, known, 'variable')}", stacklevel=4)


def _add_arguments(
    programmatic: dict[str, Any], values: dict[str, Any], origins: dict[str, str]
) -> None:
    for key, value in programmatic.items():
        setting = _SETTINGS.get(key)
        if setting is None:
            raise ConfigError(kinds.unknown(key, _SETTINGS, "setting"))
        if value is None:
            continue
        try:
            checked = setting.kind.checked(value, None)
        except kinds.WrongError as error:
            raise ConfigError(f"{'.'.join((key, *error.key))} {error}") from None
        values[key] = setting.kind.added(checked, values[key])
        origins[key] = "argument"


def _finished_tracks(
    said: dict[int | str, dict[str, Any]], origins: dict[str, str]
) -> dict[int | str, TrackSettings]:
    """Return the tracks, when no two of them have one name."""
    holders: dict[str, int | str] = {}
    for key, parts in said.items():
        name = parts.get("name")
        if name is not None and holders.setdefault(name, key) != key:
            raise ConfigError(
                f"tracks {holders[name]} and {key} are both called {name!r} "
                f"({origins['tracks']}); names of tracks must differ"
            )
    return {key: TrackSettings(**parts) for key, parts in said.items()}
