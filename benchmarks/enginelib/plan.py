"""How to measure, and what every part needs."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from ttft_bench.engine.compiled import Options
from ttft_bench.engine.finetune import Engine
from ttft_bench.engine.schedule import Reuse, Step, build_schedule

Row = dict[str, Any]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How to measure: device, precision and backend of ours, repetitions."""

    device: torch.device
    precision: str
    backend: str
    options: Options
    quick: bool
    note: Note
    ideas: tuple[str, ...] = ()
    #: Shape -> an engine of it: what that compiled serves later parts too.
    compiled: dict[Any, Engine] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """Medians are over so many."""
        return 3 if self.quick else 7

    @property
    def inner(self) -> int:
        """Steps between two waits."""
        return 2 if self.quick or self.device.type == "cpu" else 20


def schedule(r: int) -> tuple[Step[int], ...]:
    """N = 50: at r = 2, 20 runs of two and 10 single items: 30 fresh and 20 reused steps; at r = 1, 50 fresh."""
    picks = [item for item in range(20) for _ in range(2)] + list(range(20, 30))
    return build_schedule(picks, Reuse(r))


def run_prompt(engine: Engine, steps: tuple[Step[int], ...], items: dict[int, torch.Tensor]) -> float:
    """Seconds of steps and restore by the engine's own clocks; padding is outside, as it is for the published loop."""
    with engine.adaptation() as adaptation:
        adaptation.advance(steps, items)
    return adaptation.finetune_s + engine.restore_s


def release() -> None:
    """Give memory of what was measured back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def forget() -> None:
    """Give compiled code back too: what is measured next compiles its own."""
    torch._dynamo.reset()
    release()
