"""The magics ``%%stichotrope`` and ``%stichotrope`` of IPython, and results shown in notebooks."""

from __future__ import annotations

import ast
import sys
import threading
from inspect import CO_COROUTINE
from types import ModuleType

from IPython.core.display_functions import display
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from .._text.columns import SORTS
from ..instrumentation.patterns import Instrumentation, Pattern
from ..profiler import Profiler
from ..report import print_results
from ..results import ProfilerResults
from ..results.select import without_idle

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any, TypeAlias

    from IPython.core.interactiveshell import InteractiveShell

    # The name of a cell, its code, that of a last expression apart, and whether it awaits.
    _Code: TypeAlias = tuple[str, list[CodeType], bool]

_TRACK = 0
_TRACK_NAME = "notebook"
_LIVE_SECONDS = 1.0
_CELL_MAGIC = "%%stichotrope"
# What is called in place of the magic, which cannot be awaited.
_AWAITED = 'get_ipython().magics_manager.registry["StichotropeMagics"].awaited'
_MOST_NAME = 60  # of a statement as the name of its block


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add the magics and the way results are shown, for ``%load_ext stichotrope``.

    :param shell: the interactive shell.
    """
    shell.register_magics(StichotropeMagics)
    _forget_cells(shell)
    shell.input_transformers_cleanup.append(_AwaitedCells(shell))
    formatters = shell.display_formatter.formatters
    formatters["text/html"].for_type(ProfilerResults, lambda results: Report(results)._repr_html_())
    formatters["text/plain"].for_type(
        ProfilerResults, lambda results, printer, cycle: printer.text(repr(Report(results)))
    )


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take away what `load_ipython_extension` added, for ``%unload_ext stichotrope``.

    :param shell: the interactive shell.
    """
    _forget_cells(shell)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("stichotrope", None)
    formatters = shell.display_formatter.formatters
    for form in ("text/html", "text/plain"):
        formatters[form].pop(ProfilerResults, None)


def _forget_cells(shell: InteractiveShell) -> None:
    transformers = shell.input_transformers_cleanup
    transformers[:] = [one for one in transformers if not isinstance(one, _AwaitedCells)]


class Report:
    """Results as IPython shows them: a table of HTML in a notebook, text in a terminal.

    :param results: the results.
    :param sort: what the blocks of a track are sorted by; see `print_results`.
    :param limit: how many blocks to show of each track, or None for all.
    :param source: whether each block has the lines of its source beside it, in a notebook.
    """

    def __init__(
        self,
        results: ProfilerResults,
        sort: str = "total",
        limit: int | None = None,
        source: bool = False,
    ) -> None:
        self.results = results
        self._sort = sort
        self._limit = limit
        self._source = source

    def _repr_html_(self) -> str:
        from ..report.notebook import render

        return render(self.results, sort=self._sort, limit=self._limit, source=self._source)

    def __repr__(self) -> str:
        import io

        text = io.StringIO()
        print_results(self.results, file=text, sort=self._sort, limit=self._limit, width=self._room)
        return text.getvalue().rstrip()

    @property
    def _room(self) -> int | None:
        """The width of the terminal, None where there is none."""
        from shutil import get_terminal_size

        is_terminal = sys.stdout is not None and sys.stdout.isatty()
        return max(get_terminal_size().columns, 40) if is_terminal else None


_OPTIONS = "t:s:l:n:r"


@magics_class
class StichotropeMagics(Magics):  # type: ignore[misc]
    """The magics."""

    @no_var_expand  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def stichotrope(self, line: str, cell: str | None = None) -> ProfilerResults | None:
        """Time a statement or a cell, and the functions that are named, while it runs.

        Usage::

            %stichotrope [-t TARGET …] [-s SORT] [-l LIMIT] [-n NAME] [-r] statement

            %%stichotrope [-t TARGET …] [-s SORT] [-l LIMIT] [-n NAME] [-r]
            statements…

        -t TARGET  time a function, method, class or module too, given by its name here, or all that
                   a pattern such as pkg.mod:func, pkg.* or Shop.* fits; may be repeated. They are
                   as they were afterwards.
        -s SORT    sort by total, self, hits, mean, max, running, open, errors, cancelled,
                   concurrency, cpu, waiting, bytes, items or name
        -l LIMIT   show so many blocks of each track
        -n NAME    the name of the block around all of it
        -r         return the results instead of showing them

        Examples::

            %stichotrope -t price -t Order price(orders)

            results = %stichotrope -r -t shop.storage:* load(orders)
        """
        __tracebackhide__ = True
        timed = _Timed(self, _Options(self, line, cell))
        if timed.awaits:
            raise UsageError(
                "code with await outside a function can be timed in a cell of its own that begins "
                "with %%stichotrope"
            )
        with timed:
            for code in timed.parts:
                timed.value = eval(code, self.shell.user_ns)
        return timed.result()

    async def awaited(self, line: str, cell: str) -> Any:
        """Do what ``%%stichotrope`` does with a cell that awaits outside its functions.

        :param line: what stands in the line of the magic.
        :param cell: the cell below it.
        """
        __tracebackhide__ = True
        timed = _Timed(self, _Options(self, line, cell))
        with timed:
            for code in timed.parts:
                value = eval(code, self.shell.user_ns)
                timed.value = await value if code.co_flags & CO_COROUTINE else value
        return timed.result()


