"""The benchmarks from the command line: `python -m benchmarks [COMMAND]`."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import (
    _machine,
    _store,
    against,
    check,
    instructions,
    metrics,
    page,
    report,
    suite,
    timeline,
)
from benchmarks._child import ROOT
from benchmarks._run import Scale

COMMANDS = {
    "report": report.main,
    "instructions": instructions.main,
    "metrics": metrics.main,
    "page": page.main,
    "check": check.main,
    "against": against.main,
    "pyperf": suite.main,
    "timeline": timeline.main,
}


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for; return the exit status."""
    if arguments and arguments[0] in COMMANDS:
        try:
            return COMMANDS[arguments[0]](arguments[1:])
        except ImportError as error:
            return _not_installed(error)
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        subjects = _subjects(options.only)
        if options.python:
            return _run_elsewhere(options)
    except ValueError as error:
        parser.error(str(error))
    try:
        package = _package()
    except ImportError as error:
        return _not_installed(error)
    run = _measure(subjects, options, package)
    path = options.output or _store.default_path(run)
    _store.save(run, path)
    print(report.render([run]))
    print(f"\nstored in {os.path.relpath(path)}")
    return 0


def _not_installed(error: ImportError) -> int:
    print(f"stichotrope is not installed for {sys.executable}: {error}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what profiling costs, print the table and store the run. "
        f"Further commands: {', '.join(COMMANDS)} (each with --help).",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a look")
    size.add_argument("--full", action="store_true", help="a million threads made and ended")
    parser.add_argument(
        "--only", metavar="NAMES", help=f"of {', '.join(report.SUBJECTS)}, separated by commas"
    )
    parser.add_argument("--output", type=Path, help="where the run is stored", metavar="FILE")
    parser.add_argument(
        "--python",
        metavar="3.11,3.13,…",
        help="run with these interpreters instead, one after the other (versions or paths)",
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the orders (default: 1)")
    return parser


def _subjects(only: str | None) -> list[str]:
    """Return the subjects named, in their own order.

    Raises:
        ValueError: a name that is none.
    """
    if only is None:
        return list(report.SUBJECTS)
    asked = only.split(",")
    unknown = [name for name in asked if name not in report.SUBJECTS]
    if unknown:
        raise ValueError(
            f"--only {only}: {', '.join(unknown)} is none of {', '.join(report.SUBJECTS)}"
        )
    return [name for name in report.SUBJECTS if name in asked]


def _package() -> dict[str, Any]:
    """Return which stichotrope is measured, and the clock it records with.

    What is measured is what is installed; the commit stored beside it is the tree's.
    """
    import stichotrope

    metadata = stichotrope.Profiler("benchmarks").get_results().metadata
    installed, tree = Path(stichotrope.__file__).parent, ROOT / "src" / "stichotrope"
    same = all(
        twin.exists() and twin.read_bytes() == path.read_bytes()
        for path in tree.rglob("*.py")
        for twin in [installed / path.relative_to(tree)]
    )
    if not same:
        print("the installed stichotrope is not the one of this tree", file=sys.stderr)
    return {
        "version": stichotrope.__version__,
        "clock": metadata.get("clock"),
        "python_files_match_tree": same,
    }


def _measure(subjects: list[str], options: argparse.Namespace, package: dict[str, Any]) -> Any:
    scale = Scale.QUICK if options.quick else Scale.FULL if options.full else Scale.NORMAL
    run = _store.new_run(scale.value, options.seed, _machine.describe(), package)
    load = _machine.load_average()
    if load and load[0] > 0.5:
        print(f"the machine is busy: load {load[0]}; expect wide intervals", file=sys.stderr)
    for name in subjects:
        print(f"{name} …", file=sys.stderr, flush=True)
        # Each subject draws from the seed anew, so that --only changes nothing for the others.
        rng = random.Random(f"{options.seed} {name}")
        try:
            run["subjects"][name] = report.SUBJECTS[name].measure(scale, rng, _progress)
        except RuntimeError as error:
            print(f"{name} could not be measured: {error}", file=sys.stderr)
    run["machine"]["load_average_after"] = _machine.load_average()
    # Importing an extension can bring the GIL back; say so as it is now, not as it was.
    run["machine"]["gil"] = _machine.gil_enabled()
    return run


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r  {text}\033[K", end="\r", file=sys.stderr, flush=True)


def _run_elsewhere(options: argparse.Namespace) -> int:
    """Run with each named interpreter in turn, on a machine that then does nothing else.

    Raises:
        ValueError: an interpreter is not to be found, or one output for several was asked for.
    """
    interpreters = [_interpreter(name) for name in options.python.split(",")]
    if options.output and len(interpreters) > 1:
        raise ValueError(
            "--output names one file, and --python several interpreters; leave one out"
        )
    flags = [flag for flag in ("quick", "full") if getattr(options, flag)]
    command = ["-m", "benchmarks", *(f"--{flag}" for flag in flags), f"--seed={options.seed}"]
    if options.only:
        command.append(f"--only={options.only}")
    if options.output:
        command.append(f"--output={options.output.resolve()}")
    failed = 0
    for interpreter in interpreters:
        failed |= subprocess.run([interpreter, *command], cwd=ROOT).returncode
    return failed


def _interpreter(name: str) -> str:
    found = shutil.which(name) or shutil.which(f"python{name}")
    if found is None:
        raise ValueError(f"--python {name}: neither {name} nor python{name} is to be found")
    # Not resolved: a virtual environment's interpreter is a link, and is found by its own name.
    return str(Path(found).absolute())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
