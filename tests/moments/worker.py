"""Threads, generators and coroutines that do what they are told, step by step."""

from __future__ import annotations

import contextvars
import queue
import threading
import types
from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from stichotrope import _core

from .model import Site

if TYPE_CHECKING:
    from .program import Program

# Reaching it means that somebody waits for ever.
WATCHDOG_SECONDS = 60.0

CALLS = [Site("f0", 0), Site("f1", 0), Site("f2", 1)]
INLINE = [Site("w0", 0), Site("w1", 1), Site("w2", 2)]
KEPT = [Site("k0", 0), Site("k1", 1), Site("k2", 2), Site("k3", 2)]
# Registered before the others where a program asks for it.
FILLERS = [Site(f"filler {number}", 1000 + number) for number in range(62)]
CONTEXTS = 3
MOST_OPEN = 3  # `with` statements of one body

Step = tuple[Any, ...]

# Steps that the function which is being called, or the body that is running, does itself.
OWN_STEPS = {"end", "return", "yield", "wait", "open", "shut", "delegate"}

# Each thread's own worker, as `here.worker`.
here = threading.local()


class Unwind(Exception):  # noqa: N818
    """Ends so many levels of a worker's nesting; it is no error."""

    def __init__(self, levels: int) -> None:
        self.levels = levels


class Nudge(Exception):  # noqa: N818
    """Is thrown into what is suspended, which catches it and goes on; it is no error."""


class Broken(BaseException):
    """Ends all levels of a worker in which something went wrong."""


# ---- bodies -------------------------------------------------------------------------------------

# What a body does step by step; inside a `with` statement it does the same, as often as one may be open.
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


def body(head: str, delegate: str, suspend: str) -> Callable[..., Any]:
    """A function of real `with` statements, one in the other: what is open depends on whose they are."""
    steps = STEPS.replace("{delegate}", delegate).replace("{suspend}", suspend)
    inside = "raise AssertionError('too many are open')"
    for _ in range(MOST_OPEN + 1):
        before, after = steps.split("{inside}")
        inside = before + inside.replace("\n", "\n" + " " * 12) + after
    made: dict[str, Any] = {}
    exec(f"{head}\n    " + inside.replace("\n", "\n    "), globals(), made)
    function: Callable[..., Any] = made.popitem()[1]
    return function


