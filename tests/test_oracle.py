"""Random programs on several threads: the core and its slow twin agree on every figure."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
from oracle import Block, Figures, Node, Site
from stichotrope import Profiler, _clock, _core
from stichotrope.results import CallNode, ProfilerResults, ThreadResults

pytestmark = pytest.mark.integration

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


class Worker:
    """A thread that does a step, says that it is done, and waits for the next."""

    def __init__(self, program: Program, name: str) -> None:
        self.program = program
        self.steps: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def do(self, *step: Any) -> None:
        """Have a step done; what it raises is raised here."""
        self.steps.put(step)
        error = self.done.get(timeout=WATCHDOG_SECONDS)
        if error is not None:
            raise error

    def _run(self) -> None:
        # A copy gives the thread a context of its own first; new ones leave it without.
        make = contextvars.copy_context if self.program.has_context else contextvars.Context
        self.contexts = [make() for _ in range(CONTEXTS)]
        self._level()
        self.done.put(None)

    def _level(self) -> None:
        """Do steps until one of them ends this level of nesting."""
        while True:
            kind, *arguments = self.steps.get()
            if kind == "return":
                return
            if kind == "raise":
                raise Unwind(*arguments)
            self.done.put(self._outcome(getattr(self, kind), arguments))

    def _outcome(self, action: Callable[..., None], arguments: list[Any]) -> BaseException | None:
        try:
            action(*arguments)
        except Unwind as unwind:
            unwind.levels -= 1
            if unwind.levels:
                raise
        except Exception as error:
            return error
        return None

    def _inner_level(self) -> None:
        self.done.put(None)
        self._level()

    def tick(self, now: int) -> None:
        _core.set_manual_ticks(now)

    def call(self, number: int) -> None:
        self.program.functions[number](self._inner_level)

    def inline(self, number: int) -> None:
        with self.program.inline_block(INLINE[number]):
            self._inner_level()

    def enter(self, number: int) -> None:
        self.program.blocks[number].__enter__()

    def leave(self, number: int) -> None:
        self.program.blocks[number].__exit__(None, None, None)

    def run(self, number: int) -> None:
        self.contexts[number].run(self._inner_level)


class Player:
    """A worker and its twin, and the levels that both are in, outermost first."""

    def __init__(self, program: Program, name: str) -> None:
        self.worker = Worker(program, name)
        self.twin = oracle.Thread(name)
        self.levels: list[Callable[[], None]] = []  # what the twin does when the level ends


# ---- a program, played by the core and by its twin ----------------------------------------------


def body(level: Callable[[], None]) -> None:
    """What tracked functions do: the steps until they return."""
    level()


class Program:
    """Plays steps on the core and on its twin, leaving out those that make no sense where they stand."""

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
        self.made = 0
        self.ended: list[oracle.Thread] = []
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
                getattr(self, kind)(*arguments)
            self.check()
            self.end_all()
            self.check()
        finally:
            self.end_all()

    def player(self, number: int) -> Player:
        """The thread of a number: a new one at first, and after its end."""
        if number not in self.players:
            self.made += 1
            self.players[number] = Player(self, f"oracle {self.made}")
        return self.players[number]

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
        player.worker.do("call", number)
        entered = twin.enter(site) if self.is_on(site) else None
        player.levels.append(lambda: twin.leave(entered) if entered else None)

    def inline(self, thread: int, number: int) -> None:
        """Begin a `with` statement; the steps that follow are done in it."""
        player = self.player(thread)
        twin, site = player.twin, INLINE[number]
        player.worker.do("inline", number)
        twin.enter(site, self.is_on(site))
        player.levels.append(lambda: self._leave_innermost(twin, site))

    def _leave_innermost(self, twin: oracle.Thread, site: Site) -> None:
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
            with pytest.raises(RuntimeError, match="is not open"):
                player.worker.do("leave", number)

    def run(self, thread: int, number: int) -> None:
        """Enter a context; the steps that follow are done in it."""
        player = self.player(thread)
        if number not in player.twin.contexts:
            player.worker.do("run", number)
            player.twin.contexts.append(number)
            player.levels.append(lambda: self._leave_context(player.twin))

    def _leave_context(self, twin: oracle.Thread) -> None:
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
        player.worker.do("return")
        player.worker.thread.join(WATCHDOG_SECONDS)
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
        self.profiler.clear()
        self.ended.clear()
        for player in self.players.values():
            player.twin.clear()

    def start(self) -> None:
        """Switch everything on."""
        self.profiler.start()
        self.started = True

    def stop(self) -> None:
        """Switch everything off."""
        self.profiler.stop()
        self.started = False
        self.was_off = True

    def switch(self, track: int, on: bool) -> None:
        """Switch one track."""
        self.profiler.set_track_enabled(track, on)
        (self.disabled.discard if on else self.disabled.add)(track)
        self.was_off |= not on

    # ---- comparison -----------------------------------------------------------------------------

    def check(self) -> None:
        """Compare everything that results say."""
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
        assert self._clamped(results) == oracle.clamped(twins)

    def _clamped(self, results: ProfilerResults) -> int:
        counts = [text.split()[0] for text in results.metadata["warnings"] if "clock" in text]
        return sum(int(count.replace(",", "")) for count in counts)

    def _compare(self, found: ProfilerResults | ThreadResults, twins: list[oracle.Thread]) -> None:
        expected = oracle.figures(twins, self.sites)
        observed = observed_figures(found)
        if not self.has_tree:
            expected, observed = expected._replace(tree={}), observed._replace(tree={})
        assert observed == expected


# ---- what results say, in the oracle's shapes ---------------------------------------------------


def observed_figures(found: ProfilerResults | ThreadResults) -> Figures:
    """All figures of the results of one thread or of several."""
    blocks = {}
    for track in found.tracks.values():
        assert [block.block_idx for block in track.blocks] == list(range(len(track.blocks)))
        for block in track.blocks:
            blocks[block.name] = Block(
                hits=block.hit_count,
                total=block.total_time_ns,
                self=block.self_time_ns,
                minimum=block.min_time_ns,
                maximum=block.max_time_ns,
                sum=block.sum_time_ns,
                squares=block.sum_squares_ns2,
                histogram=tuple(block.histogram),
            )
    return Figures(
        blocks=blocks,
        tracks={track.track_idx: track.total_time_ns for track in found.tracks.values()},
        total=found.total_time_ns,
        tree=dict(hit_nodes(found.tree, ())),
    )


def hit_nodes(node: CallNode, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Every node of a tree that has finished passes, with the path that leads there."""
    if node.hit_count:
        yield path, Node(node.hit_count, node.total_time_ns, node.self_time_ns)
    for child in node.children:
        yield from hit_nodes(child, (*path, child.name))


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


