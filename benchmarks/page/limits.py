"""What the project holds itself to, and whether it does."""

from __future__ import annotations

from benchmarks import _store, report
from benchmarks.page._text import Section


def sections(views: list[_store.Run]) -> list[Section]:
    """Return the limits of all subjects, but those that stand with the programs alone."""
    told = report.table(views, "limits", wanted=report.headline_limits(views))
    if not told:
        return []
    return [Section("Limits that the project holds itself to", [report.LEGEND, told])]
