"""The profiler: names and numbers for what the core records, its locks and its switches."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from itertools import count
from weakref import WeakValueDictionary

from . import _core
from .config import checks, clock
from .instrumentation import wrapping
from .results import OTHER_BLOCKS, OTHER_KINDS, ProfilerResults, default_track_name
from .results.chain import Link
from .snapshot.aggregate import Site
from .snapshot.take import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable, Iterable
    from types import CodeType, ModuleType
    from typing import Any, ParamSpec, TextIO, TypeVar

    from ._slow import SlowPass, Watch
    from ._text.files import StrPath
    from .config import Settings
    from .instrumentation import codes
    from .instrumentation.patterns import Instrumentation
    from .repetition import Repeating, Repetition
    from .report.periodic import Reporter
    from .results import ProfileTrack, ThreadResults
    from .results.timeline import Timeline
    from .snapshot.inflight import OpenBlock
    from .store.gather import Gathering

    P = ParamSpec("P")
    R = TypeVar("R")
    C = TypeVar("C", bound=type)
    S = TypeVar("S", bound="Profiler")
    Size = Callable[[Any], int | None] | None  # what tells how much a result is

# All re-entrant, all cold, always taken in this order: registry, cache, one profiler. Who needs a
# later one takes the earlier ones too: the collector or a signal handler may re-enter at any point
# of Python code, and would otherwise begin with the first while the last is held.
_REGISTRY_LOCK = threading.RLock()
_GLOBAL_CACHE_LOCK = threading.RLock()

_PROFILER_REGISTRY: WeakValueDictionary[int, Profiler] = WeakValueDictionary()
# (profiler id, track index, file, line, name) -> (profiler id, block index)
_CALL_SITE_CACHE: dict[tuple[int, int, str, int, str], tuple[int, int]] = {}

# Profilers that are gone while their call sites are still cached. Appending takes no lock, so a
# finalizer may.
_DEAD_PROFILERS: deque[int] = deque()

# Called with each new profiler, while no lock is held: by who reports on all that a program makes.
ON_NEW: list[Callable[[Profiler], object]] = []

# Likewise, by who keeps what they record in a store and reports on nothing.
ON_MADE: list[Callable[[Profiler], object]] = []

# Called once, when the first profiler is made: what a program without one need not wait for.
BEFORE_FIRST: list[Callable[[], object]] = []

# (what is called, its call site, the profiler) → how it is sent by value.
REDUCE: list[Callable[[Any, int, Profiler], Any]] = []

_next_profiler_id = count(1).__next__

_NO_WORK: tuple[Size, Size] = (None, None)  # (bytes, items)
_MANY_FILES = 512  # in a store: then whoever opens it makes them fewer
_MANY_FORKS = 128  # after so many, it is looked at again
_MOST_NOTES = 4  # of what was removed from a store
_forks = 0


def _holding(locks: tuple[Any, ...], action: Callable[[], R]) -> R:
    """Return what an action returns while locks are held.

    They are taken and given back in the core: in Python, an exception that a signal raises may come
    between taking a lock and what guards it (on 3.14, between ``with`` and its body, gh-148874).

    When the interpreter ends, it stops daemon threads wherever they are: what they hold then is
    never given back, and whoever records or reads afterwards is alone.
    """
    return action() if sys.is_finalizing() else _core.holding(locks, action)


class _Track:
    """One track of one profiler."""

    __slots__ = ("gate", "idx", "name", "sites")

    def __init__(self, idx: int, name: str | None = None) -> None:
        self.idx = idx
        self.name = name or default_track_name(idx)
        self.gate = -1  # its number in the core, from when it is added
        self.sites: list[int] = []  # block index -> site


class ThreadData:
    """What one thread recorded into one profiler.

    :ivar tracks: track index → that thread's `ProfileTrack`.
    :ivar track_enabled: track index → whether it is being recorded.
    :ivar next_block_idx: track index → the index that its next new block will get.
    :ivar thread_id: the operating system's id; it may belong to another thread by now.
    :ivar thread_name: the thread's name.
    """

    __slots__ = ("next_block_idx", "thread_id", "thread_name", "track_enabled", "tracks")

    def __init__(self, share: ThreadResults) -> None:
        self.tracks: dict[int, ProfileTrack] = share.tracks
        self.track_enabled = {idx: track.enabled for idx, track in share.tracks.items()}
        self.next_block_idx = {idx: len(track.blocks) for idx, track in share.tracks.items()}
        self.thread_id = share.os_id
        self.thread_name = share.name


class _Reading(Link):
    """What one reader saw, of those that ask for differences, and what it saw next.

    :param state: the profiler's, from before the results were taken.
    :param results: what was seen.
    """

    __slots__ = ("results", "state")

    def __init__(self, state: tuple[object, ...] | None, results: ProfilerResults) -> None:
        super().__init__()
        self.state = state
        self.results = results


def _checked_reader(reader: object) -> str:
    if not isinstance(reader, str):
        raise TypeError(f"a reader is named by a str, not {checks.shown(reader)}")
    return reader


class _Tracking:
    """What tracks functions for a profiler, on one of its tracks."""

    def __init__(
        self, profiler: Profiler, track: int | str, cpu: bool, work: tuple[Size, Size]
    ) -> None:
        self._profiler = profiler
        self._track = track
        self._cpu = cpu
        self._work = work

    def __call__(self, function: Any, name: str, place: Any, /) -> Any:
        """Return what stands for a function; the block's place is that of `place`."""
        return wrapping.wrapped(
            self._profiler, function, self.register(name, *wrapping.definition(place))
        )

    def codes(self, named: list[codes.Named], /) -> list[CodeType]:
        """Track functions by their code, and return that which was not tracked yet."""
        left = list(named)
        found = self._profiler._code_tracked(self._track, left)
        for code, name in reversed(left):  # they are in reverse, and share a block
            site = self.register(name, code.co_filename, code.co_firstlineno)
            if _core.track_code(self._profiler, code, site):
                found.append(code)
        return found

    def register(self, name: str, file: str, line: int, /) -> int:
        """Make a block, if there is none yet, and return the number of its call site."""
        site = self._profiler._intern_block(self._track, name, file, line)
        if self._cpu:
            self._profiler._have_cpu(site)
        if self._work != _NO_WORK:
            self._profiler._have_work(site, self._work)
        return site


