"""stichotrope itself, among the others: a tracked call, a kept block, an inline block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers._peer import CALL, INLINE, KEPT, YES, Peer, Reading, Records


class _Ours(Peer):
    documentation = ""
    records = Records(YES, YES, YES, YES, YES, YES, YES)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from stichotrope import Profiler

        self.profiler = Profiler("peers")

    def read(self) -> Reading:
        """See `Peer.read`."""
        tracks = self.profiler.get_results().tracks.values()
        (block,) = [block for track in tracks for block in track.blocks]
        return Reading(block.hit_count, block.sum_time_ns)

    def overhead_ns(self) -> float:
        """Return what it says that a pass costs, as its report does."""
        told: float = self.profiler.get_results().metadata["overhead_ns_per_pass"]
        return told

    @classmethod
    def version(cls) -> str:
        """See `Peer.version`."""
        import stichotrope

        return str(stichotrope.__version__)


class TrackedCall(_Ours):
    """The decorator."""

    name = "tracked call"
    form = CALL
    usage = "@profiler.track(0)"

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        tracked: Callable[..., Any] = self.profiler.track(0)(function)
        return tracked


class KeptBlock(_Ours):
    """A block that is made once."""

    name = "kept block"
    form = KEPT
    usage = 'QUERY = profiler.block(1, "query"); with QUERY:'

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"b": self.profiler.block(1, "kept")}


class InlineBlock(_Ours):
    """A block that is named where it stands."""

    name = "inline block"
    form = INLINE
    usage = 'with profiler.block(1, "query"):'
    enters = 'p.block(1, "inline")'

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"p": self.profiler}


OURS: tuple[type[_Ours], ...] = (TrackedCall, KeptBlock, InlineBlock)
OUR_NAMES = frozenset(kind.name for kind in OURS)
