"""The plan, as pure data: which cells a run has, and which finetuning tasks serve them.

A *cell* is one result row: prompt x strategy x budget x arm x learning rate x reuse. A *task* is one finetuning
run. A cell whose schedule of steps is the beginning of another's rides along with it: that is how one run serves
all budgets of a nested strategy, and how a reuse interval that changes nothing costs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ttft_bench.corpus.sources import hashed_name
from ttft_bench.engine.choices import ARMS
from ttft_bench.engine.schedule import Reuse, Step, build_schedule
from ttft_bench.engine.settings import Settings
from ttft_bench.errors import UsageError
from ttft_bench.sweep.schema import CELL_ID_VERSION
from ttft_bench.sweep.suite import Suite

if TYPE_CHECKING:
    from ttft_bench.selector import Selector

#: Turns picked documents into what the steps of a schedule train on: chunks, batches.
Arrange = Callable[[Sequence[int]], Sequence[Hashable]]
#: Label of the rows of the untouched model.
BASE = "none"


@dataclass(frozen=True)
class Job:
    """A strategy as a run uses it.

    Attributes:
        label: the value of the column ``strategy``: the canonical spec, or a control's label.
        spec: canonical spec.
        distribution: distribution and version that provide it.
        pool: source of its candidate pools.
        budgets: budgets it is run at, ascending.
        reuse: reuse intervals it is run at, ascending; see :func:`useful_reuse`.
        control: whether it is a control rather than a contestant.
        arms: what is done with its picks.
        nested: whether the picks of a smaller budget begin those of a larger one.
    """

    label: str
    spec: str
    distribution: str
    pool: str
    budgets: tuple[int, ...]
    reuse: tuple[int, ...]
    control: bool = False
    arms: tuple[str, ...] = ("finetune",)
    nested: bool = False


@dataclass(frozen=True)
class Cell:
    """One result row to be; ``lr`` is None where nothing is trained, ``seed`` counts seeds from the run's on."""

    prompt_id: str
    job: Job
    budget: int
    reuse: Reuse
    cell_id: str
    arm: str = "finetune"
    lr: float | None = None
    seed: int = 0

    @property
    def trains(self) -> bool:
        """Whether its arm takes training steps."""
        return self.lr is not None


@dataclass(frozen=True)
class Task:
    """One finetuning run: its steps, and the cells that are served after so many of them."""

    prompt_id: str
    steps: tuple[Step[Any], ...]
    checkpoints: Mapping[int, tuple[Cell, ...]]
    lr: float | None = None
    seed: int = 0


def make_cells(
    prompt_ids: Sequence[str],
    jobs: Sequence[Job],
    grouping: str | Sequence[str],
    identity: Mapping[str, Any],
    *,
    modes: Sequence[str] = ("cached",),
    lrs: Sequence[float] = (Settings.lr,),
    seeds: int = 1,
) -> list[Cell]:
    """Every cell of a run, prompt by prompt.

    Args:
        prompt_ids: the prompts.
        jobs: the strategies.
        grouping: how gradient reuse groups steps; one way or several.
        identity: everything else that can change a row's bits per byte; it goes into every cell's id.
        modes: what becomes of steps that share a gradient.
        lrs: learning rates.
        seeds: finetuning seeds of whatever is trained.
    """
    groupings = (grouping,) if isinstance(grouping, str) else tuple(dict.fromkeys(grouping))
    cells = []
    for prompt_id in prompt_ids:
        for job in jobs:
            # Off is off, whatever grouping and mode would have been.
            reuses = [
                reuse
                for interval in job.reuse
                for reuse in (
                    [Reuse(interval, way, mode) for way in groupings for mode in modes] if interval > 1 else [Reuse()]
                )
            ]
            for budget in job.budgets:
                for arm in job.arms:
                    trained = "finetune" in arm
                    for lr in lrs if trained else (None,):
                        for reuse in reuses if trained else (Reuse(),):
                            for seed in range(seeds if trained else 1):
                                cell = Cell(prompt_id, job, budget, reuse, "", arm, lr, seed)
                                cells.append(replace(cell, cell_id=_cell_id(identity, cell)))
    return cells


