"""Reports which lines of the compiled core a test run went through, from gcov's counts.

Cython writes the source line above the C it makes from it, so each C line that gcov counts belongs
to the last such mark before it. (With `#line` directives in the C instead, what Cython makes from
one line and spreads over several is counted for the lines below it, whether they ran or not.)

`python tools/core_coverage.py build/coverage --fail-under 95` exits with 1 when fewer lines ran.
A line with `# pragma: no cover` is left out, and with it the block that it opens.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

HEADER = Path("src/_platform.h")
Key = TypeVar("Key")
MARK = re.compile(r'\s*/\* "(src/_core(?:/\w+)?\.p(?:yx|xi))":(\d+)$')
# A line of the core's source: its file, and its number there.
Line = tuple[str, int]
# After this, and up to the next mark, comes what belongs to no line: clean-up and reference counts.
END_OF_FUNCTION = "/* function exit code */"
NO_COVER = re.compile(r"#\s*pragma: no cover\b")


def counted_files(build: Path) -> list[dict[str, Any]]:
    """What gcov says of every source file of the core, one dictionary a file."""
    data = sorted(build.rglob("_core.gcda"))
    if len(data) != 1:
        sys.exit(f"{build} has {len(data)} files named _core.gcda and needs one: run make coverage")
    gcov = [os.environ.get("GCOV", "gcov"), "--json-format", "--stdout", str(data[0])]
    output = subprocess.run(gcov, check=True, capture_output=True, text=True).stdout
    files: list[dict[str, Any]] = json.loads(output)["files"]
    return files


def counts_of(files: list[dict[str, Any]], name: str) -> Iterator[tuple[int, int]]:
    """Every (line, count) that gcov has for the file of this name."""
    for file in files:
        if Path(file["file"]).name == name:
            for line in file["lines"]:
                yield line["line_number"], line["count"]


def source_lines(generated: Path) -> dict[int, Line]:
    """The line of the core's source that each line of the generated C was made from."""
    origin: dict[int, Line] = {}
    current: Line | None = None
    for number, text in enumerate(generated.read_text(encoding="utf-8").splitlines(), 1):
        if mark := MARK.match(text):
            current = mark[1], int(mark[2])
        elif END_OF_FUNCTION in text:
            current = None
        elif current:
            origin[number] = current
    return origin


def left_out(lines: list[str]) -> set[int]:
    """The numbers of the lines that are marked as not to be covered, with the blocks they open."""
    marked: set[int] = set()
    indent: int | None = None
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        depth = len(text) - len(text.lstrip())
        if indent is not None and depth > indent:
            marked.add(number)
            continue
        indent = None
        if NO_COVER.search(text):
            marked.add(number)
            if text.split("#")[0].rstrip().endswith(":"):
                indent = depth
    return marked


def ranges(numbers: list[int]) -> str:
    """The numbers in order, runs of neighbours written as first-last."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in parts)


def report(path: Path, counts: dict[int, int]) -> float:
    """Prints a file's line of the table, and gives the share of its lines that ran, in per cent."""
    missing = [line for line, count in counts.items() if not count]
    share = 100 * (len(counts) - len(missing)) / len(counts) if counts else 0.0
    print(f"{path!s:<50} {len(counts):6} {len(missing):6} {share:5.1f}%   {ranges(missing)}")
    return share


def total(pairs: Iterable[tuple[Key, int]]) -> dict[Key, int]:
    """The counts summed by line."""
    sums: dict[Key, int] = {}
    for line, count in pairs:
        sums[line] = sums.get(line, 0) + count
    return sums


def main() -> None:
    """Reads the arguments, prints the table, and fails when too few lines ran."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("build", type=Path, help="folder built with STICHOTROPE_COVERAGE=1")
    parser.add_argument("--fail-under", type=float, default=0, metavar="PER_CENT")
    options = parser.parse_args()
    files = counted_files(options.build)
    (generated,) = (path for file in files if (path := Path(file["file"])).name == "_core.c")
    origin = source_lines(generated)
    counts = total((origin[c], n) for c, n in counts_of(files, generated.name) if c in origin)
    if not counts:
        sys.exit(f"no line of the core is marked in {generated}: a new form of mark?")
    print(f"{'Compiled core':<50} {'Lines':>6} {'Miss':>6} {'Cover':>6}   Missing")
    core: dict[Line, int] = {}
    for name in sorted({name for name, _ in counts}):
        excluded = left_out(Path(name).read_text(encoding="utf-8").splitlines())
        of_file = {n: c for (file, n), c in counts.items() if file == name and n not in excluded}
        report(Path(name), of_file)
        core.update({(name, n): c for n, c in of_file.items()})
    report(HEADER, total(counts_of(files, HEADER.name)))
    share = 100 * sum(1 for count in core.values() if count) / len(core)
    print(f"{'The core, all files':<50} {len(core):6} {'':6} {share:5.1f}%")
    if share < options.fail_under:
        sys.exit(f"Coverage failure: {share:.1f} % of the core, less than {options.fail_under:g} %")


if __name__ == "__main__":
    main()
