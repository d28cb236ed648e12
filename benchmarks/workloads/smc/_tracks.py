"""The program's marks: what each track of its profile stands for."""

from __future__ import annotations

from benchmarks.workloads._marks import Marks

TRACKS = ("simulation", "control", "dynamics", "tuner", "factory")
SIMULATION, CONTROL, DYNAMICS, TUNER, FACTORY = range(len(TRACKS))

marks = Marks("smc", TRACKS)
