"""The HTML report: one file that needs no network and treats whatever a program names as text."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results import ProfilerResults
    from ..results.timeline import Timeline

# Joined in this order into one function: what is below may use what is above.
_SCRIPTS = (
    *("format", "dom", "data", "rows", "histogram", "details"),
    *("blocks", "tree", "flame", "threads", "workers", "timeline", "main"),
)


def render(
    results: ProfilerResults, *, source: bool = True, timelines: Sequence[Timeline] = ()
) -> str:
    """Return results as a page of HTML that holds its style, its script and its data.

    A Content-Security-Policy (https://www.w3.org/TR/CSP3/) allows that style and that script, by
    their hashes, and nothing else.

    :param results: the results.
    :param source: whether to include the source lines around each block, as far as their files can
        be read now.
    :param timelines: passes one by one, of each process, for a view of their own.
    :raises TypeError: when ``source`` is not True or False.
    """
    from html import escape
    from string import Template

    from .._text.format import printable
    from .._version import __version__
    from ._page import contents

    if not isinstance(source, bool):
        raise TypeError(f"source must be True or False, not {source!r}")
    style, script = _asset("page.css"), _script()
    return Template(_asset("page.html")).substitute(
        title=escape(printable(results.profiler_name)),
        version=escape(__version__),
        policy=_policy(style, script),
        style=style,
        script=script,
        data=_json(contents(results, source, timelines)),
    )


def _asset(name: str) -> str:
    """Return a part of the page; its hash is that of what a browser makes of its line ends."""
    from importlib.resources import files

    page = files(__package__) / "page"
    return (page / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _script() -> str:
    parts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def _policy(style: str, script: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(text: str) -> str:
    from base64 import b64encode
    from hashlib import sha256

    return f"sha256-{b64encode(sha256(text.encode('utf-8')).digest()).decode('ascii')}"


def _json(data: object) -> str:
    """Return data as JSON that can stand within a script element, whatever its texts are.

    In pure ASCII, U+2028 and U+2029 are escaped anyway; ``<``, ``>`` and ``&`` occur in texts only,
    where they may be escaped (RFC 8259, section 7).
    """
    from json import dumps

    text = dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
