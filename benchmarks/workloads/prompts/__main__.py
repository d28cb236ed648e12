"""The program from the command line: `python -m benchmarks.workloads.prompts --help`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.workloads import _marks
from benchmarks.workloads.prompts._sizes import PLANS, REQUESTS

COMMANDS = {
    "run": "make the prompts of a whole tree, with empty caches and then again (the default)",
    "prompt": "print the prompt of one plan",
    "list": "list the plans and their states",
    "tree": "make a tree of plans",
    "trace": "play a day of requests and changes on a tree of its own",
}


def main(arguments: list[str]) -> int:
    """Do what the arguments ask for; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command in ("prompt", "list", "tree") and options.tree is None:
        parser.error(f"{options.command} needs --tree")
    if options.command == "prompt" and options.feature is None:
        parser.error("prompt needs --feature")
    if options.profiling:
        os.environ[_marks.VARIABLE] = options.profiling
    try:
        # Only now: the functions are marked when their modules are imported.
        from benchmarks.workloads.prompts import program
    except ImportError as error:
        print(f"{error}; it needs cachetools, rich and stichotrope", file=sys.stderr)
        return 1
    try:
        return program.run(options)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workloads.prompts",
        description="Say what is next in plans that are kept as Markdown files, as a prompt.",
        epilog="commands: " + "; ".join(f"{name}: {what}" for name, what in COMMANDS.items()),
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS, default="run")
    parser.add_argument(
        "--profiling",
        choices=_marks.MODES,
        help=f"default: what {_marks.VARIABLE} says in the environment, else instrumented",
    )
    parser.add_argument(
        "--resolve-each-time",
        action="store_true",
        help="the slower way: resolve the links of each path each time, and remember nothing",
    )
    parser.add_argument(
        "--match-each-line",
        action="store_true",
        help="the slower way: match each line of a plan, and skip none",
    )
    tree = parser.add_argument_group("tree")
    tree.add_argument(
        "--tree", type=Path, metavar="DIR", help="where it is; default of run: a new one, removed"
    )
    tree.add_argument("--feature", metavar="NAME", help="only this plan")
    for name, number, what in (
        ("plans", PLANS, "how many are made"),
        ("seed", 1, "of all that is drawn"),
    ):
        tree.add_argument(
            f"--{name}", type=int, default=number, metavar="N", help=f"{what}; default: {number}"
        )
    load = parser.add_argument_group("load")
    for name, number, what in (
        ("workers", 4, "threads that ask in run; 0: none but the main one"),
        ("requests", REQUESTS, "of a trace"),
    ):
        load.add_argument(
            f"--{name}", type=int, default=number, metavar="N", help=f"{what}; default: {number}"
        )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print what came of it as JSON")
    output.add_argument("--report", action="store_true", help="print the profile")
    output.add_argument("--save", type=Path, metavar="FILE", help="save the profile")
    output.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
