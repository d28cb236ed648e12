"""Settings: from arguments, the environment and a TOML file, checked and read when asked for."""

from __future__ import annotations

import os
from types import MappingProxyType

from . import _checks, _kinds
from ._files import read_whole
from ._kinds import TrackSettings

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, NoReturn, Protocol, TypeVar

    from ._files import StrPath

    class _Profiler(Protocol):
        """What is set up of a profiler, which lies upstream."""

        def set_track_name(self, track: int, name: str) -> None: ...
        def set_track_enabled(self, track: int | str, enabled: bool) -> None: ...
        def _switch_off_when_made(self, tracks: Iterable[str]) -> None: ...
        def stop(self) -> None: ...
        def gather(self, directory: StrPath | None = None, *, period_s: float = 1.0) -> bool: ...

    P = TypeVar("P", bound=_Profiler)

FILE = "stichotrope.toml"
SHARED_FILE = "pyproject.toml"
TABLE = "stichotrope"  # of [tool] in the shared file

PREFIX = "STICHOTROPE_"
FILE_VARIABLE = "STICHOTROPE_CONFIG"

# Variables that are no settings: of the build, the tests and the benchmarks, and what
# `stichotrope run` tells the processes that its program starts.
_OTHER_VARIABLES = ("COVERAGE", "DEBUG", "DIST", "SANITIZE", "SPEEDSCOPE", "WORKLOAD")
_OTHER_PREFIXES = ("TEST_", "RUN_")

FORMATS = ("table", "tree")


class ConfigError(ValueError):
    """A setting that is unknown or makes no sense, or a file of settings that cannot be read."""


def _sorts() -> Iterable[str]:
    from .report.console import SORTS

    return SORTS


def _clocks() -> Iterable[str]:
    from ._clock import CHOICES

    return CHOICES


class _Setting:
    """One setting.

    :param kind: what it can be.
    :param default: its value when nothing is said.
    :param variable: its environment variable, unless it is called as the setting is.
    """

    __slots__ = ("default", "kind", "variable")

    def __init__(self, kind: _kinds.Kind, default: Any = None, variable: str | None = None) -> None:
        self.kind = kind
        self.default = default
        self.variable = variable


_SETTINGS: dict[str, _Setting] = {
    "enabled": _Setting(_kinds.Switch(), True),
    "name": _Setting(_kinds.Text()),
    "tracks": _Setting(_kinds.Tracks(), {}),
    "clock": _Setting(_kinds.Choice(_clocks)),
    "targets": _Setting(_kinds.Texts(), ()),
    "output": _Setting(_kinds.Path()),
    "format": _Setting(_kinds.Choice(lambda: FORMATS), "table"),
    "sort": _Setting(_kinds.Choice(_sorts), "total"),
    "limit": _Setting(_kinds.Count(1)),
    "report_at_exit": _Setting(_kinds.Switch(), False, PREFIX + "REPORT"),
    "gather": _Setting(_kinds.Path()),
    "gather_period_s": _Setting(_kinds.Seconds(), 1.0),
    "retain_threads": _Setting(_kinds.Count(*_checks.RETAIN_THREADS)),
    "max_nodes": _Setting(_kinds.Count(*_checks.MAX_NODES)),
}

_VARIABLES = {setting.variable or PREFIX + key.upper(): key for key, setting in _SETTINGS.items()}


