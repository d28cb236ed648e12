"""The program from the command line: `python -m benchmarks.workloads.smc --help`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.workloads import _marks
from benchmarks.workloads.smc import _engines

COMMANDS = {
    "run": "simulate, then tune (the default)",
    "simulate": "simulate from every start state",
    "tune": "let a swarm look for the best gains",
    "list": "list the controllers and their gains",
}


def main(arguments: list[str]) -> int:
    """Do what the arguments ask for; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.profiling:
        os.environ[_marks.VARIABLE] = options.profiling
    try:
        # Only now: the functions are marked when their modules are imported.
        from benchmarks.workloads.smc import program
    except ImportError as error:
        print(f"{error}; it needs numpy, rich and stichotrope", file=sys.stderr)
        return 1
    try:
        _engines.check(options.engine)
    except ImportError as error:
        print(f"{error}; --engine {options.engine} needs it", file=sys.stderr)
        return 1
    try:
        return program.run(options)
    except (TypeError, ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workloads.smc",
        description="Control a double inverted pendulum on a cart by sliding modes, "
        "and let a swarm of particles tune the controllers.",
        epilog="commands: " + "; ".join(f"{name}: {what}" for name, what in COMMANDS.items()),
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS, default="run")
    parser.add_argument("--controller", metavar="NAME", help="only this one")
    parser.add_argument(
        "--profiling",
        choices=_marks.MODES,
        help=f"default: what {_marks.VARIABLE} says in the environment, else instrumented",
    )
    simulation = parser.add_argument_group("simulation")
    simulation.add_argument("--dt", type=float, default=0.01, metavar="S", help="default: 0.01 s")
    simulation.add_argument(
        "--duration", type=float, default=10.0, metavar="S", help="default: 10 s"
    )
    simulation.add_argument(
        "--gain",
        dest="gains",
        action=_Gain,
        default={},
        metavar="NAME=VALUE",
        help="a gain that is not to be the default; may be repeated",
    )
    swarm = parser.add_argument_group("swarm")
    for name, number, what in (
        ("particles", 15, "how many look"),
        ("iterations", 8, "how often they move"),
        ("workers", 4, "threads or processes that evaluate them; 0: none but the main one"),
        ("seed", 1, "of all that is drawn"),
    ):
        swarm.add_argument(
            f"--{name}", type=int, default=number, metavar="N", help=f"{what}; default: {number}"
        )
    swarm.add_argument(
        "--engine",
        choices=_engines.ENGINES,
        default=_engines.ENGINES[0],
        help="what runs them: threads here, or processes of a local cluster of Dask or Ray",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print what came of it as JSON")
    output.add_argument("--report", action="store_true", help="print the profile")
    output.add_argument("--save", type=Path, metavar="FILE", help="save the profile")
    output.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


class _Gain(argparse.Action):
    """Collects NAME=VALUE."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        name, _, number = str(values).partition("=")
        try:
            given = {**getattr(namespace, self.dest), name: float(number)}
        except ValueError:
            parser.error(f"{option_string} {values}: NAME=VALUE with a number is expected")
        setattr(namespace, self.dest, given)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
