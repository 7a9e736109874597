"""What ``--dry-run`` says: the plan of a run, or of each variant of a suite, with an estimate; nothing is run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ttft_bench.sweep.estimate import estimate_seconds
from ttft_bench.sweep.request import Reporter, Request
from ttft_bench.sweep.run import Plan, plan_run
from ttft_bench.sweep.variants import requests


@dataclass(frozen=True)
class PlannedJob:
    """One strategy of one variant, and the rows it comes to.

    Attributes:
        variant: label of the variant; empty where a suite has none.
        strategy: the value of that column.
        distribution: distribution and version that provide it; empty for the untouched model.
        control: whether it is a control rather than a contestant.
        budgets: ascending.
        reuse: reuse intervals, ascending.
        cells: number of its rows.
    """

    variant: str
    strategy: str
    distribution: str
    control: bool
    budgets: tuple[int, ...]
    reuse: tuple[int, ...]
    cells: int


@dataclass(frozen=True)
class Preview:
    """A plan in figures.

    Attributes:
        folder: where the run would be written.
        prompts: the most prompts that a variant has.
        cells: rows there will be.
        done: those that are there already.
        finetune_s: about how many seconds of finetuning are still to do, on this machine if it is otherwise idle; None
            until the model is on it.
        jobs: what the cells are of.
    """

    folder: Path
    prompts: int
    cells: int
    done: int
    finetune_s: float | None
    jobs: tuple[PlannedJob, ...]

    @property
    def to_go(self) -> int:
        """Rows still to make."""
        return self.cells - self.done

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "folder": str(self.folder), "to_go": self.to_go}


def preview(request: Request, reporter: Reporter) -> Preview:
    """Plan a run without embedding, selecting or finetuning anything.

    Raises:
        TtftBenchError: whatever the run itself would refuse at its start.
    """
    found = [(label, one, plan_run(one, reporter)) for label, one in requests(request)]
    plans = [plan for _, _, plan in found]
    estimates = [estimate_seconds(plan, one) for _, one, plan in found]
    known = [seconds for seconds in estimates if seconds is not None]
    return Preview(
        folder=request.folder,
        prompts=max(plan.n_prompts for plan in plans),
        cells=sum(len(plan.cells) for plan in plans),
        done=sum(cell.cell_id in plan.done for plan in plans for cell in plan.cells),
        finetune_s=sum(known) if len(known) == len(estimates) else None,
        jobs=tuple(job for label, _, plan in found for job in _jobs(label, plan)),
    )


def _jobs(label: str, plan: Plan) -> list[PlannedJob]:
    return [
        PlannedJob(
            variant=label,
            strategy=job.label,
            distribution=job.distribution,
            control=job.control,
            budgets=tuple(job.budgets),
            reuse=tuple(job.reuse),
            cells=sum(cell.job == job for cell in plan.cells),
        )
        for job in plan.jobs
    ]


__all__ = ["PlannedJob", "Preview", "preview"]
