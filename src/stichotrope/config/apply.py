"""A profiler that is as settings say."""

from __future__ import annotations

from .kinds import ConfigError
from .settings import Settings, load

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    from .._text.files import StrPath

    class _Profiler(Protocol):
        """What is set up of a profiler, which lies upstream."""

        def set_track_name(self, track: int, name: str) -> None: ...
        def set_track_enabled(self, track: int | str, enabled: bool) -> None: ...
        def set_cpu(self, cpu: bool) -> None: ...
        def stop(self) -> None: ...
        def gather(
            self,
            directory: StrPath | None = None,
            *,
            period_s: float | None = None,
            anew: bool | None = None,
        ) -> bool: ...
        def dump_on_signal(self, number: int, *, to: StrPath) -> Callable[[], None]: ...

    P = TypeVar("P", bound=_Profiler)


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
        "max_blocks": chosen.max_blocks,
        "store": chosen.store,
        "timeline": chosen.timeline,
        "store_limit_bytes": chosen.store_limit_bytes,
    }
    profiler = make(**{key: value for key, value in given.items() if value is not None})
    if chosen.cpu:
        _take_processor_time(profiler, chosen)
    _set_up(profiler, chosen)
    return profiler


def _take_processor_time(profiler: _Profiler, settings: Settings) -> None:
    try:
        profiler.set_cpu(True)
    except ValueError as error:
        raise ConfigError(f"cpu ({settings.origins['cpu']}): {error}") from None


def _use_clock(settings: Settings) -> None:
    from .clock import change

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
    for key, track in settings.tracks.items():
        if isinstance(key, int) and track.name is not None:
            profiler.set_track_name(key, track.name)
        if not track.enabled:
            profiler.set_track_enabled(key, False)
    if not settings.enabled:
        profiler.stop()
    if settings.gather is not None:
        anew = settings.gather_anew
        profiler.gather(settings.gather, period_s=period_of(settings), anew=anew)
    if settings.dump_to is not None:
        _dump_on_signal(profiler, settings.dump_to, settings)


def _dump_on_signal(profiler: _Profiler, directory: str, settings: Settings) -> None:
    """Have a signal write the timeline; what keeps it from that is a warning, not the program's."""
    import signal

    number = getattr(signal, settings.dump_signal, None)
    try:
        if number is None:
            raise ValueError(f"there is no {settings.dump_signal} here")
        profiler.dump_on_signal(number, to=directory)
    except (OSError, ValueError) as error:
        from warnings import warn

        warn(
            f"no signal writes the timeline, as dump_to ({settings.origins['dump_to']}) asks: "
            f"{error}",
            RuntimeWarning,
            stacklevel=5,
        )


def period_of(settings: Settings) -> float | None:
    """Return how often results are to be gathered, in seconds; None where nobody said it.

    :param settings: the settings.
    """
    return settings.gather_period_s if "gather_period_s" in settings.origins else None