class Profiler(_core.Recorder):
    """Times the functions and blocks that a program marks, on all threads.

    It records from the moment it is made until `stop`. It lives as long as somebody refers to it,
    to one of its blocks or to a function that it tracks.

    :param name: what results are headed with.
    :param retain_threads: how many ended threads, the newest, keep a line of their own each; older
        ones share one.
    :param max_nodes: how large each thread's call tree may grow; what goes beyond is recorded under
        "(other paths)".
    :param max_blocks: how many blocks there may be; those of names that are made up beyond it are
        recorded as "(other blocks)", one of each track.
    :param store: a directory in which all that is recorded is kept in a mapped file, which other
        processes read live (``stichotrope top``), and which is still there when this one was
        killed. Where that cannot be, it is a `RuntimeWarning`, and recording goes on without.
    :param store_limit_bytes: how large the store may become, at least 1 MiB. Beyond it, what
        processes have left that are gone is put together, and then the oldest of it removed; a file
        that reaches it alone grows no more, and recording goes on in memory.
    :param cpu: whether passes take processor time, too: for how long their thread really ran. The
        system is asked twice a pass, which takes longer than all the rest of it: see `overhead`
        in the metadata. Passes of coroutines and generators have what they ran themselves.
    :param timeline: how many of its newest passes each thread keeps one by one, with their moments,
        rounded up to a power of two, 128 to 4,194,304; see `timeline`. None: it keeps none.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when the name is empty, a limit out of range, or there is no clock for the
        processor time of threads.
    """

    _profiler_id: int

    # No instance dictionary: from 3.12 on, the interpreter finds a method of a C base class quickly
    # only without one.
    __slots__ = (
        "__weakref__",
        "_gathering",
        "_global_lock",
        "_instrumentations",
        "_max_blocks",
        "_name",
        "_off_by_name",
        "_profiler_id",
        "_readers",
        "_sites",
        "_slow",
        "_start_apart_ns",
        "_start_monotonic_ns",
        "_start_ns",
        "_store_directory",
        "_store_failure",
        "_store_limit_bytes",
        "_store_notes",
        "_store_path",
        "_track_names",
        "_tracks",
    )

    def __init__(
        self,
        name: str = "Profiler",
        *,
        retain_threads: int = 1024,
        max_nodes: int = 65_536,
        max_blocks: int = 65_536,
        store: StrPath | None = None,
        store_limit_bytes: int = checks.STORE_BYTES,
        cpu: bool = False,
        timeline: int | None = None,
    ) -> None:
        name = checks.checked_text(name, "a profiler's name")
        checks.check_limit(retain_threads, "retain_threads", *checks.RETAIN_THREADS)
        checks.check_limit(max_nodes, "max_nodes", *checks.MAX_NODES)
        checks.check_limit(max_blocks, "max_blocks", *checks.MAX_BLOCKS)
        limit = store_limit_bytes
        checks.check_limit(limit, "store_limit_bytes", *checks.STORE_LIMIT_BYTES)
        directory = None if store is None else _store_directory(store)
        checks.check_switch(cpu, "cpu")
        if timeline is not None:
            checks.check_limit(timeline, "timeline", *checks.TIMELINE)
        self._open_store(retain_threads, max_nodes)  # refuses to be called twice
        if cpu:
            self._take_processor_time(None)
        if timeline is not None:
            self._keep_timeline(timeline)
        self._name = name
        self._gathering: Gathering | None = None
        self._instrumentations: list[Instrumentation] = []
        self._readers: dict[str, _Reading] = {}
        self._off_by_name: frozenset[str] = frozenset()  # tracks to be made switched off
        self._global_lock = threading.RLock()
        self._tracks: dict[int, _Track] = {}
        self._track_names: dict[str, int] = {}
        self._sites: list[Site] = []
        self._slow: tuple[
            Watch, ...
        ] = ()  # replaced, never changed: whoever reads it takes no lock
        self._max_blocks = max_blocks
        self._store_directory: str | None = None
        self._store_path: str | None = None
        self._store_failure: str | None = None
        self._store_limit_bytes = limit
        self._store_notes: list[str] = []
        self._begin()
        self._profiler_id = _next_profiler_id()
        _holding((_REGISTRY_LOCK,), lambda: _PROFILER_REGISTRY.update({self._profiler_id: self}))
        _forget_dead_profilers()
        if directory is not None:
            self.keep_in(directory)
        self._appear()

    def _appear(self) -> None:
        """Have those know of it who wait for profilers."""
        _prepare()
        for tell in [*ON_NEW, *ON_MADE]:
            tell(self)

    @classmethod
    def configured(cls: type[S], name: str | None = None, settings: Settings | None = None) -> S:
        """Return a new profiler as the settings say: its switch, tracks, limits, and gathering.

        The setting of the clock, which is one for the process, acts as long as there is no other
        profiler. `Profiler(…)` itself heeds no settings.

        :param name: what results are headed with; by default what the settings say.
        :param settings: what `stichotrope.config.load` returned; by default they are loaded now.
        :raises ConfigError: when they have a mistake.
        :raises TypeError: when an argument is of the wrong type.
        :raises ValueError: when the name is empty.
        :raises OSError: when the directory to gather in cannot be made or written to.
        """
        from .config import configured

        return configured(cls, name, settings)

    def _locked(self, action: Callable[[], R]) -> R:
        """Return what an action returns while all three locks are held."""
        return _holding((_REGISTRY_LOCK, _GLOBAL_CACHE_LOCK, self._global_lock), action)

    def __del__(self) -> None:
        # No lock here: the collector may call this while any is held, by anybody.
        profiler_id = getattr(self, "_profiler_id", None)
        if profiler_id is not None and _DEAD_PROFILERS is not None:
            _DEAD_PROFILERS.append(profiler_id)

    def __repr__(self) -> str:
        state = "started" if self.is_started() else "stopped"
        blocks, tracks = len(self._sites), len(self._tracks)
        return f"<Profiler {self._name!r}, {state}, {blocks} blocks on {tracks} tracks>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a profiler cannot be copied or pickled; its results (get_results()) can")

    def _reduced(self, callee: Any, site: int) -> Any:
        """Return how `pickle` sends a tracked callable of this profiler, which goes by value."""
        return REDUCE[0](callee, site, self)

    @property
    def name(self) -> str:
        """What results are headed with."""
        return self._name

    # Marking

    def track(
        self,
        track: int | str,
        name: str | None = None,
        *,
        cpu: bool = False,
        bytes: Size = None,  # noqa: A002
        items: Size = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that records each call of a function as a pass of one block.

        The decorated function stays itself: it is a function to whoever asks, and what is written
        to it (defaults, code, annotations) is written to the function it stands for; name,
        signature, documentation, binding to instances, pickling are that one's. What a generator
        or coroutine function gives is timed while it runs: from its first resume to its end, with
        the time that it really ran kept apart; so under ``contextmanager`` the pass is the whole
        ``with``. Tracking a tracked function records each layer. While profiling is globally
        disabled, the decorator returns the very thing it is given.

        It takes functions of every kind, in C too, bound methods, and callable instances, which
        keep their attributes, operators and other special methods, and their class to whoever asks
        with ``isinstance``; a copy of one stands for a copy, tracked as the same block. For classes
        there is `track_class`. Where functions are inside something, that is copied with its
        functions tracked, and keeps its type: static and class methods, properties,
        ``cached_property``, ``partial``, ``partialmethod``, ``singledispatchmethod`` (one block for
        all implementations). A property has a block for each of its functions: "area",
        "area.setter", "area.deleter".

        A tracked call takes some of the C stack, as any call through C does: a recursion that the
        recursion limit lets go deeper than that ends in a RecursionError before the stack does.

        :param track: the track's index (from 0 on) or its name.
        :param name: the block's name; by default the function's own.
        :param cpu: whether its passes take processor time, even where the track's do not; see
            `set_track_cpu`.
        :param bytes: what tells how many bytes went through a pass: a function of what the call
            returns, or the coroutine, or of each thing that the generator yields; None is nothing.
            ``bytes=len`` for one. It is asked when the pass, or the step, is over, and costs it
            nothing. Where it fails, that is a `RuntimeWarning` once, and nothing is counted.
        :param items: what tells how many items did, in the same way.
        :raises TypeError: for a track, name or switch of the wrong type, for ``bytes`` or ``items``
            that cannot be called, or when what is decorated
            cannot be tracked: a class (see `track_class`), a module (see `track_module`), what
            cannot be called, or a property or the like that cannot be copied.
        :raises ValueError: for a negative track or an empty name; or for ``cpu`` on a platform that
            has no clock for the processor time of threads.
        """
        checks.check_track(track)
        checks.check_switch(cpu, "cpu")
        if name is not None:
            name = checks.checked_name(name)
        checks.check_size(bytes, "bytes")
        checks.check_size(items, "items")

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            wrapping.check_target(function)
            if not is_global_enabled():
                return function
            wrap = self._wrapper(track, cpu, (bytes, items))
            tracked: Callable[P, R] = wrapping.tracked(function, name, wrap)
            return tracked

        return decorate

    def track_class(
        self, track: int | str, *, include: Callable[[str, Callable[..., Any]], bool] | None = None
    ) -> Callable[[C], C]:
        """Return a decorator that tracks the functions of a class, and returns that same class.

        It tracks what stands in the class itself: methods of every kind, static and class methods,
        properties and cached properties, special methods, also those that ``dataclass`` made. Their
        blocks are called "Class.method", after the class's ``__qualname__``, with ".setter" and
        ".deleter" for the other two functions of a property.

        From CPython 3.12 on functions of Python are tracked by their code, functions inside them
        too ("Class.method.<locals>.inner"): nothing is replaced, and whoever calls one is counted.
        What is no code of the class's own, such as what a decorator without `functools.wraps` made,
        and all of it before 3.12, is replaced, also in tables and the like of the class's module.

        Left out are what the class inherits, nested classes, slots, and values that are no
        functions, although they can be called; what this profiler tracks already; and what would
        change the program: functions that ``enum`` and ``typing`` put into a class and recognise
        there, functions that compute annotations, and names that the class's own type keeps, such
        as a property called ``__class__`` or ``__doc__``.

        All of it is tracked, or nothing when `include` or the class's own type raises.

        :param track: the track's index (from 0 on) or its name.
        :param include: whether to track a function, given its name in the class ("method",
            "area.setter") and the function; by default all are.
        :raises TypeError: for a track or `include` of the wrong type, or when what is decorated is
            no class, or one of C.
        :raises ValueError: for a negative track or an empty name.
        """
        checks.check_track(track)
        checks.check_include(include)

        def decorate(cls: C) -> C:
            wrapping.check_class(cls)
            if is_global_enabled():
                self._track_chosen(track, wrapping.choose_in_class(cls, include, self), cls)
            return cls

        return decorate

    def track_module(
        self,
        track: int | str,
        module: ModuleType,
        *,
        include: Callable[[str, Callable[..., Any]], bool] | None = None,
    ) -> list[str]:
        """Track the functions and classes that are defined in a module, and return their blocks.

        Their blocks are called as they are there. From CPython 3.12 on they are tracked by their
        code, functions inside them too, whoever holds them; before, and where there is no code of
        Python, each is replaced by one wrapper: in the module and in those outside the standard
        library, in their classes, tables, partials, defaults and closures. Classes are tracked as
        by `track_class`, those of C left out. What was imported into the module is not its own.

        :param track: the track's index (from 0 on) or its name.
        :param module: the module.
        :param include: whether to track a function, given its name in the module or class
            ("function", "method", "area.setter") and the function; by default all are.
        :returns: the blocks' names, in the order of their definition.
        :raises TypeError: for an argument of the wrong type.
        :raises ValueError: for a negative track or an empty name.
        """
        checks.check_track(track)
        checks.check_include(include)
        wrapping.check_module(module)
        if not is_global_enabled():
            return []
        choices = wrapping.choose_in_module(module, include, self)
        return self._track_chosen(track, choices, module)

    def track_code(self, *patterns: str, track: int | str | None = None) -> list[str]:
        """Track the functions that patterns choose, in modules that are loaded and as they come in.

        It is what ``stichotrope run -t`` does, from inside: the patterns are the same, such as
        ``"shop.*"`` or ``"shop.orders:Order.total"``. From CPython 3.12 on functions are tracked by
        their code: nothing is replaced, whoever holds a function calls what is recorded, and a
        track that is off costs nothing. A module's functions are tracked before it runs.

        :param patterns: ``module:function`` each, with the wildcards ``*``, ``?`` and ``[abc]``.
        :param track: the track's index (from 0 on) or its name; by default the first part of the
            module's name in each pattern.
        :returns: the names of the blocks that were chosen so far, in the order of the alphabet.
        :raises TypeError: for a pattern or track of the wrong type.
        :raises ValueError: for what is no pattern, none at all, a negative track or an empty name.
        """
        from .instrumentation.patterns import Instrumentation, Pattern

        if not patterns:
            raise ValueError("give at least one pattern, such as 'shop.*'")
        if track is not None:
            checks.check_track(track)
        made = Instrumentation(self, [Pattern(text, track) for text in patterns])
        if not is_global_enabled():
            return []
        made.install()
        self._instrumentations.append(made)  # whole, so that another thread may take it away
        for failure in made.failures():
            _warn_of(failure)
        return made.names()

    def untrack_code(self, *patterns: str) -> None:
        """Track no more what `track_code` does; what is open will still be recorded.

        Where functions are replaced (CPython 3.11, and callables of C) and other profilers have
        chosen the same one later, it is recorded until they, too, have left it.

        :param patterns: those that were given to it at once; by default all that ever were.
        :raises ValueError: when they were not given, or are not tracked any more.
        """
        left = [one for one in self._instrumentations if not patterns or one.is_of(patterns)]
        if patterns and not left:
            raise ValueError(f"track_code was not given {', '.join(map(repr, patterns))}")
        for one in left:
            try:
                self._instrumentations.remove(one)
            except ValueError:  # another thread does the same
                continue
            one.remove()

    def _track_chosen(
        self, track: int | str, choices: list[wrapping.Choice], place: type | ModuleType
    ) -> list[str]:
        from .instrumentation.codes import track_chosen

        return track_chosen(choices, self._wrapper(track), place, self)

    def _wrapper(
        self, track: int | str, cpu: bool = False, work: tuple[Size, Size] = _NO_WORK
    ) -> _Tracking:
        return _Tracking(self, track, cpu, work)

    def _intern_block(self, track: int | str, name: str, file: str, line: int) -> int:
        """Return the number of a call site, registering it at first sight."""
        checks.check_track(track)
        name = checks.checked_name(name)
        return self._locked(lambda: self._site(track, name, file, line))

    def _site(self, track: int | str, name: str, file: str, line: int) -> int:
        """Return the number of a call site. Its caller holds the locks."""
        owner = self._track(track)
        key = (self._profiler_id, owner.idx, file, line, name)
        # All objects are made first, and added in one step: whatever re-entered meanwhile may have
        # taken the index, or added this very site.
        while (known := _CALL_SITE_CACHE.get(key)) is None:
            if len(self._sites) >= self._max_blocks and name != OTHER_BLOCKS:
                return self._site(owner.idx, OTHER_BLOCKS, "", 0)
            value = (self._profiler_id, len(owner.sites))
            site = Site(owner.idx, value[1], name, file, line)
            self._commit_site(
                owner.gate, self._sites, owner.sites, site, _CALL_SITE_CACHE, key, value
            )
            if self._slow:
                self._heed_watches(owner.sites[value[1]])
        return owner.sites[known[1]]

    def _code_tracked(self, track: int | str, named: list[codes.Named]) -> list[CodeType]:
        """Track functions by their code, those taken away from the list for which there is room."""

        def track_them() -> list[CodeType]:
            owner = self._track(track)
            begin = (self._profiler_id, owner.idx)
            known, most = len(self._sites), self._max_blocks
            tracked = self._track_codes(
                named,
                owner.gate,
                owner.idx,
                begin,
                self._sites,
                owner.sites,
                Site,
                _CALL_SITE_CACHE,
                most,
            )
            for number in range(known, len(self._sites) if self._slow else 0):
                self._heed_watches(number)
            return tracked

        return self._locked(track_them)

    def _have_cpu(self, site: int) -> None:
        """Let the passes of a call site take processor time, whether its track's do or not."""
        self._locked(lambda: self._take_processor_time_of(site))

    def _have_work(self, site: int, work: tuple[Size, Size]) -> None:
        """Let what the functions of a call site give be asked for its bytes and its items."""
        self._locked(lambda: self._ask_for_work_of(site, *work))

    def _work_asked(self, site: int) -> tuple[Size, Size]:
        return self._asks_for_work_of(site)

    def _say_work_failed(self, site: int, error: BaseException) -> None:
        """Warn that what a function gives could not be asked how much it is."""
        import warnings

        reason = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"what {self._describe_site(site)} gives could not be asked for its bytes and items, "
            f"and is not counted ({reason}); this is said once",
            RuntimeWarning,
            stacklevel=2,
        )

    def _describe_site(self, site: int) -> str:
        known = self._sites[site]
        return f"{known.name!r} (track {known.track_idx}, {known.file}:{known.line})"

    def on_slow(
        self,
        block: str,
        over: float | str,
        action: Callable[[SlowPass], object] | None = None,
        *,
        to: StrPath | None = None,
        keep: float | str = "5s",
        most: int = 20,
        every: float | str = "10s",
    ) -> Watch:
        """Have a function be called with each pass that takes long, or the last seconds be written.

        A function is called when such a pass has ended, by a thread of its own, in a copy of the
        context that the pass ended in, so that it finds the context variables of the request; what
        it raises is logged. While 1,000 passes wait for it, further ones are counted as ``missed``.
        Passes that are dropped by a `clear` are not told of. See also
        `stichotrope.integrations.opentelemetry.slow_spans`.

        Without a function, the same thread writes the last seconds of all threads to a file for
        Perfetto, whole or not at all; see `timeline`. What cannot be written is a `RuntimeWarning`.

        :param block: the name of the blocks; ``*`` and ``?`` are wildcards.
        :param over: what is long: seconds, or a text such as ``"250ms"``; suspensions count.
        :param action: the function.
        :param to: without one, the directory of the files, made if it is missing.
        :param keep: how much of the timeline each file has.
        :param most: how many files of this profiler may be there; the oldest are removed.
        :param every: the time that is let go between two files.
        :returns: the watch, whose ``stop()`` ends it.
        :raises TypeError: when an argument is of the wrong type, or there is neither a function nor
            a directory.
        :raises ValueError: when the name is empty, a duration not above 0, or no timeline is kept
            that could be written.
        :raises OSError: when the directory cannot be made or written to.
        """
        from ._slow import watch

        if action is None and to is not None:
            from ._flight import Dumps, dump_of_slow

            self._check_timeline()
            action = dump_of_slow(self, Dumps.of(to, keep, most, every))
        made = watch(block, over, action)  # type: ignore[arg-type]  # which refuses None
        self._locked(lambda: self._begin_watch(made))
        return made

    def _begin_watch(self, made: Watch) -> None:
        self._slow = (*(one for one in self._slow if not one.is_over), made)
        for number in range(len(self._sites)):
            self._heed_watches(number)

    def _heed_watches(self, site: int) -> None:
        """Have the core tell of a call site's passes that anybody watches for."""
        from ._slow import ticks_of

        wanted = [one.over_ns for one in self._slow if one.fits(self._sites[site].name)]
        if wanted:
            self._watch_site(site, ticks_of(min(wanted)))

    def _pass_was_slow(self, site: int, ticks: int, how: int) -> None:
        """Have who watches be told. Called by the core; no lock is taken."""
        from ._slow import tell

        known = self._sites[site]
        tell(self._slow, self._name, self._tracks[known.track_idx].name, known, ticks, how)

    # Tracks

    def _track(self, track: int | str) -> _Track:
        """Return a track by index or name, making it at first sight. Its caller holds the locks."""
        if isinstance(track, str):
            return self._track_named(str.__str__(track))
        idx = int(track)
        while idx not in self._tracks:
            self._commit_track(self._tracks, _Track(idx), None)
        return self._tracks[idx]

    def _track_named(self, name: str) -> _Track:
        while name not in self._track_names:
            free = next(idx for idx in count() if idx not in self._tracks)
            if self._commit_track(self._tracks, _Track(free, name), self._track_names):
                self._heed_settings(self._tracks[free])
        return self._tracks[self._track_names[name]]

    def set_track_enabled(self, track: int | str, enabled: bool) -> None:
        """Let a track's passes be recorded or not, from now on and on all threads.

        A track of a name that there is not yet will be as it is told here when it is made. Where
        it is nearly the name of one that there is, that is a `RuntimeWarning`.

        :param track: the track's index or name; an index that is not there yet is made.
        :param enabled: whether to record.
        :raises TypeError: for a track or a switch of the wrong type.
        :raises ValueError: for a negative index or an empty name.
        """
        checks.check_switch(enabled)
        self._switch_track(track, enabled)

    def _switch_track(self, track: int | str, enabled: bool) -> None:
        checks.check_track(track)
        if not self._locked(lambda: self._is_switched(track, enabled)):
            _warn_of_near_name(str(track), list(self._track_names))

    def _is_switched(self, track: int | str, enabled: bool) -> bool:
        """Switch a track, and return whether it is there. The caller holds the locks."""
        if isinstance(track, str) and track not in self._track_names:
            self._off_by_name = (
                self._off_by_name - {track} if enabled else self._off_by_name | {track}
            )
            return False
        self._set_gate(self._track(track).gate, enabled)
        return True

    def enable_track(self, track: int | str) -> None:
        """Let a track's passes be recorded from now on; short for `set_track_enabled`.

        :param track: the track's index or name.
        :raises TypeError: for a track of the wrong type.
        :raises ValueError: for a negative index or an empty name.
        """
        self._switch_track(track, True)

    def disable_track(self, track: int | str) -> None:
        """Let a track's passes go unrecorded from now on; short for `set_track_enabled`.

        :param track: the track's index or name.
        :raises TypeError: for a track of the wrong type.
        :raises ValueError: for a negative index or an empty name.
        """
        self._switch_track(track, False)

    def is_track_enabled(self, track: int | str) -> bool:
        """Return whether a track is switched on; one that nobody switched off is.

        :param track: the track's index or name.
        :raises TypeError: for a track of the wrong type.
        :raises ValueError: for a negative index or an empty name.
        """
        checks.check_track(track)
        return self._locked(lambda: self._is_on(track))

    @property
    def takes_cpu(self) -> bool:
        """Whether the passes of all tracks take processor time."""
        return self._takes_processor_time()

    def set_cpu(self, cpu: bool) -> None:
        """Let the passes of all tracks take processor time or not, from now on and on all threads.

        What was said of single tracks and functions stays; see `set_track_cpu`.

        :param cpu: whether to take it.
        :raises TypeError: when it is no bool.
        :raises ValueError: on a platform that has no clock for the processor time of threads.
        """
        checks.check_switch(cpu, "cpu")
        self._locked(lambda: self._take_processor_time(None, cpu))

    def set_track_cpu(self, track: int | str, cpu: bool) -> None:
        """Let a track's passes take processor time or not, from now on and on all threads.

        Beside how long a pass took, it is known then for how long its thread ran: ``cpu`` of
        blocks and nodes, and how much of the time it waited. It costs two calls of the system a
        pass. Passes that are open stay as they are, and so do blocks that take it by themselves.

        :param track: the track's index or name; one that is not there yet is made.
        :param cpu: whether to take it.
        :raises TypeError: for a track or a switch of the wrong type.
        :raises ValueError: for a negative index or an empty name, or on a platform that has no
            clock for the processor time of threads.
        """
        checks.check_track(track)
        checks.check_switch(cpu, "cpu")
        self._locked(lambda: self._take_processor_time(self._track(track).gate, cpu))

    def _is_on(self, track: int | str) -> bool:
        idx = self._track_names.get(track) if isinstance(track, str) else track
        known = None if idx is None else self._tracks.get(idx)
        return track not in self._off_by_name if known is None else self._is_enabled(known.gate)

    def _heed_settings(self, track: _Track) -> None:
        if track.name in self._off_by_name:
            self._set_gate(track.gate, False)

    def set_track_name(self, track: int, name: str) -> None:
        """Name a track, for reports and for `track` and `block` by name.

        :param track: the track's index; one that is not there yet is made.
        :param name: a name that no other track of this profiler has.
        :raises TypeError: for an index or a name of the wrong type.
        :raises ValueError: for a negative index, or a name that is empty or taken.
        """
        if isinstance(track, str):
            raise TypeError(f"a track is renamed by its index (an int), not by its name {track!r}")
        checks.check_track(track)
        name = checks.checked_text(name, "a track's name")
        self._locked(lambda: self._rename(track, name))

    def _rename(self, track: int, name: str) -> None:
        holder = self._track_names.get(name)
        if holder is not None and holder != track:
            raise ValueError(
                f"track {holder} is called {name!r} already; names of tracks must differ"
            )
        named = self._track(track)
        self._forget_call_sites()
        self._track_names.pop(named.name, None)
        named.name = name
        self._say_track(named.gate, track, name.encode("utf-8", "surrogatepass"))
        self._track_names[name] = named.idx
        self._heed_settings(named)

    # Switches

    def start(self) -> None:
        """Record from now on. A profiler is started when it is made."""
        self._set_started(True)

    def stop(self) -> None:
        """Let calls and blocks pass straight through from now on.

        Passes that are open will still be recorded.
        """
        self._set_started(False)

    def _set_started(self, started: bool) -> None:
        self._locked(lambda: self._switch(started))

    def is_started(self) -> bool:
        """Return whether it records, as far as `start` and `stop` go."""
        return self._is_started()

    def clear(self) -> None:
        """Forget all figures of all threads.

        Blocks and tracks stay registered. Passes that are open are dropped.
        """
        self._locked(self._begin_anew)

    def _begin_anew(self) -> None:
        self._begin()
        self._new_session()

    def _begin(self) -> None:
        self._start_ns, self._start_monotonic_ns, self._start_apart_ns = clock.origin()

    # Results

    def get_results(self, thread: int | None = None) -> ProfilerResults:
        """Return what has been recorded until now, all threads merged. No thread waits for it.

        :param thread: the key of one thread (see ``threads`` of the results), for its figures
            alone.
        :raises KeyError: when no thread of that key has recorded.
        :raises TypeError: when the key is no int.
        """
        if thread is None:
            return self._view().results()
        checks.check_thread_key(thread)
        return self._view().results_of(thread)

    def snapshot_delta(self, reader: str = "") -> ProfilerResults:
        """Return what happened since the same reader asked last, or since recording began.

        Passes and times are those in between; what is open is what is open now. The shortest and
        the longest pass are as coarse as a bucket of the histogram, unless the run had none like
        them before. Threads are left out. When nothing was recorded in between, nothing is read:
        asking often costs little. Several threads may ask as one reader: each gets a part.

        :param reader: who asks: each has its own last time. What it saw is kept, until
            `forget_reader`.
        :raises TypeError: when the reader is no str.
        """
        from .results.difference import difference, nothing_since

        _checked_reader(reader)
        while True:
            known = self._last_reading(reader)
            state = self._state()
            if known.state == state:
                duration_ns = time.monotonic_ns() - self._start_monotonic_ns
                return nothing_since(known.results, duration_ns)
            taken = _Reading(state, self.get_results())
            # Another thread, or a signal handler, may have gone on from the same one.
            if known.gone_on_by(taken):
                self._readers[reader] = taken
                return difference(taken.results, known.results)

    def forget_reader(self, reader: str = "") -> None:
        """Keep no more what a reader of `snapshot_delta` saw: asking again, it gets all there is.

        :param reader: who asked; one that has not is no error.
        :raises TypeError: when the reader is no str.
        """
        self._readers.pop(_checked_reader(reader), None)

    def _last_reading(self, reader: str) -> _Reading:
        known = self._readers.get(reader)
        if known is None:
            nothing = _Reading(None, ProfilerResults(self._name))
            known = self._readers.setdefault(reader, nothing)
        return known.newest()

    def report_every(
        self,
        every_s: float = 30.0,
        *,
        logger: logging.Logger | str | None = None,
        path: StrPath | None = None,
        rows: int = 10,
    ) -> Reporter:
        """Report from time to time what has happened since the last time, from a thread.

        Without a path, the blocks that took longest go to the log, one record a period, of level
        INFO; with one, each period is a line of JSON at the file's end. Nothing is reported where
        nothing happened. It goes on in a forked child, and ends with the process, after a last
        report, or with `Reporter.stop`.

        :param every_s: the period in seconds, more than 0.
        :param logger: a logger or its name; by default "stichotrope".
        :param path: a file that lines are added to.
        :param rows: how many blocks at most a record of the log names.
        :raises TypeError: when an argument is of the wrong type.
        :raises ValueError: when the period is not a positive, finite number, or `rows` not one.
        :raises OSError: when the file cannot be written.
        """
        from .report.periodic import Reporter

        return Reporter(self, every_s, logger=logger, path=path, rows=rows)

    def open_blocks(self) -> list[OpenBlock]:
        """Return what is open now: which blocks, on which thread, for how long.

        It is what one needs when a program hangs. No thread waits for it; what another thread
        enters or leaves at this very moment may be missing. Coroutines and generators that are
        suspended are listed, too.

        :returns: `OpenBlock`s, thread by thread, each with its outermost first; printing one gives
            a readable line.
        """
        from .snapshot.inflight import open_blocks

        # What is open before the sites and tracks: each that it names is then sure to be known.
        running, waiting = self._open_passes(), self._suspended_passes()
        sites, tracks, _ = self._locked(self._known)
        return open_blocks(running, waiting, sites, {idx: name for idx, name, _ in tracks})

    def _known(self) -> tuple[list[Site], list[tuple[int, str, bool]], tuple[int, int]]:
        """Return sites, tracks, and when recording began and for how long it has gone on, in ns."""
        sites = self._sites[:]  # before the tracks: each site's track is then sure to be there
        tracks = [
            (track.idx, track.name, self._is_enabled(track.gate))
            for track in list(self._tracks.values())
        ]
        return sites, tracks, (self._start_ns, time.monotonic_ns() - self._start_monotonic_ns)

    def _state(self) -> tuple[object, ...]:
        """Return what is the same twice only if nothing was recorded or changed in between.

        While anything is open, time is.
        """
        recorded = self._recorded_until_now()
        sites, tracks, (start_ns, _) = self._locked(self._known)
        return recorded, len(sites), tracks, start_ns

    def _view(self) -> View:
        # The snapshot before the sites: each site that it holds is then sure to be known.
        snapshot = self._snapshot()
        sites, tracks, times = self._locked(self._known)
        return View(
            self._name,
            snapshot,
            sites,
            tracks,
            *times,
            self._profiler_id,
            warnings=self._store_warnings(),
        )

    # The timeline

    @property
    def timeline_size(self) -> int:
        """How many of its newest passes each thread keeps one by one; 0 without a timeline."""
        return self._timeline_size()

    def keep_timeline(self, passes: int, *, tracks: Iterable[int | str] | None = None) -> None:
        """Have each thread keep its newest passes one by one, as ``Profiler(…, timeline=…)`` does.

        They are written over the oldest ones, 32 bytes each: no lock, no allocation, nothing that
        grows. What is recorded from now on is kept.

        :param passes: how many of each thread, rounded up to a power of two, 128 to 4,194,304.
        :param tracks: the only tracks whose passes are kept, by index or name; None for all. See
            `set_track_timeline`.
        :raises TypeError: when an argument is of the wrong type.
        :raises ValueError: when the number is out of range, a track is negative or has an empty
            name, or there is a timeline already.
        """
        checks.check_limit(passes, "timeline", *checks.TIMELINE)
        chosen = None if tracks is None else list(tracks)
        for track in chosen or ():
            checks.check_track(track)
        self._locked(lambda: self._begin_timeline(passes, chosen))

    def _begin_timeline(self, passes: int, tracks: list[int | str] | None) -> None:
        size = self._timeline_size()
        if size:
            raise ValueError(
                f"{self._name!r} keeps a timeline already, of {size:,} passes a thread"
            )
        if tracks is not None:
            self._leave_out(None, True)
            for known in self._tracks.values():
                self._leave_out(known.gate, True)
            for track in tracks:
                self._leave_out(self._track(track).gate, False)
        self._keep_timeline(passes)

    def set_track_timeline(self, track: int | str, kept: bool) -> None:
        """Let a track's passes be in the timeline or not, from now on and on all threads.

        :param track: the track's index or name; one that is not there yet is made.
        :param kept: whether they are.
        :raises TypeError: for a track or a switch of the wrong type.
        :raises ValueError: for a negative index or an empty name.
        """
        checks.check_track(track)
        checks.check_switch(kept, "kept")
        self._locked(lambda: self._leave_out(self._track(track).gate, not kept))

    def timeline(self) -> Timeline:
        """Return the newest passes of all threads, one by one. No thread waits for it.

        :raises ValueError: when no timeline is kept.
        """
        from .snapshot.passes import timeline_here

        self._check_timeline()
        raw = self._passed()
        sites, tracks, _ = self._locked(self._known)
        names = {index: name for index, name, _ in tracks}
        return timeline_here(
            self._name,
            raw,
            sites,
            names,
            (self._start_ns, self._start_monotonic_ns, self._start_apart_ns),
            self._profiler_id,
            self._tags(),
        )

    def dump_timeline(self, to: StrPath, *, keep: float | str | None = None) -> str:
        """Write the timeline for Perfetto, whole or not at all, and return the file's path.

        :param to: the file; or a directory, for a new file that is named by profiler and time.
        :param keep: how much of it: a number of seconds, or a text such as ``"5s"``; None for all.
        :raises TypeError: when an argument is of the wrong type.
        :raises ValueError: when no timeline is kept, or a duration makes no sense.
        :raises OSError: when it cannot be written.
        """
        from ._flight import dump

        return dump(self, to, keep)

    def dump_on_signal(
        self,
        number: int,
        *,
        to: StrPath,
        keep: float | str = "5s",
        most: int = 20,
        every: float | str = "1s",
    ) -> Callable[[], None]:
        """Write the last seconds of all threads whenever a signal comes.

        :param number: the signal's number, such as ``signal.SIGUSR2``.
        :param to: a directory, made if it is missing; for the rest, see `on_slow`.
        :returns: what ends it, when called.
        :raises TypeError: when an argument is of the wrong type.
        :raises ValueError: when no timeline is kept, the signal is taken or is none, an argument
            makes no sense, or this is not the main thread.
        :raises OSError: when the directory cannot be made or written to.
        """
        from ._flight import Dumps, dump_on_signal

        self._check_timeline()
        return dump_on_signal(self, number, Dumps.of(to, keep, most, every))

    def dump_on_exception(
        self,
        *,
        to: StrPath,
        keep: float | str = "5s",
        most: int = 20,
        every: float | str = "1s",
    ) -> Callable[[], None]:
        """Write the last seconds of all threads when an exception ends the program or a thread.

        :param to: a directory, made if it is missing; for the rest, see `on_slow`.
        :returns: what ends it, when called.
        :raises TypeError: when an argument is of the wrong type.
        :raises ValueError: when no timeline is kept, or an argument makes no sense.
        :raises OSError: when the directory cannot be made or written to.
        """
        from ._flight import Dumps, dump_on_exception

        self._check_timeline()
        return dump_on_exception(self, Dumps.of(to, keep, most, every))

    def _check_timeline(self) -> None:
        if not self._timeline_size():
            raise ValueError(
                f"{self._name!r} keeps no timeline: Profiler(…, timeline=100_000) does, "
                "keep_timeline(100_000), or the setting timeline"
            )

    @property
    def store(self) -> str | None:
        """The directory of the store that what is recorded is kept in, or None."""
        return self._store_directory

    @property
    def store_file(self) -> str | None:
        """The path that the store's file of this process was made under, or None."""
        return self._store_path

    def _kept_in(self) -> str | None:
        """Return the directory in which each child makes a file, if there is one."""
        gathered = None if self._gathering is None else self._gathering.folder
        return self._store_directory or gathered

    def keep_in(self, store: StrPath, *, limit_bytes: int | None = None) -> None:
        """Keep what is recorded in a mapped file, as `Profiler(…, store=…)` does.

        What other threads than the calling one have recorded before is not in it. Where it cannot
        be, it is a `RuntimeWarning`, and recording goes on without.

        :param store: a directory, made for this user alone if it is missing.
        :param limit_bytes: how large it may become; by default, as the profiler was given it.
        :raises TypeError: when an argument is of the wrong type.
        :raises ValueError: when it is empty, the limit out of range, or there is a store already.
        """
        directory = _store_directory(store)
        if limit_bytes is not None:
            checks.check_limit(limit_bytes, "limit_bytes", *checks.STORE_LIMIT_BYTES)
            self._store_limit_bytes = limit_bytes
        self._keep_small(directory)
        if self._store_path is not None:
            raise ValueError(f"what {self._name!r} records is kept in {self._store_path} already")
        self._open_in(directory)

    def _open_in(self, directory: str) -> None:
        from .store.file import StoreError

        self._store_directory = directory
        try:
            self._store_path = self._gathered_in(directory) or self._new_file(directory)
        except StoreError as error:
            self._store_path, self._store_failure = None, str(error)
            self._warn_of_memory()

    def _new_file(self, directory: str, *, is_gathered: bool = False) -> str:
        from .store.file import open_file

        sites, tracks, _ = self._locked(self._known)
        gates = {track.idx: track.gate for track in list(self._tracks.values())}
        return open_file(
            self,
            directory,
            [(gates[idx], idx, name) for idx, name, _ in tracks],
            [(gates[site.track_idx], site.name, site.file, site.line) for site in sites],
            number=self._profiler_id,
            limit_bytes=self._store_limit_bytes,
            is_gathered=is_gathered,
        )

    def _gathered_in(self, directory: str) -> str | None:
        """Return the path of the file that was gathered in, which is a store's now; None without.

        :raises StoreError: when it cannot become one: the core has no other in this process.
        """
        if self._file_error() == 0:
            return None
        from .store.file import StoreError, made_private

        made_private(directory)
        moved = None if self._gathering is None else self._gathering.hand_over(directory)
        if moved is None:
            raise StoreError(
                f"{directory}: what is recorded was gathered in a mapped file before, which cannot "
                "be moved there; give the store first, or begin with it"
            )
        return moved

    def _map_in(self, directory: str) -> str | None:
        """Return the path of a new mapped file that has all that is recorded, None without."""
        from .store.file import StoreError

        if self._file_error() != 0 or self._has_others():
            return None
        try:
            path = self._new_file(directory, is_gathered=True)
        except StoreError:
            return None
        if self._has_others():  # they have begun meanwhile
            os.unlink(path)
            return None
        return path

    def _has_others(self) -> bool:
        """Return whether other threads than the calling one have recorded."""
        own = threading.get_ident()
        return any(not share.alive or share.os_id != own for share in self._view().threads())

    def _warn_of_memory(self) -> None:
        from warnings import warn

        warn(
            f"what {self._name!r} records is kept in memory only: {self._store_failure}",
            RuntimeWarning,
            stacklevel=5,
        )

    def _keep_small(self, directory: str) -> None:
        """Compact a store that nobody else does it for, while there is time."""
        from .store.file import is_large

        if is_large(directory, _MANY_FILES, self._store_limit_bytes):
            from .store.compact import compact

            self._store_notes += compact(
                directory, limit_bytes=self._store_limit_bytes, patience_s=0.1
            )
            del self._store_notes[:-_MOST_NOTES]

    def _store_warnings(self) -> list[str]:
        """Return what results say of a store that does not have all of it."""
        number = self._file_error()
        if self._store_directory is None or number is None:
            return self._store_notes[:]
        reason = os.strerror(number) if number else self._store_failure or "it was left"
        kept = f"not all of it is kept in the store {self._store_directory}: {reason}"
        return [*self._store_notes, kept]

    def gather(
        self,
        directory: StrPath | None = None,
        *,
        period_s: float | None = None,
        anew: bool | None = None,
    ) -> bool:
        """Keep this process's results in a file of its own, for `ProfilerResults.load_all`.

        What is recorded stands in a mapped file there, as in a store: a process that is killed, or
        leaves through `os._exit`, loses nothing. When it ends in order, and by `stop_gathering`, a
        file of results takes its place. Where no file can be mapped (on Windows, in a directory of
        another user or one that other machines read, after other threads have recorded), that file
        is written once in each period in which something was recorded, whole or not at all, and who
        is killed loses what came since. One that recorded nothing leaves no file. Children that are
        forked from now on gather too, each in its own file, from empty. Gathering again moves on to
        another directory or period; what was written in the old directory stays there.

        :param directory: where the file is to be, made if it is missing; by default what the
            environment variable ``STICHOTROPE_GATHER`` says. Without either, nothing happens.
        :param period_s: the time between writes in seconds, more than 0; by default what
            ``STICHOTROPE_GATHER_PERIOD_S`` says. Where either says it, the file of results is
            written though there is a mapped one, for who reads such files on the way; where
            neither does, it is 1, and there is no such writing beside a mapped file. A write that
            takes more than a twentieth of it is made less often, so that it never takes more of a
            core.
        :param anew: whether to remove first what was gathered in the directory by earlier runs; by
            default what ``STICHOTROPE_GATHER_ANEW`` says, or False.
            The first process of a run does so, whatever profiler asks for it; those that it starts
            afterwards leave what they find. Nobody else may be gathering there.
        :returns: whether results are being gathered.
        :raises TypeError: when an argument is of the wrong type.
        :raises ValueError: when the period is not a positive, finite number, or the path empty.
        :raises OSError: when the directory cannot be made or written to. What cannot be written
            later is a `RuntimeWarning`, and the last file stays.
        """
        from .store.gather import gather

        return gather(self, directory, period_s, anew)

    def stop_gathering(self) -> None:
        """Write the file of `gather` a last time, and leave it. Without `gather`, do nothing."""
        if self._gathering is not None:
            self._gathering.stop()

    # Repetition

    def repeat(self, function: Callable[[], object], **options: Any) -> Repetition:
        """Call a function until its time is known, and return what the calls took.

        Without options, it is called until no call has been shorter than the shortest for two
        seconds, and for a minute at most. Each call is recorded as a pass of a block, too.

        :param function: what to call, without arguments; ``functools.partial`` binds some.
        :param options: ``count=100``; ``until="interval", precision=0.01``; ``warmup``,
            ``bytes_per_pass``, ``track``, ``name`` and more: see `stichotrope.repetition.repeat`
            and `stichotrope.repetition.Repeating`.
        :raises TypeError: when an argument is of the wrong type, or a call only makes a coroutine
            or a generator, and runs nothing.
        :raises ValueError: when an argument has a value that makes no sense.
        """
        from .repetition import repeat

        return repeat(self, function, **options)

    async def repeat_async(
        self, function: Callable[[], Awaitable[object]], **options: Any
    ) -> Repetition:
        """Await a coroutine function until its time is known; see `repeat`.

        :param function: what to call, without arguments, and to await each time.
        :param options: those of `repeat`.
        :raises TypeError: when an argument is of the wrong type.
        :raises ValueError: when an argument has a value that makes no sense.
        """
        from .repetition import repeat_async

        return await repeat_async(self, function, **options)

    def repeating(self, track: int | str, name: str, **options: Any) -> Repeating:
        """Return what a loop goes over whose passes are timed until their time is known.

        ``for number in p.repeating(0, "sort"):`` times its whole body; with
        ``passes = p.repeating(0, "sort")``, a loop ``while passes.more():`` times what stands in
        its ``with passes:``. The times are in ``passes.result``, and each pass is recorded.

        :param track: the track's index (from 0 on) or its name.
        :param name: the block's name.
        :param options: those of `repeat`: see `stichotrope.repetition.Repeating`.
        :raises TypeError: when an argument is of the wrong type.
        :raises ValueError: when an argument has a value that makes no sense.
        """
        from .repetition import Repeating

        caller = sys._getframe(1)
        return Repeating(self, track, name, (caller.f_code.co_filename, caller.f_lineno), **options)

    @property
    def _all_thread_data(self) -> dict[int, ThreadData]:
        """Thread key → that thread's data, for each that recorded since the last `clear`."""
        return {share.key: ThreadData(share) for share in self._view().threads() if share.key}

    def export_csv(self, path: StrPath, *, wide: bool = False) -> None:
        """Write the results as CSV; see `stichotrope.export_csv`."""
        from .export import export_csv

        export_csv(self.get_results(), path, wide=wide)

    def export_json(self, path: StrPath, indent: int | None = 2) -> None:
        """Write the results as JSON; see `stichotrope.export_json`."""
        from .export import export_json

        export_json(self.get_results(), path, indent=indent)

    def export_html(self, path: StrPath, *, source: bool = True) -> None:
        """Write the results as a page to look at in a browser; see `stichotrope.export_html`.

        Where a timeline is kept, it is a view of the page.
        """
        from .report import export_html

        export_html(self, path, source=source)

    def export_speedscope(self, path: StrPath) -> None:
        """Write the call trees for speedscope; see `stichotrope.export_speedscope`."""
        from .export import export_speedscope

        export_speedscope(self.get_results(), path)

    def export_collapsed(self, path: StrPath) -> None:
        """Write the call tree as collapsed stacks; see `stichotrope.export_collapsed`."""
        from .export import export_collapsed

        export_collapsed(self.get_results(), path)

    def export_pprof(self, path: StrPath) -> None:
        """Write the call trees for pprof; see `stichotrope.export_pprof`."""
        from .export import export_pprof

        export_pprof(self.get_results(), path)

    def export_perfetto(self, path: StrPath) -> None:
        """Write the timeline for Perfetto; see `stichotrope.export_perfetto`."""
        from .export import export_perfetto

        export_perfetto(self, path)

    def export_chrome(self, path: StrPath) -> None:
        """Write the timeline for ``chrome://tracing``; see `stichotrope.export_chrome`."""
        from .export import export_chrome

        export_chrome(self, path)

    def export_pstats(self, path: StrPath) -> None:
        """Write the results for `pstats`; see `stichotrope.export_pstats`."""
        from .export import export_pstats

        export_pstats(self.get_results(), path)

    def print_results(self, *, file: TextIO | None = None, **options: Any) -> None:
        """Print the results as a report; see `stichotrope.print_results`."""
        from .report import print_results

        print_results(self.get_results(), file=file, **options)


