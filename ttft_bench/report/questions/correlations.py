"""Rank correlations within prompts, from ``scipy.stats.spearmanr``."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttft_bench.report.paired.outcomes import Interval
from ttft_bench.report.paired.prompts import groups_of
from ttft_bench.report.paired.resample import mean_interval
from ttft_bench.report.stats import Row, number

#: Below this many selections a rank correlation is noise.
MIN_SELECTIONS = 5

Of = Callable[[Row], float | None]


@dataclass(frozen=True)
class PromptCorrelation:
    """The correlation of one prompt: mean over its cells of ``n_selections`` selections in all."""

    prompt: str
    group: str
    rho: float
    n_selections: int


@dataclass(frozen=True)
class Correlation:
    """Mean over prompts of a within-prompt correlation, with its interval over groups."""

    name: str
    mean: Interval
    prompts: tuple[PromptCorrelation, ...]


def within_prompts(
    name: str, rows: Sequence[Row], x: Of, y: Of, given: Of | None = None, by: Sequence[str] = ("budget",)
) -> Correlation:
    """Correlate ``x`` and ``y`` over the selections of each prompt.

    Args:
        name: what it is called.
        rows: one row per selection; equal picks of one cell count once.
        x: first quantity.
        y: second quantity.
        given: a third one to hold fixed: the partial correlation of ranks.
        by: columns that split a prompt's rows into cells; correlations are taken within cells and averaged.
    """
    cells: defaultdict[str, defaultdict[tuple[str, ...], dict[Any, tuple[float, ...]]]]
    cells = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        values = [of(row) for of in (x, y, given) if of is not None]
        if None not in values:
            cell = tuple(str(row.get(column)) for column in ("seed", "lr", "trainable", *by))
            picks = tuple(row.get("document_ids") or ()) or (row.get("strategy"), row.get("budget"))
            cells[str(row.get("prompt_id"))][cell][picks] = tuple(value for value in values if value is not None)
    groups = groups_of(rows)
    found = []
    for prompt, parts in sorted(cells.items()):
        rhos = [(rho, len(part)) for part in parts.values() if (rho := _rho(list(part.values()))) is not None]
        if rhos:
            mean = sum(rho for rho, _ in rhos) / len(rhos)
            found.append(PromptCorrelation(prompt, groups[prompt], mean, sum(n for _, n in rhos)))
    return Correlation(name, mean_interval([item.rho for item in found], [item.group for item in found]), tuple(found))


def _rho(values: Sequence[tuple[float, ...]]) -> float | None:
    """Spearman's rho of two columns, given the third if there is one; None where it is undefined."""
    table = np.array(values, dtype=np.float64)
    if len(table) < MIN_SELECTIONS or (np.ptp(table, axis=0) == 0).any():
        return None
    from scipy.stats import spearmanr

    if table.shape[1] == 2:
        return float(spearmanr(table).statistic)
    ranks = spearmanr(table).statistic
    xy, xz, yz = ranks[0, 1], ranks[0, 2], ranks[1, 2]
    rest = (1 - xz**2) * (1 - yz**2)
    # A variable that the third one determines has nothing left to correlate.
    return None if rest < 1e-9 else float(np.clip((xy - xz * yz) / math.sqrt(rest), -1, 1))


def column(name: str) -> Of:
    """The finite number in a column."""
    return lambda row: number(row, name)


__all__ = ["MIN_SELECTIONS", "Correlation", "PromptCorrelation", "column", "within_prompts"]
