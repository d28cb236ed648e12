"""Every code block in the documentation runs, and every page can be reached."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import page

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
GENERATED = {"conformance.md", "performance.md"}

LINK = re.compile(r"\]\(([^)#]+\.md)(#[^)]*)?\)")


def name_of(path: Path) -> str:
    """A page's path within the project."""
    return path.relative_to(ROOT).as_posix()


# These run where the engines are: make engines.
OF_ENGINES = [path for path in PAGES if path.parent.name == "engines"]


@pytest.mark.engines
@pytest.mark.parametrize("path", OF_ENGINES, ids=name_of)
def test_every_code_block_of_an_engine_s_page_runs(path: Path, tmp_path: Path) -> None:
    """As for the other pages."""
    run_page(path, tmp_path)


@pytest.mark.parametrize("path", [path for path in PAGES if path not in OF_ENGINES], ids=name_of)
def test_every_code_block_of_a_page_runs(path: Path, tmp_path: Path) -> None:
    """Python, commands, configuration and notebook cells, in the order in which a reader meets them."""
    run_page(path, tmp_path)


def run_page(path: Path, tmp_path: Path) -> None:
    """Run the code blocks of a page in a directory."""
    known = {"python", "console", "toml", "ipython", *page.NOT_RUN}
    assert {fence.language for fence in page.fences(path.read_text(encoding="utf-8"))} <= known
    done = subprocess.run(
        [sys.executable, str(Path(page.__file__)), str(path)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "MPLBACKEND": "agg",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    """A link to a page names a file that is there."""
    for match in LINK.finditer(path.read_text(encoding="utf-8")):
        if "://" not in match[1]:
            assert (path.parent / match[1]).exists(), match[1]


def test_the_site_has_every_page() -> None:
    """Each page under docs/ stands in the navigation once."""
    listed = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(
        path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")
    )
