"""A program with three blocks in a fourth; its argument makes "price" longer by a share."""

from __future__ import annotations

import sys

from stichotrope import Profiler

REQUESTS = 60
PARSED, PRICED, RENDERED, SORTED = 3000, 6000, 2000, 1000
profiler = Profiler("gate")


@profiler.track("work")
def parse(count: int) -> list[int]:
    """Make numbers of text."""
    return [int(word) for word in ("12," * count + "1").split(",")]


@profiler.track("work")
def price(count: int) -> int:
    """Add up."""
    total = 0
    for number in range(count):
        total += number * number % 7
    return total


@profiler.track("work")
def render(count: int) -> dict[str, str]:
    """Make text of numbers."""
    return {f"key {number}": str(number) for number in range(count)}


@profiler.track("work")
def request(slower: float) -> list[int]:
    """Do all three, and something besides."""
    parse(PARSED)
    price(round(PRICED * (1 + slower)))
    render(RENDERED)
    return sorted(range(SORTED), key=lambda number: -number)


if __name__ == "__main__":
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    for _ in range(REQUESTS):
        request(share)
