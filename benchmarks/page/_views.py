"""What the stored runs say of each interpreter: of each subject the newest run that has it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks import _store

WORKLOADS = _store.RESULTS.with_name("workloads")


def stored() -> list[Path]:
    """Return all stored runs of supported interpreters: of the suite, and of single subjects."""
    paths = sorted([*_store.RESULTS.rglob("*.json"), *WORKLOADS.glob("*/results/*.json")])
    return [path for path in paths if _store.is_supported(_store.load(path))]


def gather(paths: Iterable[Path]) -> list[_store.Run]:
    """Return a view of each interpreter, from the oldest to the newest.

    A view is like a stored run, with subjects out of several: `sources` has for each of its
    subjects the run that it comes from, and each of these its file as `path`.

    :param paths: stored runs.
    :raises ValueError: a file is not a stored run.
    """
    runs = [{**_store.load(path), "path": path} for path in paths]
    best: dict[str, dict[str, _store.Run]] = {}
    for run in sorted(runs, key=_rank):
        sources = best.setdefault(_store.label(run), {})
        sources.update(dict.fromkeys(run["subjects"], run))
    views = [_view(sources) for sources in best.values() if sources]
    return sorted(views, key=_age)


def having(views: Iterable[_store.Run], subject: str) -> list[_store.Run]:
    """Return the views that have a subject."""
    return [view for view in views if subject in view["subjects"]]


def first(views: Iterable[_store.Run], subject: str) -> _store.Run | None:
    """Return the view that stands for all where one is drawn; None where none has the subject.

    It is that with most subjects; of several, the newest interpreter with the GIL.

    :param views: of all interpreters.
    :param subject: what it must have.
    """
    return max(
        having(views, subject),
        key=lambda view: (len(view["subjects"]), view["machine"]["gil"], _age(view)),
        default=None,
    )


def _view(sources: dict[str, _store.Run]) -> _store.Run:
    newest = max(sources.values(), key=_rank)
    subjects = {name: run["subjects"][name] for name, run in sources.items()}
    return {**newest, "subjects": subjects, "sources": sources}


def _rank(run: _store.Run) -> tuple[bool, str, str]:
    """A whole run comes before a quick one, and then the newer one."""
    return run["scale"] != "quick", run["started"], str(run["path"])


def _age(run: _store.Run) -> tuple[int, int, str]:
    major, minor = run["machine"]["python"].split(".")[:2]
    return int(major), int(minor), _store.label(run)
