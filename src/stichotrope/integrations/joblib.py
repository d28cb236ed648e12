"""joblib: what its worker processes record, part of the program's results."""

from __future__ import annotations

from contextlib import contextmanager

from . import processes
from ._run import TIMEOUT_S, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def profile(*, timeout_s: float = TIMEOUT_S) -> Iterator[Run]:
    """Have what joblib's workers record be part of a run, with every backend.

    Of the backends of processes, loky and multiprocessing, it is gathered as
    `stichotrope.integrations.processes.profile` does; what threads record is there anyway. The
    backend "dask" belongs to `stichotrope.integrations.dask`.

    :param timeout_s: how long to wait for a process to answer, in seconds.
    :raises ImportError: when joblib is not installed.
    """
    import joblib.externals.loky.process_executor  # noqa: F401  # it is taught when it is there

    with processes.profile(timeout_s=timeout_s) as run:
        yield run
