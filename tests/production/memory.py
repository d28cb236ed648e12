"""How a process's memory grows: its resident set, sampled, and the slope of the samples."""

from __future__ import annotations

import os
import statistics


def resident() -> int | None:
    """Bytes that are resident, where the system says so in /proc."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def slope(samples: list[int | None], step: int) -> float | None:
    """Bytes by which samples grow for each thing done, by least squares.

    :param samples: one for each round, in bytes; None where the system does not tell.
    :param step: how many things are done in a round.
    """
    sizes = [size for size in samples if size is not None]
    if len(sizes) < len(samples):
        return None
    done = [step * number for number in range(len(sizes))]
    return statistics.linear_regression(done, sizes).slope
