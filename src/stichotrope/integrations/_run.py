"""One job on an engine: what was recorded in it, by its workers and by who gave it to them."""

from __future__ import annotations

from contextlib import contextmanager

from ..results.snapshots import Snapshots
from ._node import recorded_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from ..results import ProfilerResults
    from ..results.timeline import Timeline

TIMEOUT_S = 10.0  # for workers' answers


class Run:
    """What is recorded from when it is made until `finish`.

    :param collect: returns what the workers have recorded.
    :param here: what this process is called among them.
    """

    def __init__(self, collect: Callable[[], Snapshots], here: str) -> None:
        self._collect = collect
        self._here = here
        self._final: Snapshots | None = None
        self._before = collect()
        self._before.update(recorded_here(here))

    def snapshots(self) -> Snapshots:
        """Return what each process has recorded: until now, or until the end once that has come.

        A worker that did not answer is named in the warnings.
        """
        if self._final is not None:
            return self._final
        # The workers first: what they have done, this process may have waited for.
        found = self._collect()
        found.update(recorded_here(self._here))
        return found.since(self._before)

    def results(self, name: str | None = None) -> ProfilerResults:
        """Return it merged; ``processes`` tell who recorded how much.

        :param name: the name of a profiler; by default all are taken together.
        :raises ValueError: when nothing was recorded, or nothing by a profiler of that name.
        """
        snapshots = self.snapshots()
        if not len(snapshots):
            raise ValueError(
                "nothing was recorded in this run: functions have to be marked by a Profiler "
                "(@profiler.track, or with profiler.block) in what the workers run"
                + "".join(f"; {sentence}" for sentence in snapshots.warnings)
            )
        return snapshots.results(name)

    def timelines(self, name: str | None = None) -> list[Timeline]:
        """Return the newest passes one by one, of each process a timeline; none where none is kept.

        Those of one machine lie on its one clock. Of each profiler of a process, the newest 32,768
        passes travel; what is left out counts as lost.

        :param name: the name of a profiler; by default those of all.
        """
        return self.snapshots().timelines(name)

    @contextmanager
    def lasting(self) -> Iterator[Self]:
        """Have it end with a block; also with one that raises, whose exception goes on.

        What then cannot be collected is named in the results' warnings.
        """
        try:
            yield self
        except BaseException:
            try:
                self.finish()
            except Exception as error:
                self._final = self._only_here(error)
            raise
        self.finish()

    def _only_here(self, error: Exception) -> Snapshots:
        found = Snapshots()
        found.update(recorded_here(self._here))
        found = found.since(self._before)
        found.warn(
            f"the workers were not reached ({type(error).__name__}: {error}): "
            "what they have recorded is missing"
        )
        return found

    def finish(self) -> None:
        """Take what there is now for good."""
        self._final = self.snapshots()
