"""The finetuning stage: run tasks on the engine, turn them into rows, let no failure touch another cell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ttft_bench.engine.clock import Stopwatch
from ttft_bench.engine.context import fit_context, read_context
from ttft_bench.engine.finetune import Adaptation, Engine
from ttft_bench.engine.items import Items
from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.schedule import parts_of
from ttft_bench.engine.score import Target, make_target, score
from ttft_bench.errors import UsageError
from ttft_bench.seeds import derive_seed
from ttft_bench.sweep.picks import Picks
from ttft_bench.sweep.plan import Cell, Task
from ttft_bench.sweep.rows import cell_row, classify, nearest_documents

WriteRow = Callable[[dict[str, Any]], None]


@dataclass
class Runner:
    """Runs tasks and writes rows.

    Attributes:
        engine: the finetuning engine.
        picks: what was selected, with the texts.
        items: makes token sequences of what steps train on.
        constants: columns that are the same in every row of the run.
        protocol: bits-per-byte protocol.
        seed: of the run.
        write: receives each finished row.
    """

    engine: Engine
    picks: Picks
    items: Items
    constants: Mapping[str, Any]
    protocol: str
    seed: int
    write: WriteRow
    _base: dict[str, tuple[Target, float]] = field(default_factory=dict)

    @property
    def model(self) -> LanguageModel:
        """The model being finetuned."""
        return self.engine.model

    def warm_up(self, tasks: Sequence[Task]) -> float:
        """Run every path once, untimed, in every shape that the tasks have.

        Returns:
            Seconds of one step on a document of mean length, for an estimate.
        """
        sequences: dict[Any, torch.Tensor] = {}
        parts = [part for task in tasks for step in task.steps for part in parts_of(step.item)]
        for part in dict.fromkeys(parts):
            # A document that cannot be trained on is its own row's problem, not the warm-up's.
            with _left_to_tasks():
                sequences[part] = self.items.sequence(part)
        step_s = 0.0
        # What fails here fails again in the tasks, where it becomes rows with a reason.
        with _left_to_tasks():
            target, _ = self._prepare_prompt(tasks[0].prompt_id)
            cells = (cell for task in tasks for group in task.checkpoints.values() for cell in group)
            self._score_after(next((found for cell in cells if (found := self._context_of(cell))), ()), target)
        if not sequences:
            return 0.0
        with _left_to_tasks():
            step_s = self.engine.warm_up(list(sequences.values()))
        lengths = [len(sequences[part]) if part in sequences else 0 for part in parts]
        return step_s * sum(lengths) / len(lengths) / max(lengths)

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

        Raises:
            UsageError: a setting cannot be; it would fail in every task.
        """
        rows: list[dict[str, Any]] = []
        waiting = [cell for cells in task.checkpoints.values() for cell in cells]
        seed = derive_seed("finetune", task.prompt_id, self.seed + task.seed)
        try:
            target, before = self._prepare_prompt(task.prompt_id)
            sequences = self.items.sequences([step.item for step in task.steps])
            self._reset_peak()
            with self.engine.adaptation(seed, task.lr) as adaptation:
                done = 0
                for count, cells in task.checkpoints.items():
                    adaptation.advance(task.steps[done:count], sequences)
                    done = count
                    for cell, figures in self._score(cells, target):
                        rows.append(self._measured(cell, adaptation, target, before, figures))
                        waiting.remove(cell)
        except UsageError:
            raise
        except Exception as error:  # tokenizer, model and device raise what they like over one text; the others go on
            status, reason = classify(error)
            if status == "oom" and self.model.device.type == "cuda":
                torch.cuda.empty_cache()
            rows.extend(self._row(cell, status=status, reason=reason) for cell in waiting)
        finally:
            for row in rows:
                if row["status"] == "ok" and row["steps"]:
                    row["restore_s"] = self.engine.restore_s
                self.write(row)

    def _prepare_prompt(self, prompt_id: str) -> tuple[Target, float]:
        if prompt_id not in self._base:
            text = self.picks.prompts[prompt_id]["text"]
            target = make_target(self.model, text, self.items.max_tokens, self.protocol)
            self._base[prompt_id] = (target, score(self.model, target))
        return self._base[prompt_id]

    def _score(self, cells: Sequence[Cell], target: Target) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Score the prompt once for every way in which these cells want it, all under the present weights."""
        found: dict[tuple[int, ...], dict[str, Any]] = {}
        for cell in cells:
            documents = self._context_of(cell)
            if documents not in found:
                found[documents] = self._score_after(documents, target)
            yield cell, found[documents]

    def _context_of(self, cell: Cell) -> tuple[int, ...]:
        if "in-context" not in cell.arm:
            return ()
        return tuple(nearest_documents(self.picks.records[cell.prompt_id, cell.job.label, cell.budget]))

    def _score_after(self, documents: Sequence[int], target: Target) -> dict[str, Any]:
        """Score the prompt, with ``documents`` (nearest first) before it if there are any."""
        clock, reading = Stopwatch(self.model.device), Stopwatch(self.model.device)
        kept, figures = None, {}
        if documents:
            context = fit_context(self.model, target, self.items.documents(documents))
            with reading.running():
                kept = read_context(self.model, context)
            figures = {"context_s": reading.seconds, "n_in_context": context.n_documents}
        with clock.running():
            after = score(self.model, target, kept)
        return {**figures, "bpb_after": after, "score_s": clock.seconds}

    def _measured(
        self, cell: Cell, adaptation: Adaptation, target: Target, before: float, figures: Mapping[str, Any]
    ) -> dict[str, Any]:
        record = self.picks.records.get((cell.prompt_id, cell.job.label, cell.budget), {})
        return self._row(
            cell,
            status="ok",
            reason=self._remark(cell, figures) or record.get("reason", ""),
            bpb_before=before,
            bpb_pct=100.0 * figures["bpb_after"] / before,
            bytes_scored=target.n_bytes,
            tokens_scored=target.n_tokens,
            finetune_s=adaptation.finetune_s,
            steps=adaptation.steps,
            fresh_steps=adaptation.fresh_steps,
            peak_mib=self._peak_mib(),
            **figures,
        )

    def _remark(self, cell: Cell, figures: Mapping[str, Any]) -> str:
        if "in-context" not in cell.arm or figures.get("n_in_context", 1):
            return ""
        return f"no pick fits into the model's {self.model.max_positions} positions beside the prompt"

    def _row(self, cell: Cell, **values: Any) -> dict[str, Any]:
        constants = {**self.constants, "backend": self.engine.backend.name, "seed": self.seed + cell.seed}
        return cell_row(cell, self.picks, constants, **values)

    def _reset_peak(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.model.device)

    def _peak_mib(self) -> float | None:
        if self.model.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.model.device) / 2**20


@contextlib.contextmanager
def _left_to_tasks() -> Iterator[None]:
    """Pass over what :meth:`Runner.run` would put into rows."""
    try:
        yield
    except UsageError:
        raise
    except Exception:
        pass


__all__ = ["Runner"]