def _warn_of(sentence: str) -> None:
    from warnings import warn

    warn(sentence, RuntimeWarning, stacklevel=3)


def _warn_of_near_name(name: str, known: list[str]) -> None:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    if near:
        from warnings import warn

        warn(
            f"there is no track {name!r} yet; did you mean {near[0]!r}? "
            "It is switched when there is one",
            RuntimeWarning,
            stacklevel=4,
        )


def set_global_enabled(enabled: bool) -> None:
    """Switch all profiling in this process on or off.

    While it is off, ``track`` returns the very function it is given, for good; and nothing that was
    marked before is recorded until it is on again.

    :param enabled: whether to profile.
    :raises TypeError: when it is no bool.
    """
    checks.check_switch(enabled)
    _holding((_REGISTRY_LOCK, _GLOBAL_CACHE_LOCK), lambda: _set_everything(enabled))


def _set_everything(enabled: bool) -> None:
    _core.set_everything_enabled(enabled)
    for profiler in profilers():
        _heed_switches(profiler)


def _heed_switches(profiler: Profiler) -> None:
    _holding((profiler._global_lock,), lambda: _core.heed_switches(profiler))


def profilers() -> list[Profiler]:
    """Return the profilers that are alive, in the order in which they were made."""
    # Not by `values`: another thread may add one while those are gone through.
    found = (reference() for reference in _PROFILER_REGISTRY.valuerefs())
    alive = [profiler for profiler in found if profiler is not None]
    return sorted(alive, key=lambda profiler: profiler._profiler_id)


