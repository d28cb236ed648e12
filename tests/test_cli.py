"""The command line as a whole: its commands, its help, what it says of the installation."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import stichotrope as package
from clihelp import python, stichotrope
from handmade import sample
from stichotrope import cli
from stichotrope.cli import COMMANDS, main

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be where no settings are."""
    monkeypatch.chdir(tmp_path)


def exit_of(arguments: list[str]) -> object:
    """The status with which a command ends the process."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_without_a_command_there_is_help(capfd):
    """Nothing at all is a mistake, answered with all commands and examples."""
    assert main([]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert all(f"  {name} " in err for name in cli.COMMANDS)
    assert "examples:" in err


def test_an_unknown_command_suggests_the_nearest(capfd):
    """A command that there is not is one sentence, with the nearest or with all."""
    assert exit_of(["reprot"]) == 2
    sentence = "there is no command 'reprot'; did you mean report?"
    assert capfd.readouterr().err == f"stichotrope: {sentence} (see stichotrope --help)\n"
    assert exit_of(["xyz"]) == 2
    assert (
        "there are demo, run, attach, top, dump, report, compare, ab, history, info, completion"
        in capfd.readouterr().err
    )


def test_the_version_is_the_packages(capfd):
    """``--version`` prints the version."""
    assert exit_of(["--version"]) == 0
    assert capfd.readouterr().out == f"stichotrope {package.__version__}\n"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_has_help_with_examples(command, capfd):
    """``--help`` of each command says how it is called, with examples that fit a terminal."""
    assert exit_of([command, "--help"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.startswith(f"usage: stichotrope {command} ")
    assert f"  stichotrope {command} " in out or "stichotrope completion bash" in out
    assert max(map(len, out.splitlines())) <= 100


def test_the_module_is_the_command(tmp_path):
    """``python -m stichotrope`` is ``stichotrope``."""
    done = stichotrope("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"stichotrope {package.__version__}\n")


def test_an_interrupted_command_ends_without_a_traceback(monkeypatch, capfd):
    """Ctrl-C in a command other than `run` ends it with the status of that signal."""

    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("stichotrope.cli.info.main", interrupted)
    assert main(["info"]) == 130
    assert capfd.readouterr() == ("", "")


# info


def test_info_says_what_is_installed(capfd):
    """``info`` names version, Python, clock, cost, settings and extras."""
    assert main(["info"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines["stichotrope"].startswith(f"{package.__version__}, in ")
    assert lines["Python"].startswith(sys.version.split()[0])
    assert "resolution" in lines["clock"]
    assert lines["cost"].endswith(" per pass, as measured just now")
    assert lines["settings"] == "no file"
    assert "argcomplete" in lines["extras"]


def test_info_for_programs(capfd, monkeypatch):
    """``info --json`` is one object, with each setting that somebody gave and by whom."""
    Path("stichotrope.toml").write_text("limit = 5\n")
    monkeypatch.setenv("STICHOTROPE_SORT", "self")
    assert main(["info", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["version"] == package.__version__
    assert facts["overhead_ns_per_pass"] > 0
    assert facts["clock"]["source"] in ("tsc", "cntvct", "monotonic", "mach", "qpc")
    path = os.path.abspath("stichotrope.toml")
    assert facts["settings"]["file"] == path
    assert facts["settings"]["given"] == {
        "limit": {"value": 5, "by": path},
        "sort": {"value": "self", "by": "STICHOTROPE_SORT"},
    }


def test_info_with_wrong_settings_is_a_sentence(capfd):
    """A mistake in the settings is told as that."""
    Path("stichotrope.toml").write_text("limits = 5\n")
    assert main(["info"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "line 1" in err
    assert "limit" in err


# completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shells_completion_asks_the_command(shell, capfd):
    """What is printed makes the shell ask ``stichotrope`` itself."""
    assert main(["completion", shell]) == 0
    out, _ = capfd.readouterr()
    assert "stichotrope" in out
    assert "_ARGCOMPLETE" in out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("stichotrope ", {"run", "report", "compare", "info", "completion", "--help"}),
        ("stichotrope re", {"report"}),
        ("stichotrope report --so", {"--sort"}),
        ("stichotrope report --sort ", {"total", "self", "hits", "mean", "max", "name"}),
        ("stichotrope run --no", {"--no-report"}),
        ("stichotrope completion z", {"zsh"}),
        ("stichotrope run -t ", {"auto", r"__main__:\*", "plain", r"shop.\*"}),
        ("stichotrope run -t sh", {r"shop.\*"}),
        ("stichotrope run -t shop.o", {"shop.orders"}),
        ("stichotrope run -t 'shop.orders:", {"shop.orders:price", "shop.orders:Order.total"}),
        ("stichotrope report run.json --track ", {"I/O", "parsing"}),
        ("stichotrope report run.json --match r", {"read"}),
        ("stichotrope report none.json --track ", set()),
    ],
)
def test_the_command_answers_the_shell(tmp_path, line, expected):
    """The shell gets the commands, options and values that may follow, and the names that there are."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("raise SystemExit('imported')")
    source = "class Order:\n    async def total(self): pass\ndef price(): pass"
    (tmp_path / "shop" / "orders.py").write_text(source)
    (tmp_path / "plain.py").write_text("")
    sample().save(tmp_path / "run.json")
    answer = tmp_path / "answer"
    done = python(
        *("-m", "stichotrope"),
        cwd=tmp_path,
        _ARGCOMPLETE="1",
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
        COMP_TYPE="9",
        _ARGCOMPLETE_IFS="\n",
        _ARGCOMPLETE_SUPPRESS_SPACE="1",
        _ARGCOMPLETE_STDOUT_FILENAME=str(answer),
    )
    assert done.returncode == 0, done.stderr
    assert expected <= {word.strip() for word in answer.read_text().split("\n")}


def test_completion_without_its_package_is_a_sentence(monkeypatch, capfd):
    """Without the extra, it says how to get it."""
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert main(["completion", "bash"]) == 2
    assert capfd.readouterr() == (
        "",
        "stichotrope completion: completion takes the package argcomplete: "
        "pip install 'stichotrope[completion]'\n",
    )


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_help_of_each_command_fits_a_screen(command, monkeypatch, capsys):
    """Of eighty columns and twenty-four lines; what there is more is a longer help."""
    monkeypatch.setattr(cli, "_width", lambda: 80)
    with pytest.raises(SystemExit):
        main([*filter(None, [command]), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("run", "'*.orders:load_*'"),
        ("attach", "what is under way then is left alone"),
        ("top", "columns:"),
        ("report", "speedscope  for https://"),
        ("compare", "conditions of --fail-on"),
        ("ab", "conditions of --fail-on"),
        ("history", "ruptures"),
    ],
)
def test_there_is_a_longer_help_that_has_all(command, what, capsys):
    """All that the short one has, and more; the short one says so."""
    said = []
    for option in ("--help", "--help-all"):
        assert exit_of([command, option]) == 0
        said.append(capsys.readouterr().out)
    short, whole = said
    assert "--help-all" in short
    assert what in whole
    assert what not in short
    assert set(short.splitlines()) <= set(whole.splitlines())


def test_help_names_an_options_argument_once(capsys):
    """On each version of Python."""
    assert exit_of(["compare", "--help"]) == 0
    assert "\n  -o, --output FILE  " in capsys.readouterr().out
