"""The limit of ``-t auto``: functions that are too short to be timed are left alone after a while.

Whoever asks for all functions of a program asks for its smallest, too. Of those, the recording is
most of the time that they seem to take, and of what the program then takes longer. A look now and
then, from outside of what records, finds them; by then their figures are known.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, get_native_id, start_new_thread
from time import perf_counter, sleep

from ..results import OVERHEAD_FACTOR, is_mostly_overhead

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._session import Session
    from ..instrumentation.patterns import Pattern
    from ..results import ProfilerResults

PASSES = 100_000  # after which it is known what one takes
_SECONDS = 0.2  # between two looks, at least
_PATIENCE = 1.0  # seconds for a look to end
_MOST_SHARE = 0.02  # of a processor, for looking


class Limit:
    """Looks after the functions that patterns chose which nobody gave one by one.

    :param session: what records.
    :param unasked: the patterns that stand for ``auto``.
    :param asked: those that were given beside it; what they choose is never left alone.
    """

    def __init__(
        self, session: Session, unasked: Sequence[Pattern], asked: Sequence[Pattern]
    ) -> None:
        self._session = session
        self._tracks = {pattern.track for pattern in unasked}
        self._asked = asked
        self._left: set[tuple[str, str]] = set()
        self._idle = allocate_lock()  # held by the thread that looks
        self._end = allocate_lock()  # held while it is to go on
        self._thread = 0  # the system's number of it

    def start(self) -> None:
        """Look now and then, until `stop`, or a fork: the interpreter warns of threads at one, as
        they are counted when it is over. The thread is none that `threading` knows of.
        """
        self._end.acquire()
        self._idle.acquire()
        try:
            start_new_thread(self._look_now_and_then, ())
        except RuntimeError:  # no thread can be had: then all is timed
            self._end.release()
            self._idle.release()
            return
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self.stop)

    def stop(self) -> None:
        """Look no more."""
        if not self._end.locked():
            return
        self._end.release()
        # Not for ever: what was interrupted to come here may hold what a look waits for.
        if self._idle.acquire(timeout=_PATIENCE):
            self._idle.release()
            end = perf_counter() + _PATIENCE
            while os.path.exists(f"/proc/self/task/{self._thread}") and perf_counter() < end:
                sleep(0.0005)  # it is on its last way out

    def _look_now_and_then(self) -> None:
        self._thread = get_native_id()
        wait = _SECONDS
        try:
            while not self._end.acquire(timeout=wait):
                begin = perf_counter()
                self.look()
                wait = max(_SECONDS, (perf_counter() - begin) / _MOST_SHARE)
            self._end.release()
        except Exception:  # the program is not to suffer by it
            pass
        finally:
            self._idle.release()

    def look(self) -> None:
        """Leave alone what is known by now to be too short."""
        results = self._session.profiler.get_results()
        for track in results.tracks.values():
            if track.track_name not in self._tracks:
                continue
            short = {
                block.name
                for block in track.blocks
                if block.hit_count >= PASSES and is_mostly_overhead(block, results.metadata)
            }
            names = {name for name in short if not any(one.takes(name) for one in self._asked)}
            if names:
                left = self._session.instrumentation.leave_alone(track.track_name, names)
                self._left |= {(track.track_name, name) for name in left}

    def tell(self, results: ProfilerResults) -> None:
        """Have results say what was left alone, if anything was.

        :param results: those of the session; a warning is added.
        """
        left = [
            f"{one.name} ({one.hit_count:,})"
            for track in results
            for one in track
            if (track.track_name, one.name) in self._left
        ]
        if left:
            results.metadata.setdefault("warnings", []).append(
                f"auto left alone, after the passes told here, what takes less than "
                f"{OVERHEAD_FACTOR} times the cost of recording: {', '.join(left)}; "
                "a pattern of its own times each pass"
            )
