"""Results as a JSON document: written, and read whichever version has written it."""

from __future__ import annotations

from .._text.files import checked_path, read_whole, write_whole
from .histogram import Histogram
from .model import (
    FORMAT,
    FORMAT_VERSION,
    PERCENTILES,
    CallNode,
    ProcessorTime,
    ProcessResults,
    ProfileBlock,
    ProfilerResults,
    ProfileTrack,
    ThreadResults,
    own_process,
    tree_from_rows,
    tree_rows,
)
from .plain import MAX_NESTING, Document, check_indent, json_value, kind, parse
from .plain import ResultsFormatError as ResultsFormatError

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .._text.files import StrPath
    from .model import Figures, Totals
    from .record import Record

# What is in a document for readers, and computed anew when it is read.
_TOTALS = ("total_hits", "total_open", "total_errors", "total_cancelled")


# Files


def save(results: ProfilerResults, path: StrPath) -> None:
    """Write a document to a file; see `ProfilerResults.save`."""
    checked_path(path)
    write_whole(path, line_by_line(results))


def load(path: StrPath) -> ProfilerResults:
    """Read a document from a file; see `ProfilerResults.load`."""
    raw = read_whole(path)
    try:
        return from_document(parse(raw))
    except ResultsFormatError as error:
        raise ResultsFormatError(f"{checked_path(path)}: {error}") from error.__cause__


# Written


def to_document(results: ProfilerResults) -> dict[str, Any]:
    """Return results as a document; see `ProfilerResults.to_dict`."""
    places = _process_places(results)
    threads = [_thread_to_dict(thread, places) for thread in results.threads]
    return {**_head_to_dict(results), "threads": threads}


def to_text(results: ProfilerResults, indent: int | None = 2) -> str:
    """Return a document as JSON text; see `ProfilerResults.to_json`."""
    import json
    import re

    check_indent(indent)
    document = to_document(results)
    text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
    # A histogram has many pairs. Strings are safe: within them a line break is written "\n".
    text = re.sub(r"\[\n *(\d+),\n *(\d+)\n *\]", r"[\1, \2]", text)
    # A lone surrogate (from a file name that is not UTF-8) becomes its JSON escape.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# Of a document, what is laid out with one item a line.
_LISTS = ("tracks", "blocks", "tree", "processes", "threads")


def line_by_line(results: ProfilerResults) -> str:
    """Return a document as JSON text in which each block, path and thread has a line of its own.

    Indented wholly, it would be more than twice as long; and up to 3.12 the encoder that indents is
    many times slower.

    :param results: what is written.
    """
    from json import JSONEncoder

    encode = JSONEncoder(ensure_ascii=False, allow_nan=False).encode

    def laid_out(value: dict[str, Any]) -> str:
        if not any(key in value for key in _LISTS):
            return encode(value)
        parts = []
        for key, item in value.items():
            if key in _LISTS and item:
                lines = ",\n".join(map(laid_out, item))
                parts.append(f"{encode(key)}: [\n{lines}\n]")
            else:
                parts.append(f"{encode(key)}: {encode(item)}")
        return f"{{{', '.join(parts)}}}"

    text = laid_out(to_document(results)) + "\n"
    # A lone surrogate (from a file name that is not UTF-8) becomes its JSON escape.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def compact_json(results: ProfilerResults) -> str:
    """Return a document as JSON text, with as few characters as it takes.

    It is made thread by thread: the encoder does not let other threads run while it works.

    :param results: what is written.
    """
    from json import dumps

    places = _process_places(results)
    head = dumps(_head_to_dict(results), allow_nan=False)
    threads = (dumps(_thread_to_dict(one, places), allow_nan=False) for one in results.threads)
    return f'{head[:-1]}, "threads": [{", ".join(threads)}]}}'


