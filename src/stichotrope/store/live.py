"""What running processes record now: looks at their files, and what came between two looks."""

from __future__ import annotations

import os
from typing import Any

from ..results import ProfileBlock, ProfilerResults, ResultsFormatError
from ..results.difference import blocks_since, difference
from .file import SUFFIX
from .reader import KeptRecords, by_age, paths_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..results import ProfileTrack, ThreadResults
    from ..snapshot.inflight import OpenBlock


class Look:
    """One process as it was at a moment, and what it did since the look before.

    :param results: all that it has recorded.
    :param before: what it had recorded then; None at the first look.
    :param opened: what is open.
    :param seconds: how long ago the look before was, or recording began.
    """

    __slots__ = ("before", "command", "opened", "process", "results", "seconds")

    def __init__(
        self,
        kept: KeptRecords,
        results: ProfilerResults,
        before: ProfilerResults | None,
        opened: list[OpenBlock],
        seconds: float,
    ) -> None:
        self.process = kept.process
        self.command = kept.command
        self.results = results
        self.before = before
        self.opened = opened
        self.seconds = seconds

    def rows(self) -> list[dict[str, Any]]:
        """Return what each block did, as plain figures."""
        if self.before is None:
            return self._rows(_blocks(self.results.tracks), self.opened)
        return self._rows(blocks_since(self.results, self.before), self.opened)

    def threads(self) -> list[tuple[ThreadResults, list[dict[str, Any]]]]:
        """Return what each block did on each thread that did anything, as plain figures."""
        found = []
        change = self.results
        if self.before is not None:
            change = difference(self.results, self.before, threads=True)
        for thread in change.threads:
            opened = [each for each in self.opened if each.thread_key == thread.key]
            rows = self._rows(_blocks(thread.tracks), opened)
            if any(row["hits"] or row["open"] for row in rows):
                found.append((thread, rows))
        return found

    def _rows(
        self, blocks: Iterable[tuple[ProfileTrack, ProfileBlock]], opened: Iterable[OpenBlock]
    ) -> list[dict[str, Any]]:
        open_ns: dict[tuple[str, str, str, int], list[int]] = {}
        for each in opened:
            key = (each.track_name, each.name, each.file, each.line)
            open_ns.setdefault(key, []).append(each.open_ns)
        return [_row(track.track_name, block, self.seconds, open_ns) for track, block in blocks]

    def to_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {
            "process": self.process,
            "profiler_name": self.results.profiler_name,
            "command": self.command,
            "state": self.results.metadata["state"],
            "start_ns": self.results.metadata["start_ns"],
            "duration_ns": self.results.metadata["duration_ns"],
            "interval_s": self.seconds,
            "threads": self.results.metadata["threads"],
            "blocks": [row for row in self.rows() if row["hits"] or row["open"]],
            "warnings": self.results.metadata["warnings"],
        }


def _blocks(tracks: Mapping[int, ProfileTrack]) -> Iterator[tuple[ProfileTrack, ProfileBlock]]:
    for track in tracks.values():
        for block in track.blocks:
            yield track, block


def _row(
    track: str,
    block: ProfileBlock,
    seconds: float,
    open_ns: dict[tuple[str, str, str, int], list[int]],
) -> dict[str, Any]:
    now = open_ns.get((track, block.name, block.file, block.line), [])
    total = block.total_time_ns
    return {
        "track": track,
        "name": block.name,
        "file": block.file,
        "line": block.line,
        "hits": block.hit_count,
        "hits_per_s": block.hit_count / seconds,
        "share": total / (seconds * 1e9),
        "mean_ns": block.sum_time_ns / block.hit_count if block.hit_count else None,
        "p95_ns": block.percentile(95) if block.hit_count else None,
        "errors": block.error_count,
        "open": len(now),
        "longest_open_ns": max(now, default=0),
        "bytes_per_s": block.byte_count / seconds,
        "items_per_s": block.item_count / seconds,
        "concurrency": block.sum_time_ns / total if total and block.hit_count else None,
    }


class Watch:
    """Looks at the running processes of a store, again and again.

    :param directory: the store.
    :param process: the number of the only process that is looked at, or None for all.
    :ivar directory: the store.
    :ivar by_thread: whether looks can tell what each thread did; it takes longer.
    """

    def __init__(self, directory: str, process: int | None = None) -> None:
        self.directory = directory
        self._process = process
        self._known: dict[str, tuple[KeptRecords, ProfilerResults]] = {}
        self._others: set[str] = set()  # of processes that are gone, or not looked at
        self.left_out: dict[str, str] = {}
        self.by_thread = False
        self._was_by_thread = False

    def close(self) -> None:
        """Let go of all files."""
        for kept, _ in self._known.values():
            kept.close()
        self._known.clear()

    def looks(self) -> list[Look]:
        """Return what the processes did since the last time.

        At the first time, and when it is by thread or no more, it is what they did since the start.

        :raises OSError: when the directory cannot be read.
        """
        if self.by_thread is not self._was_by_thread:
            self._was_by_thread = self.by_thread
            self.close()
        paths = paths_in(self.directory)
        self._others.intersection_update(paths)
        found = []
        unknown = [path for path in paths if path not in self._others and path not in self._known]
        self._others.update(by_age(unknown)[1])
        for path in paths:
            if path not in self._others:
                look = self._look(path)
                if look is not None:
                    found.append(look)
        return sorted(found, key=lambda look: (look.process, look.results.profiler_name))

    def _look(self, path: str) -> Look | None:
        before = self._known.get(path)
        try:
            kept = before[0] if before else KeptRecords(path)
            if not kept.still_lives() or self._process not in (None, kept.process):
                self._leave(path, kept)
                return None
            results = kept.view(summed=not self.by_thread).results()
            opened = kept.open_blocks()
        except (OSError, ResultsFormatError) as error:
            self.left_out[path] = str(error)
            self._others.add(path)
            return None
        self._known[path] = (kept, results)
        lasted_ns = results.metadata["duration_ns"]
        # At the first look, and when all was cleared since, what there is has come since the start.
        if before is None or before[1].metadata["start_ns"] != results.metadata["start_ns"]:
            return Look(kept, results, None, opened, max(lasted_ns, 1) / 1e9)
        seconds = max(lasted_ns - before[1].metadata["duration_ns"], 1) / 1e9
        return Look(kept, results, before[1], opened, seconds)

    def _leave(self, path: str, kept: KeptRecords) -> None:
        self._others.add(path)
        self._known.pop(path, None)
        kept.close()


def store_of(process: int) -> str | None:
    """Return the store that a running process keeps its records in, as far as the system tells.

    :param process: the process's number.
    """
    try:
        with open(f"/proc/{process}/maps", encoding="utf-8", errors="surrogateescape") as file:
            found = _mapped(file)
    except OSError:
        return None
    return os.path.dirname(found) if found else None


def _mapped(lines: Iterable[str]) -> str | None:
    for line in lines:
        path = line.split(maxsplit=5)[5:]
        if path and path[0].rstrip("\n").endswith(SUFFIX):
            return path[0].rstrip("\n")
    return None
