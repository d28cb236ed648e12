"""MPI: what all ranks have recorded, reduced to one of them by the engine's own collective."""

from __future__ import annotations

from ..results.snapshots import Snapshots
from ._node import recorded_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..results import ProfilerResults


def reduce(comm: Any = None, *, root: int = 0, name: str | None = None) -> ProfilerResults | None:
    """Return what all ranks have recorded until now, merged, on the root; None on the others.

    It is a collective operation: every rank of the communicator has to call it. It waits for all of
    them, as a barrier does. What is recorded later is in the results of a later call.

    :param comm: a communicator of mpi4py; ``MPI.COMM_WORLD`` unless given.
    :param root: the rank that gets the results.
    :param name: the name of a profiler; by default all are taken together.
    :raises ValueError: on the root, when nothing was recorded, or nothing by that profiler.
    """
    found = snapshots(comm, root=root)
    return None if found is None else found.results(name)


def snapshots(comm: Any = None, *, root: int = 0) -> Snapshots | None:
    """Return what all ranks have recorded until now, unmerged, on the root; None on the others.

    It has the timelines of ranks that keep one, too: ``snapshots().timelines()``. It is collective,
    as `reduce` is.

    :param comm: a communicator of mpi4py; ``MPI.COMM_WORLD`` unless given.
    :param root: the rank that gets them.
    """
    if comm is None:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    own = recorded_here(f"rank {comm.Get_rank()}").to_bytes()
    reduced = comm.reduce(own, op=_union, root=root)
    return Snapshots.from_bytes(reduced) if comm.Get_rank() == root else None


def _union(one: bytes, other: bytes) -> bytes:
    return Snapshots([one, other]).to_bytes()
