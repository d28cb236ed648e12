"""Measures the peers in this process: rounds, length of a timing in ns and seed are given."""

from __future__ import annotations

import sys

from benchmarks.peers import measure_here
from benchmarks.peers._used import in_child

if __name__ == "__main__":
    in_child(measure_here, sys.argv[1:])
