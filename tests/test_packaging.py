"""What is built and installed is complete, light to import, and says the same everywhere."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import stichotrope

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "stichotrope"
TOOLS = ROOT / "tools"

# Each takes longer to import than the whole of stichotrope, and only some of its users need it.
HEAVY = {
    *("asyncio", "csv", "inspect", "json", "logging", "platform", "rich", "subprocess", "tempfile"),
    *("urllib", "numpy"),
}

pytestmark = pytest.mark.integration


def settings() -> dict[str, Any]:
    """What pyproject.toml says."""
    said: dict[str, Any] = runpy.run_path(str(TOOLS / "requirements.py"))["settings"]()
    return said


def run(*arguments: str | Path, **options: Any) -> str:
    """Runs a program to its end and gives what it printed; a failure shows all of it."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout
    return str(done.stdout)


def build(target: Path, *options: str) -> None:
    """Builds this tree, in an environment of its own unless this one has all that it takes."""
    ready = all(importlib.util.find_spec(name) for name in ("Cython", "setuptools"))
    isolation = ["--no-isolation"] if ready else []
    run(sys.executable, "-m", "build", *isolation, *options, "--outdir", target, ROOT)


@pytest.fixture(scope="session")
def sdist(tmp_path_factory) -> Path:
    """The source distribution of this tree."""
    target = tmp_path_factory.mktemp("sdist")
    build(target, "--sdist")
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel built for this run, in the folder STICHOTROPE_DIST, or one built now."""
    folder = os.environ.get("STICHOTROPE_DIST")
    target = Path(folder) if folder else tmp_path_factory.mktemp("wheel")
    if not folder:
        # Without a kind, build makes the sdist, and the wheel out of it: so the sdist is complete.
        build(target)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def wheel_names(wheel: Path) -> set[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_whole_package(wheel_names):
    """The wheel holds every module of the package, the parts of the HTML page, the stub, py.typed and one compiled core."""
    python = {
        f"stichotrope/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.rglob("*.py")
    }
    core = "stichotrope/_core" + sysconfig.get_config_var("EXT_SUFFIX")
    page = {f"stichotrope/report/page/{path.name}" for path in (PACKAGE / "report/page").iterdir()}
    expected = python | page | {core, "stichotrope/_core.pyi", "stichotrope/py.typed"}
    assert {name for name in wheel_names if ".dist-info/" not in name} == expected


def test_the_wheel_has_no_sources_of_the_core(wheel_names):
    """The wheel carries no C, Cython or header files."""
    assert [name for name in wheel_names if re.search(r"\.(pyx|pxd|c|cpp|h)$", name)] == []


def metadata_of(wheel: Path) -> Message:
    """The metadata of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(archive.read(name).decode())


def test_the_wheel_depends_on_rich_alone(wheel):
    """Installing the wheel without extras brings rich, and nothing else by its own wish."""
    required = metadata_of(wheel).get_all("Requires-Dist") or []
    assert [line for line in required if "extra ==" not in line] == ["rich>=13"]


def test_the_wheel_carries_its_licence(wheel, wheel_names):
    """The wheel names the MIT licence and carries its text."""
    assert metadata_of(wheel)["License-Expression"] == "MIT"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel_names)


def test_the_sdist_holds_what_it_takes_to_build_and_test(sdist):
    """The sdist holds the sources, the tests, the tools and the texts, and nothing generated."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"setup.py", "pyproject.toml", "Makefile", "LICENSE", "README.md", "CHANGELOG.md"}
    wanted |= {
        "CONTRIBUTING.md",
        "src/_core.pyx",
        "src/_end.h",
        "src/_function.h",
        "src/_platform.h",
    }
    folders = ("src/_core", "src/stichotrope", "tests", "tools", "benchmarks", "examples")
    written = {".c", ".css", ".h", ".html", ".js", ".json", ".pxi", ".py", ".pyi", ".supp"}
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*")):
        if path.suffix in written or path.name == "py.typed":
            wanted.add(path.relative_to(ROOT).as_posix())
    assert wanted - names == set()
    assert [name for name in names if re.search(r"\.(so|pyd|py[cod])$|_core\.c$", name)] == []


def test_the_wheel_works_in_an_empty_environment(wheel, tmp_path):
    """The wheel alone, in an environment with nothing else, imports and profiles."""
    home = tmp_path / "empty"
    venv.create(home, with_pip=False)
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install"]
    run(*pip, "--quiet", "--no-index", "--no-deps", wheel)
    program = (
        "import stichotrope\n"
        "profiler = stichotrope.Profiler('empty')\n"
        "with profiler.block(0, 'once'):\n"
        "    pass\n"
        "print(profiler.get_results().total_hits)\n"
    )
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    assert run(python, "-c", program, cwd=tmp_path, env=environment).split() == ["1"]


def test_the_installed_package_is_typed():
    """The installed package carries py.typed and the stub of its core."""
    installed = Path(stichotrope.__file__).parent
    assert (installed / "py.typed").is_file()
    assert (installed / "_core.pyi").is_file()


def test_the_version_is_written_in_one_place():
    """The installed metadata and the package agree, and only _version.py spells the version out."""
    assert importlib.metadata.version("stichotrope") == stichotrope.__version__
    assert "version" not in settings()["project"]
    files = [*PACKAGE.rglob("*.py"), ROOT / "setup.py", ROOT / "pyproject.toml", ROOT / "Makefile"]
    spelled = [path.name for path in files if stichotrope.__version__ in path.read_text("utf-8")]
    assert spelled == ["_version.py"]


def test_the_changelog_knows_the_version():
    """The changelog has a section for the version of the package."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(stichotrope.__version__)}\]", text, re.MULTILINE)


