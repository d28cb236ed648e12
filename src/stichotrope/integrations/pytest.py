"""The pytest plugin: how long tests take, what they record, and a gate against earlier runs.

PYTEST_DONT_REWRITE: there are no assertions here.
"""

from __future__ import annotations

import os
from weakref import WeakSet

import pytest

from ..profiler import Profiler, profilers

TYPE_CHECKING = False  # every run of pytest imports this, whether it is used or not
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

    from ..results import ProfilerResults
    from ..statistics import Comparison, Runs
    from ..statistics.conditions import Condition

_SESSION = "stichotrope-session"
_NAME = "pytest"
_TESTS = "tests"  # the track of the tests' own durations
_MOST_ROWS = 20  # of each track, unless the settings or the command line say otherwise
_FROM_WORKER = "stichotrope"  # what a worker of xdist sends


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("stichotrope", "where the time of the tests goes (stichotrope)")
    group.addoption(
        "--stichotrope",
        action="store_true",
        help="report how long each test and each tracked block took; so does each option below",
    )
    group.addoption(
        "--stichotrope-target",
        metavar="PATTERN",
        action="append",
        default=[],
        help="track functions without marks, such as 'shop.orders:*'; may be repeated",
    )
    group.addoption(
        "--stichotrope-sort", metavar="KEY", help="what the report is sorted by, such as self"
    )
    group.addoption(
        "--stichotrope-limit",
        metavar="N",
        type=int,
        help=f"how many blocks the report shows of each track (default: {_MOST_ROWS})",
    )
    group.addoption(
        "--stichotrope-output", metavar="FILE", help="save the results in a file, as JSON"
    )
    group.addoption(
        "--stichotrope-compare",
        metavar="FILE",
        action="append",
        default=[],
        help="compare with results saved before; may be repeated, for several earlier runs",
    )
    group.addoption(
        "--stichotrope-fail-on",
        metavar="WHAT",
        action="append",
        default=[],
        help="fail the run when the comparison shows it, such as 'slower>5%%'; may be repeated",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Record from now on, if that is asked for."""
    option = config.option
    wanted = (
        option.stichotrope,
        option.stichotrope_target,
        option.stichotrope_sort,
        option.stichotrope_limit is not None,
        option.stichotrope_output,
        option.stichotrope_compare,
        option.stichotrope_fail_on,
    )
    if any(wanted):
        config.pluginmanager.register(_Session(config), _SESSION)


@pytest.fixture
def stichotrope(request: pytest.FixtureRequest) -> Iterator[Profiler]:
    """A fresh profiler, called after the test; the report of ``--stichotrope`` has its results."""
    profiler = Profiler(request.node.nodeid)
    yield profiler
    session = request.config.pluginmanager.get_plugin(_SESSION)
    if session is not None:
        session.add(profiler)


class _Session:
    """What is recorded in one run of pytest.

    :param config: the run's configuration.
    :raises pytest.UsageError: when an option or a setting has a mistake.
    """

    def __init__(self, config: pytest.Config) -> None:
        from .. import config as settings

        self._config = config
        self._is_worker = hasattr(config, "workeroutput")
        option = config.option
        try:
            self._settings = settings.load(
                sort=option.stichotrope_sort, limit=option.stichotrope_limit
            )
        except ValueError as error:
            raise pytest.UsageError(f"stichotrope: {error}") from None
        self._profiler = Profiler(_NAME)
        self._gate = None if self._is_worker else _Gate(config)
        self._instrumentation = self._instrumented()
        self._own: list[ProfilerResults] = []  # of this profiler, and of those like it in workers
        self._others: list[
            ProfilerResults
        ] = []  # of the fixture, the program, and those in workers
        self._seen: WeakSet[Profiler] = WeakSet()
        self._whole: list[ProfilerResults] = []
        self._remarks: list[str] = []

    def _instrumented(self) -> Any:
        """Return what tracks the functions that were asked for, or None."""
        texts = [*self._settings.targets, *self._config.option.stichotrope_target]
        if not texts:
            return None
        from ..instrumentation.patterns import Instrumentation, Pattern

        try:
            patterns = [Pattern(text) for text in texts]
        except ValueError as error:
            raise pytest.UsageError(f"stichotrope: {error}") from None
        instrumentation = Instrumentation(self._profiler, patterns)
        instrumentation.install()
        return instrumentation

    def add(self, profiler: Profiler) -> None:
        """Take the results of a test's own profiler."""
        self._seen.add(profiler)
        self._others.append(profiler.get_results())

    # While the tests run

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Record a test, without its fixtures, as a pass of a block."""
        file, line, _ = item.location
        block = self._profiler.block_at(_TESTS, item.nodeid, file, (line or 0) + 1)
        # What is entered by a generator is not around what runs while the generator is suspended.
        _enter(block)
        try:
            return (yield)
        finally:
            _leave(block)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take the results of a worker of xdist."""
        import json

        from ..results import ProfilerResults

        sent = getattr(node, "workeroutput", {}).get(_FROM_WORKER)
        if sent is None:
            name = node.gateway.id
            self._remarks.append(f"worker {name} ended early: what it recorded is missing")
            return
        own, others = (
            [ProfilerResults.from_dict(json.loads(text)) for text in texts] for texts in sent
        )
        self._own += own
        self._others += others

    # The end

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Put together what was recorded; save it, and judge it."""
        self._profiler.stop()
        if self._instrumentation is not None:
            held = self._instrumentation.held_bare()
            self._instrumentation.remove()
            self._remarks += [*self._instrumentation.failures(), *held]
            self._remarks += self._instrumentation.unmatched()
        self._own.append(self._profiler.get_results())
        self._others[:0] = self._of_the_program()
        found = [[one for one in some if one.was_entered] for some in (self._own, self._others)]
        if self._is_worker:
            output: dict[str, Any] = self._config.workeroutput  # type: ignore[attr-defined]
            output[_FROM_WORKER] = [[one.to_json(indent=None) for one in some] for some in found]
            return
        from ..results.merge import by_profiler

        # Apart, as the program may have a profiler of the same name, with other tracks.
        self._whole = [results for some in found for results in by_profiler(some)]
        fails = self._gate is not None and self._whole and not self._gate.is_passed(self._whole)
        if fails and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _of_the_program(self) -> Iterator[ProfilerResults]:
        """Give the results of the profilers that the program has."""
        for profiler in profilers():
            if profiler is not self._profiler and profiler not in self._seen:
                yield profiler.get_results()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the report."""
        terminalreporter.section("stichotrope")
        for results in self._whole:
            terminalreporter.write(self._report(results, terminalreporter) + "\n")
        if not self._whole:
            terminalreporter.write_line("nothing was recorded")
        for remark in self._remarks:
            terminalreporter.write_line(f"stichotrope: {remark}", yellow=True)
        if self._gate is not None:
            self._gate.report(terminalreporter)

    def _report(self, results: ProfilerResults, terminalreporter: Any) -> str:
        import io

        from ..report import print_results

        text = io.StringIO()
        print_results(
            results,
            file=text,
            sort=self._settings.sort,
            limit=self._settings.limit or _MOST_ROWS,
            width=max(terminalreporter._tw.fullwidth, 40),
            color=bool(terminalreporter.hasmarkup),
        )
        return text.getvalue()

    def pytest_unconfigure(self) -> None:
        """Put back what was replaced, also when the run was broken off."""
        if self._instrumentation is not None:
            self._instrumentation.remove()
        # A later run in this process reports on all profilers that are there.
        self._config.pluginmanager.unregister(self)
        del self._profiler, self._instrumentation


class _Gate:
    """What is done with the results of the whole run: saved, and compared with earlier ones.

    :param config: the run's configuration.
    :raises pytest.UsageError: when a file cannot be read or written, or a condition makes no sense.
    """

    def __init__(self, config: pytest.Config) -> None:
        option = config.option
        self._output: str | None = None
        self._old: list[Runs] = []
        self._conditions: list[Condition] = []
        self._comparison: Comparison | None = None
        self._failures: list[str] = []
        if option.stichotrope_fail_on and not option.stichotrope_compare:
            raise pytest.UsageError(
                "--stichotrope-fail-on needs --stichotrope-compare, and a file to compare with"
            )
        try:
            self._prepare(option)
        except (OSError, ValueError) as error:
            from ..cli import reason

            raise pytest.UsageError(f"stichotrope: {reason(error)}") from None

    def _prepare(self, option: Any) -> None:
        """Find mistakes before the tests run; and the file may be the one to be written."""
        if option.stichotrope_output:
            self._output = os.path.abspath(option.stichotrope_output)
            folder = os.path.dirname(self._output)
            if not os.path.isdir(folder):
                raise ValueError(f"there is no directory {folder} to save the results in")
        if option.stichotrope_compare:
            from ..statistics import load_runs
            from ..statistics.conditions import parsed

            self._conditions = parsed(option.stichotrope_fail_on)
            self._old = [load_runs(path) for path in option.stichotrope_compare]

    def is_passed(self, parts: list[ProfilerResults]) -> bool:
        """Save the results, compare them, and return whether that was possible and shows no harm.

        :param parts: the results of each profiler.
        """
        from ..cli import reason
        from ..results.merge import joined

        whole = joined(parts)
        try:
            if self._output is not None:
                whole.save(self._output)
            if self._old:
                self._compare(whole)
        except (OSError, ValueError) as error:
            self._failures.append(reason(error))
        return not self._failures

    def _compare(self, whole: ProfilerResults) -> None:
        from ..statistics import compare

        thresholds = {condition.threshold for condition in self._conditions} - {None}
        # What is shown is to agree with what fails.
        only = thresholds.pop() if len(thresholds) == 1 else None
        self._comparison = compare(self._old, whole, threshold=only)
        for condition in self._conditions:
            comparison = self._comparison
            if condition.threshold not in (None, comparison.threshold):
                comparison = compare(self._old, whole, threshold=condition.threshold)
            blocks = condition.blocks(comparison)
            if blocks:
                listed = ", ".join(blocks)
                self._failures.append(f"--stichotrope-fail-on {condition.text}: {listed}")

    def report(self, terminalreporter: Any) -> None:
        """Print what became of it."""
        if self._comparison is not None:
            for line, markup in _comparison_lines(self._comparison):
                terminalreporter.write_line(line, **markup)
        if self._output is not None and os.path.exists(self._output):
            terminalreporter.write_line(f"results saved in {self._output}")
        for failure in self._failures:
            terminalreporter.write_line(f"stichotrope: failed: {failure}", red=True)


def _comparison_lines(comparison: Comparison) -> Iterator[tuple[str, dict[str, bool]]]:
    """Give the lines of a comparison, each with its colour: counts, and the changes shown."""
    from .._text.format import format_time_ns, printable
    from ..statistics import FASTER, SLOWER, VERDICTS

    counts = {verdict: len(comparison.of_verdict(verdict)) for verdict in VERDICTS}
    counts.update(missing=len(comparison.only_old), new=len(comparison.only_new))
    told = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items() if count)
    yield f"compared with {comparison.old_label or 'earlier results'}: {told}", {"bold": True}
    for verdict, color in ((SLOWER, "red"), (FASTER, "green")):
        for block in comparison.of_verdict(verdict):
            times = f"{format_time_ns(block.old_ns)} → {format_time_ns(block.new_ns)}"
            change = f"{_percent(block.ratio)} ({_percent(block.low)} … {_percent(block.high)})"
            name = printable(f"{block.track}: {block.name}")
            yield f"{verdict}  {name}  {times}  {change}", {color: True}
    if not comparison.blocks or comparison.is_of_runs:
        return
    yield (
        "one earlier run tells nothing of how times vary from run to run; give "
        "--stichotrope-compare three or more, for the tests' own durations, too",
        {},
    )


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{100 * (ratio - 1):+.1f} %"


def _enter(block: Any) -> None:
    block.__enter__()


def _leave(block: Any) -> None:
    block.__exit__(None, None, None)
