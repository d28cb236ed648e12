"""One job on an engine: what was recorded in it, by its workers and by who gave it to them."""

from __future__ import annotations

from ..results.snapshots import Snapshots
from ._node import recorded_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..results import ProfilerResults

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

    def finish(self) -> None:
        """Take what there is now for good."""
        self._final = self.snapshots()
