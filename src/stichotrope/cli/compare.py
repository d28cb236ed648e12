"""``stichotrope compare``: what changed between two versions of a program."""

from __future__ import annotations

from . import CommandError, _changes, reason, say
from ._changes import CONDITIONS

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..statistics import Runs

USAGE = "%(prog)s [options] OLD NEW"
DESCRIPTION = """\
Say of each block whether it became faster or slower. OLD and NEW are a results
file, a directory of several runs (much better: only those show how far times
vary), a directory that processes gathered in, or a file of pyperf."""
EXAMPLES = """\
examples:
  for i in 1 2 3 4 5; do stichotrope run -q -o old/$i.json bench.py; done
  stichotrope compare old/ new/ --fail-on 'slower>5%' --fail-on missing
  stichotrope compare old.json new.json --format markdown"""
MORE = CONDITIONS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    :param parser: the command's parser.
    """
    from argparse import SUPPRESS

    add = parser.add_argument
    add("old", metavar="OLD", help=SUPPRESS)  # told by the description
    add("new", metavar="NEW", help=SUPPRESS)
    figures = "typical, mean, median, min, total, self, self-mean, cpu"
    add("--metric", metavar="FIGURE", help=figures)
    _changes.configure(parser, 0.99)


def main(options: Any) -> int:
    """Compare; return the exit status.

    :param options: what the parser found.
    :raises CommandError: when the two cannot be compared.
    """
    from ..statistics import compare

    try:
        gate = _changes.Gate("stichotrope compare", options)
        sides = _loaded(options.old), _loaded(options.new)
        return gate.status(
            lambda threshold: compare(
                *sides, metric=options.metric, confidence=options.confidence, threshold=threshold
            )
        )
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise CommandError(reason(error)) from None


def _loaded(path: str) -> Runs:
    import warnings

    from ..statistics import load_runs

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        runs = load_runs(path)
    for warning in said:
        say(f"stichotrope compare: {warning.message}")
    return runs
