"""Prints what pyproject.toml requires, so that it is written down only there.

`python tools/requirements.py test` prints the build requirements, the run-time dependencies and the
extra named `test`, one requirement a line.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def settings() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))


def requirements(extras: list[str]) -> list[str]:
    """The build requirements, the dependencies and those of the extras, in this order."""
    said = settings()
    optional: dict[str, list[str]] = said["project"]["optional-dependencies"]
    unknown = sorted(set(extras) - set(optional))
    if unknown:
        sys.exit(f"no extra named {', '.join(unknown)}; there are {', '.join(sorted(optional))}")
    lines = [*said["build-system"]["requires"], *said["project"]["dependencies"]]
    return lines + [line for extra in extras for line in optional[extra]]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