def _head_to_dict(results: ProfilerResults) -> dict[str, Any]:
    """Return all of the document but the threads."""
    head = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "profiler_name": results.profiler_name,
        **_figures_to_dict(results),
        "metadata": json_value(results.metadata),
    }
    if _says_more(results):
        head["processes"] = [_plain(process) for process in results.processes]
    return head


def _says_more(results: ProfilerResults) -> bool:
    """Return whether the processes have to be written: a single one is in the metadata."""
    return results.processes != own_process(results)


def _process_places(results: ProfilerResults) -> dict[object, int]:
    """Return the place of each process in the document, by its identity."""
    if not _says_more(results):
        return {}
    return {process.identity: place for place, process in enumerate(results.processes)}


def _plain(record: Record) -> dict[str, Any]:
    """Return the fields of a record that are read one by one."""
    return {name: getattr(record, name) for name in record._read}


def _figures_to_dict(figures: Figures) -> dict[str, Any]:
    return {
        "total_time_ns": figures.total_time_ns,
        **_totals_to_dict(figures),
        "tracks": [_track_to_dict(track) for _, track in sorted(figures.tracks.items())],
        "tree": [_node_to_dict(*row) for row in tree_rows(figures.tree)],
    }


def _node_to_dict(parent: int, values: tuple[Any, ...]) -> dict[str, Any]:
    node = {"parent": parent, **dict(zip(CallNode.__match_args__, values, strict=True))}
    cpu = node.pop("cpu")
    return node if cpu is None else {**node, "cpu": _plain(cpu)}


def _totals_to_dict(totals: Totals) -> dict[str, int]:
    return {name: getattr(totals, name) for name in _TOTALS}


def _track_to_dict(track: ProfileTrack) -> dict[str, Any]:
    return {
        **_plain(track),
        **_totals_to_dict(track),
        "blocks": [_block_to_dict(block) for block in track.blocks],
    }


def _block_to_dict(block: ProfileBlock) -> dict[str, Any]:
    return {
        **_plain(block),
        **block.computed(),
        **(block.of_work() if block.has_work else {}),
        "histogram": _histogram_to_list(block.histogram),
        **({} if block.cpu is None else {"cpu": _cpu_to_dict(block, block.cpu)}),
    }


def _cpu_to_dict(block: ProfileBlock, cpu: ProcessorTime) -> dict[str, Any]:
    return {
        **_plain(cpu),
        "avg_ns": cpu.avg_ns,
        "waiting": cpu.waiting,
        **{f"p{q}_ns": block.cpu_percentile(q) for q in PERCENTILES},
        "histogram": _histogram_to_list(cpu.histogram),
    }


def _histogram_to_list(histogram: Histogram) -> list[list[int]]:
    return [[lower, count] for lower, _, count in histogram]


def _thread_to_dict(thread: ThreadResults, places: Mapping[object, int]) -> dict[str, Any]:
    place = places.get(thread.process.identity) if thread.process is not None else None
    return {
        **({} if place is None else {"process": place}),
        **_plain(thread),
        **_figures_to_dict(thread),
    }


# Read


def from_document(data: dict[str, Any]) -> ProfilerResults:
    """Return the results that a document holds; see `ProfilerResults.from_dict`."""
    document = Document(data, "")
    _check_format(document)
    processes = processes_from(document)
    return ProfilerResults(
        profiler_name=document.text("profiler_name"),
        **_figures_from(document),
        threads=[_thread_from(thread, processes) for thread in document.objects("threads")],
        metadata=_metadata_from(document),
        processes=processes,
    )


def _check_format(document: Document) -> None:
    found = document.value.get("format")
    if found != FORMAT:
        raise ResultsFormatError(
            f'not a stichotrope results file: its "format" is {kind(found)}, expected {FORMAT!r}'
        )
    version = document.count("format_version")
    if version > FORMAT_VERSION:
        raise ResultsFormatError(
            f"written in results format {version}; this version reads up to {FORMAT_VERSION}; "
            "update stichotrope"
        )
    document.version = version


