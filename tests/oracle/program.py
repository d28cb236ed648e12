"""Programs of small steps, each played on the core and on its twin, and a comparison of all their figures."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from stichotrope import Profiler, _core
from stichotrope.results import ProfilerResults, ThreadResults

from .figures import clamped, figures
from .observed import differences, observed_figures
from .passes import Site, Thread

# Reaching it means that somebody waits for ever.
WATCHDOG_SECONDS = 60.0

CALLS = [Site("f0", 0), Site("f1", 0), Site("f2", 1)]
INLINE = [Site("w0", 0), Site("w1", 1), Site("w2", 2)]
KEPT = [Site("k0", 0), Site("k1", 1), Site("k2", 2), Site("k3", 2)]
TRACKS = (0, 1, 2)
CONTEXTS = 3
# Registered before the others where a program asks for it: the core's masks have a bit for each of the
# first 63 tracks, and sites share bits from the 65th on.
FILLERS = [Site(f"filler {i}", 1000 + i) for i in range(62)]

Step = tuple[Any, ...]


# ---- a thread that does one step at a time ------------------------------------------------------


class Unwind(Exception):  # noqa: N818
    """Ends so many levels of a worker's nesting; it is no error."""

    def __init__(self, levels: int) -> None:
        self.levels = levels


# Steps that the function which is being called, or the generator that is running, does itself.
OWN_STEPS = {"end", "return", "yield", "wait", "open", "shut", "delegate"}

# Each thread's own worker, as `here.worker`.
here = threading.local()


class Broken(BaseException):
    """Ends all levels of a worker in which something went wrong."""


class Worker:
    """A thread that does steps, as they come."""

    def __init__(self, program: Program, name: str) -> None:
        self.program = program
        self.steps: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self.rests: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self.is_resting = False
        self.error: BaseException | None = None
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
        make = contextvars.copy_context if self.program.has_context else contextvars.Context
        self.contexts = [make() for _ in range(CONTEXTS)]
        here.worker = self
        try:
            self.level()
        except Broken:
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
        except Exception as error:
            self.error = error
            raise Broken from None

    def tick(self, now: int) -> None:
        _core.set_manual_ticks(now)

    def call(self, number: int) -> None:
        self.program.functions[number](self.level)

    def inline(self, number: int) -> None:
        with self.program.inline_block(INLINE[number]):
            self.level()

    def enter(self, number: int) -> None:
        self.program.blocks[number].__enter__()

    def leave(self, number: int) -> None:
        self.program.blocks[number].__exit__(None, None, None)

    def leave_in_vain(self, number: int) -> None:
        with pytest.raises(RuntimeError, match="is not open"):
            self.leave(number)

    def run(self, number: int) -> None:
        self.contexts[number].run(self.level)


class Player:
    """A worker and its twin, and the levels that both are in, outermost first."""

    def __init__(self, program: Program, name: str) -> None:
        self.worker = program.worker_type(program, name)
        self.twin = program.twin_type(name)
        self.levels: list[Callable[[], None]] = []  # what the twin does when the level ends
        self.shown = 0  # on the worker's clock


# ---- a program, played by the core and by its twin ----------------------------------------------


def body(level: Callable[[], Step]) -> None:
    """What tracked functions do: the steps until they return."""
    level()


