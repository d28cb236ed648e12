"""The magics of IPython, in its own shell and in a notebook that is really executed."""

from __future__ import annotations

import builtins
import gc
import html.parser
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import IPython
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import stichotrope
from conftest import hits
from handmade import block, single, troubled
from stichotrope import ProfilerResults, profiler
from stichotrope._text.columns import SORTS
from stichotrope.report.notebook import render

pytestmark = pytest.mark.integration


class Shell:
    """An interactive shell without history and threads, and what it displays."""

    def __init__(self) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "nocolor" if IPython.version_info[0] > 8 else "NoColor"
        self.shell = InteractiveShell.instance(config=config)
        self.shown: list[dict[str, Any]] = []
        self.shell.display_pub.publish = lambda data, **more: self.shown.append(data)

    def __call__(self, cell: str) -> Any:
        """Run a cell, and return its value; its error is raised."""
        result = self.shell.run_cell(cell)
        result.raise_error()
        return result.result

    @property
    def names(self) -> dict[str, Any]:
        """The user's names."""
        return self.shell.user_ns


@pytest.fixture(scope="module")
def _shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One for all: making it takes longer than using it. It takes the place of the main module."""
    folder = tmp_path_factory.mktemp("ipython")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder))
        patch.setitem(sys.modules, "__main__", sys.modules["__main__"])
        shell = Shell()
        shell("%load_ext stichotrope")
        yield shell
        InteractiveShell.clear_instance()


@pytest.fixture
def shell(_shell: Shell) -> Iterator[Shell]:
    """The shell, with nothing in it."""
    _shell.shown.clear()
    vars(builtins).pop(
        "_", None
    )  # where it is, IPython takes it for that of gettext, and leaves its own alone
    yield _shell
    _shell.shell.reset(new_session=False)
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        vars(sys).pop(name, None)
    shown = _shell.shell.InteractiveTB  # keeps the last traceback, with all that it refers to
    shown.tb = shown.evalue = None
    gc.collect()


FUNCTIONS = """
def add(number):
    return sum(range(number))

class Order:
    def price(self):
        return add(3)
    def count(self):
        return 1
"""


def text(shell: Shell) -> str:
    """The one thing shown, as text."""
    (shown,) = shell.shown
    return str(shown["text/plain"])


# Loading


def test_the_extension_is_found_by_its_name(shell: Shell) -> None:
    """As `%load_ext` looks for it, without importing IPython before that."""
    assert callable(stichotrope.load_ipython_extension)
    assert shell.shell.find_line_magic("stichotrope")
    assert shell.shell.find_cell_magic("stichotrope")


def test_the_extension_can_be_unloaded(shell: Shell) -> None:
    """And loaded again; without it, results are shown as they are elsewhere."""
    results = single(block("read", (100, 200)))
    shown = shell.shell.display_formatter.format(results)[0]
    assert "<td>2</td>" in shown["text/html"]
    assert re.search(r"^read +2 ", shown["text/plain"], re.MULTILINE)
    shell("%unload_ext stichotrope")
    try:
        assert shell.shell.find_line_magic("stichotrope") is None
        assert shell.shell.find_cell_magic("stichotrope") is None
        assert shell.shell.display_formatter.format(results)[0] == {"text/plain": repr(results)}
    finally:
        shell("%load_ext stichotrope")


# The magics


def test_a_statement_is_timed_with_the_functions_that_are_named(shell: Shell) -> None:
    """By their names in the notebook; the statement is taken as it is written."""
    shell(FUNCTIONS)
    results = shell('%stichotrope -r -t add -t "Order.price"  Order().price(); x = "a  b";add(1)')
    assert hits(results) == {
        'Order().price(); x = "a  b";add(1)': 1,
        "Order.price": 1,
        "add": 2,
    }
    assert shell.names["x"] == "a  b"
    assert shell.shown == []
    tracks = {track.track_name: len(track.blocks) for track in results.tracks.values()}
    assert tracks == {"notebook": 1, "__main__": 2}
    tree = [(node.name, depth) for node, depth in results.tree.walk()][1:]
    assert tree[1:] == [("Order.price", 2), ("add", 3), ("add", 2)]


def test_a_cell_is_timed(shell: Shell) -> None:
    """It runs in the notebook's names; the value of its last expression is shown as usual."""
    shell(FUNCTIONS)
    before = shell.names["add"], dict(vars(shell.names["Order"]))
    shell("%%stichotrope -t Order -n 'all of it'\ntotal = add(4)\nOrder().count()\ntotal")
    assert shell.names["total"] == 6
    assert shell.names["_"] == 6
    report = text(shell)
    assert report.startswith("%%stichotrope\n")
    for name in ("all of it", "Order.count"):
        assert f"\n{name} " in report
    assert "Order.price" not in report  # it was not called
    assert "\nadd " not in report
    assert (shell.names["add"], dict(vars(shell.names["Order"]))) == before