def _cell_id(identity: Mapping[str, Any], cell: Cell) -> str:
    job, reuse = cell.job, cell.reuse
    facts = {
        **identity,
        "schema": CELL_ID_VERSION,
        "prompt": cell.prompt_id,
        "spec": job.spec,
        "distribution": job.distribution,
        "pool": hashed_name(job.pool),
        "budget": cell.budget,
        "reuse": [reuse.interval, reuse.grouping],
        "lr": cell.lr,
    }
    # What is as it always was goes without saying, so that ids stay those of earlier runs.
    if reuse.mode != "cached":
        facts["reuse"] = [reuse.interval, reuse.grouping, reuse.mode]
    if cell.arm != "finetune":
        facts["arm"] = cell.arm
    if cell.seed:
        facts["finetune_seed"] = cell.seed
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def useful_reuse(reuse: Sequence[int], repeats: bool) -> tuple[int, ...]:
    """The reuse intervals to run a strategy at, ascending.

    A strategy that picks nothing twice (``repeats = False``) never shares a gradient: its rows without reuse say it
    all. Any other is run at all of them, whatever it happens to pick, so that parts of a run that are finetuned apart
    have the rows of the whole. Where an interval changes no step, its cell is served by the run of the cell without.
    """
    intervals = tuple(sorted(set(reuse)))
    return intervals if repeats or 1 not in intervals else (1,)


def find_twins(
    cells: Iterable[Cell],
    finished: Container[str],
    picks: Mapping[tuple[str, str, int], Sequence[int]],
    arrange: Arrange = list,
) -> dict[str, str]:
    """Cells that are to do, and have nothing to do: a finished one has the same picks, training and steps.

    Within a run such cells share a task. A run that was begun when reuse was left out where it changed nothing has
    only one of them.

    Args:
        cells: every cell of a run.
        finished: ids of those that have a row.
        picks: as for :func:`make_tasks`.
        arrange: as for :func:`make_tasks`.

    Returns:
        Id of the cell -> id of the finished one.
    """
    done: dict[Hashable, str] = {}
    todo: list[tuple[Hashable, str]] = []
    for cell in cells:
        documents = picks.get((cell.prompt_id, cell.job.label, cell.budget))
        if documents is None or not cell.trains:
            continue
        steps = build_schedule(arrange(documents), cell.reuse)
        key = (cell.prompt_id, cell.job.label, cell.budget, cell.arm, cell.lr, cell.seed, steps)
        if cell.cell_id in finished:
            done.setdefault(key, cell.cell_id)
        else:
            todo.append((key, cell.cell_id))
    return {cell_id: done[key] for key, cell_id in todo if key in done}


def make_tasks(
    cells: Iterable[Cell],
    picks: Mapping[tuple[str, str, int], Sequence[int]],
    arrange: Arrange = list,
) -> list[Task]:
    """Merge cells into as few finetuning runs as give every cell exactly its own steps.

    Args:
        cells: what is still to do.
        picks: (prompt id, job label, budget) -> document ids in training order; cells without an entry
            are left out, but for those of the untouched model.
        arrange: makes training items of documents.
    """
    by_schedule: dict[tuple[str, float | None, int, tuple[Step[Any], ...]], list[Cell]] = {}
    for cell in cells:
        documents = picks.get((cell.prompt_id, cell.job.label, cell.budget))
        if documents is not None or cell.arm == "none":
            steps = build_schedule(arrange(documents or ()), cell.reuse) if cell.trains else ()
            by_schedule.setdefault((cell.prompt_id, cell.lr, cell.seed, steps), []).append(cell)
    tasks: list[Task] = []
    # What could carry a schedule, apart for each of these: with all in one list, many prompts take minutes.
    carriers: dict[tuple[str, float | None, int], list[tuple[Task, dict[int, tuple[Cell, ...]]]]] = {}
    # Longest first, so that whatever could carry a schedule is there before it.
    for (prompt_id, lr, seed, steps), served in sorted(by_schedule.items(), key=lambda item: -len(item[0][3])):
        alike = carriers.setdefault((prompt_id, lr, seed), [])
        for task, checkpoints in alike:
            if task.steps[: len(steps)] == steps:
                checkpoints[len(steps)] = checkpoints.get(len(steps), ()) + tuple(served)
                break
        else:
            checkpoints = {len(steps): tuple(served)}
            tasks.append(Task(prompt_id, steps, checkpoints, lr, seed))
            alike.append((tasks[-1], checkpoints))
    order = {prompt_id: index for index, prompt_id in enumerate(dict.fromkeys(task.prompt_id for task in tasks))}
    tasks.sort(key=lambda task: order[task.prompt_id])
    return [replace(task, checkpoints=dict(sorted(task.checkpoints.items()))) for task in tasks]