class Settings:
    """All settings, each from whoever has the last word: see `load`. They cannot be changed.

    :ivar enabled: whether a profiler records from the start; if not, `Profiler.start` makes it.
    :ivar name: what a profiler is called to which the program gives no name, or None.
    :ivar tracks: track index or name → `TrackSettings`. By index a track gets a name, a switch, or
        both; by name a switch, which acts when the program makes that track.
    :ivar clock: "counter" or "monotonic"; None leaves the choice to what the machine offers.
    :ivar targets: patterns of the functions to track without marks, such as "shop.orders:*".
    :ivar output: the file that results are saved in at the end, or None.
    :ivar format: the form of a printed report: "table" or "tree".
    :ivar sort: what a report is sorted by; see `print_results`.
    :ivar limit: how many blocks a report shows of each track; None for all.
    :ivar report_at_exit: whether the default profiler prints its report when the program ends.
    :ivar gather: the directory that each process keeps its results in, or None; see
        `Profiler.gather`.
    :ivar gather_period_s: the time between these writes in seconds.
    :ivar retain_threads: how many ended threads keep a line of their own; None for the default of
        `Profiler`.
    :ivar max_nodes: how large each thread's call tree may grow; None for the default of `Profiler`.
    :ivar source: the file that was read, or None.
    :ivar origins: the name of each setting that somebody gave → who: "argument", the name of an
        environment variable, or the path of the file.
    """

    __slots__ = (*_SETTINGS, "origins", "source")

    enabled: bool
    name: str | None
    tracks: Mapping[int | str, TrackSettings]
    clock: str | None
    targets: tuple[str, ...]
    output: str | None
    format: str
    sort: str
    limit: int | None
    report_at_exit: bool
    gather: str | None
    gather_period_s: float
    retain_threads: int | None
    max_nodes: int | None
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
    chosen = path if path is not None else variables.get(FILE_VARIABLE) or None
    source, table = _found(None) if chosen is None else _chosen(chosen)
    values = {key: setting.default for key, setting in _SETTINGS.items()}
    origins: dict[str, str] = {}
    if source is not None:
        _add_file(source, table, values, origins)
    _add_environment(variables, values, origins)
    _add_arguments(programmatic, values, origins)
    values["tracks"] = _finished_tracks(values["tracks"], origins)
    return Settings(values, source, origins)


def find(start: StrPath | None = None) -> str | None:
    """Return the path of the file of settings, or None where there is none.

    It is looked for in a directory and in those above: ``stichotrope.toml``, or else a
    ``pyproject.toml`` with a table ``[tool.stichotrope]``. The nearest counts, alone.

    :param start: the directory to begin with, by default the working directory.
    :raises ConfigError: when a ``pyproject.toml`` that seems to have the table is no TOML.
    """
    return _found(start)[0]


# The file


def _found(start: StrPath | None) -> tuple[str | None, dict[str, Any]]:
    """Return the path of the nearest file, and what it says."""
    try:
        folder = os.path.abspath(os.getcwd() if start is None else os.fspath(start))
    except FileNotFoundError:  # the working directory was removed
        return None, {}
    while True:
        own, shared = os.path.join(folder, FILE), os.path.join(folder, SHARED_FILE)
        if os.path.isfile(own):
            return own, _parsed(own)
        table = _shared(shared) if os.path.isfile(shared) and _may_have_table(shared) else None
        if table is not None:
            return shared, table
        folder, before = os.path.dirname(folder), folder
        if folder == before:
            return None, {}


def _chosen(given: StrPath) -> tuple[str, dict[str, Any]]:
    """Return the path of the file that was asked for, and what it says."""
    try:
        path = os.path.abspath(os.fspath(given))
    except TypeError as error:
        raise ConfigError(f"the path of the settings is wrong: {error}") from None
    table = _shared(path) if os.path.basename(path) == SHARED_FILE else _parsed(path)
    if table is None:
        raise ConfigError(f"{path} has no table [tool.{TABLE}]")
    return path, table


def _may_have_table(path: str) -> bool:
    """Return whether a shared file is worth parsing, which takes milliseconds: most are not."""
    try:
        text = read_whole(path)
    except OSError:
        return False
    return TABLE.encode() in text


def _shared(path: str) -> dict[str, Any] | None:
    """Return the settings in a shared file, None if there are none."""
    tool = _parsed(path).get("tool")
    table = tool.get(TABLE) if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{path}: tool.{TABLE} must be a table, not {_checks.shown(table)}")
    return table


def _parsed(path: str) -> dict[str, Any]:
    try:
        raw = read_whole(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"the settings in {path} cannot be read: {reason}") from error
    import tomllib

    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except ValueError as error:  # of TOML, or of UTF-8
        raise ConfigError(f"{path} is no valid TOML: {error}") from error


def _add_file(
    path: str, table: dict[str, Any], values: dict[str, Any], origins: dict[str, str]
) -> None:
    head = ("tool", TABLE) if os.path.basename(path) == SHARED_FILE else ()

    def place(key: tuple[str, ...]) -> str:
        line = _line_of(path, (*head, *key))
        return path if line is None else f"{path}, line {line}"

    for key, value in table.items():
        setting = _SETTINGS.get(key)
        if setting is None:
            raise ConfigError(f"{place((key,))}: {_kinds.unknown(key, _SETTINGS, 'setting')}")
        try:
            checked = setting.kind.checked(value, os.path.dirname(path))
        except _kinds.WrongError as error:
            where = (key, *error.key)
            raise ConfigError(f"{place(where)}: {'.'.join(where)} {error}") from None
        values[key] = setting.kind.added(checked, values[key])
        origins[key] = path


