"""Timelines of processes that keep one in a store: of those that live, and of those that did.

A timeline is a `stichotrope.results.timeline.Timeline`, wherever it comes from. It is columns of
one value a pass, and lists of what the columns name:

* ``starts``, ``durations``: ``array("q")``, ns; starts count from ``start_ns``, since the epoch
* ``blocks``: ``array("I")``, places in ``block_list``: each has ``name``, ``track_idx``,
  ``track_name``, ``file``, ``line``
* ``threads``: ``array("I")``, places in ``thread_list``: ``key``, ``os_id``, ``name``, ``alive``,
  ``passes``, ``lost``
* ``lanes``: ``array("I")``, places in ``lane_list``: ``thread`` (a place in ``thread_list``),
  ``kind`` ("thread", "tasks", "generators", "crossing"), ``number`` (from 1 on for each kind of a
  thread). In a lane a pass lies wholly within the one below it, or wholly beside it.
* ``depths``: ``array("I")``, in how many passes one lies in its lane; 0 for the outermost
* ``strands``: ``array("I")``, equal for what one task, greenlet, generator, or thread itself ran
* ``outcomes``: ``array("B")``, how a pass ended: 0 by return, 1 by an exception, 2 cancelled
* ``tags``: ``array("Q")``, 0 for none; ``tag_of(i)`` gives an int, a text, or None

The passes are in the order in which they began; of those that began together, the one first that
the others lie in. So one walk over the columns, with a stack a lane, is all that drawing takes.
``timeline[i]``, and going over it, give objects instead, which takes longer.
"""

from __future__ import annotations

import os

from ..results import ResultsFormatError
from .file import SUFFIX
from .reader import KeptRecords, paths_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..results.timeline import Timeline


def load_timeline(path: str) -> Timeline:
    """Return the timeline in one file of a store; an empty one where none is kept.

    :param path: the file.
    :raises OSError: when it cannot be opened.
    :raises ResultsFormatError: when it is no store's file, of another version, or damaged.
    """
    with KeptRecords(path) as kept:
        return kept.timeline()


def has_timelines(path: str) -> bool:
    """Return whether a path may be given to `timelines_in`.

    :param path: of a file or a directory.
    """
    return path.endswith(SUFFIX) or os.path.isdir(path)


def timelines_in(
    paths: Iterable[str],
    left_out: Callable[[Exception], object] | None = None,
    process: int | None = None,
) -> list[Timeline]:
    """Return the timelines that have passes, in files of stores and in directories of such files.

    :param paths: the files and directories; what else a directory holds is not looked at.
    :param left_out: called with the error of each file in a directory that cannot be read.
    :param process: the number of the only process that is wanted, or None for all.
    :raises OSError: when a path cannot be read.
    :raises ResultsFormatError: when a file that is named is no store's.
    """
    found = []
    for path in paths:
        is_directory = os.path.isdir(path)
        for file in paths_in(path) if is_directory else [path]:
            try:
                if not file.endswith(SUFFIX):
                    raise ResultsFormatError(f"{file}: it is no store's file (*{SUFFIX})")
                timeline = load_timeline(file)
            except (OSError, ResultsFormatError) as error:
                if not is_directory:
                    raise
                if left_out is not None:
                    left_out(error)
                continue
            if len(timeline) and process in (None, timeline.metadata["process"]):
                found.append(timeline)
    return found