def test_importing_the_package_loads_nothing_heavy():
    """Importing stichotrope loads none of the modules that only some of its users need."""
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import stichotrope\n"
        "print(*sorted(name.partition('.')[0] for name in set(sys.modules) - before))\n"
    )
    loaded = set(run(sys.executable, "-c", program).split())
    assert "stichotrope" in loaded
    assert loaded & HEAVY == set()


def test_importing_the_core_leaves_the_lock_off():
    """On a build without the global lock, importing the package does not turn it back on."""
    header = (ROOT / "src" / "_core.pyx").read_text(encoding="utf-8").split('"""')[0]
    assert "freethreading_compatible=True" in header
    program = (
        "import sys\n"
        "enabled = getattr(sys, '_is_gil_enabled', lambda: True)\n"
        "before = enabled()\n"
        "import stichotrope\n"
        "print(before == enabled())\n"
    )
    assert run(sys.executable, "-W", "error", "-c", program).split() == ["True"]


def test_every_place_names_the_same_pythons():
    """The classifiers, the wheels, the test matrix and requires-python name the same versions."""
    project, wheels = settings()["project"], settings()["tool"]["cibuildwheel"]["build"]
    text = "\n".join(project["classifiers"])
    classified = re.findall(r"Python :: (3\.\d+)$", text, re.MULTILINE)
    built = [f"3.{minor}" for minor in re.findall(r"cp3(\d+t?)-", " ".join(wheels))]
    matrix = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    (tested,) = re.findall(r"python: \[(.*)\]", matrix)
    assert sorted(built) == sorted(re.findall(r"3\.\d+t?", tested))
    assert sorted(version for version in built if not version.endswith("t")) == sorted(classified)
    assert project["requires-python"] == ">=" + min(classified)


class Recorder(ModuleType):
    """Stands in for setuptools, and keeps the extension that setup.py describes."""

    def __init__(self) -> None:
        super().__init__("setuptools")
        self.extension: dict[str, Any] = {}

    def Extension(self, name: str, sources: list[str], **options: Any) -> Any:  # noqa: N802
        self.extension = {"name": name, "sources": sources, **options}
        return ModuleType("extension")

    def setup(self, **options: Any) -> None:
        assert len(options["ext_modules"]) == 1


def extension(monkeypatch, **environment: str) -> dict[str, Any]:
    """The extension that setup.py describes under the given switches, and no others."""
    for name in ("SANITIZE", "COVERAGE", "DEBUG"):
        monkeypatch.delenv(f"STICHOTROPE_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(f"STICHOTROPE_{name}", value)
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "setuptools", recorder)
    runpy.run_path(str(ROOT / "setup.py"))
    return recorder.extension


def test_the_core_is_built_from_the_cython_source(monkeypatch):
    """The extension names the .pyx itself, so that the sdist carries it."""
    described = extension(monkeypatch)
    assert described["name"] == "stichotrope._core"
    assert described["sources"] == ["src/_core.pyx"]