def _line_of(path: str, key: tuple[str, ...]) -> int | None:
    """Return the line that a key stands in, or the nearest part of it that has a line; 1 is first.

    The parser tells no lines. So each line is read by itself, as a header or as an assignment;
    what stands in a text of several lines may be mistaken for one.
    """
    lines = read_whole(path).decode("utf-8-sig").splitlines()
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("["):
            header = text.partition("]")[0].strip("[ ")
            table = _path_of(header) or table
            found.setdefault(table, number)
        elif "=" in text:
            inner = _path_of(text.partition("=")[0])
            for length in range(1, len(inner) + 1):
                found.setdefault((*table, *inner[:length]), number)
    ends = (key[:length] for length in range(len(key), 0, -1))
    return next((found[end] for end in ends if end in found), None)


def _path_of(dotted: str) -> tuple[str, ...]:
    """Return the parts of a key as TOML spells it, none if it is no key."""
    import tomllib

    try:
        node: Any = tomllib.loads(f"{dotted} = 0")
    except ValueError:
        return ()
    parts = []
    while isinstance(node, dict) and node:
        part, node = next(iter(node.items()))
        parts.append(part)
    return tuple(parts)


# The environment, and arguments


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
        except _kinds.WrongError as error:
            inner = f": {'.'.join(error.key)}" if error.key else ""
            raise ConfigError(f"the variable {variable}{inner} {error}") from None
        origins[key] = variable
    for variable in environ:
        if variable.startswith(PREFIX):
            _warn_if_unknown(variable)


def _warn_if_unknown(variable: str) -> None:
    rest = variable[len(PREFIX) :]
    if variable in _VARIABLES or variable == FILE_VARIABLE or rest in _OTHER_VARIABLES:
        return
    if rest.startswith(_OTHER_PREFIXES):
        return
    from warnings import warn

    known = [*_VARIABLES, FILE_VARIABLE]
    warn(f"the environment has an {_kinds.unknown(variable, known, 'variable')}", stacklevel=4)


def _add_arguments(
    programmatic: dict[str, Any], values: dict[str, Any], origins: dict[str, str]
) -> None:
    for key, value in programmatic.items():
        setting = _SETTINGS.get(key)
        if setting is None:
            raise ConfigError(_kinds.unknown(key, _SETTINGS, "setting"))
        if value is None:
            continue
        try:
            checked = setting.kind.checked(value, None)
        except _kinds.WrongError as error:
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


# A profiler as the settings say


def configured(make: Callable[..., P], name: str | None, settings: Settings | None) -> P:
    """Return a new profiler as settings say; see `Profiler.configured`.

    :param make: what makes one, such as `Profiler`.
    :param name: its name, or None for the one in the settings.
    :param settings: the settings, or None to load them.
    """
    if settings is not None and not isinstance(settings, Settings):
        raise TypeError(f"settings must be what config.load() returned, not {settings!r}")
    chosen = load() if settings is None else settings
    if chosen.clock is not None:
        _use_clock(chosen)
    given = {
        "name": chosen.name if name is None else name,
        "retain_threads": chosen.retain_threads,
        "max_nodes": chosen.max_nodes,
    }
    profiler = make(**{key: value for key, value in given.items() if value is not None})
    _set_up(profiler, chosen)
    return profiler


def _use_clock(settings: Settings) -> None:
    from ._clock import change

    try:
        stays = change(settings.clock or "")
    except ValueError as error:
        raise ConfigError(f"clock ({settings.origins['clock']}): {error}") from None
    if stays is not None:
        from warnings import warn

        warn(
            f"the clock stays {stays!r}, not {settings.clock!r} as {settings.origins['clock']} "
            "says: another profiler has been timing with it; STICHOTROPE_CLOCK acts at the import",
            RuntimeWarning,
            stacklevel=4,
        )


def _set_up(profiler: _Profiler, settings: Settings) -> None:
    off = []
    for key, track in settings.tracks.items():
        if isinstance(key, str):
            off += [] if track.enabled else [key]
            continue
        if track.name is not None:
            profiler.set_track_name(key, track.name)
        if not track.enabled:
            profiler.set_track_enabled(key, False)
    profiler._switch_off_when_made(off)
    if not settings.enabled:
        profiler.stop()
    if settings.gather is not None:
        profiler.gather(settings.gather, period_s=settings.gather_period_s)