class _AwaitedCells:
    """Lets IPython wait for a cell of ours that awaits, which a magic cannot.

    A cell that is no Python is given on without the magic, so that its error is told as of any.

    :param shell: the interactive shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        """Return a cell as it was typed, or in place of the magic what can be awaited."""
        at = next((at for at, line in enumerate(lines) if line.strip()), 0)
        command, _, options = "".join(lines[at : at + 1]).strip().partition(" ")
        cell = "".join(lines[at + 1 :])
        if command != _CELL_MAGIC:
            return lines
        try:
            tree = ast.parse(self._shell.transform_cell(cell))
        except SyntaxError:  # which IPython shows as of any cell: with nothing of ours around it
            return [*lines[:at], "\n", *lines[at + 1 :]]
        if not any(map(_awaits, tree.body)):
            return lines
        return [f"await {_AWAITED}({options!r}, {cell!r})\n"]


class _Timed:
    """Code in the user's names, run as a pass of a block, and the report of it.

    :param magics: those that run it.
    :param options: what stands in their line.
    :ivar parts: the code, that of a last expression apart.
    :ivar awaits: whether it awaits outside its functions.
    :ivar value: that of the last expression.
    """

    def __init__(self, magics: StichotropeMagics, options: _Options) -> None:
        self._options = options
        self._patterns = [_pattern(text, magics.shell.user_ns) for text in options.targets]
        try:
            self._place, self.parts, self.awaits = _compiled(magics.shell, options.source)
        except SyntaxError as error:
            what = "the cell" if options.is_cell else repr(options.source)
            raise UsageError(f"{what} is no Python: {error.msg}") from None
        self.value: Any = None
        self._profiler = Profiler(options.magic)
        self._profiler.set_track_name(_TRACK, _TRACK_NAME)
        self._block = self._profiler.block_at(_TRACK, options.name, self._place, 1)
        self._instrumentation = Instrumentation(self._profiler, self._patterns)
        self._live = None if options.returns else _Live.of(magics.shell, self._report)

    def __enter__(self) -> None:
        self._instrumentation.install()
        if self._live is not None:
            self._live.start()
        self._block.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._block.__exit__(*error)
        held = self._instrumentation.held_bare()
        self._instrumentation.remove()
        results = self._results()
        called = {block.name for track in results for block in track}
        for sentence in [
            *self._instrumentation.failures(),
            *held,
            *self._instrumentation.unmatched(),
            *self._instrumentation.uncalled(called),
        ]:
            print(f"stichotrope: {sentence}", file=sys.stderr)
        if self._options.returns:
            return
        report = self._report(results)
        if self._live is not None:
            self._live.end(report)
        elif report.results.was_entered:
            display(report)

    def _results(self) -> ProfilerResults:
        # A pattern may choose thousands of functions that are never called.
        return without_idle(self._profiler.get_results())

    def _report(self, results: ProfilerResults | None = None) -> Report:
        options = self._options
        found = self._results() if results is None else results
        return Report(found, options.sort, options.limit, source=True)

    def result(self) -> ProfilerResults | None:
        """Show the value of a cell, as IPython does; return the results if that was asked for."""
        if self._options.is_cell:
            sys.displayhook(self.value)
        return self._results() if self._options.returns else None


class _Live:
    """A report that is renewed while the code runs, where there is a page to renew it in.

    :param report: what makes it.
    """

    def __init__(self, report: Callable[[], Report]) -> None:
        self._report = report
        self._ended = threading.Event()
        self._handle: Any = None
        self._thread = threading.Thread(target=self._run, name="stichotrope live", daemon=True)

    @classmethod
    def of(cls, shell: InteractiveShell, report: Callable[[], Report]) -> _Live | None:
        """Return one for a shell in a notebook; None in a terminal."""
        return cls(report) if getattr(shell, "kernel", None) is not None else None

    def start(self) -> None:
        """Show it from the first second on."""
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(_LIVE_SECONDS):
            report = self._report()
            if self._handle is None:
                self._handle = display(report, display_id=True)
            else:
                self._handle.update(report)

    def end(self, report: Report) -> None:
        """Put the last one in its place."""
        self._ended.set()
        self._thread.join()
        if self._handle is not None:
            self._handle.update(report)
        elif report.results.was_entered:
            display(report)


def _compiled(shell: InteractiveShell, source: str) -> _Code:
    """Return code ready to be run, as IPython itself would run it."""
    cell = shell.transform_cell(source)
    place = shell.compile.cache(cell, shell.execution_count, raw_code=source)
    tree = shell.transform_ast(shell.compile.ast_parse(cell, filename=place))
    awaits = any(map(_awaits, tree.body))
    flags = shell.compile.flags | (ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if awaits else 0)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    parts = [compile(tree, place, "exec", flags, dont_inherit=True)]
    if isinstance(last, ast.Expr):
        parts.append(compile(ast.Expression(last.value), place, "eval", flags, dont_inherit=True))
    return place, parts, awaits


class _Options:
    """What stands in the line of a magic.

    :param magics: whose line.
    :param line: the line.
    :param cell: the cell below it, or None where there is none.
    :raises UsageError: when it cannot be understood.
    """

    def __init__(self, magics: Magics, line: str, cell: str | None) -> None:
        self.is_cell = cell is not None
        self.magic = _CELL_MAGIC if self.is_cell else "%stichotrope"
        # The statement is taken as it is written, with its quotes and blanks.
        given, statement = magics.parse_options(
            line, _OPTIONS, posix=False, strict=False, list_all=True, preserve_non_opts=True
        )
        self._given = {key: [_unquoted(text) for text in texts] for key, texts in given.items()}
        statement = statement.strip()
        if cell is None and not statement:
            raise UsageError("%stichotrope needs a statement; %stichotrope? tells more")
        if cell is not None and statement:
            raise UsageError(f"%%stichotrope runs the cell, so {statement!r} in its line is wrong")
        self.source = statement if cell is None else cell
        self.name = self._one("n") or ("cell" if self.is_cell else statement[:_MOST_NAME])
        self.targets = self._given.get("t", [])
        self.returns = "r" in self._given
        self.sort = self._one("s") or "total"
        if self.sort not in SORTS:
            raise UsageError(f"-s must be one of {', '.join(SORTS)}, not {self.sort!r}")
        limit = self._one("l")
        if limit is not None and not (limit.isdecimal() and int(limit) > 0):
            raise UsageError(f"-l must be a whole number of 1 or more, not {limit!r}")
        self.limit = None if limit is None else int(limit)

    def _one(self, key: str) -> str | None:
        """Return what an option says that counts once: the last."""
        return self._given.get(key, [None])[-1]


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if is_quoted else text


def _pattern(target: str, names: dict[str, Any]) -> Pattern:
    """Return the pattern that a target stands for.

    :param target: a pattern, or a name as the user's code has it.
    :param names: the user's names.
    :raises UsageError: when it is neither.
    """
    try:
        return Pattern(_pattern_text(target, names))
    except ValueError as error:
        raise UsageError(f"-t {error}") from None


def _pattern_text(target: str, names: dict[str, Any]) -> str:
    if not any(char in target for char in ":*?["):
        return _text_of(_named(target, names), target)
    # "Shop.*" with a class or a module that is called Shop here.
    first, dot, rest = target.partition(".")
    if ":" in target or not dot or not isinstance(names.get(first), (type, ModuleType)):
        return target
    whole = _text_of(names[first], target)
    return f"{whole}.{rest}"


def _named(target: str, names: dict[str, Any]) -> Any:
    """Return what a dotted name stands for."""
    first, *rest = target.split(".")
    try:
        value = names[first]
        for part in rest:
            value = getattr(value, part)
    except (KeyError, AttributeError):
        raise UsageError(
            f"-t {target!r} is no name that is known here, and no pattern such as "
            "pkg.mod:func or pkg.*; what a cell defines is known to those after it"
        ) from None
    return value


def _text_of(value: Any, target: str) -> str:
    """Return the pattern of a function, class or module."""
    if isinstance(value, ModuleType):
        return value.__name__
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not callable(value) or not isinstance(module, str) or not isinstance(name, str):
        raise UsageError(f"-t {target!r} is no function, class or module")
    if "<" in name:
        raise UsageError(
            f"-t {target!r} was defined inside a function, where it cannot be replaced"
        )
    return f"{module}:{name}"


def _awaits(node: ast.AST) -> bool:
    """Return whether code awaits, outside the functions in it."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
        return False
    if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)):
        return True
    return any(map(_awaits, ast.iter_child_nodes(node)))
