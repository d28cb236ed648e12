"""Command lines, tests, mocks, type checks, compilers, notebooks."""

# mypy: ignore-errors
# What it is typed against is in another environment, and not each version of Python has all of it.

from __future__ import annotations

import doctest
import inspect
import io
import sys
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from frameworks.gallery import Mark, case


@case("click", hits={"command": 1, "checked": 1, "default": 1, "group": 1, "child": 1})
def click(mark: Mark) -> Any:
    """Commands, groups, callbacks, and a default that is shown as dynamic."""
    import click
    from click.testing import CliRunner

    @mark
    def default() -> str:
        return "from a function"

    @mark
    def checked(context: Any, parameter: Any, value: int) -> int:
        return value + 1

    @click.command()
    @click.option("--number", type=int, callback=checked)
    @click.option("--text", default=default, show_default=True)
    @mark
    def command(number: int, text: str) -> None:
        """Do it."""
        click.echo(f"{number} {text}")

    @click.group()
    @mark
    def group() -> None:
        """All of it."""

    @group.command("child")
    @click.pass_context
    @mark
    def child(context: Any) -> None:
        click.echo(context.info_name)

    run = CliRunner().invoke
    return (
        run(command, ["--number", "3"]).output,
        run(command, ["--help"]).output,
        run(group, ["child"]).output,
        run(group, ["--help"]).output,
    )


@case("typer", hits={"main": 1})
def typer(mark: Mark) -> Any:
    """Options from annotations."""
    import typer
    from typer.testing import CliRunner

    def main(name: str, times: int = 1, loud: bool = False) -> None:
        """Greet."""
        print(name * times, loud)

    main.__annotations__ = {"name": str, "times": int, "loud": bool}
    app = typer.Typer()
    app.command()(mark(main))
    run = CliRunner().invoke
    return run(app, ["x", "--times", "3", "--loud"]).output, run(app, ["--help"]).output


@case("fire", hits={"main": 1})
def fire(mark: Mark) -> Any:
    """Arguments from a signature."""
    import fire

    @mark
    def main(a: int, b: int = 2) -> int:
        return a * b

    out = io.StringIO()
    with redirect_stdout(out):
        result = fire.Fire(main, ["3", "--b=5"])
    return result, out.getvalue()


@case("hypothesis", hits={"example": 5, "sized": 5, "made": 5})
def hypothesis(mark: Mark) -> Any:
    """Tests, composites, functions that are built from annotations."""
    from hypothesis import given, settings
    from hypothesis import strategies as st

    seen: list[Any] = []

    @st.composite
    @mark
    def sized(draw: Any, size: int) -> Any:
        return draw(st.integers(size, size + 1000))

    def made(a: int) -> Any:
        return ("made", a)

    made.__annotations__ = {"a": int}

    @settings(max_examples=5, database=None, derandomize=True)
    @given(sized(4), st.builds(mark(made)))
    @mark
    def example(number: int, value: Any) -> None:
        seen.append((number >= 4, value[0]))

    example()
    return seen, list(inspect.signature(example).parameters)


@case("typeguard", hits={"checked": 2, "method": 2})
def typeguard(mark: Mark) -> Any:
    """What it refuses, and what it lets pass."""
    from typeguard import TypeCheckError, typechecked

    @typechecked
    @mark
    def checked(a: int) -> int:
        return a

    @typechecked
    class Kind:
        @mark
        def method(self, a: int) -> int:
            return a

    answers: list[Any] = []
    for value in (1, "x"):
        for function in (checked, Kind().method):
            try:
                answers.append(function(value))
            except TypeCheckError as error:
                answers.append(str(error))
    return answers


@case("beartype", hits={"checked": 1})
def beartype(mark: Mark) -> Any:
    """What it refuses, and what it lets pass."""
    from beartype import beartype
    from beartype.roar import BeartypeCallHintParamViolation

    def checked(a: int) -> int:
        return a

    checked.__annotations__ = {"a": int, "return": int}
    function = beartype(mark(checked))
    try:
        function("x")  # type: ignore[arg-type]
    except BeartypeCallHintParamViolation:
        return function(1), "refused"
    return function(1)


@case("numba", hits=None)
def numba(mark: Mark) -> Any:
    """It compiles what it is given: what runs is its own."""
    import numba

    @numba.njit
    @mark
    def total(n: int) -> int:
        s = 0
        for i in range(n):
            s += i
        return s

    return total(10), total.py_func.__name__


@case(hits={"method": 1, "function": 2})
def autospec(mark: Mark) -> Any:
    """Mocks of functions and classes accept what these do."""

    @mark
    def function(a: int, b: int = 2) -> int:
        return a + b

    class Kind:
        @mark
        def method(self, x: int) -> int:
            return x

    refused = []
    for made, arguments in (
        (mock.create_autospec(function), (1, 2, 3)),
        (mock.create_autospec(Kind)().method, ()),
        (mock.create_autospec(Kind.method), ()),
    ):
        try:
            made(*arguments)
        except TypeError as error:
            refused.append(str(error))
    wraps = mock.Mock(wraps=function)
    with mock.patch.object(Kind, "method", autospec=True, side_effect=lambda self, x: -x):
        patched = Kind().method(3)
    return refused, wraps(1), function(2), patched, Kind().method(4)


