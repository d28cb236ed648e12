"""Programs that once told the core from its definitions, or that random ones seldom come to."""

from __future__ import annotations

from .drawing import Case
from .program import Settings

# fmt: off
CASES: dict[str, Case] = {
    "a pass above one that left early may be the first of its track": Case(
        [],
        Settings(),
        [
            ("enter", 0, 2), ("enter", 0, 1), ("tick", 0, 10), ("leave", 0, 2),
            ("enter", 0, 3), ("tick", 0, 5), ("leave", 0, 3), ("leave", 0, 1),
        ],
    ),
    "a pass of a full tree above a dropped one is outermost": Case(
        [],
        Settings(max_nodes=1),
        [
            ("enter", 0, 0), ("clear",), ("enter", 0, 1), ("tick", 0, 5), ("leave", 0, 1),
            ("enter", 0, 2), ("tick", 0, 7), ("leave", 0, 2),
        ],
    ),
    "passes during which the clock went backwards are counted as none, and as such": Case(
        [],
        Settings(),
        [
            ("call", 0, 0), ("enter", 0, 0), ("tick", 0, 10), ("enter", 0, 1),
            ("tick", 0, 90), ("leave", 0, 0), ("tick", 0, -80), ("leave", 0, 1),
            ("tick", 0, 180), ("ret", 0),
        ],
    ),
    "a dropped pass is not among those whose clock went backwards": Case(
        [],
        Settings(),
        [
            ("tick", 0, 100), ("enter", 0, 0), ("clear",), ("inline", 0, 0), ("tick", 0, 10),
            ("ret", 0), ("tick", 0, -60), ("leave", 0, 0),
        ],
    ),
    "contexts on a thread that has none of its own do not bill each other": Case(
        [],
        Settings(has_context=False),
        [
            ("call", 0, 0), ("run", 0, 0), ("enter", 0, 1), ("tick", 0, 10), ("ret", 0),
            ("run", 0, 1), ("enter", 0, 2), ("tick", 0, 10), ("ret", 0), ("run", 0, 0),
            ("tick", 0, 10), ("leave", 0, 1), ("ret", 0), ("run", 0, 1), ("tick", 0, 10),
            ("leave", 0, 2), ("ret", 0), ("ret", 0),
        ],
    ),
    "a context lies on what was open where it was entered last": Case(
        [],
        Settings(),
        [
            ("run", 0, 0), ("enter", 0, 0), ("run", 0, 1), ("inline", 0, 0), ("tick", 0, 10),
            ("ret", 0), ("ret", 0), ("ret", 0), ("run", 0, 1), ("inline", 0, 1),
            ("tick", 0, 10), ("ret", 0), ("ret", 0), ("run", 0, 0), ("leave", 0, 0),
            ("ret", 0),
        ],
    ),
    "what a context lies on may end while it is not the thread's": Case(
        [],
        Settings(),
        [
            ("call", 0, 0), ("run", 0, 0), ("call", 0, 1), ("tick", 0, 1), ("ret", 0),
            ("ret", 0), ("ret", 0), ("call", 0, 2), ("tick", 0, 5), ("ret", 0),
        ],
    ),
    "what a context lies on may end in that context": Case(
        [],
        Settings(),
        [
            ("enter", 0, 0), ("run", 0, 0), ("call", 0, 0), ("leave", 0, 0), ("ret", 0),
            ("call", 0, 0), ("tick", 0, 5), ("ret", 0), ("ret", 0),
        ],
    ),
    "a block entered and left while off does not end that of another context": Case(
        [],
        Settings(),
        [
            ("run", 0, 0), ("enter", 0, 0), ("tick", 0, 10), ("ret", 0), ("stop",),
            ("run", 0, 1), ("enter", 0, 0), ("tick", 0, 10), ("leave", 0, 0), ("ret", 0),
            ("start",), ("run", 0, 0), ("tick", 0, 30), ("leave", 0, 0), ("ret", 0),
        ],
    ),
    "a block entered while off and left while on does not end that of another context": Case(
        [],
        Settings(),
        [
            ("stop",), ("run", 0, 0), ("enter", 0, 0), ("ret", 0), ("start",), ("run", 0, 1),
            ("enter", 0, 0), ("tick", 0, 10), ("ret", 0), ("run", 0, 0), ("leave", 0, 0),
            ("ret", 0), ("run", 0, 1), ("tick", 0, 30), ("leave", 0, 0), ("ret", 0),
        ],
    ),
    "a block that a body entered by hand while off does not end that of who resumes it": Case(
        [("generator", (0,))],
        Settings(),
        [
            ("resume", 0, 0), ("stop",), ("enter", 0, 0), ("start",), ("suspend", 0),
            ("enter", 0, 0), ("tick", 0, 5), ("resume", 0, 0), ("leave", 0, 0), ("tick", 0, 7),
            ("suspend", 0), ("leave", 0, 0),
        ],
    ),
    "a block that is left though it is not open is an error, also when all was off before": Case(
        [],
        Settings(),
        [("stop",), ("hold", 0, 0), ("start",), ("ret", 0), ("leave_in_vain", 0, 0)],
    ),
    "what goes on above a block that is not recorded lies on what is open below that, also in a context": Case(
        [("generator", (1,))],
        Settings(),
        [
            ("run", 1, 1), ("switch", 1, False), ("enter", 1, 1), ("switch", 1, True), ("resume", 0, 0),
            ("ret", 1), ("hold", 1, 3), ("suspend", 0), ("run", 1, 1), ("resume", 1, 0), ("tick", 1, 2),
        ],
    ),
    "what was not recorded before a clear is not placed by it": Case(
        [("generator", (0,))],
        Settings(),
        [
            ("run", 1, 1), ("switch", 1, False), ("enter", 1, 1), ("switch", 1, True), ("clear",),
            ("ret", 1), ("call", 1, 2), ("run", 1, 1), ("resume", 1, 0),
        ],
    ),
    "what lies on a block that is not recorded lies on what is open below it": Case(
        [],
        Settings(),
        [
            ("enter", 0, 0), ("call", 0, 0), ("stop",), ("enter", 0, 0), ("start",),
            ("ret", 0), ("call", 0, 1), ("tick", 0, 5), ("ret", 0), ("leave", 0, 0),
            ("leave", 0, 0),
        ],
    ),
    "what lies on a block that is not recorded and a dropped one is outermost": Case(
        [],
        Settings(),
        [
            ("enter", 0, 1), ("clear",), ("switch", 1, False), ("call", 0, 1),
            ("enter", 0, 1), ("ret", 0), ("call", 0, 0), ("tick", 0, 5), ("ret", 0),
        ],
    ),
    "a block that is not recorded takes no time from what its context lies on": Case(
        [],
        Settings(),
        [
            ("inline", 0, 0), ("stop",), ("run", 0, 0), ("inline", 0, 0), ("tick", 0, 10),
            ("ret", 0), ("ret", 0), ("tick", 0, 5), ("ret", 0),
        ],
    ),
    "what lies on a block that is not recorded is billed to what lies below it": Case(
        [],
        Settings(),
        [
            ("inline", 0, 0), ("enter", 0, 0), ("enter", 0, 1), ("switch", 0, False),
            ("enter", 0, 0), ("enter", 0, 2), ("tick", 0, 10), ("leave", 0, 1),
            ("tick", 0, 5), ("leave", 0, 2), ("leave", 0, 0), ("leave", 0, 0), ("ret", 0),
        ],
    ),
    "a block entered by hand in a call and in its caller is left by the caller, innermost first": Case(
        [],
        Settings(),
        [
            ("enter", 0, 0), ("tick", 0, 10), ("call", 0, 0), ("enter", 0, 0),
            ("tick", 0, 1), ("enter", 0, 1), ("ret", 0), ("leave", 0, 0), ("tick", 0, 100),
            ("leave", 0, 0),
        ],
    ),
    "what began while a generator was suspended, and its block once it goes on above that, count once": Case(
        [("generator", (0,)), ("generator", ())],
        Settings(),
        [
            ("resume", 0, 1), ("open", 0, 0), ("suspend", 0), ("call", 0, 0),
            ("resume", 0, 0), ("resume", 0, 1), ("open", 0, 0), ("suspend", 0),
            ("suspend", 0), ("close", 0, 0), ("close", 0, 1),
        ],
    ),
    "a context whose base has left lies on nothing, and another one is entered in it": Case(
        [],
        Settings(),
        [
            ("enter", 0, 2), ("run", 0, 2), ("enter", 0, 1), ("ret", 0), ("leave", 0, 2),
            ("tick", 0, 40), ("run", 0, 2), ("run", 0, 0), ("enter", 0, 1),
        ],
    ),
    "a context lies on nothing after a clear": Case(
        [],
        Settings(),
        [
            ("call", 1, 2), ("run", 1, 1), ("inline", 1, 2), ("ret", 1), ("clear",), ("ret", 1),
            ("ret", 1), ("hold", 1, 0), ("hold", 1, 1),
        ],
    ),
    "what is entered above a dropped pass in a context is outermost": Case(
        [("coroutine", (1,)), ("coroutine", (0,))],
        Settings(),
        [
            ("resume", 1, 1), ("ret", 1), ("inline", 1, 1), ("resume", 1, 1), ("run", 1, 1),
            ("inline", 1, 2), ("clear",), ("call", 1, 1), ("ret", 1), ("resume", 1, 0),
            ("open", 1, 1),
        ],
    ),
    "what is entered in a body that was dropped in a context is outermost": Case(
        [("returned", (0,))],
        Settings(),
        [
            ("hold", 1, 0), ("run", 1, 2), ("resume", 1, 0), ("run", 1, 1), ("clear",), ("ret", 1),
            ("open", 1, 1), ("open", 1, 2),
        ],
    ),
    "an asynchronous generator that is closed is cancelled": Case(
        [("asynchronous", (0,))],
        Settings(),
        [("resume", 0, 0), ("suspend", 0), ("close", 0, 0)],
    ),
    "what waits for a coroutine does so no more when that goes on elsewhere, read before it knows": Case(
        [("coroutine", (0,))],
        Settings(),
        [
            ("inline", 0, 2), ("resume", 0, 0), ("suspend", 0), ("resume", 1, 0), ("tick", 0, 2),
            ("look", 0),
        ],
    ),
    "what waits for a coroutine does so no more when that goes on elsewhere, and is suspended itself": Case(
        [("returned", (0,)), ("coroutine", (1,))],
        Settings(),
        [
            ("resume", 1, 0), ("resume", 1, 1), ("suspend", 1), ("resume", 0, 1), ("tick", 0, 1),
            ("suspend", 1),
        ],
    ),
    "what lies on a generator stays behind when that goes on elsewhere": Case(
        [("coroutine", (1,)), ("generator", (0,))],
        Settings(),
        [
            ("resume", 1, 1), ("resume", 1, 0), ("suspend", 1), ("suspend", 1), ("resume", 0, 1),
            ("tick", 0, 5),
        ],
    ),
    "a coroutine that nobody awaits yet takes nothing from who made it": Case(
        [("returned", (0,))],
        Settings(),
        [("hold", 0, 2), ("make", 0, 0), ("tick", 0, 2)],
    ),
    "a block that a body leaves open lies on what is open where that ends": Case(
        [("returned", (0,))],
        Settings(),
        [
            ("resume", 0, 0), ("hold", 0, 2), ("enter", 0, 3), ("ret", 0), ("suspend", 0),
            ("call", 0, 0), ("run", 0, 1), ("cancel", 0, 0), ("tick", 0, 3),
        ],
    ),
    "tracks whose numbers come in another order": Case(
        [],
        Settings(has_fillers=True),
        [("call", 0, 2), ("tick", 0, 3), ("inline", 0, 2), ("tick", 0, 5), ("enter", 0, 0), ("tick", 0, 8)],
    ),
}

