"""What a suite costs, counted from its plan: prompts, cells, selections, training steps, and hours by measured rates.

Counts are upper bounds that need neither corpus nor model: whose picks repeat nothing, or equal another's, shares
steps in the run. Prompts are those asked for; a subset may have fewer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from ttft_bench.sweep.plan import Cell, base_jobs, make_cells, make_jobs
from ttft_bench.sweep.rates import CPU, GPU, MEAN_TOKENS, rate_of
from ttft_bench.sweep.suite import PoolSpec, Suite

#: Share of a training step that scoring takes: the forward pass is 2 of 6 operations per weight.
_SCORING = 1 / 3


@dataclass(frozen=True)
class Cost:
    """Counts of all variants of a suite, at most, and what they take, about, on an otherwise idle machine.

    Attributes:
        prompts: prompts of one variant.
        cells: result rows.
        selections: calls of strategies.
        steps: training steps.
        cpu_s: seconds of finetuning and scoring on :data:`ttft_bench.sweep.rates.CPU`; None if never measured.
        gpu_s: the same on :data:`ttft_bench.sweep.rates.GPU`.
        sources: reports that the seconds come from.
    """

    prompts: int
    cells: int
    selections: int
    steps: int
    cpu_s: float | None
    gpu_s: float | None
    sources: tuple[str, ...]


def cost_of(suite: Suite) -> Cost | None:
    """Count what a suite asks for.

    Returns:
        None if it does not say how many prompts it has: subsets or prompts per subset are left open.

    Raises:
        SpecError, PluginError: a strategy cannot be built.
    """
    # Pools cost nothing here: variants that differ in them alone are counted once.
    runs = [dataclasses.replace(run, pool=PoolSpec()) for _, run in suite.runs()]
    counted = {run: _one(run) for run in dict.fromkeys(runs)}
    parts = [counted[run] for run in runs]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return None
    return Cost(
        prompts=max(part.prompts for part in found),
        cells=sum(part.cells for part in found),
        selections=sum(part.selections for part in found),
        steps=sum(part.steps for part in found),
        cpu_s=_sum([part.cpu_s for part in found]),
        gpu_s=_sum([part.gpu_s for part in found]),
        sources=tuple(dict.fromkeys(source for part in found for source in part.sources)),
    )


def _one(suite: Suite) -> Cost | None:
    if suite.corpus.subsets is None or suite.corpus.prompts_per_subset is None:
        return None
    prompts = len(suite.corpus.subsets) * suite.corpus.prompts_per_subset
    jobs = make_jobs(suite)
    cells = make_cells(
        ["any"],
        [*jobs, *base_jobs(suite)],
        suite.select.groupings,
        {},
        modes=tuple(dict.fromkeys(suite.select.reuse_mode)),
        lrs=suite.finetune.lrs,
        seeds=suite.finetune.n_seeds,
    )
    picked = count_steps(cells)
    steps = -(-picked // suite.finetune.batch)
    passes = picked + _SCORING * len(cells)
    tokens = mean_tokens(suite)
    eager = suite.finetune.dropout or suite.model.precision not in ("auto", "bf16")
    rates = [rate_of(device, suite.model.name, eager=eager) for device in (CPU, GPU)]
    cpu_s, gpu_s = (None if rate is None else prompts * passes * rate.seconds(tokens) for rate in rates)
    return Cost(
        prompts=prompts,
        cells=prompts * len(cells),
        selections=prompts * sum(len(job.budgets) for job in jobs),
        steps=prompts * steps,
        cpu_s=cpu_s,
        gpu_s=gpu_s,
        sources=tuple(rate.source for rate in rates if rate is not None),
    )


def mean_tokens(suite: Suite) -> float:
    """Tokens of a mean training sequence; the limit, where the corpus was not measured."""
    return min(MEAN_TOKENS.get(suite.corpus.source, float("inf")), suite.model.max_tokens)


def count_steps(cells: Sequence[Cell]) -> int:
    """Picks trained on, at most: arms share them, and so do budgets of a nested strategy unless steps are regrouped."""
    longest: dict[tuple[object, ...], int] = {}
    for cell in cells:
        if cell.trains:
            shared = cell.job.nested and cell.reuse.grouping == "runs"
            key = (cell.prompt_id, cell.job, cell.reuse, cell.lr, cell.seed, None if shared else cell.budget)
            longest[key] = max(longest.get(key, 0), cell.budget)
    return sum(longest.values())


def _sum(values: Sequence[float | None]) -> float | None:
    return None if None in values else sum(value for value in values if value is not None)


def duration(seconds: float | None) -> str:
    """A duration in two digits: ``40 s``, ``12 min``, ``2.5 h``, ``6.2 days``."""
    if seconds is None:
        return "not measured"
    for limit, unit_s, unit in ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            value = seconds / unit_s
            return f"{max(value, 1):.0f} {unit}" if value >= 10 or unit == "s" else f"{value:.1f} {unit}"
    return f"{seconds / 86400:.1f} days" if seconds < 10 * 86400 else f"{seconds / 86400:.0f} days"


__all__ = ["Cost", "cost_of", "count_steps", "duration", "mean_tokens"]