def inner_level() -> Step:
    """Do steps on the thread that runs this, until one is for the caller itself."""
    worker: Worker = here.worker
    return worker.level()


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Suspend whatever awaits it."""
    yield


class Thing:
    """Something that can be suspended: what the program has of it, and where it stands."""

    def __init__(self, kind: str, layers: list[Site]) -> None:
        self.kind = kind
        self.layers = layers  # the blocks that it is tracked as, outermost first
        self.made: Any = None
        self.asked: Any = (
            None  # of an asynchronous generator: what was awaited for its current step
        )
        self.strand: Any = None  # a Strand, from the first resume on
        self.depth = 0  # how many `with` statements of its own are open
        self.inner: Thing | None = None  # what it waits for
        self.outer: Thing | None = None  # what waits for it
        self.touched = self.waiting = self.over = False

    @property
    def is_running(self) -> bool:
        """Whether it is, or what it waits for."""
        return self.strand is not None and self.strand.is_running

    def chain(self) -> list[Thing]:
        """It, what it waits for, what that waits for, and so on."""
        return [self, *(self.inner.chain() if self.inner is not None else [])]


async def wait_for(thing: Thing) -> None:
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


def returned(program: Program) -> Coroutine[Any, Any, None]:
    """A plain function that returns a coroutine which it made."""
    made: Coroutine[Any, Any, None] = coroutine(program)
    return made


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "generator": generator,
    "coroutine": coroutine,
    "returned": returned,
    "asynchronous": asynchronous,
}
# For each kind, the blocks that it may be tracked as, on tracks 0 and 1.
LAYERS = {kind: [Site(f"{kind} {track}", track) for track in (0, 1)] for kind in FUNCTIONS}


# ---- threads ------------------------------------------------------------------------------------


class Worker:
    """A thread that does steps, as they come."""

    def __init__(self, program: Program, name: str) -> None:
        self.program = program
        self.steps: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self.rests: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self.is_resting = False
        self.error: BaseException | None = None
        self.seen: Any = None  # results that it got
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def do(self, *step: Any) -> None:
        """Have a step done, soon."""
        self.is_resting = False
        self.steps.put(step)

    def settle(self) -> None:
        """Wait until all steps are done; what one of them raised is raised here."""
        if not self.is_resting:
            self.steps.put(("rest",))
            self._await_rest()

    def end(self) -> None:
        """Let the thread end, all of whose levels have ended."""
        self.steps.put(("end",))
        self._await_rest()
        self.thread.join(WATCHDOG_SECONDS)

    def _await_rest(self) -> None:
        error = self.rests.get(timeout=WATCHDOG_SECONDS)
        self.is_resting = True
        if error is not None:
            raise error

    def _run(self) -> None:
        # A copy gives the thread a context of its own first; new ones leave it without.
        make = (
            contextvars.copy_context if self.program.settings.has_context else contextvars.Context
        )
        self.contexts = [make() for _ in range(CONTEXTS)]
        here.worker = self
        try:
            self.level()
        except (Broken, Unwind):
            while (step := self.steps.get()) != ("end",):
                if step == ("rest",):
                    self.rest()
        self.rest()

    def rest(self) -> None:
        """Say that all steps up to now are done, once what went wrong, if anything did."""
        error, self.error = self.error, None
        self.rests.put(error)

    def level(self) -> Step:
        """Do steps until one comes that is for this level's own function: it is returned."""
        while True:
            kind, *arguments = self.steps.get()
            if kind in OWN_STEPS:
                return kind, *arguments
            if kind == "raise":
                raise Unwind(*arguments)
            self._do_step(getattr(self, kind), arguments)

    def _do_step(self, action: Callable[..., None], arguments: list[Any]) -> None:
        try:
            action(*arguments)
        except Unwind as unwind:
            unwind.levels -= 1
            if unwind.levels:
                raise
        except (Exception, pytest.fail.Exception) as error:
            self.error = error
            raise Broken from None

    # ---- steps ----------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        _core.set_manual_ticks(now)

    def look(self) -> None:
        self.seen = self.program.profiler.get_results()

    def call(self, number: int) -> None:
        self.program.functions[number](self.level)

    def inline(self, number: int) -> None:
        with self.program.inline_block(INLINE[number]):
            self.level()

    def hold(self, number: int) -> None:
        with self.program.blocks[number]:
            self.level()

    def enter(self, number: int) -> None:
        self.program.blocks[number].__enter__()

    def leave(self, number: int) -> None:
        self.program.blocks[number].__exit__(None, None, None)

    def say(self, number: int, items: int) -> None:
        self.program.blocks[number].add_items(items)

    def count(self, value: int) -> None:
        self.program.counter.inc(value)
        self.program.histogram.observe(value)

    def leave_in_vain(self, number: int) -> None:
        with pytest.raises(RuntimeError, match="is not open"):
            self.leave(number)

    def run(self, number: int) -> None:
        self.contexts[number].run(self.level)

    def make(self, thing: Thing) -> None:
        thing.made = self.program.tracked(thing)(self.program)

    def resume(self, thing: Thing) -> None:
        if thing.kind == "asynchronous":
            self._step(thing, lambda: thing.made.__anext__())
        else:
            self._drive(lambda: thing.made.send(None))

    def nudge(self, thing: Thing) -> None:
        self._throw(thing, Nudge())

    def cancel(self, thing: Thing) -> None:
        with suppress(CancelledError):
            self._throw(thing, CancelledError())

    def close(self, thing: Thing) -> None:
        if thing.kind == "asynchronous":
            self._step(thing, lambda: thing.made.aclose())
        else:
            thing.made.close()

    def abandon(self, thing: Thing) -> None:
        thing.made = thing.asked = None

    def _throw(self, thing: Thing, error: BaseException) -> None:
        if thing.kind != "asynchronous":
            self._drive(lambda: thing.made.throw(error))
        elif thing.asked is None:
            self._step(thing, lambda: thing.made.athrow(error))
        else:
            self._go_on(thing, lambda: thing.asked.throw(error))

    def _step(self, thing: Thing, ask: Callable[[], Any]) -> None:
        """Begin a step of an asynchronous generator, or go on with the one that it is in the midst of."""
        if thing.asked is None:
            thing.asked = ask()
        self._go_on(thing, lambda: thing.asked.send(None))

    def _go_on(self, thing: Thing, go_on: Callable[[], Any]) -> None:
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


def plain(level: Callable[[], Step]) -> None:
    """What tracked functions do: the steps until they return."""
    level()
