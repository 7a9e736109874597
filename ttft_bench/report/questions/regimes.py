"""Where finetuning pays: a map over prompt length and similarity of the nearest neighbour.

Prompts are binned by thirds (quantiles) of scored tokens and of the largest cosine among the prompt's nearest picks.
Every bin compares finetuning with a rival, prompt by prompt: at the largest budget that both have, the mean over the
strategies that both have, at the most frequent learning rate, without gradient reuse. Averaging over strategies,
instead of taking the best one, keeps a lucky winner out of the map; an average over learning rates would be that of no
setting that anyone would choose.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ttft_bench.report.paired.outcomes import Interval
from ttft_bench.report.paired.prompts import groups_of, pair, quality
from ttft_bench.report.paired.resample import mean_interval
from ttft_bench.report.stats import Row, number, usual

BINS = 3
#: The rival that leaves the model as it is: 100 BPB% on every prompt.
NOTHING = "nothing"


@dataclass(frozen=True)
class Regime:
    """One bin.

    Attributes:
        tokens: smallest and largest number of scored tokens in the bin's range.
        similarity: range of the nearest neighbour's cosine.
        n_prompts: prompts of the run in the bin, compared or not.
        difference: BPB% of finetuning minus the rival's, below 0 where finetuning is better.
    """

    tokens: tuple[float, float]
    similarity: tuple[float, float]
    n_prompts: int
    difference: Interval


@dataclass(frozen=True)
class RegimeMap:
    """All bins against one rival; empty with a reason where no map can be drawn.

    Attributes:
        rival: what finetuning is held against.
        strategies: whose picks are compared.
        budget: of the picks.
        regimes: the bins.
        reason: why there are none.
        lr: learning rate of the finetuned rows; None where the run has but one.
    """

    rival: str
    strategies: tuple[str, ...]
    budget: int | None
    regimes: tuple[Regime, ...]
    reason: str = ""
    lr: float | None = None

    @property
    def setting(self) -> str:
        """What the bins have in common, in words: ``N = 50, lr = 5e-05, mean over knn, sift``."""
        parts = [f"N = {self.budget}", "" if self.lr is None else f"lr = {self.lr:g}"]
        return ", ".join(filter(None, [*parts, f"mean over {', '.join(self.strategies)}"]))


def regime_map(rows: Sequence[Row], rival: str = NOTHING, trainable: str = "") -> RegimeMap:
    """Draw the map.

    Args:
        rows: rows of one scope, without controls; their learning rates are settled where there is but one.
        rival: an arm, such as ``in-context``, or ``nothing``.
        trainable: trainable set of the finetuned rows; empty if the run has only one.
    """
    ours = usual([row for row in rows if _is(row, "finetune", trainable)])
    theirs = ours if rival == NOTHING else [row for row in rows if _is(row, rival, "") and _trains_as(row, ours)]
    shared = {_picks(row) for row in ours} & {_picks(row) for row in theirs}
    if not shared:
        return RegimeMap(rival, (), None, (), f"no picks were used for both finetuning and {rival}")
    budget = max(budget for _, budget in shared)
    strategies = tuple(sorted(strategy for strategy, own in shared if own == budget))
    differences = _differences(ours, theirs, rival, budget, strategies)
    places = _places(rows)
    if not places:
        return RegimeMap(rival, strategies, budget, (), "rows lack tokens_scored or similarity_max")
    groups = groups_of(rows)
    edges = [_edges([place[axis] for place in places.values()]) for axis in (0, 1)]
    bins: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for prompt, place in sorted(places.items()):
        bins[_bin(place[0], edges[0]), _bin(place[1], edges[1])].append(prompt)
    regimes = []
    for i in range(len(edges[0]) - 1):
        for j in range(len(edges[1]) - 1):
            inside = bins.get((i, j), [])
            compared = [prompt for prompt in inside if prompt in differences]
            regimes.append(
                Regime(
                    tokens=(edges[0][i], edges[0][i + 1]),
                    similarity=(edges[1][j], edges[1][j + 1]),
                    n_prompts=len(inside),
                    difference=mean_interval(
                        [differences[prompt] for prompt in compared], [groups[prompt] for prompt in compared]
                    ),
                )
            )
    return RegimeMap(rival, strategies, budget, tuple(regimes), lr=number(ours[0], "lr"))


def _is(row: Row, arm: str, trainable: str) -> bool:
    return (
        str(row.get("arm") or "finetune") == arm
        and row.get("reuse_interval") in (None, 1)
        and (not trainable or row.get("trainable") == trainable)
        and quality(row) is not None
    )


def _trains_as(row: Row, ours: Sequence[Row]) -> bool:
    """Whether a row trains as ours do, or not at all."""
    return all(row.get(column) in (None, "", ours[0].get(column)) for column in ("lr", "trainable")) if ours else True


def _picks(row: Row) -> tuple[str, int]:
    return str(row.get("strategy")), int(number(row, "budget") or 0)


def _differences(
    ours: Sequence[Row], theirs: Sequence[Row], rival: str, budget: int, strategies: Sequence[str]
) -> dict[str, float]:
    """Finetuning minus rival of every prompt, the mean over strategies, each paired on its own."""
    members: defaultdict[str, list[float]] = defaultdict(list)
    for strategy in strategies:
        mine = [row for row in ours if _picks(row) == (strategy, budget)]
        other = [row for row in theirs if _picks(row) == (strategy, budget)]
        if rival == NOTHING:
            other = [{**row, "bpb_pct": 100.0} for row in mine]
        paired = pair(mine, other)
        for prompt, value in zip(paired.prompts, paired.differences, strict=True):
            members[prompt].append(value)
    return {prompt: sum(values) / len(values) for prompt, values in members.items()}


def _places(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    tokens: dict[str, float] = {}
    nearest: dict[str, float] = {}
    for row in rows:
        prompt = str(row.get("prompt_id"))
        length, similarity = number(row, "tokens_scored"), number(row, "similarity_max")
        if length is not None:
            tokens[prompt] = max(length, tokens.get(prompt, length))
        if similarity is not None and row.get("pool_source") != "random":
            nearest[prompt] = max(similarity, nearest.get(prompt, similarity))
    return {prompt: (tokens[prompt], nearest[prompt]) for prompt in tokens.keys() & nearest.keys()}


def _edges(values: Sequence[float]) -> list[float]:
    """Edges of at most :data:`BINS` bins; equal quantiles make fewer."""
    found = [float(edge) for edge in np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)))]
    return found if len(found) > 1 else [found[0], found[0]]


def _bin(value: float, edges: Sequence[float]) -> int:
    return int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, len(edges) - 2))


__all__ = ["NOTHING", "Regime", "RegimeMap", "regime_map"]
