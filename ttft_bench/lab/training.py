"""The steps of a plan, taken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ttft_bench.engine.finetune import Adaptation
from ttft_bench.engine.guards import is_out_of_memory
from ttft_bench.errors import CellError
from ttft_bench.lab.planning import Plan
from ttft_bench.lab.timing import TOLERANCE, Timing


def train(adaptation: Adaptation, plan: Plan, timing: Timing, start: float) -> tuple[str, ...]:
    """Take the steps of a plan; with a time budget one by one, as long as there is time.

    Args:
        adaptation: just opened.
        plan: what to train on.
        timing: told the seconds and steps.
        start: when the plan began to be made (``time.perf_counter``).

    Returns:
        What the user should know.

    Raises:
        CellError: a loss is not finite, or memory ran out.
    """
    remarks: tuple[str, ...] = ()
    with _memory_errors():
        adaptation.prepare(plan.steps, plan.sequences)
        timing.prepare_s = time.perf_counter() - start - plan.select_s
        if timing.budget_s is None:
            adaptation.advance(plan.steps, plan.sequences)
        else:
            remarks = _train_in_time(adaptation, plan, (1 + TOLERANCE) * timing.budget_s)
    timing.finetune_s = adaptation.finetune_s
    timing.steps, timing.fresh_steps = adaptation.steps, adaptation.fresh_steps
    return remarks


def _train_in_time(adaptation: Adaptation, plan: Plan, limit_s: float) -> tuple[str, ...]:
    for number, step in enumerate(plan.steps):
        if number and adaptation.finetune_s + plan.step_s[number] > limit_s:
            return (
                f"stopped after {number} of {len(plan.steps)} steps: they took {adaptation.finetune_s:.2g} s, longer "
                "than by the measured pace",
            )
        adaptation.advance([step], plan.sequences)
    return ()


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Running out of memory as an error with a remedy."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise CellError(
            f"out of memory while training ({str(error)[:200]}): lower max_tokens, train less (trainable last[k=1] or "
            "lora[r=8]), or use another device; the weights are as before"
        ) from error


__all__ = ["train"]