def number_tracks(profiler: Profiler, tracks: Iterable[int | str]) -> None:
    """Give tracks their indices, in this order, those that have one already left aside.

    :param profiler: whose tracks.
    :param tracks: indices and names.
    """
    profiler._locked(lambda: [profiler._track(track) for track in tracks])


def described(profiler: Profiler, site: int) -> tuple[Site, str]:
    """Return what a call site is, and the name of its track.

    :param profiler: whose call site.
    :param site: its number.
    """
    known = profiler._sites[site]
    return known, profiler._tracks[known.track_idx].name


def site_at(profiler: Profiler, track: int | str, name: str, file: str, line: int) -> int:
    """Return the number of the call site of a block, registering it at first sight.

    :param profiler: whose block.
    :param track: the track's index or name.
    :param name: the block's name.
    :param file: where it stands.
    :param line: likewise.
    """
    return profiler._intern_block(track, name, file, line)


def work_asked(profiler: Profiler, site: int) -> tuple[Size, Size]:
    """Return what tells the bytes and the items of what the functions of a call site give.

    :param profiler: whose call site.
    :param site: its number.
    """
    return profiler._work_asked(site)


def ask_for_work(profiler: Profiler, site: int, work: tuple[Size, Size]) -> None:
    """Have it told from now on.

    :param profiler: whose call site.
    :param site: its number.
    :param work: what `work_asked` returned.
    """
    if work != _NO_WORK:
        profiler._have_work(site, work)


