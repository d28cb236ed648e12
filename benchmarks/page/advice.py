"""How to keep overhead low, with what each piece of advice is worth."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import _store, per_pass, report, suspended
from benchmarks._run import Fact, Figure, Stored, minus
from benchmarks.page import _text, _views
from benchmarks.page._text import Section

SHARES_PERCENT = (5, 1, 0.1)

_MEASURED = """\
**Look at what it costs you.** Each report ends with the cost of a pass as it was measured on the
machine that the program ran on, and what all passes cost together. A block whose mean is within a
few times of it says more about the profiler than about the program."""

_GRANULARITY = """\
**Mark what takes long enough.** The cost of a pass is the same however long it lasts, so it is the
length of what is marked that decides. A pass takes at most so much of the work if the work lasts
longer than this:"""

_LOOPS = """\
**Mark around a loop, not inside it,** unless you want the single turns: a block around a thousand
turns costs one pass in place of a thousand."""


def sections(views: list[_store.Run]) -> list[Section]:
    """Return the advice; figures are those of the interpreter that stands for all."""
    title = "How to keep overhead low"
    view = _views.first(views, "per_pass")
    if view is None:
        return [Section(title, [_text.missing("per_pass")])]
    stored = view["subjects"]["per_pass"]
    parts = [
        f"Figures are those of CPython {_store.label(view)}.",
        _MEASURED,
        _GRANULARITY,
        _shares(stored),
        _LOOPS,
        _kept(stored),
        _calls(stored),
        _off(stored),
        _resumes(view),
    ]
    return [Section(title, parts)]


def _shares(stored: Stored) -> str:
    """Return how long work has to last for a pass to be so small a part of it."""
    rows = []
    for case in ("tracked", "kept_block", "inline_block"):
        cost = per_pass.net_ns(stored, case)
        cells = [
            _text.said([ns * 100 / percent / 1000 for ns in cost], "µs")
            for percent in SHARES_PERCENT
        ]
        rows.append([stored["cases"][case]["title"], *cells])
    return _text.table(["", *(f"{percent:g} % of the work" for percent in SHARES_PERCENT)], rows)


def _kept(stored: Stored) -> str:
    saved = minus(_net(stored, "inline_block"), _net(stored, "kept_block"))
    return (
        '**Keep blocks.** `QUERY = p.block(1, "query")` once, and `with QUERY:` where it is used, '
        f"saves {_text.said(saved, 'ns')} a pass: the block need not be found again."
    )


def _calls(stored: Stored) -> str:
    call, block = (_text.said(_net(stored, case), "ns") for case in ("tracked", "kept_block"))
    return (
        "**Mark functions where there are functions.** A tracked call costs "
        f"{call}, a kept block {block}: the interpreter makes two calls of a `with`."
    )


def _off(stored: Stored) -> str:
    off = {
        case: _text.said(_net(stored, case), "ns")
        for case in ("track_off", "stopped", "kept_block_stopped", "inline_block_stopped")
    }
    same = per_pass.limits(stored)[-1]
    return (
        "**Switch off what you do not need now.** `p.set_track_enabled(1, False)` switches off a "
        f"whole group of marks on all threads: a call then costs {off['track_off']}. After "
        f"`p.stop()`, a call costs {off['stopped']}, a kept block {off['kept_block_stopped']}, an "
        f"inline block {off['inline_block_stopped']}. And `set_global_enabled(False)` before "
        f"decoration gives back the function as it was ({report.cell(same)}), which costs nothing."
    )


def _resumes(view: _store.Run) -> str:
    if "suspended" not in view["subjects"]:
        return ""
    rows = suspended.figures(view["subjects"]["suspended"])
    costs = _text.listed(
        [f"{kind.resume} {_cost(rows, kind)}" for kind in suspended.KINDS],
    )
    return (
        "**Of generators and coroutines, leave out those that are resumed again and again for very "
        f"little,** or mark what they call: each resume costs as well ({costs})."
    )


def _cost(rows: Sequence[Figure | Fact], kind: suspended.Kind) -> str:
    title = f"{kind.resume}, {suspended.ARMS['tracked']}"
    return next(report.cell(row) for row in rows if row.name == title)


def _net(stored: Stored, case: str) -> Sequence[float]:
    return per_pass.net_ns(stored, case)
