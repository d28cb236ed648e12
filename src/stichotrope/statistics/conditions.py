"""When a comparison counts as failed: conditions such as ``slower>5%``."""

from __future__ import annotations

from fractions import Fraction

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ._comparison import Comparison

EXPECTED = (
    "a condition is slower or faster, with a share if it is to be more than that (slower>5%), "
    "missing, new or unclear, hits-per-parent, with a factor if it is to be more (such as "
    "hits-per-parent>1.5x), missing-path or new-path"
)
_OF_TIMES = ("slower", "faster", "unclear")
_OF_COUNTS = "hits-per-parent"


class Condition:
    """What must not be in a comparison.

    - ``slower``, ``faster``: a block with that verdict. ``slower>5%``: one that is shown to be
      slower by more than 5 %, which is its verdict where the threshold is 5 %.
    - ``missing``, ``new``: a block that only the old version has, or only the new one.
    - ``unclear``: a block of which there is too little data.
    - ``hits-per-parent``: a block that is passed more often in a pass of the block around it.
      ``hits-per-parent>1.5x``: more than 1.5 times as often. In every new run, compared with the
      old run that has the most.
    - ``missing-path``, ``new-path``: a path of nested blocks that only one version passes.

    :param text: the condition.
    :ivar threshold: the share behind ``>``, None without.
    :ivar is_of_times: whether it depends on how long something took, not on counts alone.
    :raises ValueError: when it is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        word, above, amount = (part.strip() for part in text.partition(">"))
        if word not in _WORDS or (above and word not in ("slower", "faster", _OF_COUNTS)):
            raise ValueError(f"{text!r} is no condition: {EXPECTED}")
        self.is_of_times = word in _OF_TIMES
        self.threshold = None
        self._find = _WORDS[word]
        if above and word == _OF_COUNTS:
            self._find = _of_counts(_factor(text, amount))
        elif above:
            self.threshold = _share(text, amount)

    def blocks(self, comparison: Comparison) -> list[str]:
        """Return the names of the blocks that meet it, or the paths with their counts.

        :param comparison: one that was made with its threshold, if it has one.
        """
        return self._find(comparison)


def parsed(texts: Iterable[str]) -> list[Condition]:
    """Return the conditions in texts, each of which may hold several with commas between.

    :param texts: the texts.
    :raises ValueError: when one is no condition.
    """
    return [Condition(part.strip()) for text in texts for part in text.split(",")]


def share(text: str) -> float:
    """Return a share that is given in percent, or as a part of 1.

    :param text: such as ``5%`` or ``0.05``.
    :raises ValueError: when it is neither.
    """
    return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)


def _share(text: str, given: str) -> float:
    try:
        value = share(given)
    except ValueError:
        raise ValueError(f"{given!r} in {text!r} is no share, such as 5% or 0.05") from None
    if not 0 <= value < 1:
        raise ValueError(f"the share in {text!r} must be from 0 % on and below 100 %")
    return value


def _factor(text: str, factor: str) -> Fraction:
    try:
        value = Fraction(factor.removesuffix("x"))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{factor!r} in {text!r} is no factor, such as 1.5x") from None
    if value < 1:
        raise ValueError(f"the factor in {text!r} must be 1x or more")
    return value


def _of_counts(factor: Fraction) -> Callable[[Comparison], list[str]]:
    return lambda comparison: [
        str(count) for count in comparison.counts if count.is_more_than(factor)
    ]


def _paths(paths: Sequence[tuple[str, ...]]) -> list[str]:
    return [" > ".join(path) for path in paths]


def _of_verdict(verdict: str) -> Callable[[Comparison], list[str]]:
    return lambda comparison: [block.name for block in comparison.of_verdict(verdict)]


def _names(blocks: Sequence[object]) -> list[str]:
    return [block.name for block in blocks]  # type: ignore[attr-defined]


_WORDS: dict[str, Callable[[Comparison], list[str]]] = {
    "slower": _of_verdict("slower"),
    "faster": _of_verdict("faster"),
    "missing": lambda comparison: _names(comparison.only_old),
    "new": lambda comparison: _names(comparison.only_new),
    "unclear": _of_verdict("too little data"),
    _OF_COUNTS: _of_counts(Fraction(1)),
    "missing-path": lambda comparison: _paths(comparison.paths_only_old),
    "new-path": lambda comparison: _paths(comparison.paths_only_new),
}
