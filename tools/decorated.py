"""Decorates each function of packages from PyPI, and runs their own tests bare and marked.

`python tools/decorated.py` takes the packages of `PACKAGES`, or those that are named. Of each, the
source distribution gets a decorator on every `def`: in the first run of its tests one that does
nothing, so that lines are the same, and `@track` in the second. With `--by-code` nothing is written
into the sources: all their functions are tracked by their code, those inside functions too. It
exits with 1 when the outcome of one test differs, or when nothing was recorded.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "decorated"
PYTHON = FOLDER / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"


class Package(NamedTuple):
    """A package, where its sources and its tests are, and what these need."""

    version: str
    sources: str
    tests: str
    needs: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # tests that wait for what this machine may not have

    @property
    def module(self) -> str:
        """What it is imported as."""
        return Path(self.sources).name


# In them are abstract classes, metaclasses, enumerations, overloads, generators, coroutines.
PACKAGES = {
    "attrs": Package("26.1.0", "src/attr", "tests", ("hypothesis", "cloudpickle", "pympler")),
    "boltons": Package("26.2.0", "boltons", "tests"),
    "cachetools": Package("8.0.2", "src/cachetools", "tests"),
    "click": Package("8.5.1", "src/click", "tests"),
    "h11": Package("0.16.0", "h11", "h11"),
    "itsdangerous": Package("2.2.0", "src/itsdangerous", "tests", ("freezegun",)),
    "jinja2": Package("3.1.6", "src/jinja2", "tests", ("markupsafe", "trio")),
    "lark": Package("1.3.1", "lark", "tests", ("regex", "interegular", "atomicwrites")),
    "marshmallow": Package("4.4.0", "src/marshmallow", "tests", ("simplejson", "tzdata")),
    "more_itertools": Package("11.2.1", "more_itertools", "tests"),
    "parso": Package("0.8.7", "parso", "test"),
    "pluggy": Package("1.7.0", "src/pluggy", "testing"),
    "structlog": Package(
        "26.1.0",
        "src/structlog",
        "tests",
        ("freezegun", "pretend", "pytest-asyncio", "rich", "time-machine", "twisted"),
    ),
    "tenacity": Package("9.2.1", "tenacity", "tests", ("tornado", "typeguard", "trio")),
    "toolz": Package("1.0.0", "toolz", "toolz"),
    "tomlkit": Package("0.15.2", "tomlkit", "tests", ("pyyaml",)),
    "transitions": Package("0.9.3", "transitions", "tests", ("six", "dill", "mock", "pycodestyle")),
}

# Further ones, which are run by code alone.
BY_CODE = {
    "httpx": Package(
        "0.28.1",
        "httpx",
        "tests",
        needs=(
            *("httpcore", "certifi", "idna", "anyio", "h2", "chardet", "click", "pygments"),
            *("trustme", "uvicorn", "cryptography", "brotli", "zstandard", "socksio", "trio"),
        ),
    ),
    "networkx": Package("3.7", "networkx", "networkx/classes"),
    "pydantic": Package(
        "2.14.4",
        "pydantic",
        "tests",
        needs=(
            *(
                "pydantic==2.14.4",
                "annotated-types",
                "typing-inspection",
                "email-validator",
                "dirty-equals",
            ),
            *("pytest-mock", "jsonschema", "faker", "pytz", "pytest-examples"),
        ),
    ),
    "starlette": Package(
        "1.10.0",
        "starlette",
        "tests",
        needs=("anyio", "httpx", "itsdangerous", "jinja2", "python-multipart", "trio", "pyyaml"),
    ),
    "werkzeug": Package(
        "3.1.9",
        "src/werkzeug",
        "tests",
        needs=(
            "markupsafe",
            "ephemeral-port-reserve",
            "pytest-timeout",
            "watchdog",
            "cryptography",
        ),
        left_out=("tests/test_serving.py::test_reloader_sys_path",),  # inotify
    ),
}

# Imported by each interpreter that the tests start, too.
SITE = """
import builtins, os
from stichotrope import Profiler

if os.environ["DECORATED"] == "marked":
    profiler = Profiler("decorated")
    # At the end only: some tests look at what memory the process has, or at its threads.
    profiler.gather(os.environ["DECORATED_RESULTS"], period_s=86_400)
    builtins.__marked__ = profiler.track(0)
elif os.environ["DECORATED"] == "code":
    profiler = Profiler("decorated")
    profiler.gather(os.environ["DECORATED_RESULTS"], period_s=86_400)
    profiler.track_code(os.environ["DECORATED_MODULE"] + ".*")
else:
    builtins.__marked__ = lambda function: function