@pytest.fixture(autouse=True)
def manual_clock() -> Iterator[None]:
    """The injected clock."""
    _core.use_clock("manual")
    yield
    _clock.choose()


# ---- programs that random ones seldom come to ---------------------------------------------------

SETTINGS_AND_STEPS: dict[str, tuple[dict[str, Any], list[Step]]] = {
    "a pass above one that left early may be the first of its track": (
        {},
        [
            *[("enter", 0, 2), ("enter", 0, 1), ("tick", 0, 10), ("leave", 0, 2)],
            *[("enter", 0, 3), ("tick", 0, 5), ("leave", 0, 3), ("leave", 0, 1)],
        ],
    ),
    "a pass of a full tree above a dropped one is outermost": (
        {"max_nodes": 1},
        [
            *[("enter", 0, 0), ("clear",), ("enter", 0, 1), ("tick", 0, 5), ("leave", 0, 1)],
            *[("enter", 0, 2), ("tick", 0, 7), ("leave", 0, 2)],
        ],
    ),
    "a stretch in which the clock went backwards is billed to nobody": (
        {},
        [
            *[("call", 0, 0), ("enter", 0, 0), ("tick", 0, 10), ("enter", 0, 1), ("tick", 0, 90)],
            *[("leave", 0, 0), ("tick", 0, -80), ("leave", 0, 1), ("tick", 0, 180), ("ret", 0)],
        ],
    ),
    "a dropped pass is not among those whose clock went backwards": (
        {},
        [
            *[("tick", 0, 100), ("enter", 0, 0), ("clear",), ("inline", 0, 0), ("tick", 0, 10)],
            *[("ret", 0), ("tick", 0, -60), ("leave", 0, 0)],
        ],
    ),
    "contexts on a thread that has none of its own do not bill each other": (
        {"has_context": False},
        [
            *[("call", 0, 0), ("run", 0, 0), ("enter", 0, 1), ("tick", 0, 10), ("ret", 0)],
            *[("run", 0, 1), ("enter", 0, 2), ("tick", 0, 10), ("ret", 0)],
            *[("run", 0, 0), ("tick", 0, 10), ("leave", 0, 1), ("ret", 0)],
            *[("run", 0, 1), ("tick", 0, 10), ("leave", 0, 2), ("ret", 0), ("ret", 0)],
        ],
    ),
    "a context lies on what was open where it was entered last": (
        {},
        [
            *[("run", 0, 0), ("enter", 0, 0), ("run", 0, 1), ("inline", 0, 0), ("tick", 0, 10)],
            *[("ret", 0), ("ret", 0), ("ret", 0), ("run", 0, 1), ("inline", 0, 1), ("tick", 0, 10)],
            *[("ret", 0), ("ret", 0), ("run", 0, 0), ("leave", 0, 0), ("ret", 0)],
        ],
    ),
    "what a context lies on may end while it is not the thread's": (
        {},
        [
            *[
                ("call", 0, 0),
                ("run", 0, 0),
                ("call", 0, 1),
                ("tick", 0, 1),
                ("ret", 0),
                ("ret", 0),
            ],
            *[("ret", 0), ("call", 0, 2), ("tick", 0, 5), ("ret", 0)],
        ],
    ),
    "what a context lies on may end in that context": (
        {},
        [
            *[("enter", 0, 0), ("run", 0, 0), ("call", 0, 0), ("leave", 0, 0), ("ret", 0)],
            *[("call", 0, 0), ("tick", 0, 5), ("ret", 0), ("ret", 0)],
        ],
    ),
    "a block entered and left while off does not end that of another context": (
        {},
        [
            *[("run", 0, 0), ("enter", 0, 0), ("tick", 0, 10), ("ret", 0), ("stop",)],
            *[("run", 0, 1), ("enter", 0, 0), ("tick", 0, 10), ("leave", 0, 0), ("ret", 0)],
            *[("start",), ("run", 0, 0), ("tick", 0, 30), ("leave", 0, 0), ("ret", 0)],
        ],
    ),
    "a block entered while off and left while on does not end that of another context": (
        {},
        [
            *[("stop",), ("run", 0, 0), ("enter", 0, 0), ("ret", 0), ("start",)],
            *[("run", 0, 1), ("enter", 0, 0), ("tick", 0, 10), ("ret", 0)],
            *[("run", 0, 0), ("leave", 0, 0), ("ret", 0)],
            *[("run", 0, 1), ("tick", 0, 30), ("leave", 0, 0), ("ret", 0)],
        ],
    ),
    "what lies on a block that is not recorded lies on what is open below it": (
        {},
        [
            *[("enter", 0, 0), ("call", 0, 0), ("stop",), ("enter", 0, 0), ("start",), ("ret", 0)],
            *[("call", 0, 1), ("tick", 0, 5), ("ret", 0), ("leave", 0, 0), ("leave", 0, 0)],
        ],
    ),
    "what lies on a block that is not recorded and a dropped one is outermost": (
        {},
        [
            *[("enter", 0, 1), ("clear",), ("switch", 1, False), ("call", 0, 1), ("enter", 0, 1)],
            *[("ret", 0), ("call", 0, 0), ("tick", 0, 5), ("ret", 0)],
        ],
    ),
    "a block that is not recorded takes no time from what its context lies on": (
        {},
        [
            *[("inline", 0, 0), ("stop",), ("run", 0, 0), ("inline", 0, 0), ("tick", 0, 10)],
            *[("ret", 0), ("ret", 0), ("tick", 0, 5), ("ret", 0)],
        ],
    ),
    "what lies on a block that is not recorded is billed to what lies below it": (
        {},
        [
            *[("inline", 0, 0), ("enter", 0, 0), ("enter", 0, 1), ("switch", 0, False)],
            *[("enter", 0, 0), ("enter", 0, 2), ("tick", 0, 10), ("leave", 0, 1), ("tick", 0, 5)],
            *[("leave", 0, 2), ("leave", 0, 0), ("leave", 0, 0), ("ret", 0)],
        ],
    ),
}


