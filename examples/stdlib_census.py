"""A census of the standard library's own sources, profiled: what is in it, where the time goes.

Every source file is read, decoded, tokenised, parsed, walked, compressed three ways and hashed, in
a pool of threads. The census is printed, then the profiler's report; the figures go to a CSV and a
JSON file; last comes what profiling cost this run.
"""

from __future__ import annotations

import argparse
import ast
import bz2
import hashlib
import io
import lzma
import os
import random
import statistics
import sys
import sysconfig
import time
import tokenize
import warnings
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stichotrope import Profiler, format_time_ns, set_global_enabled

INPUT_OUTPUT, PARSING, COMPRESSION = 0, 1, 2
TRACKS = {INPUT_OUTPUT: "I/O", PARSING: "parsing", COMPRESSION: "compression"}

SKIPPED = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test"}
"""Folders left out: caches, what others installed, and the library's test suites."""

COMPRESSORS = ("zlib", "bz2", "lzma")

COST_FILES = 20
COST_ROUNDS = 9
"""Nine rounds: their second least and second greatest enclose the median with 96 % confidence."""


@dataclass
class Census:
    """What was counted, in one file or in many."""

    files: int = 0
    not_python: int = 0
    lines: int = 0
    tokens: int = 0
    functions: int = 0
    classes: int = 0
    nesting: int = 0
    raw_bytes: int = 0
    packed_bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COMPRESSORS, 0))
    digests: list[str] = field(default_factory=list)

    def add(self, other: Census) -> None:
        """Count another's in."""
        self.files += other.files
        self.not_python += other.not_python
        self.lines += other.lines
        self.tokens += other.tokens
        self.functions += other.functions
        self.classes += other.classes
        self.nesting = max(self.nesting, other.nesting)
        self.raw_bytes += other.raw_bytes
        for name, size in other.packed_bytes.items():
            self.packed_bytes[name] += size
        self.digests += other.digests

    def fingerprint(self) -> str:
        """Return one digest of all files, whatever order they were counted in."""
        return hashlib.sha256("\n".join(sorted(self.digests)).encode()).hexdigest()[:16]


Take = Callable[[Path], Census]


def make_reader(profiler: Profiler) -> tuple[Callable[[Path], list[Path]], Callable[[Path], bytes]]:
    """Return the functions that touch the disc: one lists sources, one reads a file."""

    @profiler.track(INPUT_OUTPUT, "list a folder")
    def sources(folder: Path) -> list[Path]:
        found: list[Path] = []
        for entry in sorted(folder.iterdir()):
            if entry.is_dir():
                if entry.name not in SKIPPED and not entry.is_symlink():
                    found += sources(entry)
            elif entry.suffix == ".py":
                found.append(entry)
        return found

    @profiler.track(INPUT_OUTPUT)
    def read(path: Path) -> bytes:
        return path.read_bytes()

    return sources, read


def make_parser(profiler: Profiler) -> Callable[[bytes, Census], None]:
    """Return the function that counts what a file's text holds."""

    @profiler.track(PARSING)
    def decode(data: bytes) -> str:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)

    @profiler.track(PARSING, "walk a body")
    def walk(body: Iterable[ast.AST], depth: int, census: Census) -> None:
        census.nesting = max(census.nesting, depth)
        for statement in body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                census.functions += 1
            elif isinstance(statement, ast.ClassDef):
                census.classes += 1
            for part in ("body", "orelse", "finalbody", "handlers", "cases"):
                inner = getattr(statement, part, None)
                # The body of a lambda is no list: not a body of statements.
                if isinstance(inner, list) and inner:
                    walk(inner, depth + 1, census)

    @profiler.track(PARSING, "understand a file")
    def understand(data: bytes, census: Census) -> None:
        text = decode(data)
        census.lines += text.count("\n")
        with profiler.block(PARSING, "tokenise"):
            census.tokens += sum(1 for _ in tokenize.generate_tokens(io.StringIO(text).readline))
        with profiler.block(PARSING, "parse"):
            tree = ast.parse(text)
        walk(tree.body, 1, census)

    return understand


def make_packer(profiler: Profiler) -> Callable[[bytes, Census], None]:
    """Return the function that compresses and hashes a file's bytes."""
    # A kept block: made once, entered by every thread.
    hashing = profiler.block(COMPRESSION, "sha256")

    @profiler.track(COMPRESSION, "pack a file")
    def pack(data: bytes, census: Census) -> None:
        with profiler.block(COMPRESSION, "zlib"):
            census.packed_bytes["zlib"] += len(zlib.compress(data, 6))
        with profiler.block(COMPRESSION, "bz2"):
            census.packed_bytes["bz2"] += len(bz2.compress(data))
        with profiler.block(COMPRESSION, "lzma"):
            census.packed_bytes["lzma"] += len(lzma.compress(data, preset=1))
        with hashing:
            census.digests.append(hashlib.sha256(data).hexdigest())

    return pack


def make_census(profiler: Profiler) -> Take:
    """Return the function that takes the census of one file, instrumented with `profiler`.

    Made anew for each profiler, because what decorating does is settled when it is done.
    """
    _, read = make_reader(profiler)
    understand, pack = make_parser(profiler), make_packer(profiler)

    def take(path: Path) -> Census:
        data = read(path)
        census = Census(files=1, raw_bytes=len(data))
        try:
            understand(data, census)
        except (SyntaxError, UnicodeDecodeError, ValueError, tokenize.TokenError, RecursionError):
            # Some sources are broken on purpose, or templates. How far they got must not count:
            # where a tokeniser gives up differs between versions.
            census = Census(files=1, not_python=1, raw_bytes=len(data))
        pack(data, census)
        return census

    return take