"""


def decorated(source: str, outermost: bool) -> tuple[str, int]:
    """Return a module's source with the decorator on each function, and how many there are.

    :param source: the text.
    :param outermost: above the decorators that a function has, instead of below.
    """
    lines = source.splitlines(keepends=True)
    functions = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    for node in sorted(functions, key=lambda node: -node.lineno):
        above = [node.lineno, *(each.lineno for each in node.decorator_list if outermost)]
        lines.insert(min(above) - 1, " " * node.col_offset + "@__marked__\n")
    return "".join(lines), len(functions)


def unpacked(name: str, package: Package) -> Path:
    """Return the folder of a package's source distribution, downloaded if it is not there."""
    folder = FOLDER / "sources" / name
    if not folder.exists():
        pip(
            "download",
            "--no-deps",
            "--no-binary",
            ":all:",
            "-d",
            FOLDER / "sdists",
            f"{name}=={package.version}",
        )
        (archive,) = (FOLDER / "sdists").glob(f"{name}-{package.version}.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(FOLDER / "sources", filter="data")
        (FOLDER / "sources" / f"{name}-{package.version}").rename(folder)
    return folder


def pip(*arguments: str | Path) -> None:
    """Run pip in the environment of the suites."""
    subprocess.run([PYTHON, "-m", "pip", "--quiet", *arguments], check=True)


def outcomes(name: str, package: Package, mark: str, place: Path) -> dict[str, str]:
    """Run a package's tests, and return what each of them came to."""
    report = place / f"{mark}.xml"
    paths = [place / "site", (place / "copy" / package.sources).parent]
    done = subprocess.run(
        [
            PYTHON,
            "-B",
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            # The environment is one for all: what a suite did not ask for may refuse its settings.
            *(() if "pytest-asyncio" in package.needs else ("-p", "no:asyncio")),
            f"--junitxml={report}",
            *(f"--deselect={test}" for test in package.left_out),
            package.tests,
        ],
        cwd=place / "copy",
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONHASHSEED": "0",
            "DECORATED": mark,
            "DECORATED_MODULE": package.module,
            "DECORATED_RESULTS": str(place / "results"),
        },
        capture_output=True,
        text=True,
    )
    (place / f"{mark}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if not report.exists():
        sys.exit(f"the tests of {name} did not run ({mark}); see {place / f'{mark}.log'}")
    found: dict[str, str] = {}
    for test in ElementTree.parse(report).iter("testcase"):
        # Addresses, and the time of day, of which some name their tests.
        key = re.sub(
            r"0x[0-9a-f]+|\d\d:\d\d:\d\d", "…", f"{test.get('classname')}::{test.get('name')}"
        )
        ends = [child.tag for child in test if child.tag in ("failure", "error", "skipped")]
        found[key] = ends[0] if ends else "passed"
    return found


def recorded(place: Path) -> tuple[int, int]:
    """Return how many functions were called, and how many passes the marked run has left."""
    program = (
        "import sys; from stichotrope import ProfilerResults\n"
        "found = ProfilerResults.load_all(sys.argv[1])\n"
        "blocks = [block for track in found.tracks.values() for block in track.blocks]\n"
        "print(sum(block.hit_count > 0 for block in blocks), found.total_hits)"
    )
    told = subprocess.run(
        [PYTHON, "-c", program, place / "results"], check=True, capture_output=True, text=True
    )
    called, hits = map(int, told.stdout.split())
    return called, hits


def differs(name: str, package: Package, outermost: bool, by_code: bool) -> bool:
    """Run a package's tests both ways, and print what came of it; whether anything differs."""
    place = FOLDER / "runs" / name
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(unpacked(name, package), place / "copy")
    (place / "site").mkdir()
    (place / "site" / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    functions = 0
    for path in (place / "copy" / package.sources).rglob("*.py"):
        if "tests" not in path.parts and not by_code:
            text, count = decorated(path.read_text(encoding="utf-8"), outermost)
            path.write_text(text, encoding="utf-8")
            functions += count
    marks = ("bare", "code" if by_code else "marked")
    bare, marked = (outcomes(name, package, mark, place) for mark in marks)
    different = [
        key for key in sorted(bare.keys() | marked.keys()) if bare.get(key) != marked.get(key)
    ]
    called, hits = recorded(place)
    counts = ", ".join(
        f"{count:,} {what}" for what, count in sorted(Counter(bare.values()).items())
    )
    marked_functions = f"{called:,} functions called" if by_code else f"{functions} functions"
    print(
        f"{name} {package.version}: {marked_functions}, {counts}, {hits:,} passes recorded",
        flush=True,
    )
    for key in different:
        print(f"  {key}: {bare.get(key)} bare, {marked.get(key)} marked")
    return bool(different) or not hits


def main() -> int:
    """Read the arguments, make the environment, run the suites; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "packages", nargs="*", metavar="PACKAGE", help=f"of {', '.join(PACKAGES)}; default: all"
    )
    parser.add_argument(
        "--outermost", action="store_true", help="mark above the decorators there are, not below"
    )
    parser.add_argument(
        "--by-code", action="store_true", help="track all code, of further packages too"
    )
    options = parser.parse_args()
    known = {**PACKAGES, **BY_CODE} if options.by_code else PACKAGES
    unknown = [name for name in options.packages if name not in known]
    if unknown:
        parser.error(f"no package is called {', '.join(unknown)}; there are {', '.join(known)}")
    names = options.packages or list(known)
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER / "environment"], check=True)
    needs = {need for name in names for need in known[name].needs}
    pip("install", "rich", "pytest", *sorted(needs))
    pip("install", "--no-deps", *(f"{name}=={known[name].version}" for name in names))
    pip("install", "--force-reinstall", "--no-deps", *(ROOT / "build" / "wheel").glob("*.whl"))
    found = [
        differs(name, known[name], options.outermost, options.by_code) for name in names
    ]  # all of them
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main())