def _values_from(document: Document, record: type[Record]) -> dict[str, Any]:
    """Return the fields of a record that are read one by one.

    What the document's version did not have yet is what it is unless given.
    """
    return {
        name: getattr(document, one.read)(name) if document.version >= one.since else one.default
        for name, one in record._fields.items()
        if one.read
    }


def _metadata_from(document: Document) -> Any:
    try:
        return json_value(document.mapping("metadata"), limit=MAX_NESTING)
    except ResultsFormatError:
        raise
    except ValueError as error:
        raise ResultsFormatError(str(error)) from error


def _figures_from(document: Document) -> dict[str, Any]:
    tracks = [_track_from(track) for track in document.objects("tracks")]
    by_idx = {track.track_idx: track for track in tracks}
    if len(by_idx) != len(tracks):
        raise ResultsFormatError(f'field "tracks"{document.place()} holds a track twice')
    return {
        "tracks": by_idx,
        "total_time_ns": document.count("total_time_ns"),
        "tree": _tree_from(document),
    }


def _track_from(document: Document) -> ProfileTrack:
    values = _values_from(document, ProfileTrack)
    idx = values["track_idx"]
    return ProfileTrack(
        **values, blocks=[_block_from(block, idx) for block in document.objects("blocks")]
    )


def _block_from(document: Document, track_idx: int) -> ProfileBlock:
    return ProfileBlock(
        **_values_from(document, ProfileBlock),
        track_idx=track_idx,
        histogram=_histogram_from(document),
        cpu=_cpu_from(document, _histogram_from),
    )


def _histogram_from(document: Document) -> Histogram:
    histogram = Histogram()
    for lower, passes in document.pairs("histogram"):
        histogram.add(lower, passes)
    return histogram


def _cpu_from(
    document: Document, histogram: Callable[[Document], Histogram]
) -> ProcessorTime | None:
    """Return the processor time of a block or a node, where it has any."""
    if "cpu" not in document.value:
        return None
    cpu = document.object("cpu")
    return ProcessorTime(**_values_from(cpu, ProcessorTime), histogram=histogram(cpu))


def processes_from(document: Document) -> list[ProcessResults] | None:
    """Return the processes that a document lists, None where it lists none.

    :param document: its outside.
    :raises ResultsFormatError: when one of them is not as it has to be.
    """
    if "processes" not in document.value:
        return None
    return [
        ProcessResults(**_values_from(process, ProcessResults))
        for process in document.objects("processes")
    ]


def _process_of(
    document: Document, processes: list[ProcessResults] | None
) -> ProcessResults | None:
    """Return the process that a thread's object names by its place, if it does."""
    if processes is None or "process" not in document.value:
        return None
    place = document.count("process")
    if place >= len(processes):
        raise ResultsFormatError(
            f'field "process" at {document.where} must be the place of one of '
            f"{len(processes)} processes, not {place}"
        )
    return processes[place]


def _thread_from(document: Document, processes: list[ProcessResults] | None) -> ThreadResults:
    return ThreadResults(
        process=_process_of(document, processes),
        **_values_from(document, ThreadResults),
        **_figures_from(document),
    )


def _tree_from(document: Document) -> CallNode:
    rows = []
    for number, node in enumerate(document.objects("tree")):
        parent = node.integer("parent")
        # Only the root has none, and a parent always comes first: so it is one tree, and no loop.
        if (parent == -1) != (number == 0) or not -1 <= parent < number:
            raise ResultsFormatError(
                f'field "parent" at {node.where} must be the number of a node before it '
                f"(-1 for the first), not {parent}"
            )
        values = _values_from(node, CallNode).values()
        rows.append((parent, (*values, _cpu_from(node, lambda _: Histogram()))))
    if not rows:
        raise ResultsFormatError(f'field "tree"{document.place()} must have at least a root')
    return tree_from_rows(rows)