def make_jobs(suite: Suite) -> list[Job]:
    """The strategies and controls of a suite, each spec in canonical form.

    A control that is asked for as a strategy too is run as a strategy: its rows hold what the control's would.

    Raises:
        SpecError, PluginError: a spec does not fit an installed strategy.
        UsageError: no strategy, one given twice, or one named as a control that does something else.
    """
    from ttft_bench.registry import distribution_of, parse_specs

    budgets = tuple(sorted(set(suite.select.budgets)))
    arms = picked_arms(suite)
    jobs: list[Job] = []
    for text in suite.select.strategies:
        for parsed in parse_specs(text):
            selector = build_probed(str(parsed))
            spec = repr(selector)
            useful = useful_reuse(suite.select.reuse, selector.repeats)
            given = (spec, spec, distribution_of(parsed.name), suite.pool.source, budgets, useful)
            jobs.append(Job(*given, arms=arms, nested=selector.nested))
    if not jobs:
        raise UsageError("no strategies: give --strategies, e.g. --strategies hullft,sift,knn")
    for control in suite.controls:
        selector = build_probed(control.strategy)
        distribution = distribution_of(selector.name)
        job = Job(control.label, repr(selector), distribution, control.pool, budgets[-1:], (1,), True, arms)
        same = (other for other in jobs if (other.label, other.spec, other.pool) == (job.label, job.spec, job.pool))
        if all(other.control for other in same):
            jobs.append(job)
    labels = [job.label for job in jobs]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        other = next((control for control in suite.controls if control.label == twice[0]), None)
        if other is None or not any(job.control for job in jobs if job.label == twice[0]):
            raise UsageError(f"strategy {twice[0]} is given twice: name each one once")
        raise UsageError(
            f"strategy {twice[0]} and the control of that name differ (it is {other.strategy} on the pool "
            f"{other.pool!r}): rename the control in the suite"
        )
    return jobs


def picked_arms(suite: Suite) -> tuple[str, ...]:
    """The arms of a suite that do something with picks, in one order."""
    return tuple(arm for arm in ARMS if arm in suite.select.arms and arm != "none")


def base_jobs(suite: Suite) -> list[Job]:
    """The untouched model as a job without picks, if the suite asks for it."""
    return [Job(BASE, "", "", "", (0,), (1,), True, ("none",))] if "none" in suite.select.arms else []


def build_probed(spec: str) -> Selector:
    """Build a selector, a stranger's only once a child process could import it: one that hangs must not hang the run.

    Raises:
        SpecError, PluginError: the spec does not fit an installed strategy, or that cannot be used.
    """
    from ttft_bench.registry import build_selector, ensure_importable, parse_specs

    for parsed in parse_specs(spec):
        ensure_importable(parsed.name)
    return build_selector(spec)


__all__ = [
    "Arrange",
    "Cell",
    "Job",
    "Task",
    "base_jobs",
    "build_probed",
    "find_twins",
    "make_cells",
    "make_jobs",
    "make_tasks",
    "picked_arms",
    "useful_reuse",
]
