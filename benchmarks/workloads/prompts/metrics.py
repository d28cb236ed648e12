"""The generator's metrics: how many prompts, how long they took, how often a plan was known."""

from __future__ import annotations

from collections.abc import Callable

from stichotrope.metrics import Counter, Histogram, MetricRegistry

SUCCESS, ERROR = "success", "error"


class PromptMetrics:
    """What a generator counts.

    :param registry: where its metrics are registered.
    """

    def __init__(self, registry: MetricRegistry) -> None:
        prompts = Counter(
            "prompt_generation_total", "Prompts that were asked for.", ["status"], registry=registry
        )
        self._ended: dict[bool, Callable[[], None]] = {
            True: prompts.labels(SUCCESS).inc,
            False: prompts.labels(ERROR).inc,
        }
        self._took = Histogram(
            "prompt_generation_duration_seconds", "Time to make a prompt.", registry=registry
        )
        self.plan_hit = Counter(
            "plan_cache_hits_total", "Plans that were known already.", registry=registry
        ).inc

    def end(self, is_made: bool, took_ns: int) -> None:
        """Count a prompt that was made, or could not be.

        :param is_made: whether it was.
        :param took_ns: how long that took.
        """
        self._ended[is_made]()
        self._took.observe(took_ns / 1e9)
