"""When a comparison counts as failed: conditions such as ``slower>5%``."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..statistics import Comparison

EXPECTED = (
    "a condition is slower or faster, with a share if it is to be more than that (slower>5%), "
    "or missing, new or unclear"
)


class Condition:
    """What must not be in a comparison.

    - ``slower``, ``faster``: a block with that verdict. ``slower>5%``: one that is shown to be
      slower by more than 5 %, which is its verdict where the threshold is 5 %.
    - ``missing``, ``new``: a block that only the old version has, or only the new one.
    - ``unclear``: a block of which there is too little data.

    :param text: the condition.
    :ivar threshold: the share behind ``>``, None without.
    :raises ValueError: when it is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        word, above, share = (part.strip() for part in text.partition(">"))
        if word not in _WORDS or (above and word not in ("slower", "faster")):
            raise ValueError(f"{text!r} is no condition: {EXPECTED}")
        self._word = word
        self.threshold = _share(text, share) if above else None

    def blocks(self, comparison: Comparison) -> list[str]:
        """Return the names of the blocks that meet it.

        :param comparison: one that was made with its threshold, if it has one.
        """
        return _WORDS[self._word](comparison)


def parsed(texts: Iterable[str]) -> list[Condition]:
    """Return the conditions in texts, each of which may hold several with commas between.

    :param texts: the texts.
    :raises ValueError: when one is no condition.
    """
    return [Condition(part.strip()) for text in texts for part in text.split(",")]


def _share(text: str, share: str) -> float:
    percent = share.endswith("%")
    try:
        value = float(share.rstrip("%")) / (100 if percent else 1)
    except ValueError:
        raise ValueError(f"{share!r} in {text!r} is no share, such as 5% or 0.05") from None
    if not 0 <= value < 1:
        raise ValueError(f"the share in {text!r} must be from 0 % on and below 100 %")
    return value


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
}