class Program:
    """Plays steps on the core and on its twin, leaving out those that make no sense where they stand."""

    worker_type = Worker
    twin_type = Thread

    def __init__(
        self,
        has_context: bool = True,
        has_fillers: bool = False,
        retain_threads: int = 1024,
        max_nodes: int = 65_536,
    ) -> None:
        self.has_context = has_context
        self.retain_threads = retain_threads
        self.has_tree = max_nodes == 65_536
        self.profiler = Profiler("oracle", retain_threads=retain_threads, max_nodes=max_nodes)
        self.sites = FILLERS * has_fillers + CALLS + INLINE + KEPT
        for site in FILLERS * has_fillers + INLINE:
            self.inline_block(site)
        self.functions = [self.profiler.track(site.track, site.name)(body) for site in CALLS]
        self.blocks = [self.profiler.block(site.track, site.name) for site in KEPT]
        self.players: dict[int, Player] = {}
        self.busy: Player | None = None  # only one thread does steps at a time
        self.made = 0
        self.ended: list[Thread] = []
        self.started = True
        self.disabled: set[int] = set()
        self.was_off = False

    def inline_block(self, site: Site) -> Any:
        """A block as `with` gets it, new each time."""
        return self.profiler.block(site.track, site.name)

    def play(self, steps: list[Step]) -> None:
        """Do all steps, and compare at the end, before and after all threads have ended."""
        try:
            for kind, *arguments in steps:
                self.step(kind, arguments)
            self.check()
            self.end_all()
            self.check()
        finally:
            self.end_all()

    def step(self, kind: str, arguments: list[Any]) -> None:
        """Do one step."""
        getattr(self, kind)(*arguments)

    def player(self, number: int) -> Player:
        """The thread of a number: a new one at first, and after its end."""
        if number not in self.players:
            self.made += 1
            self.players[number] = Player(self, f"oracle {self.made}")
        if self.players[number] is not self.busy:
            self.settle()
            self.busy = self.players[number]
        return self.busy

    def settle(self) -> None:
        """Wait until all steps are done."""
        for player in self.players.values():
            player.worker.settle()

    def is_on(self, site: Site) -> bool:
        """Whether a pass of the site that begins now is recorded."""
        return self.started and site.track not in self.disabled

    # ---- steps of one thread --------------------------------------------------------------------

    def tick(self, thread: int, step: int) -> None:
        """Move the clock, forward or back."""
        player = self.player(thread)
        player.twin.now = max(0, player.twin.now + step)
        player.worker.do("tick", player.twin.now)

    def call(self, thread: int, number: int) -> None:
        """Call a tracked function; the steps that follow are done in it."""
        player = self.player(thread)
        twin, site = player.twin, CALLS[number]
        entered = twin.enter(site) if self.is_on(site) else None
        player.worker.do("call", number)
        player.levels.append(lambda: twin.leave(entered) if entered else None)

    def inline(self, thread: int, number: int) -> None:
        """Begin a `with` statement; the steps that follow are done in it."""
        player = self.player(thread)
        twin, site = player.twin, INLINE[number]
        twin.enter(site, self.is_on(site))
        player.worker.do("inline", number)
        player.levels.append(lambda: self._leave_innermost(twin, site))

    def _leave_innermost(self, twin: Thread, site: Site) -> None:
        found = twin.find(site)
        assert found is not None
        twin.leave(found)

    def enter(self, thread: int, number: int) -> None:
        """Enter a kept block."""
        player = self.player(thread)
        player.worker.do("enter", number)
        player.twin.enter(KEPT[number], self.is_on(KEPT[number]))

    def leave(self, thread: int, number: int) -> None:
        """Leave a kept block: the innermost open pass, in this context or in the only other one that has any.

        Once something was off, no block of another context is left: which one is meant can't be told.
        """
        player = self.player(thread)
        twin, site = player.twin, KEPT[number]
        found = twin.find(site)
        if found is not None:
            if found.flow is twin.flow or (twin.holders(site) == 1 and not self.was_off):
                player.worker.do("leave", number)
                twin.leave(found)
        elif self.was_off:
            player.worker.do("leave", number)
        else:
            player.worker.do("leave_in_vain", number)

    def run(self, thread: int, number: int) -> None:
        """Enter a context; the steps that follow are done in it."""
        player = self.player(thread)
        if number not in player.twin.contexts:
            player.worker.do("run", number)
            player.twin.contexts.append(number)
            player.levels.append(lambda: self._leave_context(player.twin))

    def _leave_context(self, twin: Thread) -> None:
        twin.contexts.pop()

    def ret(self, thread: int) -> None:
        """End the innermost call, `with` or context."""
        player = self.player(thread)
        if player.levels:
            player.worker.do("return")
            player.levels.pop()()

    def throw(self, thread: int, levels: int) -> None:
        """Raise an exception that is caught so many levels further out."""
        player = self.player(thread)
        levels = min(levels, len(player.levels))
        if levels:
            player.worker.do("raise", levels)
            for _ in range(levels):
                player.levels.pop()()

    def end(self, thread: int) -> None:
        """Let the thread end, by an exception if anything is open on it."""
        if thread not in self.players:
            return
        self.throw(thread, 1_000_000)
        player = self.players.pop(thread)
        player.worker.end()
        self._await_end(player.twin.name)
        if player.twin.has_entered:
            self.ended.append(player.twin)

    def _await_end(self, name: str) -> None:
        """Wait until the system has taken the thread down: Python may say so a moment earlier."""
        deadline = time.monotonic() + WATCHDOG_SECONDS
        while any(head[2] == name and not head[3] for head in self.profiler._snapshot().threads()):
            assert time.monotonic() < deadline, f"thread {name} was never seen to end"
            time.sleep(0)

    def end_all(self) -> None:
        """Let all threads end."""
        for thread in list(self.players):
            self.end(thread)

    # ---- steps of the program -------------------------------------------------------------------

    def clear(self) -> None:
        """Forget what is recorded."""
        self.settle()
        self.profiler.clear()
        self.ended.clear()
        for player in self.players.values():
            player.twin.clear()

    def start(self) -> None:
        """Switch everything on."""
        self.settle()
        self.profiler.start()
        self.started = True

    def stop(self) -> None:
        """Switch everything off."""
        self.settle()
        self.profiler.stop()
        self.started = False
        self.was_off = True

    def switch(self, track: int, on: bool) -> None:
        """Switch one track."""
        self.settle()
        self.profiler.set_track_enabled(track, on)
        (self.disabled.discard if on else self.disabled.add)(track)
        self.was_off |= not on

    # ---- comparison -----------------------------------------------------------------------------

    def check(self) -> None:
        """Compare everything that results say."""
        self.settle()
        results = self.profiler.get_results()
        living = [player.twin for player in self.players.values() if player.twin.has_entered]
        twins = self.ended + living
        self._compare(results, twins)
        own_lines = {share.name: share for share in results.threads if share.key}
        folded = [twin for twin in self.ended if twin.name not in own_lines]
        assert len(folded) == max(0, len(self.ended) - self.retain_threads)
        assert results.metadata["folded_threads"] == len(folded)
        assert set(own_lines) == {twin.name for twin in twins} - {twin.name for twin in folded}
        for twin in twins:
            if twin not in folded:
                line = own_lines[twin.name]
                assert line.alive is (twin in living)
                self._compare(line, [twin])
                self._compare(self.profiler.get_results(thread=line.key), [twin])
        for share in results.threads:
            if share.key == 0:
                self._compare(share, folded)
        assert self._clamped(results) == clamped(twins)

    def _clamped(self, results: ProfilerResults) -> int:
        counts = [text.split()[0] for text in results.metadata["warnings"] if "clock" in text]
        return sum(int(count.replace(",", "")) for count in counts)

    def _compare(self, found: ProfilerResults | ThreadResults, twins: list[Thread]) -> None:
        expected = figures(twins, self.sites)
        observed = observed_figures(found)
        if not self.has_tree:
            expected, observed = expected._replace(tree={}), observed._replace(tree={})
        assert observed == expected, differences(observed, expected)


