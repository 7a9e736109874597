"""What is measured, as data: ordering, axis titles and the frontier all follow from a metric's direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ttft_bench.sweep.schema import COST_COLUMNS, EXTRA_COST_COLUMNS

Direction = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """One measured quantity.

    ``key`` is a column of the result row, or ``total_s`` (the sum of the cost columns); ``direction`` says
    which way is better.
    """

    key: str
    label: str
    unit: str
    direction: Direction = "lower"

    def at_least_as_good(self, one: float, other: float) -> bool:
        """Whether ``one`` is no worse than ``other``."""
        return one <= other if self.direction == "lower" else one >= other

    def sort_value(self, value: float) -> float:
        """A number that grows as the value gets worse, so that ascending order puts the best first."""
        return value if self.direction == "lower" else -value

    @property
    def axis_title(self) -> str:
        """Label with its unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


#: 100 * bits per byte after / before: what is left of the prompt's cost. 100 is the untouched model.
QUALITY = Metric("bpb_pct", "BPB%", "% of the untouched model", "lower")

#: What a user waits for per prompt.
COST = Metric("total_s", "time per prompt, select + finetune, median", "", "lower")

#: Every timed stage in the order in which it happens, with the word a reader sees.
STAGES: tuple[Metric, ...] = (
    Metric("embed_s", "embed", "s"),
    Metric("retrieve_s", "retrieve", "s"),
    Metric("select_s", "select", "s"),
    Metric("finetune_s", "finetune", "s"),
    Metric("context_s", "read context", "s"),
    Metric("restore_s", "restore", "s"),
    Metric("score_s", "score", "s"),
)

#: Columns whose medians are reported; ``total_s`` is derived.
TIME_KEYS: tuple[str, ...] = (*(stage.key for stage in STAGES), COST.key)


def better_corner(x: Metric, y: Metric) -> str:
    """Words for the good corner of a plot of ``y`` against ``x``, such as ``lower left is better``."""
    vertical = "lower" if y.direction == "lower" else "upper"
    horizontal = "left" if x.direction == "lower" else "right"
    return f"{vertical} {horizontal} is better"


__all__ = [
    "COST",
    "COST_COLUMNS",
    "EXTRA_COST_COLUMNS",
    "QUALITY",
    "STAGES",
    "TIME_KEYS",
    "Direction",
    "Metric",
    "better_corner",
]