@case(hits={"setUp": 2, "test_one": 1, "test_two": 1, "load_tests": 1, "helper": 1})
def unittests(mark: Mark) -> Any:
    """Methods that are found by their names."""

    class Test(unittest.TestCase):
        @mark
        def setUp(self) -> None:
            self.addCleanup(lambda: None)

        @mark
        def test_one(self) -> None:
            assert helper() == 1

        @unittest.expectedFailure
        @mark
        def test_two(self) -> None:
            raise LookupError

    @mark
    def helper() -> int:
        return 1

    @mark
    def load_tests() -> unittest.TestSuite:
        return unittest.defaultTestLoader.loadTestsFromTestCase(Test)

    result = unittest.TestResult()
    load_tests().run(result)
    return result.testsRun, len(result.expectedFailures), len(result.failures), len(result.errors)


@case(hits={"documented": 1})
def doctests(mark: Mark) -> Any:
    """Examples of a function and of a method."""

    @mark
    def documented(n: int) -> int:
        """Double.

        >>> documented(3)
        6
        """
        return n * 2

    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(verbose=False)
    tests = finder.find(documented, "documented", globs={"documented": documented})
    for test in tests:
        runner.run(test, clear_globs=False)
    return len(tests), runner.summarize(verbose=False), tests[0].lineno is not None


@case("pytest", hits={"resource": 2, "test_it": 2, "pytest_collection_modifyitems": 1})
def pytest_fixtures(mark: Mark) -> Any:
    """Fixtures, parametrised tests and hooks, in a run of its own."""
    import builtins

    import pytest

    program = """
        import builtins, pytest
        mark = builtins.gallery_mark

        @pytest.fixture(params=[1, 2])
        @mark
        def resource(request):
            yield request.param
            builtins.gallery_closed.append(request.param)

        @pytest.mark.usefixtures("tmp_path")
        @pytest.mark.parametrize("text", ["x"])
        @mark
        def test_it(resource, text):
            assert resource in (1, 2) and text == "x"
    """
    hook = """
        import builtins
        @builtins.gallery_mark
        def pytest_collection_modifyitems(items):
            builtins.gallery_closed.append(len(items))
    """
    vars(builtins).update(gallery_mark=mark, gallery_closed=[])
    with TemporaryDirectory() as folder:
        import textwrap

        (Path(folder) / "test_gallery_inner.py").write_text(textwrap.dedent(program))
        (Path(folder) / "conftest.py").write_text(textwrap.dedent(hook))
        (Path(folder) / "pytest.ini").write_text("[pytest]\n")
        before = set(sys.modules)
        path, bytecode = list(sys.path), sys.dont_write_bytecode
        sys.dont_write_bytecode = True
        with redirect_stdout(io.StringIO()):
            status = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:randomly", folder])
        sys.path[:], sys.dont_write_bytecode = path, bytecode
        for name in set(sys.modules) - before:
            if name in ("test_gallery_inner", "conftest"):
                del sys.modules[name]
    return int(status), vars(builtins).pop("gallery_closed")


@case("IPython", hits={"function": 2, "method": 1})
def autoreload(mark: Mark) -> Any:
    """A function and a method get new code where they stand."""
    import types

    from IPython.extensions.autoreload import update_generic

    def make(value: int) -> Any:
        module = types.ModuleType("reloaded")

        @mark
        def function(a: int = value) -> Any:
            return "function", value, a

        class Kind:
            @mark
            def method(self) -> Any:
                return "method"

        vars(module).update(function=function, Kind=Kind)
        return module

    old, new = make(1), make(2)
    instance = old.Kind()
    before = old.function()
    update_generic(old.function, new.function)
    update_generic(old.Kind, new.Kind)
    return before, old.function()[0], old.function.__defaults__, instance.method()


@case("attr", "pluggy", hits={"gallery_hook": 1})
def pluggy(mark: Mark) -> Any:
    """A hook's implementation, whose arguments are looked up."""
    import pluggy

    spec, implement = pluggy.HookspecMarker("gallery"), pluggy.HookimplMarker("gallery")

    class Specification:
        @spec
        def gallery_hook(self, a: int, b: int) -> None:
            """Hook."""

    class Plugin:
        @implement
        @mark
        def gallery_hook(self, b: int) -> int:
            return b

    manager = pluggy.PluginManager("gallery")
    manager.add_hookspecs(Specification)
    manager.register(Plugin())
    return manager.hook.gallery_hook(a=1, b=2)
