"""Stored runs as pyperf reads them: every timed case a benchmark, with all its values.

A run here times its cases in turn within one process, which pyperf's own runner cannot; what
pyperf is used for is the machine's description, its format, and the programs that read it:
`python -m pyperf show`, `stats`, `hist`, `compare_to`.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import _store, threads
from benchmarks._run import Stored


class Timed(NamedTuple):
    """One timed case of a stored run.

    `elapsed_ns` has for each round what `loops` runs of its body took, `passes` passes in each.
    `about` is what else is known of it: its title, its body, what is subtracted from it.
    """

    name: str
    loops: int
    passes: int
    elapsed_ns: list[int]
    timer: str
    about: dict[str, str]


def main(arguments: list[str]) -> int:
    """Write a run in pyperf's format; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        text = render(_store.load(options.run))
        if options.output is None:
            print(text, end="")
        else:
            _store.write_whole(options.output, text)
    except ModuleNotFoundError as error:
        if error.name != "pyperf":
            raise
        print(f"pyperf is not installed for {sys.executable}; pip installs it", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks pyperf",
        description="Write the timed cases of a stored run as a pyperf benchmark suite.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a stored run")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: standard output"
    )
    return parser


def render(run: _store.Run) -> str:
    """Return the suite's JSON.

    :param run: a stored run.
    :raises ModuleNotFoundError: pyperf is not installed.
    :raises ValueError: the run has no timed case, or one that took no time.

    Source of the format: https://pyperf.readthedocs.io/en/latest/api.html
    """
    text = io.StringIO()
    suite(run).dump(text)
    return text.getvalue()


def suite(run: _store.Run) -> Any:
    """Return the run as a `pyperf.BenchmarkSuite`; see `render`."""
    import pyperf

    common = metadata(run)
    benchmarks = []
    for case in timed_cases(run):
        if min(case.elapsed_ns) <= 0:
            raise ValueError(
                f"{case.name} took {min(case.elapsed_ns)} ns in a round, and pyperf takes only "
                "times above 0: the timer of that run is too coarse for it"
            )
        about = {
            "name": case.name,
            "loops": case.loops,
            "inner_loops": case.passes,
            "timer": case.timer,
            **case.about,
        }
        seconds = [ns / (case.loops * case.passes) / 1e9 for ns in case.elapsed_ns]
        one = pyperf.Run(seconds, metadata={**common, **about}, collect_metadata=False)
        benchmarks.append(pyperf.Benchmark([one]))
    if not benchmarks:
        raise ValueError(f"nothing was timed in this run: it has {', '.join(run['subjects'])}")
    return pyperf.BenchmarkSuite(benchmarks)


def metadata(run: _store.Run) -> dict[str, Any]:
    """Return what pyperf keeps of the machine: as it told, or as the run knows it by itself."""
    machine = run["machine"]
    started = datetime.fromisoformat(run["started"]).replace(tzinfo=None)
    known = {
        "python_version": machine["python"],
        "python_implementation": machine["implementation"].lower(),
        "python_compiler": machine["compiler"],
        "cpu_model_name": machine["cpu"],
        "cpu_count": machine["cores"],
        "platform": f"{machine['system']}-{machine['kernel']}-{machine['architecture']}",
        **(machine.get("pyperf") or {}),
        "date": started.isoformat(" "),
        "unit": "second",
        "commit": machine["git"]["commit"],
        "gil": "on" if machine["gil"] else "off",
        "scale": run["scale"],
    }
    return {name: value for name, value in known.items() if value not in (None, "")}


def timed_cases(run: _store.Run) -> Iterator[Timed]:
    """Yield every case of a run whose passes were timed, as "subject.case", in the run's order."""
    for subject, stored in run["subjects"].items():
        yield from _cases(subject, stored)


def _cases(place: str, stored: Stored) -> Iterator[Timed]:
    """Yield the cases of a subject, and of its parts where it has some."""
    for name, value in stored.items():
        if name == "cases":
            for case, told in value.items():
                if "elapsed_ns" in told:
                    yield _case(f"{place}.{case}", told, stored["timer"])
        elif name == "elapsed_ns" and isinstance(stored.get("passes"), dict):
            for key, elapsed in value.items():
                passes = threads.passes_in(stored, key)
                yield Timed(f"{place}.{key}", passes, 1, elapsed, stored["timer"], {})
        elif isinstance(value, dict):
            yield from _cases(f"{place}.{name}", value)


def _case(name: str, told: Stored, timer: str) -> Timed:
    about = {"title": told["title"], "body": told["body"].replace("\n", "⏎ ")}
    if told["minus"] is not None:
        about["minus"] = told["minus"]
    return Timed(name, told["iterations"], told["passes"], told["elapsed_ns"], timer, about)
