"""Runs one program under one tool, and leaves what the tool found.

`python -m tools.conformance.child TOOL CASE`, with the tool's name in the environment too.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from .adapters import NotClaimedError, current
from .cases import load
from .truth import DIRECTORY, write_down


def main(case_id: str) -> None:
    """Run the program. What it raises is the process's end, unless the tool does not claim it."""
    case = load()[case_id]
    tool = current()
    said: dict[str, Any] = {"process": os.getpid()}
    tool.start(case)
    try:
        said["checks"] = case.program(tool) or {}
    except NotClaimedError as error:
        said["not_applicable"] = str(error)
    finally:
        tool.stop()
        write_down()
    said["found"] = tool.found()
    said["seen_as"] = tool.seen_as
    (Path(os.environ[DIRECTORY]) / "found.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[2])
