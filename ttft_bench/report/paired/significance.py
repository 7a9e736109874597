"""Tests on paired differences: Wilcoxon signed-rank with Holm's correction, and equivalence by two one-sided tests.

Both are done twice: with prompts as observations, as announced by most papers, and with groups (the mean difference of
a group's prompts), which siblings cannot inflate. Verdicts look at groups.

Sources: ``scipy.stats.wilcoxon``; Holm (1979) by ``statsmodels.stats.multitest.multipletests``; TOST (Schuirmann 1987)
by ``statsmodels.stats.weightstats.ttost_paired``.
"""

from __future__ import annotations

import dataclasses
import gc
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ttft_bench.report.paired.outcomes import CONFIDENCE, Outcome
from ttft_bench.report.paired.prompts import Paired

#: Differences of means within this many points of BPB% are equivalent for a user.
EQUIVALENCE_MARGIN = 0.5
ALPHA = 1 - CONFIDENCE


@dataclass(frozen=True)
class Test:
    """A p-value, or the name of why there is none."""

    __test__ = False  # for pytest: this is no test class

    p: float | None
    outcome: Outcome

    @property
    def significant(self) -> bool:
        """Whether p is below 5 %."""
        return self.p is not None and self.p < ALPHA


@dataclass(frozen=True)
class Significance:
    """Tests on ``n`` differences of prompts or groups.

    Attributes:
        unit: what counts as one observation.
        n: how many of them.
        wilcoxon: the differences are symmetric about 0.
        wilcoxon_holm: its p-value corrected for the family of comparisons; equal to ``wilcoxon`` in a family of one.
        tost: the mean difference lies outside the margin; a small p-value speaks for equivalence.
        mean: the mean difference.
        margin: of the equivalence.
    """

    unit: Literal["prompt", "group"]
    n: int
    wilcoxon: Test
    wilcoxon_holm: Test
    tost: Test
    mean: float | None
    margin: float = EQUIVALENCE_MARGIN

    @property
    def equivalent(self) -> bool:
        """Whether equivalence is shown; differences without any spread show it by their size."""
        if self.tost.outcome is Outcome.ALL_EQUAL:
            return self.mean is not None and abs(self.mean) < self.margin
        return self.tost.significant


def significance(paired: Paired, unit: Literal["prompt", "group"], margin: float = EQUIVALENCE_MARGIN) -> Significance:
    """Both tests on one comparison."""
    values = np.asarray(paired.differences if unit == "prompt" else group_means(paired), dtype=np.float64)
    wilcoxon = _wilcoxon(values)
    mean = float(values.mean()) if len(values) else None
    return Significance(unit, len(values), wilcoxon, wilcoxon, _tost(values, margin), mean, margin)


def group_means(paired: Paired) -> list[float]:
    """The mean difference of each group."""
    members: defaultdict[str, list[float]] = defaultdict(list)
    for group, value in zip(paired.groups, paired.differences, strict=True):
        members[group].append(value)
    return [sum(values) / len(values) for _, values in sorted(members.items())]


def correct(family: Sequence[Significance]) -> list[Significance]:
    """Correct the Wilcoxon p-values of a family of comparisons after Holm; comparisons without one do not count."""
    known = [index for index, item in enumerate(family) if item.wilcoxon.p is not None]
    corrected = list(family)
    if known:
        from statsmodels.stats.multitest import multipletests

        with _frozen():
            adjusted = multipletests([family[index].wilcoxon.p for index in known], method="holm")[1]
        for index, p in zip(known, adjusted, strict=True):
            corrected[index] = dataclasses.replace(family[index], wilcoxon_holm=Test(float(p), Outcome.OK))
    return corrected


@contextmanager
def _frozen() -> Iterator[None]:
    """Keep what is alive out of a garbage collection.

    ``multipletests`` asks for a full one on every call, which walks all rows of the run: 0.2 s for 12,000 of them.
    """
    if gc.get_freeze_count():  # somebody else's, not ours to thaw
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _few(n: int) -> Outcome | None:
    return Outcome.NO_DATA if n == 0 else Outcome.ONE_PROMPT if n == 1 else None


def _wilcoxon(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Test:
    few = _few(len(values))
    if few:
        return Test(None, few)
    # Differences of exactly zero carry no sign and are dropped (Wilcoxon's own way); nothing may be left.
    if not values.any():
        return Test(None, Outcome.ALL_EQUAL)
    from scipy.stats import wilcoxon

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small samples with ties: scipy takes the normal approximation and says so
        p = float(wilcoxon(values, zero_method="wilcox").pvalue)
    return Test(p, Outcome.OK) if np.isfinite(p) else Test(None, Outcome.NO_DATA)


def _tost(values: np.ndarray[tuple[int], np.dtype[np.float64]], margin: float) -> Test:
    few = _few(len(values))
    if few:
        return Test(None, few)
    if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return Test(None, Outcome.ALL_EQUAL)
    from statsmodels.stats.weightstats import ttost_paired

    p = float(ttost_paired(values, np.zeros_like(values), -margin, margin)[0])
    return Test(p, Outcome.OK) if np.isfinite(p) else Test(None, Outcome.NO_DATA)


__all__ = ["ALPHA", "EQUIVALENCE_MARGIN", "Significance", "Test", "correct", "group_means", "significance"]
