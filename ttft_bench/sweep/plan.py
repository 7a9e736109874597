"""The plan, as pure data: which cells a run has, and which finetuning tasks serve them.

A *cell* is one result row: prompt x strategy x budget x reuse. A *task* is one finetuning run. A cell whose
schedule of steps is the beginning of another's rides along with it: that is how one run serves all budgets
of a nested strategy, and how a reuse interval that changes nothing costs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ttft_bench.engine.schedule import Reuse, Step, build_schedule
from ttft_bench.errors import BrokenPluginError, UsageError
from ttft_bench.sweep.schema import SCHEMA_VERSION
from ttft_bench.sweep.suite import Suite


@dataclass(frozen=True)
class Job:
    """A strategy as a run uses it.

    Attributes:
        label: the value of the column ``strategy``: the canonical spec, or a control's label.
        spec: canonical spec.
        distribution: distribution and version that provide it.
        pool: source of its candidate pools.
        budgets: budgets it is run at, ascending.
        reuse: reuse intervals it is run at, ascending.
        control: whether it is a control rather than a contestant.
    """

    label: str
    spec: str
    distribution: str
    pool: str
    budgets: tuple[int, ...]
    reuse: tuple[int, ...]
    control: bool = False


@dataclass(frozen=True)
class Cell:
    """One result row to be."""

    prompt_id: str
    job: Job
    budget: int
    reuse: Reuse
    cell_id: str


@dataclass(frozen=True)
class Task:
    """One finetuning run: its steps, and the cells that are served after so many of them."""

    prompt_id: str
    steps: tuple[Step[int], ...]
    checkpoints: Mapping[int, tuple[Cell, ...]]


def make_cells(
    prompt_ids: Sequence[str], jobs: Sequence[Job], grouping: str, identity: Mapping[str, Any]
) -> list[Cell]:
    """Every cell of a run, prompt by prompt.

    Args:
        prompt_ids: the prompts.
        jobs: the strategies.
        grouping: how gradient reuse groups steps.
        identity: everything else that can change a row's bits per byte; it goes into every cell's id.
    """
    # Off is off, whatever the grouping would have been.
    reuses = {interval: Reuse(interval, grouping if interval > 1 else "runs") for job in jobs for interval in job.reuse}
    return [
        Cell(prompt_id, job, budget, reuses[interval], _cell_id(identity, prompt_id, job, budget, reuses[interval]))
        for prompt_id in prompt_ids
        for job in jobs
        for budget in job.budgets
        for interval in job.reuse
    ]


def _cell_id(identity: Mapping[str, Any], prompt_id: str, job: Job, budget: int, reuse: Reuse) -> str:
    facts = {
        **identity,
        "schema": SCHEMA_VERSION,
        "prompt": prompt_id,
        "spec": job.spec,
        "distribution": job.distribution,
        "pool": job.pool,
        "budget": budget,
        "reuse": [reuse.interval, reuse.grouping],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def drop_unchanged(cells: Sequence[Cell], picks: Mapping[tuple[str, str, int], Sequence[int]]) -> list[Cell]:
    """Leave out reuse where it changes none of a strategy's schedules: its rows without reuse say it all.

    Decided per strategy and interval over the whole run, so that the rows of a setting always cover the
    same prompts.
    """
    changed = set()
    for cell in cells:
        documents = picks.get((cell.prompt_id, cell.job.label, cell.budget))
        if documents is not None and build_schedule(documents, cell.reuse) != build_schedule(documents):
            changed.add((cell.job.label, cell.reuse.interval))
    return [
        cell
        for cell in cells
        if cell.reuse.interval == 1 or 1 not in cell.job.reuse or (cell.job.label, cell.reuse.interval) in changed
    ]


def make_tasks(cells: Iterable[Cell], picks: Mapping[tuple[str, str, int], Sequence[int]]) -> list[Task]:
    """Merge cells into as few finetuning runs as give every cell exactly its own steps.

    Args:
        cells: what is still to do.
        picks: (prompt id, job label, budget) -> document ids in training order; cells without an entry
            are left out.
    """
    by_schedule: dict[tuple[str, tuple[Step[int], ...]], list[Cell]] = {}
    for cell in cells:
        documents = picks.get((cell.prompt_id, cell.job.label, cell.budget))
        if documents is not None:
            by_schedule.setdefault((cell.prompt_id, build_schedule(documents, cell.reuse)), []).append(cell)
    tasks: list[tuple[str, tuple[Step[int], ...], dict[int, tuple[Cell, ...]]]] = []
    # Longest first, so that whatever could carry a schedule is there before it.
    for (prompt_id, steps), served in sorted(by_schedule.items(), key=lambda item: -len(item[0][1])):
        for other_prompt, other_steps, checkpoints in tasks:
            if other_prompt == prompt_id and other_steps[: len(steps)] == steps:
                checkpoints[len(steps)] = checkpoints.get(len(steps), ()) + tuple(served)
                break
        else:
            tasks.append((prompt_id, steps, {len(steps): tuple(served)}))
    order = {prompt_id: index for index, prompt_id in enumerate(dict.fromkeys(task[0] for task in tasks))}
    tasks.sort(key=lambda task: order[task[0]])
    return [Task(prompt_id, steps, dict(sorted(points.items()))) for prompt_id, steps, points in tasks]


def make_jobs(suite: Suite) -> list[Job]:
    """The strategies and controls of a suite, each spec in canonical form.

    Raises:
        SpecError, PluginError: a spec does not fit an installed strategy.
        UsageError: no strategy, or one given twice.
    """
    from ttft_bench.registry import build_selector, distribution_of, parse_specs

    budgets = tuple(sorted(set(suite.select.budgets)))
    reuse = tuple(sorted(set(suite.select.reuse)))
    jobs = []
    for text in suite.select.strategies:
        for parsed in parse_specs(text):
            _probe_stranger(parsed.name)
            spec = repr(build_selector(str(parsed)))
            jobs.append(Job(spec, spec, distribution_of(parsed.name), "nearest", budgets, reuse))
    if not jobs:
        raise UsageError("no strategies: give --strategies, e.g. --strategies hullft,sift,knn")
    for control in suite.controls:
        selector = build_selector(control.strategy)
        distribution = distribution_of(selector.name)
        jobs.append(Job(control.label, repr(selector), distribution, control.pool, budgets[-1:], (1,), control=True))
    labels = [job.label for job in jobs]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise UsageError(f"strategy {twice[0]} is given twice: name each one once")
    return jobs


def _probe_stranger(name: str) -> None:
    """Import a stranger's plug-in in a child process first: one that hangs must not hang the run."""
    from ttft_bench.registry import entry
    from ttft_bench.registry.listing import probe_rows

    item = entry(name)
    if item.built_in:
        return
    (row,) = probe_rows([item], timeout_s=20.0)
    if row.status == "broken":
        raise BrokenPluginError(f"strategy {name!r} of {item.source} cannot be used: {row.cause}; {row.remedy}")


__all__ = ["Cell", "Job", "Task", "drop_unchanged", "make_cells", "make_jobs", "make_tasks"]
