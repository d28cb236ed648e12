"""Runs a program with its functions tracked by code, and holds each count against a reference.

`python tools/reference.py -t 'rich.*' -m rich.markdown README.md` needs CPython 3.12 or newer. The
reference is `sys.setprofile`, in Python and in the same run: it counts each frame that begins, of
the modules that the patterns name, by the line where its code begins. It exits with 1 when one
count differs, or when there is nothing to compare.
"""

from __future__ import annotations

import argparse
import contextlib
import dis
import importlib
import runpy
import sys
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from stichotrope import Profiler
from stichotrope.instrumentation.patterns import Pattern

OPTIMIZED = 0x1  # CO_OPTIMIZED: a function's code, not a class body's or a module's
RESUME = dis.opmap["RESUME"]
AT_START = 0  # what the two lowest bits of its argument are where a body begins

# File and line where code begins → how often that began.
Counts = Counter[tuple[str, int]]


class Reference:
    """Counts what `sys.setprofile` tells of.

    :param patterns: whose functions are counted.
    """

    def __init__(self, patterns: list[Pattern]) -> None:
        self.patterns = patterns
        self.begun: Counter[CodeType] = Counter()
        self.lock = threading.Lock()
        self.wanted: dict[CodeType, bool] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Note that a frame begins; also told when one goes on."""
        if event != "call":
            return
        code = frame.f_code
        known = self.wanted.get(code)
        if known is None:
            known = self.wanted[code] = self.is_wanted(code, frame.f_globals.get("__name__"))
        if known and begins(frame):
            with self.lock:
                self.begun[code] += 1

    def is_wanted(self, code: CodeType, module: Any) -> bool:
        """Whether patterns choose some code. What was made of text has no line to compare."""
        name = code.co_qualname
        if not code.co_flags & OPTIMIZED or name.endswith(">") or code.co_filename[:1] == "<":
            return False
        return any(one.takes_module(str(module)) and one.takes(name) for one in self.patterns)

    def counts(self) -> Counts:
        """What has begun."""
        found: Counts = Counter()
        for code, count in self.begun.items():
            found[code.co_filename, code.co_firstlineno] += count
        return found


def begins(frame: FrameType) -> bool:
    """Whether a frame is at its first instruction, and not where a generator goes on."""
    code = frame.f_code.co_code
    at = frame.f_lasti
    return code[at] == RESUME and code[at + 1] & 3 == AT_START


def tracked(profiler: Profiler) -> Counts:
    """What a profiler has counted: what has ended, and what is open."""
    found: Counts = Counter()
    for track in profiler.get_results().tracks.values():
        for block in track.blocks:
            if not block.file.startswith("<"):
                found[block.file, block.line] += block.hit_count + block.open_count
    return +found


def run(options: argparse.Namespace) -> None:
    """Run the program, until it ends in whatever way."""
    sys.argv = [options.program, *options.arguments]
    with contextlib.suppress(SystemExit):
        if options.module:
            runpy.run_module(options.program, run_name="__main__", alter_sys=True)
        else:
            program = Path(options.program).resolve()
            sys.path.insert(0, str(program.parent))
            importlib.import_module(program.stem)


def main() -> int:
    """Read the arguments, run the program, compare; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-t", dest="patterns", action="append", required=True, metavar="PATTERN")
    parser.add_argument("-m", dest="module", action="store_true", help="run a module, not a file")
    parser.add_argument("program", help="the module, or a file, which is imported")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's own")
    options = parser.parse_args()
    profiler = Profiler("reference")
    profiler.stop()
    reference = Reference([Pattern(text) for text in options.patterns])
    profiler.track_code(*options.patterns)
    profiler.start()
    threading.setprofile(reference)
    sys.setprofile(reference)
    try:
        run(options)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        profiler.stop()
    expected, found = reference.counts(), tracked(profiler)
    different = sorted(
        place for place in expected.keys() | found.keys() if expected[place] != found[place]
    )
    print(
        f"{len(expected):,} functions, {expected.total():,} calls, {len(different):,} differ",
        file=sys.stderr,
    )
    for file, line in different:
        print(
            f"  {file}:{line}: {expected[file, line]:,} told, {found[file, line]:,} tracked",
            file=sys.stderr,
        )
    return int(bool(different) or not expected)


if __name__ == "__main__":
    sys.exit(main())
