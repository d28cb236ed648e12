"""Makes the programs importable from the checkout, and holds what their tests share."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What the body does has to be done in less; not where a sanitizer watches each access to memory."""
    start = time.monotonic()
    yield
    if "san" not in os.environ.get("LD_PRELOAD", ""):
        assert time.monotonic() - start < seconds
