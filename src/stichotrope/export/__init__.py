"""Results as files: CSV for spreadsheets, JSON for programs, four formats for other viewers."""

from __future__ import annotations

from .._text.files import checked_path, write_bytes_whole, write_whole
from ..results import results_of
from . import csv, json

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from .._text.files import StrPath

__all__ = [
    "export_chrome",
    "export_collapsed",
    "export_csv",
    "export_json",
    "export_otlp_profiles",
    "export_perfetto",
    "export_pprof",
    "export_pstats",
    "export_speedscope",
]


def export_csv(results: object, path: StrPath, *, wide: bool = False) -> None:
    """Write one line per block to a CSV file, whole or not at all.

    The nine columns are ``Track`` (its index), ``Block Name``, ``Hit Count``, ``Total Time (ns)``,
    ``Avg Time (ns)``, ``Min Time (ns)``, ``Max Time (ns)``, ``% Track`` and ``% Total``.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param path: the target.
    :param wide: whether to have all figures, percentiles and self time among them, the names of
        profiler and track, and file and line, in the columns of `ProfilerResults.to_pandas`.
    :raises TypeError: when one of them is of the wrong type.
    :raises OSError: when the target cannot be written.
    """
    checked_path(path)
    write_whole(path, csv.render(results_of(results), wide))


def export_json(results: object, path: StrPath, indent: int | None = 2) -> None:
    """Write everything that was measured to a JSON file, whole or not at all.

    `ProfilerResults.load` reads it back.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param path: the target.
    :param indent: spaces for each level, or None for everything on one line.
    :raises TypeError: when one of them is of the wrong type, or the metadata holds what JSON
        cannot.
    :raises ValueError: when ``indent`` is negative.
    :raises OSError: when the target cannot be written.
    """
    checked_path(path)
    write_whole(path, json.render(results_of(results), indent) + "\n")


def export_speedscope(results: object, path: StrPath) -> None:
    """Write the call trees to a file for https://www.speedscope.app, whole or not at all.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param path: the target; speedscope's own end in ``.speedscope.json``.
    :raises TypeError: when either is of the wrong type.
    :raises OSError: when the target cannot be written.
    """
    from .speedscope import render

    checked_path(path)
    write_whole(path, render(results_of(results)))


def export_collapsed(results: object, path: StrPath) -> None:
    """Write the call tree to a file for flamegraph.pl and its kin, whole or not at all.

    Each line is a path of blocks and its self time in nanoseconds.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param path: the target.
    :raises TypeError: when either is of the wrong type.
    :raises OSError: when the target cannot be written.
    """
    from .collapsed import render

    checked_path(path)
    write_whole(path, render(results_of(results)))


def export_perfetto(timeline: object, path: StrPath) -> None:
    """Write single passes to a file for https://ui.perfetto.dev, whole or not at all.

    Each thread is a track, with its tasks and generators below it; tags are annotations. Several
    timelines are processes beside each other, those of one machine on its one clock.

    :param timeline: a `Timeline`, or a `Profiler` that keeps one; or a list of `Timeline`.
    :param path: the target; Perfetto's own end in ``.pftrace``.
    :raises TypeError: when either is of the wrong type.
    :raises ValueError: when the profiler keeps no timeline.
    :raises OSError: when the target cannot be written.
    """
    from ..results.timeline import timelines_of
    from .perfetto import render

    checked_path(path)
    write_bytes_whole(path, render(timelines_of(timeline)))


def export_chrome(timeline: object, path: StrPath) -> None:
    """Write single passes to a JSON file for ``chrome://tracing`` and others, whole or not at all.

    It takes three times the room of `export_perfetto`, and more programs read it.

    :param timeline: as for `export_perfetto`.
    :param path: the target.
    :raises TypeError: when either is of the wrong type.
    :raises ValueError: when the profiler keeps no timeline.
    :raises OSError: when the target cannot be written.
    """
    from ..results.timeline import timelines_of
    from .chrome import render

    checked_path(path)
    write_whole(path, render(timelines_of(timeline)))


def export_pstats(results: object, path: StrPath) -> None:
    """Write the figures to a file that `pstats.Stats` opens, whole or not at all.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param path: the target.
    :raises TypeError: when either is of the wrong type.
    :raises ValueError: when the results have no blocks, which pstats would refuse to open.
    :raises OSError: when the target cannot be written.
    """
    from .pstats import render

    checked_path(path)
    write_bytes_whole(path, render(results_of(results)))


def export_pprof(results: object, path: StrPath) -> None:
    """Write the call trees to a file for ``go tool pprof`` and its kin, whole or not at all.

    Its sample types are hits, errors, cancelled, open, total and self, the last two in nanoseconds,
    and its labels thread, thread_key and pid.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param path: the target; pprof's own end in ``.pb.gz``.
    :raises TypeError: when either is of the wrong type.
    :raises ValueError: when a figure is too large for 64 bits.
    :raises OSError: when the target cannot be written.
    """
    from .pprof import render

    checked_path(path)
    write_bytes_whole(path, render(results_of(results)))


def export_otlp_profiles(results: object, path: StrPath, *, alpha: bool) -> None:
    """Write the call trees as OTLP Profiles, whole or not at all.

    That format is alpha, and its layout may change with any version: this is that of PyPI's
    opentelemetry-proto 1.45 (``v1development``), and will follow later ones as they come.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param path: the target, an encoded ``ProfilesData``.
    :param alpha: True, which says that you know.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when ``alpha`` is not True, or a figure is too large for 64 bits.
    :raises OSError: when the target cannot be written.
    """
    from .otlp import render

    if not isinstance(alpha, bool):
        raise TypeError(f"alpha must be True or False, not {alpha!r}")
    if not alpha:
        raise ValueError(
            "OTLP Profiles are alpha, and their layout may change with any version: say alpha=True"
        )
    checked_path(path)
    write_bytes_whole(path, render(results_of(results)))