def count_all(take: Take, paths: list[Path], workers: int) -> Census:
    """Return the census of all files, taken by `workers` threads."""
    total = Census()
    with ThreadPoolExecutor(workers, thread_name_prefix="census") as pool:
        for census in pool.map(take, paths):
            total.add(census)
    return total


def measure_cost(paths: list[Path], rounds: int = COST_ROUNDS) -> list[float]:
    """Return how many times longer the same work takes instrumented than bare, once a round.

    The bare one is decorated while profiling is globally off, so its functions are the plain ones;
    its blocks belong to a stopped profiler. File by file, in random order, so that whatever the
    machine does meanwhile, it does to both.

    Raises:
        AssertionError: the two did not count the same.
    """
    stopped = Profiler("bare")
    stopped.stop()
    set_global_enabled(False)
    try:
        bare = make_census(stopped)
    finally:
        set_global_enabled(True)
    arms = {"bare": bare, "instrumented": make_census(Profiler("instrumented"))}
    # Processor time, where it is counted finely: other programs take none of it.
    fine = time.get_clock_info("thread_time").resolution <= 1e-6
    now = time.thread_time_ns if fine else time.perf_counter_ns
    rng = random.Random(1)
    order = list(arms)
    ratios = []
    for _ in range(rounds):
        taken = dict.fromkeys(arms, 0)
        counted = {arm: Census() for arm in arms}
        for path in paths:
            rng.shuffle(order)
            for arm in order:
                start = now()
                census = arms[arm](path)
                taken[arm] += now() - start
                counted[arm].add(census)
        assert counted["bare"] == counted["instrumented"], "profiling changed what was counted"
        ratios.append(taken["instrumented"] / taken["bare"])
    return ratios


def describe_cost(ratios: list[float], results: Any) -> str:
    """Return what profiling cost, as measured and as estimated, in two sentences."""
    ordered = sorted(ratios)
    low, high = ordered[1], ordered[-2]
    middle = statistics.median(ordered)
    measured = (
        f"What profiling cost, measured: the same work takes {middle:.4f} × as long "
        f"instrumented as bare, 96 % interval [{low:.4f}, {high:.4f}]"
    )
    if low <= 1 <= high:
        measured += ", so the cost cannot be told from nothing"
    overhead = results.metadata.get("overhead_ns_per_pass")
    if overhead is None or not results.total_time_ns:
        return f"{measured}."
    cost = results.total_hits * overhead
    return (
        f"{measured}.\n"
        f"What it cost, estimated: {results.total_hits:,} passes × {overhead:.0f} ns = "
        f"{format_time_ns(round(cost))}, {cost / results.total_time_ns:.3%} of the time profiled."
    )


def describe_census(census: Census) -> str:
    """Return the census as lines of text."""
    lines = [
        f"The standard library of Python {sys.version.split()[0]}, test suites left out",
        f"  files        {census.files:>12,}",
        f"  not Python   {census.not_python:>12,}",
        f"  lines        {census.lines:>12,}",
        f"  tokens       {census.tokens:>12,}",
        f"  functions    {census.functions:>12,}",
        f"  classes      {census.classes:>12,}",
        f"  nesting      {census.nesting:>12,}",
        f"  bytes        {census.raw_bytes:>12,}",
    ]
    for name, size in census.packed_bytes.items():
        factor = census.raw_bytes / size if size else 0.0
        lines.append(f"  {name:<12} {size:>12,}  ({factor:.2f} times smaller)")
    lines.append(f"  fingerprint  {census.fingerprint()}")
    return "\n".join(lines)


def positive(text: str) -> int:
    """Return a count given on the command line."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} was given, a whole number from 1 is expected")
    return number


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="threads")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N files")
    parser.add_argument("--output-dir", type=Path, default=Path("build/demo"), metavar="DIR")
    parser.add_argument("--quiet", action="store_true", help="leave out the profiler's report")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Take the census, report, and say what that cost."""
    options = parse_arguments(arguments)
    # The library's sources hold escapes that newer compilers warn of; that is not our business.
    warnings.simplefilter("ignore")
    profiler = Profiler("stdlib census")
    for track, name in TRACKS.items():
        profiler.set_track_name(track, name)
    sources, _ = make_reader(profiler)
    paths = sources(Path(sysconfig.get_path("stdlib")))[: options.limit]
    if not paths:
        print("the standard library's sources are not here: it may be zipped", file=sys.stderr)
        return 1

    census = count_all(make_census(profiler), paths, options.workers)
    results = profiler.get_results()
    profiler.stop()

    print(describe_census(census), end="\n\n")
    if not options.quiet:
        profiler.print_results()
    options.output_dir.mkdir(parents=True, exist_ok=True)
    for name, export in (
        ("census.csv", profiler.export_csv),
        ("census.json", profiler.export_json),
    ):
        export(options.output_dir / name)
        print(f"written: {options.output_dir / name}")

    sample = paths[:: max(1, len(paths) // COST_FILES)][:COST_FILES]
    print(f"\nMeasuring what profiling costs, on {len(sample)} of the files …", flush=True)
    print(describe_cost(measure_cost(sample), results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
