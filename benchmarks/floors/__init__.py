"""The floors every figure is held against: forwarders and an empty context manager in C."""

from benchmarks.floors.build import load_floors

__all__ = ["load_floors"]
