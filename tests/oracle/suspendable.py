"""Generators, coroutines and asynchronous generators that do what they are told, step by step."""

from __future__ import annotations

import types
from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
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


class Withs:
    """The `with` statements that a body is in, entered and left by calls from the body itself."""

    def __init__(self, program: SuspendingProgram) -> None:
        self.program = program
        self.blocks: list[Any] = []

    def made(self, number: int) -> Any:
        """A new block, to be entered at once."""
        self.blocks.append(self.program.inline_block(INLINE[number]))
        return self.blocks[-1]


def inner_level() -> Step:
    """Do steps on the thread that runs this, until one is for the caller itself."""
    worker: Worker = here.worker
    return worker.level()


def generator(program: SuspendingProgram) -> Generator[None, None, None]:
    """A generator that waits for others by `yield from`."""
    withs = Withs(program)
    try:
        while True:
            kind, *arguments = inner_level()
            if kind == "return":
                return
            if kind == "open":
                withs.made(*arguments).__enter__()
            elif kind == "shut":
                withs.blocks.pop().__exit__(None, None, None)
            elif kind == "delegate":
                yield from arguments[0].made
            else:
                with suppress(Nudge):
                    yield
    finally:
        while withs.blocks:
            withs.blocks.pop().__exit__(None, None, None)


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Suspend whatever awaits it."""
    yield


async def coroutine(program: SuspendingProgram) -> None:
    """A coroutine that awaits others, and steps of asynchronous generators."""
    withs = Withs(program)
    try:
        while True:
            kind, *arguments = inner_level()
            if kind == "return":
                return
            if kind == "open":
                withs.made(*arguments).__enter__()
            elif kind == "shut":
                withs.blocks.pop().__exit__(None, None, None)
            elif kind == "delegate" and arguments[0].kind == "asynchronous":
                with suppress(StopAsyncIteration):
                    await arguments[0].made.__anext__()
            elif kind == "delegate":
                await arguments[0].made
            else:
                with suppress(Nudge):
                    await pause()
    finally:
        while withs.blocks:
            withs.blocks.pop().__exit__(None, None, None)


async def asynchronous(program: SuspendingProgram) -> AsyncIterator[None]:
    """An asynchronous generator that suspends in the midst of a step, or between steps."""
    withs = Withs(program)
    try:
        while True:
            kind, *arguments = inner_level()
            if kind == "return":
                return
            if kind == "open":
                withs.made(*arguments).__enter__()
            elif kind == "shut":
                withs.blocks.pop().__exit__(None, None, None)
            else:
                with suppress(Nudge):
                    if kind == "wait":
                        await pause()
                    else:
                        yield
    finally:
        while withs.blocks:
            withs.blocks.pop().__exit__(None, None, None)


def returned(program: SuspendingProgram) -> Coroutine[Any, Any, None]:
    """A plain function that returns a coroutine which it made."""
    return coroutine(program)


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
