"""What must hold for any file given to `ProfilerResults.load`, and how files that nearly hold results are made."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from stichotrope import ProfilerResults, export_csv, export_json, print_results
from stichotrope._text.columns import SORTS

CORPUS = Path(__file__).parent / "corpus"

# What stands in a field where nobody expects it.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 255, 256, 257, 1000),
    *(2**31, 2**32, 2**63 - 1, 2**64, 2**128, 2**256 - 1, 2**256, 1 - 2**256, 10**4299),
    *(0.5, -0.0, 1e-300, 1e308, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        "x",
        "=1+1",
        "a\0b",
        "\ud800",
        "µ\n\r\t\x1b[31m",
        "(other paths)",
        "word " * 200,
        "x" * 2000,
    ),
    *([], {}, [[]], [[0, 0]], [[1, 2], [3, 4]], [0] * 200, {"": {}}, {"pid": []}),
)


class Slot(NamedTuple):
    """A place in a document: what holds a value, and its key there."""

    holder: Any
    key: Any


def check(raw: bytes, directory: Path) -> bool:
    """Assert what must hold for a file of any content; tell whether it holds results.

    :param raw: the content.
    :param directory: a place for files.
    """
    path = directory / "given.json"
    path.write_bytes(raw)
    try:
        results = ProfilerResults.load(path)
    except ValueError as refusal:
        said = str(refusal)
    else:
        check_file(results, directory)
        check_figures(results)
        check_reports(results, directory)
        return True
    assert said.startswith(f"{path}: "), f"it names no file: {said}"
    assert 0 < len(said) - len(f"{path}: ") < 1000, f"no sentence: {said}"
    return False


def check_file(results: ProfilerResults, directory: Path) -> None:
    """Assert that results are the same after another trip through a file, and can be merged."""
    saved = directory / "saved.json"
    results.save(saved)
    again = ProfilerResults.load(saved)
    assert again == results
    assert again.to_json(None) == results.to_json(None)
    both = results.merge(again)
    assert both.total_hits == 2 * results.total_hits
    assert both.total_time_ns == 2 * results.total_time_ns
    assert results == again, "merging changed what was merged"


def check_figures(results: ProfilerResults) -> None:
    """Assert that every figure can be had, and that those which are derived are possible."""
    assert repr(results)
    for part in (results, *results.threads):
        assert part.total_hits >= 0
        assert sum(1 for _ in part.tree.walk()) >= 1
        for idx, track in part.tracks.items():
            assert part.get_track(idx) is track
            assert track.total_hits >= 0
            for block in track.blocks:
                assert track.get_block(block.block_idx).block_idx == block.block_idx
                assert block.avg_time_ns >= 0
                assert block.stddev_time_ns >= 0
                low, high = sorted((block.min_time_ns, block.max_time_ns))
                if block.hit_count:
                    assert all(low <= block.percentile(q) <= high for q in (0, 0.1, 50, 99.9, 100))
                assert repr(block)


def check_reports(results: ProfilerResults, directory: Path) -> None:
    """Assert that every report can be written."""
    for sort in SORTS:
        print_results(results, file=io.StringIO(), sort=sort, width=80)
    export_csv(results, directory / "table.csv")
    export_json(results, directory / "document.json")


# Files that nearly hold results


def mutated(raw: bytes, random: Random, flip: Callable[[bytes], bytes] | None = None) -> bytes:
    """Return a file with something else in it.

    :param raw: the file.
    :param random: what decides.
    :param flip: changes bytes, of whatever meaning; files that are no JSON are changed by it alone.
    """
    flip = flip or (lambda data: _flipped(data, random))
    if random.random() < 0.2:
        return flip(raw)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return flip(raw)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        slots = list(_slots(document))
        if not slots:
            break
        random.choice(_CHANGES)(random.choice(slots), slots, random)
    return _written(document)


def _written(document: Any) -> bytes:
    try:
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):  # too deep, or a number too long: a mutation of a mutation
        return b"[" * 20_000
    return text.encode("utf-8", "backslashreplace")


def _slots(document: Any) -> Iterator[Slot]:
    """All places of a document, with a stack of its own: it may be deep."""
    stack = [document]
    while stack:
        holder = stack.pop()
        items = list(
            holder.items()
            if isinstance(holder, dict)
            else enumerate(holder)
            if isinstance(holder, list)
            else ()
        )
        for key, value in items:
            yield Slot(holder, key)
            stack.append(value)


def _replace(slot: Slot, slots: list[Slot], random: Random) -> None:
    slot.holder[slot.key] = deepcopy(random.choice(ODD_VALUES))


def _nudge(slot: Slot, slots: list[Slot], random: Random) -> None:
    value = slot.holder[slot.key]
    if isinstance(value, int):
        slot.holder[slot.key] = value + random.choice((-1, 1, 7, 1 << 40, -value, value))


def _remove(slot: Slot, slots: list[Slot], random: Random) -> None:
    del slot.holder[slot.key]


def _repeat(slot: Slot, slots: list[Slot], random: Random) -> None:
    if isinstance(slot.holder, list):
        slot.holder.insert(slot.key, slot.holder[slot.key])


def _graft(slot: Slot, slots: list[Slot], random: Random) -> None:
    source = random.choice(slots)
    with suppress(ValueError, RecursionError):  # what is too deep stays where it is
        slot.holder[slot.key] = json.loads(_written(source.holder[source.key]))


def _nest(slot: Slot, slots: list[Slot], random: Random) -> None:
    value = slot.holder[slot.key]
    for _ in range(random.choice((1, 2, 50, 98, 99, 100, 101, 300, 900, 3000))):
        value = [value] if random.random() < 0.7 else {"a": value}
    slot.holder[slot.key] = value


def _rename(slot: Slot, slots: list[Slot], random: Random) -> None:
    if isinstance(slot.holder, dict):
        names = ["merged", "warnings", "clock", "resolution_ns", "process", "folded_threads", ""]
        slot.holder[random.choice(names)] = slot.holder[slot.key]


_CHANGES: tuple[Callable[[Slot, list[Slot], Random], None], ...] = (
    *(_replace, _replace, _replace, _replace),
    *(_nudge, _remove, _repeat, _graft, _nest, _rename),
)


def _flipped(data: bytes, random: Random) -> bytes:
    """Cut, double or overwrite some bytes."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 3))):
        start = random.randrange(len(changed) + 1)
        stop = min(start + random.choice((0, 1, 1, 4, 64)), len(changed))
        filling = (
            b"",
            b"",
            bytes([random.randrange(256)]),
            bytes(changed[start:stop]) * 2,
            random.choice(
                (b"9" * 400, b"\xff\xfe", b"\xef\xbb\xbf", b"NaN", b"-", b'\\ud800"', b"[")
            ),
        )
        changed[start:stop] = random.choice(filling)
    return bytes(changed)