def name_if_free(profiler: Profiler, track: int, name: str) -> None:
    """Name a track, unless there is one of that index or that name.

    :param profiler: whose track.
    :param track: the index.
    :param name: the name.
    """
    if name not in profiler._track_names and track not in profiler._tracks:
        profiler.set_track_name(track, name)


def is_global_enabled() -> bool:
    """Return whether profiling is enabled in this process."""
    return _core.is_everything_enabled()


def _prepare() -> None:
    """Do what was left until there is a profiler."""
    while BEFORE_FIRST:
        try:
            first = BEFORE_FIRST.pop()
        except IndexError:  # another thread took the last one
            break
        first()


class _StoreFiles:
    """Reads files of stores, and keeps them few."""

    @staticmethod
    def read(path: str) -> ProfilerResults:
        from .store.reader import load_kept

        return load_kept(path)

    @staticmethod
    def read_all(
        paths: list[str], left_out: Callable[[Exception], object]
    ) -> list[ProfilerResults]:
        from .store.together import load_kept_files

        return load_kept_files(paths, left_out)

    @staticmethod
    def keep_few(directory: str) -> list[str]:
        from .store.compact import compact

        return compact(directory)


OTHER_KINDS[".stichotrope"] = _StoreFiles


def _store_directory(given: object) -> str:
    from .store.file import checked_store

    return checked_store(given)


