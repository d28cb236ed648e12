"""Picks the errors of the compiled core, and not the interpreter's, out of Valgrind's XML report.

`python tools/valgrind_report.py REPORT.xml` prints each error with a frame in the core, and exits
with 1 when there is one.
"""

import sys
from collections.abc import Iterator
from xml.etree import ElementTree

CORE = "/stichotrope/_core."


def errors(report: str) -> Iterator[ElementTree.Element]:
    """Every error of the report that was met in the core, or about memory that the core took."""
    for error in ElementTree.parse(report).iter("error"):
        if any(CORE in (frame.findtext("obj") or "") for frame in error.iter("frame")):
            yield error


def describe(error: ElementTree.Element) -> str:
    """The kind of an error, what Valgrind says of it, and the frames that lead there."""
    what = error.findtext("what") or error.findtext("xwhat/text") or ""
    lines = [f"{error.findtext('kind')}: {what}"]
    for frame in error.iter("frame"):
        place = f"{frame.findtext('file') or frame.findtext('obj')}:{frame.findtext('line') or '?'}"
        lines.append(f"    {frame.findtext('fn') or '?'} ({place})")
    return "\n".join(lines)


def main(report: str) -> None:
    """Prints the errors of the core, and fails when there are any."""
    found = [describe(error) for error in errors(report)]
    for text in found:
        print(text)
    print(f"{len(found)} errors in the core")
    sys.exit(bool(found))


if __name__ == "__main__":
    main(sys.argv[1])
