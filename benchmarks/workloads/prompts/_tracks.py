"""The program's marks: what each track of its profile stands for."""

from __future__ import annotations

from benchmarks.workloads._marks import Marks

TRACKS = ("parse", "state", "generate", "cache")
PARSE, STATE, GENERATE, CACHE = range(len(TRACKS))

marks = Marks("prompts", TRACKS)
