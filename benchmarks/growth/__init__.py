"""How cost grows: with the blocks, with their depth and length, with what is stored, with use.

How it grows with the number of threads is the subject `threads`.
"""

from __future__ import annotations

import random
from types import ModuleType

from benchmarks._curve import Curve
from benchmarks._run import Fact, Figure, Progress, Scale, Stored
from benchmarks.growth import beside, blocks, depth, durations, grid, wear

PARTS: dict[str, ModuleType] = {
    "blocks": blocks,
    "depth": depth,
    "durations": durations,
    "grid": grid,
    "wear": wear,
    "beside": beside,
}
"""What is measured, in order. Each has `measure`, `limits`, `curves` and `figures`."""


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Measure each part by itself; return the raw values of each by its name."""
    stored: Stored = {}
    for name, part in PARTS.items():
        stored[name] = part.measure(scale, rng, lambda text, name=name: progress(f"{name} {text}"))
    return stored


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return what is held to a limit, and whether every pass was counted."""
    return [row for name, part in _measured(stored) for row in part.limits(stored[name])]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return every quantity at every size."""
    return [row for name, part in _measured(stored) for row in part.figures(stored[name])]


def curves(stored: Stored) -> dict[str, list[Curve]]:
    """Return for each part how its quantities grow."""
    return {name: part.curves(stored[name]) for name, part in _measured(stored)}


def _measured(stored: Stored) -> list[tuple[str, ModuleType]]:
    return [(name, part) for name, part in PARTS.items() if name in stored]
