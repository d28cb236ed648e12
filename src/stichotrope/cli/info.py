"""``stichotrope info``: what this installation is, and what a pass costs on this machine."""

from __future__ import annotations

import sys

from . import CommandError, reason

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from typing import Any

USAGE = "%(prog)s [options]"
DESCRIPTION = """\
Show version, Python, clock, what recording a pass costs here, settings, and
extras."""
EXAMPLES = """\
examples:
  stichotrope info
  stichotrope info --json
  STICHOTROPE_CLOCK=monotonic stichotrope info"""

# Extra → the packages that it brings.
EXTRAS = {
    "completion": ("argcomplete",),
    "notebook": ("IPython",),
    "stats": ("scipy",),
    "history": ("ruptures",),
    "pandas": ("pandas",),
    "polars": ("polars",),
    "arrow": ("pyarrow",),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    :param parser: the command's parser.
    """
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def main(options: Any) -> int:
    """Print what is known; return the exit status.

    :param options: what the parser found.
    :raises CommandError: when the settings have a mistake.
    """
    facts = _facts()
    if options.json:
        import json

        print(json.dumps(facts, indent=2))
    else:
        for line in _lines(facts):
            print(line)
    return 0


def _facts() -> dict[str, Any]:
    import platform

    from .. import _core
    from .._version import __version__
    from ..config import ConfigError, clock, load

    try:
        settings = load()
    except ConfigError as error:
        raise CommandError(reason(error)) from None
    return {
        "version": __version__,
        "package": __file__.rpartition("cli")[0].rstrip("/\\"),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "platform": platform.platform(),
        "clock": {
            **clock.description(),
            "counter": _core.counter_name() or None,
            "counter_is_invariant": _core.counter_is_invariant(),
        },
        "overhead_ns_per_pass": _core.measure_pass(),
        "degraded": _core.degraded(),
        "settings": {
            "file": settings.source,
            "given": {
                key: {"value": settings.to_dict()[key], "by": origin}
                for key, origin in settings.origins.items()
            },
        },
        "extras": {extra: _versions(packages) for extra, packages in EXTRAS.items()},
    }


def _versions(packages: tuple[str, ...]) -> dict[str, str | None]:
    """Return the version of each package, None for one that is not there."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for package in packages:
        if package in sys.stdlib_module_names:
            continue
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _lines(facts: dict[str, Any]) -> list[str]:
    from .._text.format import format_count, format_time_ns

    clock = facts["clock"]
    lock = "with GIL" if facts["gil"] else "without GIL"
    rows = {
        "stichotrope": f"{facts['version']}, in {facts['package']}",
        "Python": f"{facts['python']} ({facts['implementation']}, {lock}), {facts['executable']}",
        "platform": facts["platform"],
        "clock": f"{clock['source']}, resolution {format_time_ns(clock['resolution_ns'])}, "
        f"{format_count(round(clock['ticks_per_second']))} ticks per second",
        "counter": _counter(clock),
        "cost": f"{format_time_ns(facts['overhead_ns_per_pass'])} per pass, as measured just now",
        "degraded": "; ".join(facts["degraded"]) or "nothing",
        "settings": _settings(facts["settings"]),
        "extras": "; ".join(_extra(name, found) for name, found in facts["extras"].items()),
    }
    width = max(map(len, rows)) + 2
    return [f"{name:{width}}{text}" for name, text in rows.items()]


def _counter(clock: dict[str, Any]) -> str:
    if clock["counter"] is None:
        return "this processor has none that can be used"
    steady = "of constant rate" if clock["counter_is_invariant"] else "whose rate may change"
    return f"{clock['counter']}, {steady}"


def _settings(settings: dict[str, Any]) -> str:
    given = settings["given"]
    listed = ", ".join(f"{key} ({said['by']})" for key, said in given.items())
    return f"{settings['file'] or 'no file'}" + (f"; given: {listed}" if listed else "")


def _extra(name: str, found: dict[str, str | None]) -> str:
    versions = [f"{package} {version}" for package, version in found.items() if version]
    if len(versions) < len(found):
        return f"{name}: not installed"
    return f"{name}: {', '.join(versions) or 'part of Python'}"
