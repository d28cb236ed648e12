"""Which clock passes are timed with, and how many nanoseconds its ticks are."""

from __future__ import annotations

import os
import sys
import time

from .. import _core

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from typing import ClassVar

CHOICES = ("counter", "monotonic")
_SETTLED_NS = 50_000_000  # of observing, after which the rate is known to 1e-4 at least
_TRUSTED_SOURCES = {"tsc": ("tsc",), "cntvct": ("arch_sys_counter",)}
_ATTEMPTS = 8  # at reading two clocks together, of which the closest counts
_BOOT = "/proc/sys/kernel/random/boot_id"
_NAMESPACE = "/proc/self/ns/time"
_CURRENT_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"


def _kernel_trusts(counter: str) -> bool:
    """Whether the kernel keeps time with the counter. Only Linux says; others have an API."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        with open(_CURRENT_SOURCE, encoding="ascii") as file:
            return file.read().strip() in _TRUSTED_SOURCES.get(counter, ())
    except (OSError, ValueError):
        return False


def choose() -> None:
    """Set the clock: what ``STICHOTROPE_CLOCK`` says, else the counter where it can be trusted.

    :raises ValueError: when the variable names no clock, or one that this machine does not have.
    """
    wanted = os.environ.get("STICHOTROPE_CLOCK", "")
    if wanted and wanted not in CHOICES:
        raise ValueError(
            f"STICHOTROPE_CLOCK is {wanted!r}; it can be {' or '.join(map(repr, CHOICES))}"
        )
    counter = _core.counter_name()
    if not wanted:
        trusted = bool(counter) and _core.counter_is_invariant() and _kernel_trusts(counter)
        wanted = "counter" if trusted else "monotonic"
    _core.use_clock(wanted)
    _Calibration.begin()


def change(wanted: str) -> str | None:
    """Set another clock, unless a profiler has been timing with the present one.

    :param wanted: one of `CHOICES`.
    :returns: None, or the name of the clock that stays though another was wanted.
    :raises ValueError: when this machine does not have it.
    """
    known = _core.counter_name() if wanted == "counter" else wanted
    if _core.clock_source() == known:
        return None
    if _core.memory()["stores"]:  # its ticks would be taken for those of the other clock
        return _core.clock_source()
    _core.use_clock(wanted)
    _Calibration.begin()
    return None


class _Calibration:
    """The rate of the counter against the monotonic clock, over the whole run."""

    origin = (0, 0, 0)
    rate = (0, 1)
    places: ClassVar[dict[int, int]] = {}

    @classmethod
    def begin(cls) -> None:
        cls.origin = _core.read_clocks()
        cls.rate = (0, 1)
        cls.places = {}

    @classmethod
    def refined(cls) -> tuple[int, int]:
        """The rate so far as (ns, ticks): the highest of the lower bounds that were seen.

        A lower bound converges to the rate from below as the run goes on. Taking the highest keeps
        two snapshots in order: the same ticks never come out as fewer nanoseconds than before.
        """
        ticks, ns, apart = _core.read_clocks()
        span_ticks = ticks - cls.origin[0]
        span_ns = ns - cls.origin[1] - (apart + cls.origin[2] + 1) // 2
        best_ns, best_ticks = cls.rate
        if span_ticks > 0 and span_ns * best_ticks > best_ns * span_ticks:
            cls.rate = (span_ns, span_ticks)
        return cls.rate if cls.rate[0] else (1, 1)


def rate() -> tuple[int, int]:
    """Return ``(ns, ticks)``: so many nanoseconds are so many ticks."""
    if _core.clock_source() in ("monotonic", "manual"):
        return 1, 1
    return _Calibration.refined()


def places() -> dict[int, int]:
    """Return where buckets of ticks have been placed among those of nanoseconds, to be added to.

    It is the same one from when the rate is known to a hundredth of a bucket on.
    """
    if _core.clock_source() in ("monotonic", "manual"):
        return {}
    return _Calibration.places if _Calibration.rate[0] > _SETTLED_NS else {}


def origin() -> tuple[int, int, int]:
    """Return one moment by the wall clock and by the monotonic one, and how well that is known.

    The wall clock is read between two readings of the monotonic one, several times; the closest of
    these counts, and the moment lies within half of what they are apart.

    :returns: ns since the epoch, ns of the monotonic clock, and by how many ns they may be wrong.
    """
    best = (0, 0, -1)
    for _ in range(_ATTEMPTS):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        half = (after - before + 1) // 2
        if best[2] < 0 or half < best[2]:
            best = (wall, before + (after - before) // 2, half)
    return best


def machine() -> str:
    """Return what all processes have in common whose monotonic clock is this one; "" if unknown.

    It is one clock from when a machine starts, but for processes to which the system shows another.
    """
    try:
        with open(_BOOT, encoding="ascii") as file:
            boot = file.read().strip()
    except (OSError, ValueError):
        return ""
    try:
        return f"{boot} {os.readlink(_NAMESPACE)}"
    except OSError:
        return boot


def description() -> dict[str, object]:
    """Return what results say of the clock: its source, its rate and its smallest step."""
    ns, ticks = rate()
    return {
        "source": _core.clock_source(),
        "resolution_ns": _core.tick_resolution() * ns / ticks,
        "ticks_per_second": 1_000_000_000 * ticks / ns,
    }


choose()