@pytest.mark.parametrize("name", SETTINGS_AND_STEPS)
def test_all_figures_agree_where(name: str) -> None:
    """The core and its twin agree on a program that once told them apart."""
    chosen, program = SETTINGS_AND_STEPS[name]
    Program(**chosen).play(program)


# ---- random ones --------------------------------------------------------------------------------


@checked(200)
@given(steps(4), st.booleans())
def test_all_figures_agree_on_several_threads(program: list[Step], has_fillers: bool) -> None:
    """Calls, blocks, recursion, exceptions, clears, switches and clocks come to what they are defined to."""
    Program(has_fillers=has_fillers).play(program)


@checked(100)
@given(steps(4, contexts=False), st.integers(0, 2))
def test_threads_that_ended_keep_their_figures(program: list[Step], retain_threads: int) -> None:
    """Of many ended threads, a few keep a line of their own and the others share one: nothing is lost."""
    Program(retain_threads=retain_threads).play(program)


@checked(100)
@given(steps(2), st.integers(1, 4), st.booleans())
def test_flat_figures_agree_beyond_the_limit_of_nodes(
    program: list[Step], max_nodes: int, has_context: bool
) -> None:
    """A thread whose call tree is full records every pass with all of its figures."""
    Program(max_nodes=max_nodes, has_context=has_context).play(program)


@checked(150)
@given(steps(1) | steps(1, switches=False), st.booleans(), st.booleans())
def test_all_figures_agree_in_contexts(
    program: list[Step], has_context: bool, has_fillers: bool
) -> None:
    """Contexts that take turns on one thread have a stack each, under what was open where they began."""
    Program(has_context=has_context, has_fillers=has_fillers).play(program)


@pytest.mark.stress
@checked(20_000)
@given(
    steps(4) | steps(1, switches=False),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 1, 1024]),
    st.sampled_from([2, 65_536]),
)
def test_all_figures_agree_for_very_many_programs(
    program: list[Step], has_context: bool, has_fillers: bool, retain_threads: int, max_nodes: int
) -> None:
    """The same, for a few minutes' worth of programs in all settings."""
    Program(has_context, has_fillers, retain_threads, max_nodes).play(program)