# ---- random programs ----------------------------------------------------------------------------

SHORT = st.integers(1, 40)
# Around where buckets, octaves and pages begin.
EDGES = st.sampled_from([0, 15, 16, 17, 1 << 20, (1 << 41) - 17, 1 << 41, 1 << 45])


def steps(threads: int, *, contexts: bool = True, switches: bool = True) -> st.SearchStrategy:
    """Programs of some threads: steps in any order, and levels that are ended as they were begun."""
    thread = st.integers(0, threads - 1)
    levels = [
        st.tuples(st.just("call"), thread, st.integers(0, len(CALLS) - 1)),
        st.tuples(st.just("inline"), thread, st.integers(0, len(INLINE) - 1)),
    ]
    if contexts:
        levels.append(st.tuples(st.just("run"), thread, st.integers(0, CONTEXTS - 1)))
    single = [
        st.tuples(st.just("tick"), thread, SHORT),
        st.tuples(st.just("tick"), thread, SHORT),
        st.tuples(st.just("tick"), thread, EDGES),
        st.tuples(st.just("tick"), thread, st.integers(-60, -1)),
        st.tuples(st.just("enter"), thread, st.integers(0, len(KEPT) - 1)),
        st.tuples(st.just("leave"), thread, st.integers(0, len(KEPT) - 1)),
        st.tuples(st.just("leave"), thread, st.integers(0, len(KEPT) - 1)),
        st.tuples(st.just("ret"), thread),
        st.tuples(st.just("throw"), thread, st.integers(1, 4)),
        st.tuples(st.just("end"), thread),
        st.tuples(st.just("clear")),
        st.tuples(st.just("check")),
    ]
    if switches:
        single += [
            st.tuples(st.just("start")),
            st.tuples(st.just("stop")),
            st.tuples(st.just("switch"), st.sampled_from(TRACKS), st.booleans()),
        ]
    level = st.one_of(*levels)
    alone = st.one_of(level, *single).map(lambda step: [step])
    return joined(st.recursive(alone, whole(level), max_leaves=8))


def joined(parts: st.SearchStrategy) -> st.SearchStrategy:
    """Lists of parts, one after the other. Of lists of lists, because hypothesis keeps most lists short."""
    groups = st.lists(st.lists(parts, max_size=20), max_size=8)
    return groups.map(lambda found: [step for group in found for part in group for step in part])


def whole(level: st.SearchStrategy) -> Callable[[st.SearchStrategy], st.SearchStrategy]:
    """Makes of parts the levels that have them inside."""

    def around(parts: st.SearchStrategy) -> st.SearchStrategy:
        inside = st.lists(parts, max_size=4)
        return st.tuples(level, inside).map(
            lambda found: [
                found[0],
                *(step for part in found[1] for step in part),
                ("ret", found[0][1]),
            ]
        )

    return around


def checked(examples: int) -> settings:
    """So many random programs, each as long as it takes."""
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
