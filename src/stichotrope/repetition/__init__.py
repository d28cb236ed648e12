"""Repeating a piece of a program until its time is known, and what the passes took."""

from __future__ import annotations

from .loop import Repeating, repeat, repeat_async
from .result import Repetition
from .rules import CONFIDENCE, INTERVAL, MOST_SAMPLES, NO_NEW_MINIMUM, UNTIL

__all__ = [
    "CONFIDENCE",
    "INTERVAL",
    "MOST_SAMPLES",
    "NO_NEW_MINIMUM",
    "UNTIL",
    "Repeating",
    "Repetition",
    "repeat",
    "repeat_async",
]