@pytest.mark.skipif(os.name == "nt", reason="MSVC has neither gcov nor these sanitizers")
@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({}, {"-O3"}),
        ({"DEBUG": "0"}, {"-O3"}),
        ({"DEBUG": "1"}, {"-O0", "-UNDEBUG"}),
        ({"COVERAGE": "1"}, {"-O0", "-UNDEBUG", "--coverage"}),
        ({"SANITIZE": "thread"}, {"-O1", "-UNDEBUG", "-fsanitize=thread"}),
        (
            {"SANITIZE": "address,undefined"},
            {"-O1", "-UNDEBUG", "-fsanitize=address", "-fsanitize=undefined"},
        ),
    ],
)
def test_a_switch_adds_its_flags(monkeypatch, switches, expected):
    """Each switch of setup.py gives the flags it stands for, and no other switch's."""
    flags = set(extension(monkeypatch, **switches)["extra_compile_args"])
    switched = {"-O0", "-O1", "-O3", "-UNDEBUG", "--coverage"}
    assert {flag for flag in flags if flag in switched or "sanitize" in flag} == expected


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_make_builds_anew_after_an_edit_of_any_source():
    """The wheel that is tested depends on every file that it is built from."""
    done = subprocess.run(
        ["make", "--print-data-base", "--question", "help"],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
    )
    (rule,) = re.findall("^build/wheel/.built: (.*)", done.stdout, re.MULTILINE)
    sources = [
        path
        for kind in ("pyx", "pxi", "h", "py", "pyi")
        for path in (ROOT / "src").rglob(f"*.{kind}")
    ]
    assert {path.relative_to(ROOT).as_posix() for path in sources} - set(rule.split()) == set()


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"DEBUG": "yes"}, "STICHOTROPE_DEBUG is 'yes'; it must be 1"),
        ({"SANITIZE": "thread,memory"}, "STICHOTROPE_SANITIZE names memory; the known ones are"),
    ],
)
def test_a_wrong_switch_is_refused(monkeypatch, switches, message):
    """A switch with a value that setup.py does not know stops the build with a sentence."""
    with pytest.raises(SystemExit, match=re.escape(message)):
        extension(monkeypatch, **switches)


def test_the_environment_refuses_an_old_python(monkeypatch, tmp_path):
    """Making the environment with a Python older than the package may have says which one it was, and stops."""
    tool = runpy.run_path(str(TOOLS / "environment.py"))
    assert settings()["project"]["requires-python"] == ">={}.{}".format(*tool["OLDEST"])
    monkeypatch.setattr(sys, "version_info", (3, 10, 18))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and .* is Python "):
        tool["main"](str(tmp_path / "environment"))
    assert list(tmp_path.iterdir()) == []


def test_the_environment_leaves_a_strange_folder_alone(tmp_path):
    """A folder that is not a virtual environment is not emptied to make one."""
    (tmp_path / "precious.txt").write_text("kept")
    tool = runpy.run_path(str(TOOLS / "environment.py"))
    with pytest.raises(SystemExit, match="is not a virtual environment; it is left alone"):
        tool["main"](str(tmp_path))
    assert (tmp_path / "precious.txt").read_text() == "kept"


def test_requirements_come_from_pyproject():
    """The requirements of an extra are the build's, the package's and its own, in this order."""
    lines = run(sys.executable, TOOLS / "requirements.py", "lint").splitlines()
    said = settings()
    expected = said["build-system"]["requires"] + said["project"]["dependencies"]
    assert lines == expected + said["project"]["optional-dependencies"]["lint"]


def test_coverage_follows_the_marks_of_cython(tmp_path):
    """A line of generated C belongs to the last line of the core named above it in its function."""
    generated = tmp_path / "_core.c"
    generated.write_text(
        "int before;\n"
        '/* "src/_core.pyx":7\n'
        " * def f():\n"
        " */\n"
        "first();\n"
        '  /* "src/_core/record.pxi":8\n'
        "second();\n"
        "  /* function exit code */\n"
        "clean_up();\n"
    )
    tool = runpy.run_path(str(TOOLS / "core_coverage.py"))
    origin = tool["source_lines"](generated)
    assert (origin[5], origin[7]) == (("src/_core.pyx", 7), ("src/_core/record.pxi", 8))
    assert {1, 9} & set(origin) == set()


def test_coverage_leaves_out_a_marked_block():
    """A marked line that opens a block leaves out the block, and nothing after it."""
    lines = [
        "if full:  # pragma: no cover",
        "    give_up()",
        "",
        "    return",
        "go_on()",
        "fail()  # pragma: no cover",
        "end()",
    ]
    tool = runpy.run_path(str(TOOLS / "core_coverage.py"))
    assert tool["left_out"](lines) == {1, 2, 4, 6}
    assert tool["ranges"]([4, 1, 2, 9]) == "1-2, 4, 9"
