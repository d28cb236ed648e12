"""Programs drawn at random, and the smallest that shows what one of them showed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest

from .program import Program, Setup
from .worker import CALLS, CONTEXTS, FUNCTIONS, INLINE, KEPT, Step

THINGS = 4
KINDS = tuple(FUNCTIONS)
LAYERS: list[tuple[int, ...]] = [(), (0,), (), (1,), (), (0, 1), (0, 0)]


class Family(NamedTuple):
    """What programs of a kind have in them."""

    threads: int = 1
    kinds: tuple[str, ...] = ()  # what may be suspended
    by_hand: bool = True
    contexts: bool = False
    switches: bool = False
    clears: bool = False
    looks: bool = True  # results are read in the middle


class Case(NamedTuple):
    """A program, and what it is played with."""

    setups: list[Setup]
    has_context: bool
    steps: list[Step]

    def text(self) -> str:
        """It as Python that can be run in the directory of the tests."""
        steps = "".join(f"    {step!r},\n" for step in self.steps)
        return (
            "from moments.drawing import Case, play\n"
            "from stichotrope import _core\n\n"
            '_core.use_clock("manual")\n'
            f"play(Case({self.setups!r}, {self.has_context!r}, [\n{steps}]))\n"
        )


# ---- drawing ------------------------------------------------------------------------------------


def drawn(family: Family, draw: Random) -> Case:
    """A program of a family."""
    count = draw.randint(1, THINGS) if family.kinds else 0
    setups = [(draw.choice(family.kinds), draw.choice(LAYERS)) for _ in range(count)]
    parts = [part(family, draw, 0) for _ in range(draw.randint(1, 30))]
    return Case(setups, draw.random() < 0.5, [step for steps in parts for step in steps])


def part(family: Family, draw: Random, depth: int) -> list[Step]:
    """Some steps: a level with parts inside, a brief visit to what is suspended, or a single one."""
    thread = draw.randrange(family.threads)
    chance = draw.random()
    if chance < 0.3 and depth < 4:
        inside = [part(family, draw, depth + 1) for _ in range(draw.randint(1, 4))]
        end = draw.choice(ENDS if family.kinds else ["ret"])
        first = level(family, draw, thread)
        return [first, *(step for steps in inside for step in steps), (end, first[1])]
    if chance < 0.55:
        return [("tick", thread, draw.choice([1, 2, 3, 5, 8, 13, 40, 1000]))]
    if chance < 0.75 and family.kinds:
        return visit(draw, thread)
    if chance < 0.8 and family.switches and depth < 3:
        return while_off(family, draw, depth)
    return [single(family, draw, thread)]


ENDS = ["ret", "ret", "suspend"]


def level(family: Family, draw: Random, thread: int) -> Step:
    """A step that begins a level."""
    found: list[Step] = [
        ("call", thread, draw.randrange(len(CALLS))),
        ("inline", thread, draw.randrange(len(INLINE))),
        ("hold", thread, draw.randrange(len(KEPT))),
    ]
    if family.contexts:
        found.append(("run", thread, draw.randrange(CONTEXTS)))
    if family.kinds:
        found += [("resume", thread, draw.randrange(THINGS))] * 3
    return draw.choice(found)


def visit(draw: Random, thread: int) -> list[Step]:
    """Something is resumed, does something, and is suspended."""
    inside: list[Step] = []
    for kind in draw.choice([["open"], ["open"], ["shut"], ["open", "open"], ["open", "shut"], []]):
        inside += (
            [(kind, thread, draw.randrange(len(INLINE)))] if kind == "open" else [(kind, thread)]
        )
    way = draw.choice(["resume", "resume", "nudge"])
    return [
        (way, thread, draw.randrange(THINGS)),
        *inside,
        ("tick", thread, 2),
        ("suspend", thread),
    ]


def while_off(family: Family, draw: Random, depth: int) -> list[Step]:
    """Some steps while everything, or a track, is off; what these begin may go on when it is on again."""
    inside = [part(family, draw, depth + 1) for _ in range(draw.randint(1, 3))]
    track = draw.randrange(3)
    off, on = draw.choice([
        (("stop",), ("start",)),
        (("switch", track, False), ("switch", track, True)),
    ])  # fmt: skip
    return [off, *(step for steps in inside for step in steps), on]


def single(family: Family, draw: Random, thread: int) -> Step:
    """A step by itself."""
    groups: list[list[Step]] = [[("ret", thread), ("throw", thread, draw.randint(1, 3))]]
    if family.by_hand:
        number = draw.randrange(len(KEPT))
        groups.append([("enter", thread, number), ("leave", thread, number)])
    if family.looks:
        groups.append([("check",), ("look", thread)])
    if family.threads > 1:
        groups.append([("end", thread)])
    if family.clears and draw.random() < 0.04:
        return ("clear",)
    if family.kinds:
        thing = draw.randrange(THINGS)
        groups += [[("open", thread, draw.randrange(len(INLINE))), ("shut", thread)]] * 2
        groups.append([("suspend", thread), ("wait", thread), ("ret", thread)])
        groups.append([("delegate", thread, thing)])
        groups.append([(how, thread, thing) for how in ("close", "cancel", "abandon", "make")])
    return draw.choice(draw.choice(groups))


# ---- playing ------------------------------------------------------------------------------------


def play(case: Case, make: Callable[..., Program] = Program) -> None:
    """Play a program, and compare."""
    make(case.setups, case.has_context).play(case.steps)


def difference(case: Case, make: Callable[..., Program] = Program) -> str:
    """What a program shows, its objects gone when this returns."""
    try:
        play(case, make)
    except (AssertionError, RuntimeError, pytest.fail.Exception) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def smallest(case: Case, shows: Callable[[Case], str]) -> Case:
    """A program of as few steps as can be that shows something too."""
    case = fewer(case, shows)
    for place, setup in enumerate(case.setups):
        for layers in ((), (0,)):
            plainer = [*case.setups[:place], (setup[0], layers), *case.setups[place + 1 :]]
            if len(layers) < len(setup[1]) and shows(case._replace(setups=plainer)):
                case = case._replace(setups=plainer)
                break
    return fewer(case, shows)


def fewer(case: Case, shows: Callable[[Case], str]) -> Case:
    """Leave out stretches of steps, half of them at first, one by one in the end, as long as something shows."""
    size = max(1, len(case.steps) // 2)
    while True:
        place, found = 0, False
        while place < len(case.steps):
            shorter = case._replace(steps=case.steps[:place] + case.steps[place + size :])
            if shows(shorter):
                case, found = shorter, True
            else:
                place += size
        if size == 1 and not found:
            return case
        size = size if found and size == 1 else max(1, size // 2)


def find(family: Family, name: str, make: Callable[..., Program] = Program) -> str:
    """Play the program of a family that has a name, the same each time; of one that differs, say the smallest."""
    case = drawn(family, Random(name))
    if not difference(case, make):
        return ""
    case = smallest(case, lambda other: difference(other, make))
    return f"{case.text()}\n{difference(case, make)}"
