"""Pictures of a report, of a real run: `python tools/pictures.py`, which needs Chromium.

The census of the standard library is run, and its report drawn as the terminal shows it, and as the
page for the browser does. `examples/hangs.py` is looked at while it hangs, and killed. Each is
drawn for light and for dark surroundings; `python tools/pictures.py hangs` draws some.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from rich.console import Console  # noqa: E402
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, MONOKAI, TerminalTheme  # noqa: E402
from rich.text import Text  # noqa: E402

from benchmarks.html import chromium  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
PROGRAM = ROOT / "examples" / "stdlib_census.py"
HANGS = ROOT / "examples" / "hangs.py"
COLOURED = ("--color", "always")

THEMES = {"light": DEFAULT_TERMINAL_THEME, "dark": MONOKAI}
COLUMNS = 118
PAGE = (1180, 760)
"""Width and height of the browser's window."""

_FONTS = "ui-monospace, 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def main() -> int:
    """Draw all pictures, or those that are asked for; return the exit status."""
    PICTURES.mkdir(exist_ok=True)
    drawn = {"census": draw_census, "hangs": draw_hangs}
    for name in sys.argv[1:] or drawn:
        with tempfile.TemporaryDirectory() as folder:
            drawn[name](Path(folder))
    print(*sorted(path.name for path in PICTURES.iterdir()))
    return 0


def draw_census(folder: Path) -> None:
    """Draw the report of a program, as the terminal shows it and as the browser does."""
    results = census(folder)
    draw_terminal("terminal", "stichotrope report census.json", report(results, *COLOURED))
    report(results, "-o", f"{folder}/x.html")
    for name in THEMES:
        photograph((folder / "x.html").as_uri(), PICTURES / f"page-{name}.png", name)


def draw_hangs(folder: Path) -> None:
    """Draw what `top` shows of a program that hangs, and what is told of it when it is killed."""
    store = folder / "store"
    shutil.copy(HANGS, folder)
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    child = subprocess.Popen(  # `top` shows its command
        ["python", HANGS.name, store.name],
        executable=sys.executable,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        child.stdout.readline()  # it hangs
        time.sleep(4)
        shown = stichotrope("top", str(store), "--once", "--interval", "1", FORCE_COLOR="1")
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    draw_terminal("top", "stichotrope top store", shown)
    draw_terminal("killed", "stichotrope report store", report(store, *COLOURED))
    report(store, "-o", f"{folder}/x.html")
    for name in THEMES:
        address = (folder / "x.html").as_uri() + "#view-timeline"
        photograph(address, PICTURES / f"timeline-{name}.png", name)


def draw_terminal(picture: str, title: str, shown: str) -> None:
    """Draw what a terminal shows."""
    for name, theme in THEMES.items():
        svg = terminal(shown, theme, title)
        (PICTURES / f"{picture}-{name}.svg").write_text(svg, encoding="utf-8")


def census(folder: Path) -> Path:
    """Run the program; return the file that its results are in."""
    # Paths in the report are to be those of the repository.
    command = [sys.executable, str(PROGRAM.relative_to(ROOT)), "--quiet", "--limit", "60"]
    subprocess.run([*command, "--output-dir", str(folder)], cwd=ROOT, check=True)
    return folder / "census.json"


def report(results: Path, *options: str) -> str:
    """Return what `stichotrope report` prints."""
    return stichotrope("report", str(results), *options)


def stichotrope(*arguments: str, **variables: str) -> str:
    """Return what a command prints."""
    command = [sys.executable, "-m", "stichotrope", *arguments]
    fixed = {"COLUMNS": str(COLUMNS), "PYTHONIOENCODING": "utf-8"}
    environment = {**os.environ, **fixed, **variables}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, encoding="utf-8"
    )
    return done.stdout


def terminal(text: str, theme: TerminalTheme, title: str) -> str:
    """Return an SVG of what a terminal shows. It needs no font from elsewhere."""
    lines = Text.from_ansi(text.rstrip())
    width = max(COLUMNS, *(line.cell_len for line in lines.split("\n")))
    console = Console(record=True, width=width, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(lines, no_wrap=True, crop=False)
    svg = console.export_svg(title=title, theme=theme, unique_id="stichotrope")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", _FONTS)


def photograph(page: str, target: Path, scheme: str) -> None:
    """Draw a page as Chromium shows it.

    Args:
        page: its address.
        target: the picture.
        scheme: "light" or "dark".
    """
    width, height = PAGE
    dark = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0")
    subprocess.run(
        [
            *(chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(dark if scheme == "dark" else ()),
            *(f"--window-size={width},{height}", f"--screenshot={target}"),
            *("--virtual-time-budget=5000", page),
        ],
        check=True,
        capture_output=True,
    )


if __name__ == "__main__":
    sys.exit(main())
