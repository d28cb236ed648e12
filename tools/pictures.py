"""Pictures of a report, of a real run: `python tools/pictures.py`, which needs Chromium.

The census of the standard library is run, and its report drawn as the terminal shows it, and as the
page for the browser does; each for light and for dark surroundings.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
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

THEMES = {"light": DEFAULT_TERMINAL_THEME, "dark": MONOKAI}
COLUMNS = 100
PAGE = (1180, 740)
"""Width and height of the browser's window."""

_FONTS = "ui-monospace, 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def main() -> int:
    """Draw all pictures; return the exit status."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        results = census(Path(folder))
        shown = report(results, "--color", "always")
        for name, theme in THEMES.items():
            path = PICTURES / f"terminal-{name}.svg"
            path.write_text(terminal(shown, theme), encoding="utf-8")
            report(results, "-o", f"{folder}/{name}.html")
            photograph(Path(folder) / f"{name}.html", PICTURES / f"page-{name}.png", name)
    print(*sorted(path.name for path in PICTURES.iterdir()))
    return 0


def census(folder: Path) -> Path:
    """Run the program; return the file that its results are in."""
    # Paths in the report are to be those of the repository.
    command = [sys.executable, str(PROGRAM.relative_to(ROOT)), "--quiet", "--limit", "60"]
    subprocess.run([*command, "--output-dir", str(folder)], cwd=ROOT, check=True)
    return folder / "census.json"


def report(results: Path, *options: str) -> str:
    """Return what `stichotrope report` prints."""
    command = [sys.executable, "-m", "stichotrope", "report", str(results), *options]
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, encoding="utf-8"
    )
    return done.stdout


def terminal(text: str, theme: TerminalTheme) -> str:
    """Return an SVG of what a terminal shows. It needs no font from elsewhere."""
    lines = Text.from_ansi(text.rstrip())
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(lines, no_wrap=True, crop=False)
    svg = console.export_svg(
        title="stichotrope report census.json", theme=theme, unique_id="stichotrope"
    )
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", _FONTS)


def photograph(page: Path, target: Path, scheme: str) -> None:
    """Draw a page as Chromium shows it.

    Args:
        page: the file.
        target: the picture.
        scheme: "light" or "dark".
    """
    width, height = PAGE
    dark = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0")
    subprocess.run(
        [
            *(chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(dark if scheme == "dark" else ()),
            *(f"--window-size={width},{height}", f"--screenshot={target}", page.as_uri()),
        ],
        check=True,
        capture_output=True,
    )


if __name__ == "__main__":
    sys.exit(main())
