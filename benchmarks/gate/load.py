"""A neighbour whose load drifts, until it is ended: `python -m benchmarks.gate.load SEED`."""

from __future__ import annotations

import random
import sys
import time

LONG_S = 2.0
"""How long it keeps to one share of a core, on average."""

SLICE_S = 0.01


def keep_busy(rng: random.Random) -> None:
    """Take shares of a core, drawn anew every now and then, without end."""
    while True:
        share = rng.random()
        until = time.monotonic() + rng.expovariate(1 / LONG_S)
        while time.monotonic() < until:
            busy_until = time.monotonic() + SLICE_S * share
            while time.monotonic() < busy_until:
                sum(range(1000))
            time.sleep(SLICE_S * (1 - share))


if __name__ == "__main__":
    keep_busy(random.Random(sys.argv[1]))
