"""``stichotrope demo``: a small real program, its report, and what to try next."""

from __future__ import annotations

import os
import sys

from . import CommandError, reason

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from typing import Any

USAGE = "%(prog)s [options]"
DESCRIPTION = """\
Run a small program that has marks, an index of the standard library; print its
report, and open it as a page in the browser, or say where that is."""
EXAMPLES = """\
examples:
  stichotrope demo
  stichotrope demo -o there --no-open"""

_RESULTS, _PAGE = "demo.json", "demo.html"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    :param parser: the command's parser.
    """
    add = parser.add_argument
    add("-o", "--output", metavar="DIR", help="where results and page go (a new directory)")
    add("--no-open", action="store_true", help="open no browser")


def main(options: Any) -> int:
    """Run the program, and show what it recorded; return the exit status.

    :param options: what the parser found.
    :raises CommandError: when the results cannot be written.
    """
    from . import _demo_program, _output

    try:
        folder = _folder(options.output)
        _demo_program.main()
        results = _demo_program.profiler.get_results()
        results.save(os.path.join(folder, _RESULTS))
        _output.save([results], os.path.join(folder, _PAGE))
    except (OSError, ValueError) as error:
        raise CommandError(reason(error)) from None
    _output.write([results], "table")
    page = os.path.join(folder, _PAGE)
    is_open = not options.no_open and _is_seen() and _opened(page)
    print(f"\nThe program is {_demo_program.__file__}")
    print(f"The page {'is open in the browser: ' if is_open else 'is '}{page}")
    print(_to_try(os.path.join(folder, _RESULTS)))
    return 0


def _folder(given: str | None) -> str:
    from .._text.files import made_directory

    if given is not None:
        return made_directory(given)
    from tempfile import mkdtemp

    return mkdtemp(prefix="stichotrope-demo-")


def _is_seen() -> bool:
    """Return whether somebody looks who has a browser with windows."""
    has_windows = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return has_windows and sys.stdout.isatty()


def _opened(page: str) -> bool:
    import webbrowser
    from pathlib import Path

    try:
        return webbrowser.open(Path(page).as_uri())
    except webbrowser.Error:
        return False


def _to_try(results: str) -> str:
    return f"""
Try:
  stichotrope report {results} --format tree
  stichotrope run -t auto your_script.py
  stichotrope run -t auto -o run.html your_script.py"""
