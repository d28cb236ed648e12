"""Random programs with generators and coroutines: the core and its slow twin agree on every figure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.defects import DEFECTS, Setup
from oracle.program import CALLS, CONTEXTS, INLINE, KEPT, TRACKS, Step, checked, joined
from oracle.suspending import SuspendingProgram
from stichotrope import _clock, _core

pytestmark = pytest.mark.integration

THINGS = 4


@pytest.fixture(autouse=True)
def manual_clock() -> Iterator[None]:
    """The injected clock."""
    _core.use_clock("manual")
    yield
    _clock.choose()


# ---- random programs ----------------------------------------------------------------------------

# What may be done on a brief visit to what is suspended, apart from taking some time.
VISITS = [["open"], ["open"], ["shut"], ["open", "open"], ["open", "shut"], ["pass"], []]


def setups(*kinds: str) -> st.SearchStrategy[list[Setup]]:
    """What there is to be suspended: of some kinds, tracked not at all, once or twice."""
    layers = [(), (0,), (), (1,), (), (0, 1), (0, 0)]
    found = [(kind, each) for each in layers for kind in kinds if each or kind != "returned"]
    return st.lists(st.sampled_from(found), min_size=1, max_size=THINGS)


def steps(
    threads: int, *, contexts: bool = False, switches: bool = False, clears: bool = False
) -> st.SearchStrategy[list[Step]]:
    """Programs of some threads: steps in any order, and visits to what is suspended.

    Each step is one draw of all that there are: hypothesis takes its time for every draw.
    """
    each = range(threads)
    level: list[Step] = [("call", t, n) for t in each for n in range(len(CALLS))]
    level += [("inline", t, n) for t in each for n in range(len(INLINE))]
    level += [("run", t, n) for t in each for n in range(CONTEXTS) if contexts]
    visit = [(way, t, n) for way in ("resume", "nudge") for t in each for n in range(THINGS)]
    own: list[Step] = [("open", t, n) for t in each for n in range(len(INLINE))]
    own += [
        (kind, t) for t in each for kind in ("shut", "suspend", "wait", "ret", "suspend", "ret")
    ]
    own += [("delegate", t, n) for t in each for n in range(THINGS)]
    ends = [(w, t, n) for w in ("close", "cancel", "abandon") for t in each for n in range(THINGS)]
    other: list[Step] = [
        (kind, t, n) for kind in ("enter", "leave") for t in each for n in range(len(KEPT))
    ]
    other += [("make", t, n) for t in each for n in range(THINGS)]
    other += [("throw", t, n) for t in each for n in (1, 2)]
    other += [("end", t) for t in each if threads > 1] + [("check",)] + [("clear",)] * 2 * clears
    if switches:
        other += [("stop",), ("start",), ("start",), ("start",)]
        other += [("switch", track, on) for track in TRACKS for on in (False, True, True)]
    ticks = [("tick", t, n) for t in each for n in (1, 2, 3, 5, 8, 13, 40)]

    passes = [[step, ("tick", step[1], 3), ("ret", step[1])] for step in level]
    visits = [brief(step, kinds, n) for step in visit for kinds in VISITS for n in range(3)]
    turns = [turn(step, found) for step in level for found in visits[:: len(level) + 1]]
    part = st.one_of(
        *(st.sampled_from(found) for found in (visits, passes, visits)),
        st.sampled_from(turns if contexts else visits),
        *(st.sampled_from([[step] for step in found]) for found in (level + visit, own, own)),
        *(st.sampled_from([[step] for step in found]) for found in (ticks, ends, other)),
    )

    def longer(parts: st.SearchStrategy) -> st.SearchStrategy:
        whole = [(step, (kind, step[1])) for step in level + visit for kind in ("ret", "suspend")]
        inside = st.lists(parts, min_size=1, max_size=4).map(flat)
        return st.tuples(st.sampled_from(whole), inside).map(lambda f: [f[0][0], *f[1], f[0][1]])

    return joined(st.recursive(part, longer, max_leaves=8))


def brief(visit: Step, kinds: list[str], number: int) -> list[Step]:
    """Something is resumed, does something, and is suspended."""
    thread = visit[1]
    inside: list[Step] = [("tick", thread, 2)]
    for kind in kinds:
        if kind == "pass":
            inside += [("call", thread, number), ("tick", thread, 1), ("ret", thread)]
        else:
            inside.append((kind, thread, number) if kind == "open" else (kind, thread))
    return [visit, *inside, ("suspend", thread)]


def turn(level: Step, visit: list[Step]) -> list[Step]:
    """A brief visit within a level of its own: as a loop gives a task a turn."""
    thread = level[1]
    return [level, *((step[0], thread, *step[2:]) for step in visit), ("ret", thread)]


def flat(parts: list[list[Step]]) -> list[Step]:
    """All steps of some parts."""
    return [step for part in parts for step in part]


# ---- what is known to go wrong ------------------------------------------------------------------

KNOWN = [
    pytest.param(name, id=name, marks=pytest.mark.xfail(reason=defect.what, strict=True))
    for name, defect in DEFECTS.items()
]


def disagreement(name: str) -> str:
    """What core and twin do not agree on when a defect is not left out; its program is gone when this returns."""
    _, things, program = DEFECTS[name]
    try:
        SuspendingProgram(things, lifted=name).play(program)
    except (AssertionError, RuntimeError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", KNOWN)
def test_all_figures_agree_where_the_core_has_a_defect(name: str) -> None:
    """They will, when it is gone: then its entry goes, and random programs do not avoid it any more."""
    assert disagreement(name) == ""


@pytest.mark.parametrize("name", DEFECTS)
def test_programs_leave_out_what_meets_a_known_defect(name: str) -> None:
    """Of the very program that shows it, what is left agrees."""
    _, things, program = DEFECTS[name]
    SuspendingProgram(things).play(program)


# ---- random ones --------------------------------------------------------------------------------

ALL = ("generator", "coroutine", "asynchronous", "returned")


@checked(80, always_the_same=True)
@given(setups("generator"), steps(1))
def test_all_figures_agree_with_generators(things: list[Setup], program: list[Step]) -> None:
    """Tracked or not, driving each other, closed, cancelled, abandoned, with blocks open over their yields."""
    SuspendingProgram(things).play(program)


@checked(80, always_the_same=True)
@given(setups(*ALL), steps(1, contexts=True), st.booleans())
def test_all_figures_agree_with_coroutines_in_contexts(
    things: list[Setup], program: list[Step], has_context: bool
) -> None:
    """Coroutines and asynchronous generators take turns like the tasks of a loop, each in a context."""
    SuspendingProgram(things, has_context).play(program)


@checked(80, always_the_same=True)
@given(setups("generator", "coroutine"), steps(2))
def test_all_figures_agree_with_generators_that_change_threads(
    things: list[Setup], program: list[Step]
) -> None:
    """What one thread began is resumed or closed by another, while the first lives or after its end."""
    SuspendingProgram(things).play(program)


@checked(80, always_the_same=True)
@given(setups(*ALL), steps(1, contexts=True, switches=True, clears=True))
def test_all_figures_agree_when_switched_and_cleared_meanwhile(
    things: list[Setup], program: list[Step]
) -> None:
    """Stopped and started, tracks off and on, cleared, while something is suspended."""
    SuspendingProgram(things).play(program)


# The programs of the tests above are the same in each run: random ones still find further programs in which a known
# defect shows, in self time or in what counts once. Each pass by itself is right in all of them.
ANY_PROGRAM = (
    steps(1, contexts=True)
    | steps(2)
    | steps(2, contexts=True, clears=True)
    | steps(1, contexts=True, switches=True, clears=True)
)


@checked(60)
@given(setups(*ALL), ANY_PROGRAM, st.booleans())
def test_every_pass_is_right_in_any_program(
    things: list[Setup], program: list[Step], has_context: bool
) -> None:
    """How many there were of each block, and how long each took."""
    SuspendingProgram(things, has_context, passes_only=True).play(program)


@pytest.mark.stress
@checked(10_000)
@given(setups(*ALL), ANY_PROGRAM, st.booleans())
def test_every_pass_is_right_in_very_many_programs(
    things: list[Setup], program: list[Step], has_context: bool
) -> None:
    """The same, for a few minutes' worth of programs."""
    SuspendingProgram(things, has_context, passes_only=True).play(program)


@pytest.mark.stress
@checked(3_000, always_the_same=True)
@given(setups(*ALL), steps(1) | steps(2))
def test_all_figures_agree_with_very_many_programs_that_suspend(
    things: list[Setup], program: list[Step]
) -> None:
    """All figures, of as many programs without contexts."""
    SuspendingProgram(things).play(program)