# Where the interpreter tells of suspension.
TOLD: dict[str, Case] = {
    "what is nested in a tracked generator does not count while that is suspended": Case(
        [("generator", (0,)), ("generator", ())],
        Settings(),
        [
            ("inline", 0, 1), ("resume", 0, 0), ("resume", 0, 1), ("open", 0, 0),
            ("suspend", 0), ("call", 0, 0), ("ret", 0), ("suspend", 0), ("ret", 0),
            ("tick", 0, 100),
        ],
    ),
    "of two that begin at the same tick neither is nested in the other": Case(
        [("generator", ())],
        Settings(),
        [
            ("enter", 0, 0), ("resume", 0, 0), ("open", 0, 0), ("suspend", 0),
            ("call", 0, 0), ("tick", 0, 10), ("leave", 0, 0), ("tick", 0, 10), ("ret", 0),
        ],
    ),
    "a generator that goes on and enters a context first keeps its blocks": Case(
        [("generator", ())],
        Settings(),
        [
            ("resume", 0, 0), ("open", 0, 0), ("suspend", 0), ("call", 0, 0), ("ret", 0),
            ("resume", 0, 0), ("run", 0, 0), ("call", 0, 1), ("ret", 0), ("ret", 0),
            ("open", 0, 1),
        ],
    ),
    "what a generator opens in another context lies on the block that it has open": Case(
        [("generator", ())],
        Settings(),
        [
            ("run", 0, 0), ("resume", 0, 0), ("open", 0, 0), ("suspend", 0), ("ret", 0),
            ("run", 0, 1), ("resume", 0, 0), ("open", 0, 1),
        ],
    ),
    "what made a coroutine goes not on when something is thrown into that": Case(
        [("generator", ()), ("generator", ()), ("coroutine", (0,))],
        Settings(by_code=True),
        [
            ("resume", 0, 0), ("open", 0, 2), ("resume", 0, 2), ("suspend", 0), ("suspend", 0),
            ("nudge", 0, 2), ("tick", 0, 2),
        ],
    ),
}
# fmt: on
