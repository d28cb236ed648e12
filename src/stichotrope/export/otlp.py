"""The export for OTLP Profiles, which are alpha: what is written follows the layout of one version.

That is ``opentelemetry/proto/profiles/v1development/profiles.proto``
(https://github.com/open-telemetry/opentelemetry-proto) as PyPI's opentelemetry-proto 1.45 has it: a
``ProfilesData``, in which all tables are in one dictionary whose first entries stand for nothing.
The authors may change it in any version.

The samples are those of pprof: a path of the call tree in one thread. A profile has one type of
values here, so that there is one for each, and each process is a resource.
"""

from __future__ import annotations

import os
from struct import pack

from .._text.format import printable
from .._text.protobuf import integer, packed, sized, varint
from .._version import __version__
from ._labels import label, shared_names

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from ..results import CallNode, ProcessResults, ProfilerResults, ThreadResults

# Name, unit, field of a node.
_TYPES = (
    ("hits", "count", "hit_count"),
    ("errors", "count", "error_count"),
    ("total", "nanoseconds", "total_time_ns"),
    ("self", "nanoseconds", "self_time_ns"),
    ("cpu", "nanoseconds", "cpu_time_ns"),
    ("bytes", "bytes", "byte_count"),
    ("items", "count", "item_count"),
)
_LARGEST = 2**63


def render(results: ProfilerResults) -> bytes:
    """Return results as an encoded ``ProfilesData``.

    :param results: the results.
    :raises ValueError: when a figure is too large for 64 bits.
    """
    return _Data(results).encoded()


class _Table:
    """A table of the dictionary, the first entry of which stands for nothing."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {b"": 0}

    def place(self, entry: bytes) -> int:
        """Return the place of an encoded entry."""
        return self._places.setdefault(entry, len(self._places))

    def encoded(self, field: int) -> bytes:
        """Return all entries as a repeated field."""
        return b"".join(sized(field, entry) for entry in self._places)


class _Data:
    """What is being written.

    :param results: what it is of.
    """

    def __init__(self, results: ProfilerResults) -> None:
        self._results = results
        trees = [results.tree, *(thread.tree for thread in results.threads)]
        self._shared = set().union(*map(shared_names, trees))
        self._texts, self._functions, self._locations, self._stacks, self._attributes = (
            _Table() for _ in range(5)
        )
        metadata = results.metadata
        self._start_ns, self._duration_ns = (
            value if type(value) is int and 0 <= value < _LARGEST else 0
            for value in (metadata.get("start_ns"), metadata.get("duration_ns"))
        )

    def encoded(self) -> bytes:
        """Return the whole message."""
        resources = b"".join(
            sized(1, self._resource(process, trees)) for process, trees in self._by_process()
        )
        nothing = sized(1, b""), sized(4, b"")  # no mappings, no links
        dictionary = b"".join(
            (
                nothing[0],
                self._locations.encoded(2),
                self._functions.encoded(3),
                nothing[1],
                self._texts.encoded(5),
                self._attributes.encoded(6),
                self._stacks.encoded(7),
            )
        )
        return resources + sized(2, dictionary)

    def _by_process(
        self,
    ) -> list[tuple[ProcessResults | None, list[tuple[CallNode, ThreadResults | None]]]]:
        """Return each process with the trees of its threads; without threads, the only tree."""
        if not self._results.threads:
            processes = self._results.processes
            return [(processes[0] if len(processes) == 1 else None, [(self._results.tree, None)])]
        found: dict[int, tuple[ProcessResults | None, list[tuple[CallNode, ThreadResults | None]]]]
        found = {}
        for thread in self._results.threads:
            _, trees = found.setdefault(id(thread.process), (thread.process, []))
            trees.append((thread.tree, thread))
        return list(found.values())

    def _resource(
        self, process: ProcessResults | None, trees: list[tuple[CallNode, ThreadResults | None]]
    ) -> bytes:
        facts: list[tuple[str, str | int]] = [("service.name", self._results.profiler_name)]
        if process is not None:
            facts += [("process.pid", process.pid)]
            facts += [("host.name", process.host)] if process.host else []
        attributes = b"".join(sized(1, _key_value(*one)) for one in facts)
        samples = [one for tree, thread in trees for one in self._samples(tree, thread)]
        profiles = b"".join(
            sized(2, self._profile(name, unit, at, samples))
            for at, (name, unit, _) in enumerate(_TYPES)
            if any(values[at] for _, values in samples)
        )
        scope = sized(1, sized(1, b"stichotrope") + sized(2, __version__.encode()))
        return sized(1, attributes) + sized(2, scope + profiles)

    def _samples(
        self, tree: CallNode, thread: ThreadResults | None
    ) -> list[tuple[bytes, list[int]]]:
        """Return what a path and a thread are, encoded, with the path's values."""
        whose = b"" if thread is None else packed(2, self._thread(thread))
        path: list[int] = []
        found = []
        for node, depth in tree.walk():
            if depth == 0:
                continue
            del path[depth - 1 :]
            path.append(self._location(node))
            # Below 0 when nested blocks overlapped in time: then nothing is left to this one.
            values = [max(getattr(node, field), 0) for *_, field in _TYPES]
            if any(values):
                stack = self._stacks.place(packed(1, reversed(path)))
                found.append((integer(1, stack) + whose, values))
        return found

    def _profile(
        self, name: str, unit: str, at: int, samples: list[tuple[bytes, list[int]]]
    ) -> bytes:
        kind = integer(1, self._text(name)) + integer(2, self._text(unit))
        return b"".join(
            (
                sized(1, kind),
                *(
                    sized(2, about + packed(4, [_checked(values[at])]))
                    for about, values in samples
                    if values[at]
                ),
                varint(3 << 3 | 1) + pack("<Q", self._start_ns),
                integer(4, self._duration_ns),
                sized(7, os.urandom(16)),
            )
        )

    def _location(self, node: CallNode) -> int:
        name = self._text(label(node, self._shared))
        function = b"".join(
            (
                integer(1, name),
                integer(3, self._text(node.file)),
                integer(4, _checked(node.line)),
            )
        )
        line = integer(1, self._functions.place(function)) + integer(2, _checked(node.line))
        # Blocks of two tracks may have one name on one line: a location says which, by a track.
        track = self._attribute("stichotrope.track", node.track_idx)
        return self._locations.place(sized(3, line) + packed(4, [track]))

    def _thread(self, thread: ThreadResults) -> list[int]:
        return [
            self._attribute("thread.name", printable(thread.name)),
            self._attribute("stichotrope.thread_key", thread.key),
        ]

    def _attribute(self, key: str, value: str | int) -> int:
        return self._attributes.place(integer(1, self._text(key)) + sized(2, _any(value)))

    def _text(self, text: str) -> int:
        """Return the place of a text in the table."""
        return self._texts.place(printable(text).encode())


def _key_value(key: str, value: str | int) -> bytes:
    return sized(1, key.encode()) + sized(2, _any(value))


def _any(value: str | int) -> bytes:
    """Return a value of any type: field 1 is a text, 3 an integer."""
    return integer(3, value) if isinstance(value, int) else sized(1, printable(value).encode())


def _checked(value: int) -> int:
    if not -_LARGEST <= value < _LARGEST:
        raise ValueError(f"OTLP holds numbers of 64 bits, and one of the results is {value:,}")
    return value
