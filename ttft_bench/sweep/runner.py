"""The finetuning stage: run tasks on the engine, turn them into rows, let no failure touch another cell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ttft_bench.engine.clock import Stopwatch
from ttft_bench.engine.finetune import Adaptation, Engine
from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.score import Target, make_target, score, training_sequence
from ttft_bench.errors import CellError, DataError
from ttft_bench.seeds import derive_seed
from ttft_bench.sweep.picks import Picks
from ttft_bench.sweep.plan import Cell, Task
from ttft_bench.sweep.schema import make_row

WriteRow = Callable[[dict[str, Any]], None]
#: Called after every task with the number of steps it took.
OnTask = Callable[[int], None]


@dataclass
class Runner:
    """Runs tasks and writes rows.

    Attributes:
        engine: the finetuning engine.
        picks: what was selected, with the texts.
        constants: columns that are the same in every row of the run.
        max_tokens: token limit of training sequences and scored windows.
        protocol: bits-per-byte protocol.
        seed: of the run.
        write: receives each finished row.
    """

    engine: Engine
    picks: Picks
    constants: Mapping[str, Any]
    max_tokens: int
    protocol: str
    seed: int
    write: WriteRow
    _base: dict[str, tuple[Target, float]] = field(default_factory=dict)

    @property
    def model(self) -> LanguageModel:
        """The model being finetuned."""
        return self.engine.model

    def warm_up(self, tasks: Sequence[Task]) -> float:
        """Run every path once, untimed, on the longest document.

        Returns:
            Seconds of one step on a document of mean length, for an estimate.
        """
        lengths = {}
        for item in {step.item for task in tasks for step in task.steps}:
            # A document that cannot be trained on is its own row's problem, not the warm-up's.
            with contextlib.suppress(DataError):
                lengths[item] = len(self._sequence(item))
        if not lengths:
            return 0.0
        longest = self._sequence(max(lengths, key=lambda item: lengths[item]))
        step_s = 0.0
        # What fails here fails again in the tasks, where it becomes rows with a reason.
        with contextlib.suppress(CellError, RuntimeError, MemoryError):
            step_s = self.engine.warm_up([longest])
        with contextlib.suppress(DataError, CellError, RuntimeError, MemoryError):
            self._prepare_prompt(tasks[0].prompt_id)
        steps = [lengths.get(step.item, 0) for task in tasks for step in task.steps]
        return step_s * sum(steps) / len(steps) / len(longest)

    def _sequence(self, item: int) -> torch.Tensor:
        return training_sequence(self.model, self.picks.texts[item], self.max_tokens)

    def write_unselected(self, cells: Sequence[Cell]) -> None:
        """Write the rows of cells whose selection failed."""
        for cell in cells:
            record = self.picks.records.get((cell.prompt_id, cell.job.label, cell.budget))
            if record is None:
                self.write(self._row(cell, status="skipped", reason="no picks were stored for this cell"))
            elif record["status"] != "ok":
                self.write(self._row(cell, status=record["status"], reason=f"selection: {record['reason']}"))

    def run(self, task: Task) -> None:
        """Run one task and write one row per cell; whatever goes wrong becomes rows with a reason.

        Finished checkpoints are written also when the run is interrupted after them.
        """
        rows: list[dict[str, Any]] = []
        waiting = [cell for cells in task.checkpoints.values() for cell in cells]
        seed = derive_seed("finetune", task.prompt_id, self.seed)
        try:
            target, before = self._prepare_prompt(task.prompt_id)
            documents = dict.fromkeys(step.item for step in task.steps)
            sequences = {item: self._sequence(item) for item in documents}
            self._reset_peak()
            with self.engine.adaptation(seed) as adaptation:
                done = 0
                for count, cells in task.checkpoints.items():
                    adaptation.advance(task.steps[done:count], sequences)
                    done = count
                    rows.extend(self._measure(cells, adaptation, target, before))
                    waiting = [cell for cell in waiting if cell not in cells]
        except (CellError, DataError, RuntimeError, MemoryError) as error:
            status, reason = _classify(error)
            if status == "oom" and self.model.device.type == "cuda":
                torch.cuda.empty_cache()
            rows.extend(self._row(cell, status=status, reason=reason) for cell in waiting)
        finally:
            for row in rows:
                if row["status"] == "ok":
                    row["restore_s"] = self.engine.restore_s
                self.write(row)

    def _prepare_prompt(self, prompt_id: str) -> tuple[Target, float]:
        if prompt_id not in self._base:
            text = self.picks.prompts[prompt_id]["text"]
            target = make_target(self.model, text, self.max_tokens, self.protocol)
            self._base[prompt_id] = (target, score(self.model, target))
        return self._base[prompt_id]

    def _measure(
        self, cells: Sequence[Cell], adaptation: Adaptation, target: Target, before: float
    ) -> list[dict[str, Any]]:
        clock = Stopwatch(self.model.device)
        with clock.running():
            after = score(self.model, target)
        return [
            self._row(
                cell,
                status="ok",
                reason=self.picks.records[cell.prompt_id, cell.job.label, cell.budget]["reason"],
                bpb_before=before,
                bpb_after=after,
                bpb_pct=100.0 * after / before,
                bytes_scored=target.n_bytes,
                tokens_scored=target.n_tokens,
                finetune_s=adaptation.finetune_s,
                score_s=clock.seconds,
                steps=adaptation.steps,
                fresh_steps=adaptation.fresh_steps,
                peak_mib=self._peak_mib(),
            )
            for cell in cells
        ]

    def _row(self, cell: Cell, **values: Any) -> dict[str, Any]:
        prompt = self.picks.prompts.get(cell.prompt_id, {})
        pool = prompt.get("pools", {}).get(cell.job.pool, {})
        record = self.picks.records.get((cell.prompt_id, cell.job.label, cell.budget), {})
        chosen = (
            "select_s",
            "residual",
            "objective",
            "gap",
            "similarity_mean",
            "similarity_max",
            "document_ids",
        )
        return make_row(
            **{
                **self.constants,
                "cell_id": cell.cell_id,
                "subset": prompt.get("subset", ""),
                "prompt_id": cell.prompt_id,
                "group": prompt.get("group", ""),
                "strategy": cell.job.label,
                "distribution": cell.job.distribution,
                "arm": "finetune",
                "trainable": "full",
                "budget": cell.budget,
                "reuse_interval": cell.reuse.interval,
                "reuse_grouping": cell.reuse.grouping,
                "reuse_mode": "cached",
                "pool_source": cell.job.pool,
                "pool_k": pool.get("k"),
                "pool_hash": pool.get("hash", ""),
                "embed_s": pool.get("embed_s"),
                "retrieve_s": pool.get("retrieve_s"),
                "n_distinct": int(record["n_distinct"]) if "n_distinct" in record else None,
                "solver_status": record.get("solver_status", ""),
                **{key: record.get(key) for key in chosen},
                **values,
            }
        )

    def _reset_peak(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.model.device)

    def _peak_mib(self) -> float | None:
        if self.model.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.model.device) / 2**20


def _classify(error: BaseException) -> tuple[str, str]:
    """Row status and reason of an exception; out of memory is told by type, or by the allocator's words."""
    text = " ".join(str(error).split()) or type(error).__name__
    out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)
    )
    if out_of_memory:
        return "oom", f"out of memory: {text[:300]}"
    return "failed", text[:500] if isinstance(error, CellError | DataError) else f"{type(error).__name__}: {text[:500]}"


__all__ = ["Runner"]
