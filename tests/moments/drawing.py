"""Programs drawn at random, and the smallest that shows what one of them showed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest

from .program import Program, Settings, Setup
from .worker import CALLS, CONTEXTS, FUNCTIONS, INLINE, KEPT, Step

THINGS = 4
KINDS = tuple(FUNCTIONS)
ANY_LAYERS: tuple[tuple[int, ...], ...] = ((), (0,), (), (1,), (), (0, 1), (0, 0))
TRACKED = ((0,), (1,), (0, 1), (0, 0))
# Around where buckets, octaves and pages begin.
EDGES = (15, 16, 17, 1 << 20, (1 << 41) - 17, 1 << 41)


class Family(NamedTuple):
    """What programs of a kind have in them."""

    threads: int = 1
    kinds: tuple[str, ...] = ()  # what may be suspended
    only_tracked: bool = False  # … and have something open then, only if it is tracked
    by_code: bool = False
    by_hand: bool = True
    in_vain: bool = True  # what is not open may be left, which is an error
    contexts: bool = False
    switches: bool = False
    clears: bool = False
    looks: bool = True  # results are read in the middle
    backwards: bool = False  # the clock may go back
    retain_threads: tuple[int, ...] = (1024,)
    max_nodes: tuple[int, ...] = (65_536,)


class Case(NamedTuple):
    """A program, and what it is played with."""

    setups: list[Setup]
    settings: Settings
    steps: list[Step]

    def text(self) -> str:
        """It as Python that can be run in the directory of the tests."""
        steps = "".join(f"    {step!r},\n" for step in self.steps)
        return (
            "from moments.drawing import Case, play\n"
            "from moments.program import Settings\n"
            "from stichotrope import _core\n\n"
            '_core.use_clock("manual")\n'
            f"play(Case({self.setups!r}, {self.settings!r}, [\n{steps}]))\n"
        )


# ---- drawing ------------------------------------------------------------------------------------


def drawn(family: Family, draw: Random) -> Case:
    """A program of a family."""
    count = draw.randint(1, THINGS) if family.kinds else 0
    layers = TRACKED if family.only_tracked else ANY_LAYERS
    if family.by_code:
        layers = tuple(once for once in layers if len(once) < 2)  # one profiler has one of a code
    setups = [(draw.choice(family.kinds), draw.choice(layers)) for _ in range(count)]
    settings = Settings(
        has_context=draw.random() < 0.5,
        has_fillers=draw.random() < 0.1,
        retain_threads=draw.choice(family.retain_threads),
        max_nodes=draw.choice(family.max_nodes),
        only_tracked=family.only_tracked,
        by_code=family.by_code,
    )
    parts = [part(family, draw, 0) for _ in range(draw.randint(1, 30))]
    return Case(setups, settings, [step for steps in parts for step in steps])


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
        return [("tick", thread, stretch(family, draw))]
    if chance < 0.75 and family.kinds:
        return visit(draw, thread)
    if chance < 0.8 and family.switches and depth < 3:
        return while_off(family, draw, depth)
    return [single(family, draw, thread)]


def stretch(family: Family, draw: Random) -> int:
    """How long something takes."""
    if draw.random() < 0.1:
        return draw.choice(EDGES)
    if family.backwards and draw.random() < 0.2:
        return -draw.randint(1, 60)
    return draw.choice([1, 2, 3, 5, 8, 13, 40, 1000])


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
        groups.append(
            [("say", thread, number, draw.randint(1, 99)), ("count", thread, draw.randint(1, 99))]
        )
        if family.in_vain:
            groups.append([("leave_in_vain", thread, number)])
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


def play(case: Case) -> None:
    """Play a program, and compare."""
    Program(case.setups, case.settings).play(case.steps)


def difference(case: Case) -> str:
    """What a program shows, its objects gone when this returns."""
    try:
        play(case)
    except (Exception, pytest.fail.Exception) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def smallest(case: Case, shows: Callable[[Case], str]) -> Case:
    """A program of as few steps as can be that shows something too."""
    case = fewer(case, shows)
    usual = Settings(only_tracked=case.settings.only_tracked, by_code=case.settings.by_code)
    if shows(case._replace(settings=usual)):
        case = case._replace(settings=usual)
    for place, (kind, layers) in enumerate(case.setups):
        setups = [*case.setups[:place], (kind, layers[:1]), *case.setups[place + 1 :]]
        if len(layers) > 1 and shows(case._replace(setups=setups)):
            case = case._replace(setups=setups)
    while case.setups and shows(case._replace(setups=case.setups[:-1])):
        case = case._replace(setups=case.setups[:-1])
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


def find(family: Family, name: str) -> str:
    """Play the program of a family that has a name, the same each time; of one that differs, say the smallest."""
    case = drawn(family, Random(name))
    if not difference(case):
        return ""
    case = smallest(case, difference)
    return f"{case.text()}\n{difference(case)}"
