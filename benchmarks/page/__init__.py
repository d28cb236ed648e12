"""What documents say of measurements, made from the stored runs: `python -m benchmarks page`.

That is docs/performance.md with its plots, what README says of costs, and the limits that
CONTRIBUTING has.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import _store, report
from benchmarks.page import (
    _text,
    _views,
    accuracy,
    advice,
    brief,
    cost,
    gate,
    growth,
    limits,
    making,
    peers,
    programs,
    summary,
)
from benchmarks.page._plots import Plot, digest_in
from benchmarks.page._text import Section

ROOT = _store.RESULTS.parents[1]
PAGE = ROOT / "docs" / "performance.md"

SECTIONS = (summary, brief, cost, peers, growth, accuracy, programs, gate, advice, making)
"""In the order of the page. Each has `sections(views)`."""

TITLE = """\
# Performance

What profiling with stichotrope costs, why, and beside what. This page and its plots are written by
`python -m benchmarks page` from the stored runs named at its end; no figure in it is typed by hand.

A figure is the median of its rounds, and in brackets is the 95 % interval of that median. What is
compared ran in the same process or the same round, in an order drawn anew each round. Costs per
pass are processor time less the bare call or the empty loop."""


def main(arguments: list[str]) -> int:
    """Write the page and its plots; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        views = _views.gather(options.files or _views.stored())
        text, plots = render(views)
        write(options.output, text, plots)
        if options.output == PAGE:
            for path, part in elsewhere(views).items():
                report.rewrite(path, part)
    except ImportError as error:
        print(f"{error}; the plots are drawn with matplotlib", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.output} and {len(plots)} plots")
    return 0


def render(views: list[_store.Run]) -> tuple[str, list[Plot]]:
    """Return the page in Markdown, and the plots that it shows.

    :param views: what is known of each interpreter, from `_views.gather`.
    """
    found: list[Section] = [section for part in SECTIONS for section in part.sections(views)]
    text = "\n\n".join([TITLE, *(section.text() for section in found)])
    return text + "\n", [plot for section in found for plot in section.plots]


def elsewhere(views: list[_store.Run]) -> dict[Path, str]:
    """Return what other documents have between two markers: the file, and what it says.

    :param views: as for `render`.
    """

    def parts(sections: list[Section], directory: str) -> str:
        return "\n\n".join(section.body(directory) for section in sections)

    return {
        ROOT / "README.md": parts(brief.sections(views), f"docs/{_text.DIRECTORY}"),
        ROOT / "CONTRIBUTING.md": parts(limits.sections(views), f"docs/{_text.DIRECTORY}"),
    }


def write(path: Path, text: str, plots: list[Plot]) -> None:
    """Write the page, and its plots into the directory of its name; remove those of before.

    A plot is drawn anew only when its data are others: so what is kept in the repository does not
    change with the version of what draws it.

    :param path: of the page.
    :param text: what it says.
    :param plots: what it shows.
    :raises ImportError: matplotlib is not installed, and a plot has to be drawn.
    """
    from benchmarks.page import _draw

    directory = path.with_suffix("")
    drawn = {}
    for plot in plots:
        target = directory / plot.file
        if not target.exists() or digest_in(target.read_text(encoding="utf-8")) != plot.digest():
            drawn[target] = _draw.svg(plot)
    for target, svg in drawn.items():
        _store.write_whole(target, svg)
    _store.write_whole(path, text)
    for left in {*directory.glob("*.svg")} - {directory / plot.file for plot in plots}:
        left.unlink()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks page", description=__doc__)
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="stored runs; default: of each interpreter and subject the newest that is stored",
    )
    parser.add_argument(
        "--output", type=Path, default=PAGE, metavar="FILE", help="default: docs/performance.md"
    )
    return parser