def _forget_dead_profilers() -> None:
    """Drop the cached call sites of profilers that are gone."""
    dead = set()
    while _DEAD_PROFILERS:
        try:
            dead.add(_DEAD_PROFILERS.popleft())
        except IndexError:  # another thread took the last one
            break
    if dead:
        _holding((_REGISTRY_LOCK, _GLOBAL_CACHE_LOCK), lambda: _forget_call_sites_of(dead))


def _forget_call_sites_of(dead: set[int]) -> None:
    for key in [key for key in list(_CALL_SITE_CACHE) if key[0] in dead]:
        _CALL_SITE_CACHE.pop(key, None)


def _after_fork_in_child() -> None:
    """Begin empty, with fresh locks: whoever held one is not in this process."""
    alive = profilers()
    for lock in (_REGISTRY_LOCK, _GLOBAL_CACHE_LOCK, *(p._global_lock for p in alive)):
        lock._at_fork_reinit()  # type: ignore[attr-defined]
    _core.after_fork_in_child()
    for profiler in alive:
        profiler._begin()
        if profiler.store is not None:
            profiler._store_path = None  # that is the parent's
            profiler._open_in(profiler.store)


def _after_fork_in_parent() -> None:
    """Keep stores small in which each child makes a file, though nobody ever looks at them."""
    global _forks
    _forks += 1
    if _forks % _MANY_FORKS == 0:
        for directory, profiler in {p._kept_in(): p for p in profilers()}.items():
            if directory is not None:
                profiler._keep_small(directory)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
