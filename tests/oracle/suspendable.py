"""Generators, coroutines and asynchronous generators that do what they are told, step by step."""

from __future__ import annotations

import types
from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .passes import Pass, Site
from .program import INLINE, Step, Worker, here

if TYPE_CHECKING:
    from .suspending import SuspendingProgram


class Nudge(Exception):  # noqa: N818
    """Is thrown into what is suspended, which catches it and goes on; it is no error."""


@dataclass(eq=False)
class Suspendable:
    """Something that can be suspended: what the program has of it, and what the twin knows of it."""

    kind: str
    layers: list[Site]  # those under which it is tracked, outermost first
    made: Any = None
    asked: Any = None  # of an asynchronous generator: what was awaited for its current step
    runs: list[Pass] = field(
        default_factory=list
    )  # its passes, one for each layer that is recorded
    open: list[Pass] = field(default_factory=list)  # of its own `with` statements, outermost first
    inside: list[Pass] = field(
        default_factory=list
    )  # those that were suspended with its innermost run
    inner: Suspendable | None = None  # what it waits for
    outer: Suspendable | None = None  # what waits for it
    started: bool = False  # its passes have begun
    touched: bool = False  # it has been resumed
    running: bool = False
    waiting: bool = False  # of an asynchronous generator: in the midst of a step
    over: bool = False

    def chain(self) -> list[Suspendable]:
        """It, what it waits for, what that waits for, and so on."""
        return [self] + (self.inner.chain() if self.inner is not None else [])


# ---- bodies -------------------------------------------------------------------------------------


# What a body does step by step; `inside` a `with` statement it does the same, as often as one may be open.
STEPS = """\
while True:
    kind, *arguments = inner_level()
    if kind == "return":
        return
    if kind == "shut":
        break
    if kind == "open":
        with program.inline_block(INLINE[arguments[0]]):
            {inside}
    elif kind == "delegate":
        {delegate}
    else:
        with suppress(Nudge):
            {suspend}
"""

MOST_OPEN = 4  # `with` statements of one body


def body(head: str, delegate: str, suspend: str) -> Callable[..., Any]:
    """A function of real `with` statements, one in the other: what is open depends on whose they are."""
    inside = "raise AssertionError('too many are open')"
    for _ in range(MOST_OPEN + 1):
        lines = STEPS.replace("{delegate}", delegate).replace("{suspend}", suspend).splitlines()
        inside = indented(
            [
                indented(inside.splitlines(), 12) if line.strip() == "{inside}" else line
                for line in lines
            ],
            0,
        )
    made: dict[str, Any] = {}
    exec(f"{head}\n{indented(inside.splitlines(), 4)}", globals() | {"INLINE": INLINE}, made)
    function: Callable[..., Any] = made.popitem()[1]
    return function


def indented(lines: list[str], columns: int) -> str:
    """Lines of a program, some columns further in."""
    return "\n".join(" " * columns + line for line in lines)


def inner_level() -> Step:
    """Do steps on the thread that runs this, until one is for the caller itself."""
    worker: Worker = here.worker
    return worker.level()


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Suspend whatever awaits it."""
    yield


async def wait_for(thing: Suspendable) -> None:
    """Await a coroutine, or a step of an asynchronous generator."""
    if thing.kind == "asynchronous":
        with suppress(StopAsyncIteration):
            await thing.made.__anext__()
    else:
        await thing.made


generator = body("def generator(program):", "yield from arguments[0].made", "yield")
coroutine = body("async def coroutine(program):", "await wait_for(arguments[0])", "await pause()")
# Suspends in the midst of a step, or between steps.
asynchronous = body(
    "async def asynchronous(program):",
    "raise AssertionError('it waits for nothing else')",
    "(await pause()) if kind == 'wait' else (yield)",
)


def returned(program: SuspendingProgram) -> Coroutine[Any, Any, None]:
    """A plain function that returns a coroutine which it made."""
    made: Coroutine[Any, Any, None] = coroutine(program)
    return made


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "generator": generator,
    "coroutine": coroutine,
    "returned": returned,
    "asynchronous": asynchronous,
}


# ---- the thread that drives them ----------------------------------------------------------------


class DrivingWorker(Worker):
    """A worker that makes, resumes and ends what can be suspended."""

    def make(self, thing: Suspendable, layers: tuple[int, ...]) -> None:
        thing.made = self.program.tracked(thing.kind, layers)(self.program)

    def resume(self, thing: Suspendable) -> None:
        if thing.kind != "asynchronous":
            self._drive(lambda: thing.made.send(None))
        else:
            self._step(thing, lambda: thing.made.__anext__())

    def nudge(self, thing: Suspendable) -> None:
        self._throw(thing, Nudge())

    def cancel(self, thing: Suspendable) -> None:
        with suppress(CancelledError):
            self._throw(thing, CancelledError())

    def close(self, thing: Suspendable) -> None:
        if thing.kind != "asynchronous":
            thing.made.close()
        else:
            self._step(thing, lambda: thing.made.aclose())

    def abandon(self, thing: Suspendable) -> None:
        thing.made = thing.asked = None

    def _throw(self, thing: Suspendable, error: BaseException) -> None:
        if thing.kind != "asynchronous":
            self._drive(lambda: thing.made.throw(error))
        elif thing.asked is None:
            self._step(thing, lambda: thing.made.athrow(error))
        else:
            self._go_on(thing, lambda: thing.asked.throw(error))

    def _step(self, thing: Suspendable, ask: Callable[[], Any]) -> None:
        """Begin a step of an asynchronous generator, or go on with the one that it is in the midst of."""
        if thing.asked is None:
            thing.asked = ask()
        self._go_on(thing, lambda: thing.asked.send(None))

    def _go_on(self, thing: Suspendable, go_on: Callable[[], Any]) -> None:
        is_in_the_midst = False
        try:
            is_in_the_midst = not self._drive(go_on)
        finally:
            if not is_in_the_midst:
                thing.asked = None

    def _drive(self, go_on: Callable[[], Any]) -> bool:
        """Whether what is driven came to an end, of itself or of a step."""
        try:
            go_on()
        except (StopIteration, StopAsyncIteration):
            return True
        return False