def test_modules_and_patterns_are_timed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is imported into the notebook as well; afterwards all is as it was."""
    shop = ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", shop)
    exec(FUNCTIONS, vars(shop))
    shell("import shop\nfrom shop import add")
    add = shell.names["add"]
    by_module = shell("%stichotrope -r -t shop shop.Order().price(); add(2)")
    assert {"add": 2, "Order.price": 1}.items() <= hits(by_module).items()
    by_pattern = shell("%stichotrope -r -t 'shop:Order.p*' shop.Order().price(); add(2)")
    assert hits(by_pattern) == {"shop.Order().price(); add(2)": 1, "Order.price": 1}
    assert shell.names["add"] is add is vars(shop)["add"]


def test_the_report_is_html_for_a_notebook_and_text_for_a_terminal(shell: Shell) -> None:
    """Both are offered; sorted and cut as told."""
    shell(FUNCTIONS)
    shell("%stichotrope -t Order -t add -s name -l 1 Order().price()")
    (shown,) = shell.shown
    assert re.findall(r"\n(add|Order\.price) ", shown["text/plain"]) == ["Order.price"]
    assert re.findall(r">(add|Order\.price)<", shown["text/html"]) == ["Order.price"]
    assert shown["text/html"].startswith('<div class="stichotrope-report">')


def test_an_error_in_the_code_is_raised_and_reported_so_far(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its traceback begins with the user's code, and what was tracked is put back."""
    shell(FUNCTIONS)
    add = shell.names["add"]
    with pytest.raises(ZeroDivisionError):
        shell("%%stichotrope -t add\nadd(3)\n1 / 0\nadd(3)")
    assert re.search(r"^add +1 ", text(shell), re.MULTILINE)
    assert shell.names["add"] is add
    traceback = capsys.readouterr().out
    assert "1 / 0" in traceback
    assert os.sep + "ipython.py" not in traceback


@pytest.mark.parametrize(
    "magic", ["%stichotrope -r -t {} add(1)", "%%stichotrope -r -t {}\nadd(1)"]
)
def test_what_is_never_called_is_in_no_report(
    shell: Shell, capsys: pytest.CaptureFixture[str], magic: str
) -> None:
    """A pattern may choose thousands of functions; that none of it was called is a sentence."""
    shell(FUNCTIONS)
    assert 0 not in hits(shell(magic.format("__main__:*"))).values()
    assert capsys.readouterr().err == ""
    shell(magic.format("Order"))
    assert "none of it was called" in capsys.readouterr().err
    shell.shown.clear()
    shell(magic.format("'__main__:*'").replace("-r ", ""))
    (shown,) = shell.shown
    assert "add" in shown["text/html"]
    assert "Order.price" not in re.sub("<details>.*?</details>", "", shown["text/html"], flags=re.S)
    assert "Order.price" not in shown["text/plain"]


def test_a_pattern_that_fits_nothing_is_told(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    """The statement runs all the same."""
    shell(FUNCTIONS)
    shell("%stichotrope -t '__main__:ad' y = 3")
    assert shell.names["y"] == 3
    expected = "stichotrope: '__main__:ad' matched nothing: no such function in __main__"
    assert capsys.readouterr().err.startswith(expected)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%stichotrope", "%stichotrope needs a statement"),
        ("%stichotrope -t add", "%stichotrope needs a statement"),
        ("%%stichotrope 3\n4", "%%stichotrope runs the cell, so '3' in its line is wrong"),
        ("%stichotrope -t nothing 3", "-t 'nothing' is no name that is known here"),
        ("%stichotrope -t add.x.y 3", "-t 'add.x.y' is no name that is known here"),
        ("%stichotrope -t number 3", "-t 'number' is no function, class or module"),
        ("%stichotrope -t inner 3", "-t 'inner' was defined inside a function"),
        ("%stichotrope -t a/b.py:x 3", "names a file, not a module"),
        ("%stichotrope -l 0 3", "-l must be a whole number of 1 or more, not '0'"),
        ("%stichotrope -l x 3", "-l must be a whole number of 1 or more, not 'x'"),
        ("%stichotrope -s size 3", f"-s must be one of {', '.join(SORTS)}, not 'size'"),
        ("%stichotrope -x 3", "option -x not recognized"),
        ("%stichotrope await add(1)", "await outside a function can be timed in a cell"),
    ],
)
def test_a_mistake_is_told(
    shell: Shell, capsys: pytest.CaptureFixture[str], cell: str, message: str
) -> None:
    """In one sentence, and nothing is run or shown."""
    shell(FUNCTIONS + "number = 3\ninner = (lambda: lambda: 1)()\n")
    result = shell.shell.run_cell(cell)
    assert not result.success
    told = capsys.readouterr()
    assert message in told.out + told.err
    assert "Traceback" not in told.out + told.err
    assert shell.shown == []


