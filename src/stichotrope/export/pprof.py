"""The pprof export: a file for ``go tool pprof``, Pyroscope, Parca and what else reads theirs.

The format is https://github.com/google/pprof/blob/main/proto/profile.proto, a protobuf in gzip. Of
protobuf, this writes what little it needs itself: no library that is kept up writes these files.

A sample is a path of the call tree in one thread, with its passes (those that ended, by errors and
by cancellation, and those that are open), its total and its self time; and the bytes and items that
went through them, and their processor time, where the program says so of any.
Readers add up what lies below a path: of self times that gives the total again; of totals it would
count nested blocks twice, so that of these only a path's own ("flat") value means something.
"""

from __future__ import annotations

from .._text.format import printable
from .._text.protobuf import integer, packed, sized
from .._version import __version__
from ._labels import label, shared_names

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..results import CallNode, ProfilerResults, ThreadResults

# Name, unit, field of a node. Readers that know no default take the last.
_SAMPLE_TYPES = (
    ("hits", "count", "hit_count"),
    ("errors", "count", "error_count"),
    ("cancelled", "count", "cancelled_count"),
    ("open", "count", "open_count"),
    ("total", "nanoseconds", "total_time_ns"),
    ("self", "nanoseconds", "self_time_ns"),
)
# Before the times, where any pass said how much went through it, or took processor time.
_WORK_TYPES = (("bytes", "bytes", "byte_count"), ("items", "count", "item_count"))
_CPU_TYPES = (("cpu", "nanoseconds", "cpu_time_ns"),)
_DEFAULT = "self"
_LARGEST = 2**63


def render(results: ProfilerResults) -> bytes:
    """Return results as a file for pprof; each sample says which thread and process it is of.

    :param results: the results.
    :raises ValueError: when a figure is too large for 64 bits.
    """
    from gzip import compress

    profile = _Profile(results)
    for tree, labels in _trees(results, profile):
        profile.add(tree, labels)
    return compress(profile.encoded(), mtime=0)


def _trees(results: ProfilerResults, profile: _Profile) -> Iterator[tuple[CallNode, bytes]]:
    """Yield the call tree of each thread with its labels, or the only one without."""
    if not results.threads:
        yield results.tree, b""
    for thread in results.threads:
        yield thread.tree, profile.labels(thread)


class _Profile:
    """A profile that is being written.

    :param results: what it is of.
    """

    def __init__(self, results: ProfilerResults) -> None:
        self._results = results
        trees = [results.tree, *(thread.tree for thread in results.threads)]
        self._shared = set().union(*map(shared_names, trees))
        nodes = [node for tree in trees for node, _ in tree.walk()]
        self._types = (
            *(_WORK_TYPES if any(node.has_work for node in nodes) else ()),
            *(_CPU_TYPES if any(node.cpu is not None for node in nodes) else ()),
            *_SAMPLE_TYPES,
        )
        self._texts = {"": 0}
        self._places: dict[tuple[int, str, int, str], int] = {}
        self._functions: list[bytes] = []
        self._samples: list[bytes] = []

    def add(self, tree: CallNode, labels: bytes) -> None:
        """Add a sample for each path that a tree has, with the labels of its thread."""
        path: list[int] = []
        for node, depth in tree.walk():
            if depth == 0:
                continue
            del path[depth - 1 :]
            path.append(self._place(node))
            # Below 0 when nested blocks overlapped in time: then nothing is left to this one.
            values = [max(getattr(node, field), 0) for *_, field in self._types]
            if any(values):
                sample = packed(1, reversed(path)) + packed(2, map(_checked, values)) + labels
                self._samples.append(sized(2, sample))

    def labels(self, thread: ThreadResults) -> bytes:
        """Return the labels of a thread's samples, encoded."""
        numbers = {"thread_key": thread.key}
        if thread.process is not None:
            numbers["pid"] = thread.process.pid
        name = integer(1, self._text("thread")) + integer(2, self._text(thread.name))
        return sized(3, name) + b"".join(
            sized(3, integer(1, self._text(key)) + integer(3, number))
            for key, number in numbers.items()
        )

    def encoded(self) -> bytes:
        """Return the whole message."""
        types = b"".join(sized(1, self._type(*one)) for *one, _ in self._types)
        facts = self._facts()  # which may bring texts of their own
        texts = b"".join(sized(6, text.encode()) for text in self._texts)
        return types + b"".join(self._samples) + b"".join(self._functions) + texts + facts

    def _facts(self) -> bytes:
        metadata = self._results.metadata
        start_ns, duration_ns = (
            value if type(value) is int and 0 <= value < _LARGEST else 0
            for value in (metadata.get("start_ns"), metadata.get("duration_ns"))
        )
        comment = f"{self._results.profiler_name}, recorded by stichotrope {__version__}"
        return b"".join(
            [
                integer(9, start_ns),
                integer(10, duration_ns),
                sized(11, self._type(_DEFAULT, "nanoseconds")),
                integer(12, 1),
                packed(13, [self._text(comment)]),
                integer(14, self._text(_DEFAULT)),
            ]
        )

    def _place(self, node: CallNode) -> int:
        """Return the number of a block as a location; its function has the same."""
        identity = node.identity
        if identity not in self._places:
            number = self._places[identity] = len(self._places) + 1
            name = self._text(label(node, self._shared))
            line = _checked(node.line)
            function = (
                integer(1, number)
                + integer(2, name)
                + integer(3, name)
                + integer(4, self._text(node.file))
                + integer(5, line)
            )
            location = integer(1, number) + sized(4, integer(1, number) + integer(2, line))
            self._functions += [sized(4, location), sized(5, function)]
        return self._places[identity]

    def _type(self, name: str, unit: str) -> bytes:
        return integer(1, self._text(name)) + integer(2, self._text(unit))

    def _text(self, text: str) -> int:
        """Return the place of a text in the table."""
        return self._texts.setdefault(printable(text), len(self._texts))


def _checked(value: int) -> int:
    if not -_LARGEST <= value < _LARGEST:
        raise ValueError(f"pprof holds numbers of 64 bits, and one of the results is {value:,}")
    return value
