"""The verdict on one cell: what a tool found, against what the program measured itself."""

from __future__ import annotations

from typing import Any

from .adapters import Found

RATIO = 0.15
"""By how much a time may differ from the program's own. Each is 20 ms or more."""


Cell = dict[str, Any]
"""verdict; wrong: a sentence for each figure; figures: {name: {what: [truth, found]}}; reason."""


def close(found: int, truth: int) -> bool:
    """Whether two times are the same, as far as can be told."""
    return abs(found - truth) <= RATIO * truth


def milliseconds(ns: int) -> str:
    """Return a time as it is shown."""
    return f"{ns / 1e6:.1f} ms"


def judge(
    truth: dict[str, dict[str, Any]],
    found: dict[str, Found],
    checks: dict[str, bool],
    per_thread: bool,
) -> Cell:
    """Compare, figure by figure. A figure that a tool does not give is not held against it."""
    figures: dict[str, dict[str, list[Any]]] = {}
    wrong = [f"not so: {sentence}" for sentence, holds in checks.items() if not holds]
    for name, told in truth.items():
        one = found.get(name)
        if one is None:
            figures[name] = {"hits": [told["hits"], None], "time": [told["time"], None]}
            continue
        figures[name] = {
            what: [told[what], one[what]]
            for what in ("hits", "time", "active", "threads")
            if one.get(what) is not None
            and told[what] is not None
            and (per_thread or what != "threads")
        }
        wrong += [f"{name}: {sentence}" for sentence in differences(told, figures[name])]
    missing = [name for name in truth if name not in found]
    if missing and len(missing) == len(truth):
        return {"verdict": "not recorded", "figures": figures, "wrong": wrong}
    wrong += [f"{name}: not recorded" for name in missing]
    return {"verdict": "wrong" if wrong else "right", "figures": figures, "wrong": wrong}


def differences(told: dict[str, Any], figures: dict[str, list[Any]]) -> list[str]:
    """Say in what the figures of one name are not the truth."""
    said = []
    for what in ("hits", "threads"):
        if what in figures and figures[what][0] != figures[what][1]:
            said.append(f"{what} {figures[what][1]} instead of {figures[what][0]}")
    if "time" not in figures:
        return said
    time, active = figures["time"][1], figures.get("active")
    if told["ran"] is not None:
        accepted = {"from its beginning to its end": told["time"], "running": told["ran"]}
    elif told["active"] is None:
        accepted = {"it took": told["time"]}
    elif active is not None:
        accepted = {"from the first resume to the end": told["time"]}
    else:  # of one figure, either meaning is right
        accepted = {
            "from the first resume to the end": told["time"],
            "active": told["active"],
        }
    if not any(close(time, one) for one in accepted.values()):
        truth = " or ".join(f"{milliseconds(ns)} ({what})" for what, ns in accepted.items())
        said.append(f"time {milliseconds(time)} instead of {truth.replace(' (it took)', '')}")
    if active is not None and told["active"] is not None and not close(active[1], active[0]):
        said.append(f"active {milliseconds(active[1])} instead of {milliseconds(active[0])}")
    return said
