"""Defects of the core that are known: each with its smallest program, which fails as long as it is there.

Random programs leave out what meets one of them. An entry that goes away takes that with it.
"""

from __future__ import annotations

from typing import NamedTuple

from .program import Step

# A kind, and as which of its blocks it is tracked, outermost first.
Setup = tuple[str, tuple[int, ...]]

PLAIN: Setup = ("generator", ())
TRACKED: Setup = ("generator", (0,))
TRACKED_1: Setup = ("generator", (1,))


class Defect(NamedTuple):
    """What is wrong, and a program that shows it: what there is to be suspended, and the steps."""

    what: str
    setups: list[Setup]
    steps: list[Step]


DEFECTS: dict[str, Defect] = {
    "entered while off": Defect(
        "the exit of a generator's block that was entered while off ends another pass of that block",
        [PLAIN],
        [
            *[("stop",), ("resume", 0, 0), ("open", 0, 0), ("suspend", 0), ("start",)],
            *[("inline", 0, 0), ("tick", 0, 5), ("close", 0, 0), ("tick", 0, 5)],
        ],
    ),
    "one block in a body and above it": Defect(
        "a generator's exit takes the pass at the top for its own, if it is of the same block",
        [PLAIN],
        [
            *[("resume", 0, 0), ("open", 0, 0), ("enter", 0, 0), ("suspend", 0)],
            *[("inline", 0, 0), ("tick", 0, 5), ("close", 0, 0)],
        ],
    ),
    "one block twice in one body": Defect(
        "of two passes of one block that a generator entered on two threads, the one that began here is left first",
        [PLAIN],
        [
            *[("resume", 0, 0), ("open", 0, 0), ("suspend", 0), ("resume", 1, 0), ("open", 1, 0)],
            *[("suspend", 1), ("resume", 0, 0), ("shut", 0), ("tick", 0, 9)],
        ],
    ),
    "context entered with some aside": Defect(
        "a generator that goes on, and enters a context first, has its blocks brought into that one",
        [PLAIN],
        [
            *[("resume", 0, 0), ("open", 0, 0), ("suspend", 0), ("call", 0, 0), ("ret", 0)],
            *[
                ("resume", 0, 0),
                ("run", 0, 0),
                ("call", 0, 1),
                ("ret", 0),
                ("ret", 0),
                ("open", 0, 1),
            ],
        ],
    ),
    "resumed in another context": Defect(
        "what a generator opens in another context does not lie on the block that it has open",
        [PLAIN],
        [
            *[("run", 0, 0), ("resume", 0, 0), ("open", 0, 0), ("suspend", 0), ("ret", 0)],
            *[("run", 0, 1), ("resume", 0, 0), ("open", 0, 1)],
        ],
    ),
    "nested in one that is suspended": Defect(
        "what is nested in a tracked generator counts as well while that is suspended",
        [TRACKED, PLAIN],
        [
            *[("inline", 0, 1), ("resume", 0, 0), ("resume", 0, 1), ("open", 0, 0), ("suspend", 0)],
            *[("call", 0, 0), ("ret", 0), ("suspend", 0), ("ret", 0), ("tick", 0, 100)],
        ],
    ),
    "nested in each other": Defect(
        "what began while a generator was suspended, and that generator's block once it goes on above it within a "
        "tracked one: the first is taken for outermost as soon as anything leaves out of order",
        [TRACKED, PLAIN],
        [
            *[("resume", 0, 1), ("open", 0, 0), ("suspend", 0), ("call", 0, 0), ("resume", 0, 0)],
            *[("resume", 0, 1), ("open", 0, 0), ("suspend", 0), ("suspend", 0), ("close", 0, 0)],
            ("close", 0, 1),
        ],
    ),
    "equal times": Defect(
        "of two that began at the same tick, each is taken for nested in the other",
        [PLAIN],
        [
            *[("enter", 0, 0), ("resume", 0, 0), ("open", 0, 0), ("suspend", 0), ("call", 0, 0)],
            *[("tick", 0, 10), ("leave", 0, 0), ("tick", 0, 10), ("ret", 0)],
        ],
    ),
}
