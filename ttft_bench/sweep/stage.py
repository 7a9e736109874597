"""The finetuning stage: load the model, warm up, run every task that is still to do, write the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttft_bench.sweep import store
from ttft_bench.sweep.beside import timed_otherwise
from ttft_bench.sweep.concurrent import Writer, run_in_lanes
from ttft_bench.sweep.plan import Cell, Task, find_twins, make_tasks
from ttft_bench.sweep.suite import Suite

if TYPE_CHECKING:
    from ttft_bench.engine.lanes import Lane
    from ttft_bench.sweep.picks import Picks
    from ttft_bench.sweep.request import Reporter, Request
    from ttft_bench.sweep.runner import Runner


def finished_cells(folder: Path) -> frozenset[str]:
    """Ids of the cells that a run folder holds an ok row for."""
    if not store.has_journal(folder / store.RESULTS):
        return frozenset()
    return frozenset(row["cell_id"] for row in store.load_run(folder).rows if row["status"] == "ok")


def finetune_cells(
    request: Request, source: str, cells: Sequence[Cell], picks: Picks, manifest: dict[str, Any], reporter: Reporter
) -> None:
    """Give every cell that has no ok row yet a row.

    Args:
        request: what to run, and the folder to write to.
        source: folder or hub id of the model.
        cells: every cell of the run.
        picks: what was selected.
        manifest: of the run; its id and device go into every row, and it is told the seconds of compiling and what
            was decided about executing steps on this machine.
        reporter: is told how it is getting on.
    """
    from ttft_bench.engine.host import keep_freed_memory
    from ttft_bench.engine.items import Items
    from ttft_bench.engine.lanes import most_lanes, open_lanes
    from ttft_bench.engine.model import load_model
    from ttft_bench.sweep.runner import Runner

    suite = request.suite
    for warning in store.read_journal(request.folder / store.RESULTS)[1]:
        reporter.note(f"warning: {warning}")
    finished = finished_cells(request.folder)
    todo = [cell for cell in cells if cell.cell_id not in finished]
    if len(todo) < len(cells):
        reporter.note(f"{len(cells) - len(todo)} of {len(cells)} cells are done already, {len(todo)} to go")
    if not todo:
        return
    keep_freed_memory()
    model = load_model(
        source,
        name=suite.model.name,
        device=request.device,
        precision=suite.model.precision,
        start_token=suite.model.start_token,
    )
    settings = suite.finetune.settings()
    chunk = suite.finetune.long == "chunk"
    items = Items(model, picks.texts, suite.model.max_tokens, chunk, settings.batch)
    twins = find_twins(cells, finished, picks.sequences(), items.arrange)
    todo = [cell for cell in todo if cell.cell_id not in twins]
    tasks = make_tasks(todo, picks.sequences(), items.arrange)
    count = min(request.lanes, max(1, len(tasks)))  # a lane without work would only cost its building
    if count < request.lanes:
        reporter.note(f"{request.lanes} lanes were asked for, {count} have work: no more are opened")
    most = most_lanes(model.device)
    if most is not None and count > most:
        reporter.note(f"{count} lanes have work, a GPU has streams for {most}: no more are opened")
        count = most
    if count > 1 and model.device.type == "cpu":
        reporter.note(
            f"warning: {count} lanes share the cores of one CPU, where one after another is faster: they fill a GPU"
        )
    if tasks and (told := timed_otherwise(request.folder, count)):
        reporter.note(f"warning: {told}")
    lanes = open_lanes(model, settings, count, backend=request.backend)
    manifest["execution"] = lanes[0].engine.backend.describe()
    served = {cell.cell_id for task in tasks for group in task.checkpoints.values() for cell in group}
    with store.Journal(request.folder / store.RESULTS) as journal:
        writer = Writer(journal.append)
        _write_twins(twins, cells, request.folder, writer)
        constants = _constants(suite, lanes, manifest)
        runners = [
            Runner(lane.engine, picks, items, constants, suite.score.protocol, suite.seed, writer) for lane in lanes
        ]
        runners[0].write_unselected([cell for cell in todo if cell.cell_id not in served])
        if tasks:
            _run_tasks(lanes, runners, tasks, reporter)
    compile_s = sum(lane.engine.backend.compile_s for lane in lanes)
    if compile_s:
        manifest["wall_s"]["compile"] = manifest["wall_s"].get("compile", 0.0) + compile_s
        reporter.note(f"compiling took {describe_duration(compile_s)} of that, outside every row's times")


def _write_twins(twins: Mapping[str, str], cells: Sequence[Cell], folder: Path, write: Writer) -> None:
    """Give each cell whose very steps another one has taken already that one's row, under its own name."""
    if not twins:
        return
    from ttft_bench.sweep.rows import reuse_columns

    rows = {row["cell_id"]: row for row in store.load_run(folder).rows}
    for cell in cells:
        if cell.cell_id in twins:
            write({**rows[twins[cell.cell_id]], "cell_id": cell.cell_id, **reuse_columns(cell)})


def _run_tasks(lanes: Sequence[Lane], runners: Sequence[Runner], tasks: Sequence[Task], reporter: Reporter) -> None:
    step_s = 0.0
    for lane, runner in zip(lanes, runners, strict=True):
        with lane.active():
            step_s = runner.warm_up(tasks)
    n_steps = sum(len(task.steps) for task in tasks)
    about = describe_duration(n_steps * step_s)
    side = f" in {len(lanes)} lanes" if len(lanes) > 1 else ""
    where = runners[0].model.device.type
    reporter.note(f"finetuning: {len(tasks)} runs, {n_steps} steps on {where}{side}, about {about}")
    done = 0
    reporter.progress("finetuning", 0, n_steps)
    for task in run_in_lanes(lanes, runners, tasks):
        done += len(task.steps)
        reporter.progress("finetuning", done, n_steps)


def _constants(suite: Suite, lanes: Sequence[Lane], manifest: Mapping[str, Any]) -> dict[str, Any]:
    engine = lanes[0].engine
    return {
        "run_id": manifest["run_id"],
        "suite": suite.name,
        "optimizer": engine.settings.describe(),
        "trainable": engine.settings.trainable,
        "long": suite.finetune.long,
        "lanes": len(lanes),
        "model": suite.model.name,
        "embedder": manifest["identity"].get("embedder", suite.pool.embedder),
        "excluded": manifest["identity"].get("excluded", ""),
        "precision": suite.model.precision,
        "device": manifest["plan"]["device"],
        "max_tokens": suite.model.max_tokens,
        "bpb_protocol": suite.score.protocol,
        "start_token": engine.model.start_token or "",
    }


def describe_duration(seconds: float) -> str:
    """A duration for people: ``40 s``, ``5 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


__all__ = ["describe_duration", "finetune_cells", "finished_cells"]