def test_await_inside_a_function_is_no_mistake(shell: Shell) -> None:
    """It is not the cell that awaits."""
    shell("%%stichotrope\nasync def f():\n    await g()\nz = [lambda: 1]")
    assert "z" in shell.names


def named(results: ProfilerResults) -> list[str]:
    """The name of the block of each pass."""
    return [one.name for track in results for one in track for _ in range(one.hit_count)]


AWAITING = """

%%stichotrope -t Shop.* -n "all of it"
import asyncio
await asyncio.sleep(0)
for _ in range(3):
    await shop.open()
await shop.open()
"""
SHOP = """
class Shop:
    async def open(self):
        self.sweep()
        return 'open'
    def sweep(self):
        pass
shop = Shop()
"""


def test_a_cell_that_awaits_is_timed(shell: Shell) -> None:
    """As IPython runs it without us, whatever loop it has; its value is shown, and it is one pass."""
    shell(SHOP)
    results = shell(AWAITING.replace("-n", "-r -n"))
    assert dict(Counter(named(results))) == {
        "all of it": 1,
        "Shop.open": 4,
        "Shop.sweep": 4,
    }
    assert shell(AWAITING) == "open"
    (shown,) = shell.shown
    assert "Shop.sweep" in shown["text/html"]


def test_an_error_in_a_cell_that_awaits_is_raised_and_reported_so_far(shell: Shell) -> None:
    """As in any other."""
    shell(SHOP)
    with pytest.raises(ZeroDivisionError):
        shell("%%stichotrope -t Shop.*\nawait shop.open()\n1 / 0")
    assert "Shop.open" in shell.shown[0]["text/html"]


def test_the_pattern_of_a_class_or_module_is_known_by_its_name_here(shell: Shell) -> None:
    """Of a class that a cell defines, and of a module by whatever name it was imported."""
    shell(SHOP + "import json as j")
    results = shell("%stichotrope -r -t Shop.s* shop.sweep()")
    assert set(named(results)) == {"shop.sweep()", "Shop.sweep"}
    results = shell("%stichotrope -r -t j.* j.loads('1')")
    assert "loads" in set(named(results))


def test_the_lines_of_a_block_stand_beside_it(shell: Shell) -> None:
    """A press on its place opens them; escaped, and with their numbers."""
    shell("def twice(n):\n    return 2 * n if 1 < 2 else '<b>'\n\ndef other(): pass")
    shell("%%stichotrope -t twice\ntwice(1)\n")
    (shown,) = shell.shown
    lines = re.findall("<pre>(.*?)</pre>", shown["text/html"], re.DOTALL)
    assert "    1 twice(1)" in lines
    assert (
        "    1 def twice(n):\n    2     return 2 * n if 1 &lt; 2 else &#x27;&lt;b&gt;&#x27;"
        in lines
    )


