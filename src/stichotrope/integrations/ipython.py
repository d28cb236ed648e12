"""The magics ``%%stichotrope`` and ``%stichotrope`` of IPython, and results shown in notebooks."""

from __future__ import annotations

import ast
import sys
from types import ModuleType

from IPython.core.display_functions import display
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from .._text.columns import SORTS
from ..instrumentation.patterns import Instrumentation, Pattern
from ..profiler import Profiler
from ..report import print_results
from ..results import ProfilerResults

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, TypeAlias

    from IPython.core.interactiveshell import InteractiveShell

    from .._core import Block

    # The name of a cell, its code without a last expression, and the code of this.
    _Code: TypeAlias = tuple[str, CodeType, CodeType | None]

_TRACK = 0
_TRACK_NAME = "notebook"
_MOST_NAME = 60  # of a statement as the name of its block


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add the magics and the way results are shown, for ``%load_ext stichotrope``.

    :param shell: the interactive shell.
    """
    shell.register_magics(StichotropeMagics)
    formatters = shell.display_formatter.formatters
    formatters["text/html"].for_type(ProfilerResults, lambda results: Report(results)._repr_html_())
    formatters["text/plain"].for_type(
        ProfilerResults, lambda results, printer, cycle: printer.text(repr(Report(results)))
    )


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take away what `load_ipython_extension` added, for ``%unload_ext stichotrope``.

    :param shell: the interactive shell.
    """
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("stichotrope", None)
    formatters = shell.display_formatter.formatters
    for form in ("text/html", "text/plain"):
        formatters[form].pop(ProfilerResults, None)


class Report:
    """Results as IPython shows them: a table of HTML in a notebook, text in a terminal.

    :param results: the results.
    :param sort: what the blocks of a track are sorted by; see `print_results`.
    :param limit: how many blocks to show of each track, or None for all.
    """

    def __init__(
        self, results: ProfilerResults, sort: str = "total", limit: int | None = None
    ) -> None:
        self.results = results
        self._sort = sort
        self._limit = limit

    def _repr_html_(self) -> str:
        from ..report.notebook import render

        return render(self.results, sort=self._sort, limit=self._limit)

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
                   a pattern such as pkg.mod:func or pkg.* fits; may be repeated. They are as they
                   were afterwards.
        -s SORT    sort by total, self, hits, mean, max, open, errors, cancelled,
                   concurrency or name
        -l LIMIT   show so many blocks of each track
        -n NAME    the name of the block around all of it
        -r         return the results instead of showing them

        Examples::

            %stichotrope -t price -t Order price(orders)

            results = %stichotrope -r -t shop.storage:* load(orders)
        """
        __tracebackhide__ = True
        options = _Options(self, line, cell)
        patterns = [_pattern(target, self.shell.user_ns) for target in options.targets]
        code = self._compiled(options.source)
        profiler = Profiler(options.magic)
        profiler.set_track_name(_TRACK, _TRACK_NAME)
        try:
            value = self._run(code, profiler, options.name, patterns)
        finally:
            results = profiler.get_results()
            if results.was_entered and not options.returns:
                display(Report(results, options.sort, options.limit))
        if options.is_cell:
            sys.displayhook(value)
        return results if options.returns else None

    def _run(self, code: _Code, profiler: Profiler, name: str, patterns: list[Pattern]) -> Any:
        """Run code in the user's names, as a pass of a block, and return its value."""
        __tracebackhide__ = True
        place, body, last = code
        block = profiler.block_at(_TRACK, name, place, 1)
        instrumentation = Instrumentation(profiler, patterns)
        instrumentation.install()
        try:
            return _execute(body, last, self.shell.user_ns, block)
        finally:
            instrumentation.remove()
            for sentence in [*instrumentation.failures(), *instrumentation.unmatched()]:
                print(f"stichotrope: {sentence}", file=sys.stderr)

    def _compiled(self, source: str) -> _Code:
        """Return code ready to be run, as IPython itself would run it."""
        shell = self.shell
        cell = shell.transform_cell(source)
        place = shell.compile.cache(cell, shell.execution_count, raw_code=source)
        tree = shell.transform_ast(shell.compile.ast_parse(cell, filename=place))
        if any(map(_awaits, tree.body)):
            raise UsageError(
                "code with await outside a function cannot be timed by the magics, which cannot "
                "wait for it; decorate the coroutine function, and await it in a plain cell"
            )
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = shell.compile(ast.Expression(tree.body.pop().value), place, "eval")
        return place, shell.compile(tree, place, "exec"), last


class _Options:
    """What stands in the line of a magic.

    :param magics: whose line.
    :param line: the line.
    :param cell: the cell below it, or None where there is none.
    :raises UsageError: when it cannot be understood.
    """

    def __init__(self, magics: Magics, line: str, cell: str | None) -> None:
        self.is_cell = cell is not None
        self.magic = "%%stichotrope" if self.is_cell else "%stichotrope"
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
        return Pattern(target if _is_pattern(target) else _text_of(_named(target, names), target))
    except ValueError as error:
        raise UsageError(f"-t {error}") from None


def _is_pattern(target: str) -> bool:
    return any(char in target for char in ":*?[")


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
            "pkg.mod:func or pkg.*"
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


def _execute(body: CodeType, last: CodeType | None, names: dict[str, Any], block: Block) -> Any:
    """Run code as a pass of a block, and return the value of its last expression."""
    __tracebackhide__ = True
    with block:
        exec(body, names)
        return None if last is None else eval(last, names)
