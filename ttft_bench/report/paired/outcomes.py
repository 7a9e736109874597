"""What a statistic can come to: a figure, or a name for why there is none. Never a warning, never a NaN."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CONFIDENCE = 0.95
#: Below these counts a verdict is "not decided", whatever the figures look like.
MIN_PROMPTS = 30
MIN_GROUPS = 10
#: Below this count there is no interval at all: four groups have 35 different resamples.
MIN_GROUPS_FOR_INTERVAL = 5


class Outcome(StrEnum):
    """How a computation ended; only ``ok`` and ``all equal`` carry everything that was asked for."""

    OK = "ok"
    NO_DATA = "no data"  # no prompt was measured on every side
    ONE_PROMPT = "one prompt"  # nothing to resample, nothing to rank
    ONE_GROUP = "one group"  # several prompts that belong together count as one observation
    FEW_GROUPS = "few groups"  # resamples of so few repeat themselves; an interval would be too narrow
    ALL_EQUAL = "all equal"  # no spread: the interval has no width, a test has nothing to test
    UNSTABLE = "unstable"  # some resamples have no such figure, so there is no interval for it
    NO_INTERVAL = "no interval"  # the BCa correction is undefined for these values
    NOT_REACHED = "not reached"  # a line has no setting that is as fast as the time asked for
    NEVER = "never"  # one way stays dearer, however long one waits
    AT_FIRST = "only at first"  # one way is cheaper to begin with, and dearer in the long run


@dataclass(frozen=True)
class Interval:
    """A figure with its BCa bootstrap interval over ``n_groups`` groups of ``n_prompts`` prompts."""

    value: float | None
    low: float | None
    high: float | None
    n_prompts: int
    n_groups: int
    outcome: Outcome = Outcome.OK
    confidence: float = CONFIDENCE

    def below(self, limit: float) -> bool:
        """Whether the whole interval lies below ``limit``; False without an interval."""
        return self.high is not None and self.high < limit

    def above(self, limit: float) -> bool:
        """Whether the whole interval lies above ``limit``; False without an interval."""
        return self.low is not None and self.low > limit

    def shortage(self) -> str:
        """Why nothing may be concluded from this interval; empty where something may."""
        if self.value is None:
            return str(self.outcome)
        if self.n_prompts < MIN_PROMPTS:
            return f"{self.n_prompts} of the {MIN_PROMPTS} prompts that are needed"
        if self.n_groups < MIN_GROUPS:
            return f"{self.n_groups} of the {MIN_GROUPS} groups that are needed"
        return str(self.outcome) if self.low is None else ""

    def negated(self) -> Interval:
        """The interval of minus the figure."""
        value, low, high = (None if part is None else -part for part in (self.value, self.high, self.low))
        return Interval(value, low, high, self.n_prompts, self.n_groups, self.outcome, self.confidence)

    def shifted(self, by: float) -> Interval:
        """The interval of the figure plus a constant."""
        value, low, high = (None if part is None else part + by for part in (self.value, self.low, self.high))
        return Interval(value, low, high, self.n_prompts, self.n_groups, self.outcome, self.confidence)


__all__ = ["CONFIDENCE", "MIN_GROUPS", "MIN_GROUPS_FOR_INTERVAL", "MIN_PROMPTS", "Interval", "Outcome"]