def test_a_notebook_shows_the_report_while_the_cell_runs(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is renewed in its place, and the last one stays."""
    monkeypatch.setattr("stichotrope.integrations.ipython._LIVE_SECONDS", 0.01)
    monkeypatch.setattr(shell.shell, "kernel", object(), raising=False)
    shell(FUNCTIONS)
    shell.names["shown"] = shell.shown
    shell(
        "%%stichotrope -t add\nimport time\nadd(1)\nwhile len(shown) < 3: time.sleep(0.001)\nadd(2)"
    )
    assert len(shell.shown) >= 4
    assert "<td>1</td>" in shell.shown[0]["text/html"]
    assert "<td>2</td>" in shell.shown[-1]["text/html"]


def test_nothing_stays_behind(shell: Shell) -> None:
    """A magic's profiler goes when its results are there."""
    before = set(profiler._PROFILER_REGISTRY)
    shell(FUNCTIONS)
    shell("%stichotrope -t add -t Order Order().price()")
    gc.collect()
    assert set(profiler._PROFILER_REGISTRY) == before


# The table in a notebook


class Reader(html.parser.HTMLParser):
    """What is in a page: its elements, and its text outside the style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)


def test_the_table_has_each_block_with_its_figures() -> None:
    """Well formed, one part of the table for each track."""
    results = single(
        block("read", (100, 200, 300)),
        block("never", idx=1, line=20),
        block("write", (1000,), track=1),
    )
    page = Reader(render(results))
    assert page.open == []
    tags = [tag for tag, _ in page.elements]
    assert (tags.count("table"), tags.count("tbody"), tags.count("tr")) == (1, 2, 1 + 2 + 3)
    for expected in ("read", "never", "write", "600 ns", "1.00 µs", "p99"):
        assert expected in page.texts
    assert [attrs.get("class") for tag, attrs in page.elements if tag == "tr"].count("unhit") == 1
    assert {"script", "link", "img", "iframe"} & set(tags) == set()


def test_the_table_has_columns_that_say_something() -> None:
    """Of open passes, and of how they ended; a plain table has none of them."""
    page = Reader(render(troubled()))
    for expected in ("Open", "Errors", "Cancelled", "At a time", "≥2.5"):
        assert expected in page.texts
    assert [attrs.get("class") for tag, attrs in page.elements if tag == "tr"].count("unhit") == 0
    plain = Reader(render(single(block("read", (100,)))))
    assert {"Open", "Errors", "Cancelled", "At a time"} & set(plain.texts) == set()
    spans = {attrs["colspan"] for _, attrs in plain.elements if "colspan" in attrs}
    assert spans == {str([tag for tag, _ in plain.elements].count("td"))}


def test_the_table_says_when_there_is_nothing_and_when_there_is_more() -> None:
    """As the report on the console does."""
    assert "Nothing was recorded." in Reader(render(ProfilerResults("x"))).texts
    results = single(*(block(f"block {n}", (n + 1,), idx=n, line=n) for n in range(5)))
    page = Reader(render(results, limit=2))
    assert "… and 3 more" in page.texts
    assert [text for text in page.texts if text.startswith("block ")] == ["block 4", "block 3"]
    sorted_page = Reader(render(results, sort="name", limit=1))
    assert "block 0" in sorted_page.texts


def test_names_cannot_inject_markup() -> None:
    """Of blocks, tracks, files and profilers."""
    evil = '<script>alert("x")</script>&amp;\x00\x1b[31m\u2028'
    results = single(block(evil, (100,), file=f"{evil}.py"))
    results.profiler_name = evil
    results.tracks[0].track_name = evil
    results.metadata["warnings"] = [evil]
    page = render(results)
    found = Reader(page)
    assert "script" not in [tag for tag, _ in found.elements]
    assert found.texts.count(r'<script>alert("x")</script>&amp;\x00\x1b[31m\u2028') == 2
    assert not any(char in page for char in "\x00\x1b\u2028")


# A real notebook


def test_a_notebook_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a kernel in a process of its own: the results are in it as HTML, and an error stops it."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    cells = [
        "%load_ext stichotrope",
        "def add(number):\n    return sum(range(number))",
        "%%stichotrope -t add\n[add(3) for _ in range(5)]",
        "results = %stichotrope -r -t add add(1)\nresults",
        "%%stichotrope\n1 / 0",
        "print('not reached')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=120, kernel_name="python3")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        client.execute(cwd=str(tmp_path))
    outputs = [cell["outputs"] for cell in notebook.cells]
    assert outputs[0] == outputs[1] == outputs[5] == []
    shown, value = sorted(outputs[2], key=lambda output: output["output_type"])
    assert (shown["output_type"], value["output_type"]) == ("display_data", "execute_result")
    assert value["data"]["text/plain"] == "[3, 3, 3, 3, 3]"
    assert "add" in Reader(shown["data"]["text/html"]).texts
    (results,) = outputs[3]
    assert results["data"]["text/html"].startswith('<div class="stichotrope-report">')
    assert [output["output_type"] for output in outputs[4]] == ["display_data", "error"]
    json.dumps(notebook)


# What is no Python


def test_a_cell_that_is_no_python_is_told_as_any_other(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    """By IPython, with the line that it stands in, and with no frame of ours."""
    result = shell.shell.run_cell("%%stichotrope -s self\nx = 1\nx = = 2\n")
    assert isinstance(result.error_before_exec or result.error_in_exec, SyntaxError)
    said = "".join(capsys.readouterr())
    assert "line 3" in said
    assert "x = = 2" in said
    assert "stichotrope" not in said
    assert "x" not in shell.names
    assert shell.shown == []


def test_a_statement_that_is_no_python_is_told_in_a_sentence(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Likewise a cell that reaches the magic by another way."""
    for call, what in (
        (lambda: shell("%stichotrope 1 +"), "'1 +'"),
        (lambda: shell.shell.run_cell_magic("stichotrope", "", "1 +"), "the cell"),
    ):
        with pytest.raises(UsageError, match=f"^{re.escape(what)} is no Python: invalid syntax"):
            call()
    assert "Traceback" not in "".join(capsys.readouterr())
