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
    # ---- lost, or taken for another ---------------------------------------------------------------
    "begun after a clear": Defect(
        "what a body begins after a clear that dropped the body's own pass is not billed when it is suspended",
        [TRACKED],
        [
            *[("resume", 0, 0), ("tick", 0, 2), ("open", 0, 0), ("suspend", 0), ("clear",)],
            *[("call", 0, 0), ("resume", 0, 0), ("tick", 0, 2), ("open", 0, 0), ("suspend", 0)],
            ("ret", 0),
        ],
    ),
    "left open at the end": Defect(
        "what a tracked generator or coroutine entered by hand ends with it, though it is left later",
        [TRACKED],
        [("resume", 0, 0), ("enter", 0, 1), ("ret", 0), ("tick", 0, 5), ("leave", 0, 1)],
    ),
    "dropped by no loop": Defect(
        "the exits of an asynchronous generator that is dropped without a loop end others' passes",
        [("asynchronous", (1,))],
        [
            *[("resume", 0, 0), ("open", 0, 0), ("suspend", 0), ("inline", 0, 0), ("tick", 0, 10)],
            *[("abandon", 0, 0), ("tick", 0, 20)],
        ],
    ),
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
        "of two passes of one block that a thread left open in one generator, the outer one is left first",
        [PLAIN],
        [
            *[("resume", 1, 0), ("open", 1, 0), ("tick", 1, 5), ("open", 1, 0), ("suspend", 1)],
            *[("end", 1), ("resume", 0, 0), ("shut", 0), ("tick", 0, 9)],
        ],
    ),
    # ---- on the wrong place -----------------------------------------------------------------------
    "context entered above suspended": Defect(
        "what is entered in a context lies on a suspended generator's block, if nobody noticed before",
        [PLAIN],
        [("resume", 0, 0), ("open", 0, 0), ("suspend", 0), ("run", 0, 0), ("call", 0, 0)],
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
    "off above suspended": Defect(
        "above a block that was entered while off, a suspended generator's block is not put aside",
        [PLAIN],
        [
            *[("resume", 0, 0), ("open", 0, 0), ("suspend", 0), ("stop",), ("inline", 0, 0)],
            *[("start",), ("call", 0, 0)],
        ],
    ),
    "dropped in a context on a base": Defect(
        "in a context that was entered in a block, what lies on a dropped generator lies on nothing",
        [TRACKED],
        [
            *[("resume", 0, 0), ("suspend", 0), ("clear",), ("call", 0, 0), ("run", 0, 0)],
            *[("resume", 0, 0), ("open", 0, 0)],
        ],
    ),
    # ---- self and active time ---------------------------------------------------------------------
    "left elsewhere with children": Defect(
        "a block that is left on another thread: its self time is all of its time",
        [PLAIN],
        [
            *[("resume", 0, 0), ("open", 0, 0), ("call", 0, 0), ("tick", 0, 5), ("ret", 0)],
            *[("suspend", 0), ("close", 1, 0)],
        ],
    ),
    "active while partly nested": Defect(
        "of a pass that was nested for a part of its time, all suspended time is taken off the rest",
        [TRACKED, PLAIN],
        [
            *[("resume", 0, 0), ("open", 0, 0), ("suspend", 0), ("resume", 0, 1), ("resume", 1, 0)],
            *[("open", 0, 0), ("suspend", 0), ("enter", 1, 0), ("suspend", 1), ("resume", 0, 0)],
            *[("open", 0, 0), ("ret", 0)],
        ],
    ),
    # ---- time that counts once --------------------------------------------------------------------
    "left under one that runs": Defect(
        "a tracked generator's pass does not note that what it was nested in has ended; it is billed twice",
        [TRACKED],
        [("enter", 0, 2), ("resume", 0, 0), ("tick", 0, 10), ("leave", 0, 2), ("tick", 0, 10)],
    ),
    "nested in one that is suspended": Defect(
        "what is nested in a tracked generator counts as well while that is suspended",
        [TRACKED, PLAIN],
        [
            *[("inline", 0, 1), ("resume", 0, 0), ("resume", 0, 1), ("open", 0, 0), ("suspend", 0)],
            *[("call", 0, 0), ("ret", 0), ("suspend", 0), ("ret", 0), ("tick", 0, 100)],
        ],
    ),
    "nested in what was brought back onto it": Defect(
        "what began while a generator was suspended counts as well once that is brought back onto it",
        [PLAIN],
        [
            *[("resume", 0, 0), ("open", 0, 0), ("open", 0, 1), ("suspend", 0)],
            *[("call", 0, 0), ("resume", 0, 0), ("shut", 0), ("tick", 0, 100)],
        ],
    ),
    "put aside of a context within a block": Defect(
        "what is put aside in a context that was entered in a block is taken for no longer nested in that",
        [PLAIN],
        [
            *[("call", 0, 0), ("run", 0, 0), ("inline", 0, 1), ("resume", 0, 0), ("open", 0, 0)],
            *[
                ("suspend", 0),
                ("inline", 0, 2),
                ("ret", 0),
                ("ret", 0),
                ("ret", 0),
                ("tick", 0, 10),
            ],
        ],
    ),
    "begun in another context than what is aside": Defect(
        "in a context entered in a block, or with a block open, the time of what is put aside counts twice",
        [PLAIN],
        [
            *[("inline", 0, 2), ("run", 0, 0), ("resume", 0, 0), ("open", 0, 0), ("suspend", 0)],
            *[("call", 0, 0), ("tick", 0, 10), ("ret", 0)],
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
