"""THE loop: one optimizer step per scheduled item, gradient reuse in one place, restored on the way out.

A prompt's life::

    engine = Engine(model, Settings())
    engine.warm_up(sequence)
    with engine.adaptation(seed) as adaptation:
        adaptation.advance(steps[:4], sequences)     # timed
        bits = score(model, target)                  # not timed here
        adaptation.advance(steps[4:], sequences)
    # the weights are bit for bit what they were, also if something raised

Adam as in HullFT (arXiv 2605.30337) and SIFT (arXiv 2410.08020): lr 5e-5, betas (.9, .999), eps 1e-8,
no decay, clipping or schedule, batch 1, a fresh optimizer state for every prompt.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from ttft_bench.engine.clock import Stopwatch
from ttft_bench.engine.model import LanguageModel, Snapshot
from ttft_bench.engine.schedule import Step
from ttft_bench.errors import NonFiniteError, UsageError


@dataclass(frozen=True)
class Settings:
    """How to finetune.

    Attributes:
        lr: learning rate.
        betas: Adam's decay rates.
        eps: Adam's epsilon.
        dropout: train with the model's dropout on (drawn from a seed of its own); off by default.
    """

    lr: float = 5e-5
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    dropout: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.lr < float("inf"):
            raise UsageError(f"lr must be a finite number above 0, got {self.lr}")

    def describe(self) -> str:
        """The optimizer as a result row names it."""
        betas = ",".join(f"{beta:g}" for beta in self.betas)
        return f"adam[betas={betas};eps={self.eps:g}{';dropout=on' if self.dropout else ''}]"


@dataclass
class Adaptation:
    """A finetuning run under way.

    Attributes:
        steps: optimizer steps taken so far.
        fresh_steps: how many of them computed a gradient.
        losses: mean cross-entropy in nats per token of every fresh step.
    """

    engine: Engine
    clock: Stopwatch
    steps: int = 0
    fresh_steps: int = 0
    losses: list[float] = field(default_factory=list)

    @property
    def finetune_s(self) -> float:
        """Seconds spent in training steps so far."""
        return self.clock.seconds

    def advance(self, steps: Sequence[Step[Any]], sequences: Mapping[Any, torch.Tensor]) -> None:
        """Take steps.

        Args:
            steps: the next part of the schedule.
            sequences: item -> int64 token ids, shape (T,), T >= 2, on the model's device.

        Raises:
            NonFiniteError: a loss is NaN or infinite.
        """
        if steps and not steps[0].fresh and self.steps == 0:
            raise ValueError("the first step has no gradient to reuse")
        with self.clock.running():
            losses = self.engine._train(steps, sequences)
            self.steps += len(steps)
            self.fresh_steps += len(losses)
            # One read-back per call: reading each loss as it comes would stall the device every step.
            values = torch.stack(losses).tolist() if losses else []
        first = self.fresh_steps - len(values)
        for index, value in enumerate(values):
            if not value - value == 0.0:
                raise NonFiniteError(
                    f"loss is {value} at gradient {first + index + 1}: the learning rate may be too high"
                )
        self.losses.extend(values)


class Engine:
    """Finetunes one model again and again, from the same weights each time. Not re-entrant."""

    def __init__(self, model: LanguageModel, settings: Settings | None = None) -> None:
        self.model = model
        self.settings = settings or Settings()
        self.parameters = [p for p in model.module.parameters() if p.requires_grad]
        self.snapshot = Snapshot(model.module)
        self.optimizer = torch.optim.Adam(
            self.parameters,
            lr=self.settings.lr,
            betas=self.settings.betas,
            eps=self.settings.eps,
            fused=model.device.type in ("cpu", "cuda"),
        )
        self.restore_s = 0.0
        self._busy = False

    @contextmanager
    def adaptation(self, seed: int = 0) -> Iterator[Adaptation]:
        """Open a finetuning run; on exit the weights and the optimizer state are as before.

        Args:
            seed: of the dropout masks; nothing else is random. The global generators are left as found.
        """
        if self._busy:
            raise RuntimeError("an Engine runs one adaptation at a time")
        self._busy = True
        with ExitStack() as stack:
            if self.settings.dropout:
                devices = [self.model.device] if self.model.device.type == "cuda" else []
                stack.enter_context(torch.random.fork_rng(devices=devices))
                torch.manual_seed(seed)
            try:
                yield Adaptation(self, Stopwatch(self.model.device))
            finally:
                self._restore()
                self._busy = False

    def warm_up(self, sequence: torch.Tensor) -> float:
        """Run every path once on ``sequence`` so that no clock sees a first call.

        Returns:
            Seconds of one fresh step, for estimates.
        """
        fresh, reused = Step[Hashable](0, fresh=True), Step[Hashable](0, fresh=False)
        with self.adaptation() as adaptation:
            # Two fresh steps: the second still pays for memory that the first one touched and freed.
            adaptation.advance([fresh, reused, fresh], {0: sequence})
            before = adaptation.finetune_s
            adaptation.advance([fresh], {0: sequence})
            return adaptation.finetune_s - before

    def _train(self, steps: Sequence[Step[Any]], sequences: Mapping[Any, torch.Tensor]) -> list[torch.Tensor]:
        losses = []
        self.model.module.train(self.settings.dropout)
        try:
            for step in steps:
                if step.fresh:
                    # Zeroed in place, not freed: allocating half a gigabyte anew costs more than clearing it.
                    self.optimizer.zero_grad(set_to_none=False)
                    loss = self._loss(sequences[step.item])
                    loss.backward()  # type: ignore[no-untyped-call]
                    losses.append(loss.detach())
                # A reused step applies the gradient that is still in place: no copy is ever made.
                self.optimizer.step()
        finally:
            self.model.module.eval()
        return losses

    def _loss(self, sequence: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of every token but the first, unpadded."""
        with self.model.autocast():
            logits = self.model.module(input_ids=sequence[None, :-1], use_cache=False).logits
        return cross_entropy(logits[0].float(), sequence[1:])

    def _restore(self) -> None:
        clock = Stopwatch(self.model.device)
        with clock.running():
            self.snapshot.restore()
            for state in self.optimizer.state.values():
                for value in state.values():
                    if torch.is_tensor(value):
                        value.zero_()
        self.restore_s = clock.seconds


__all__ = ["Adaptation", "Engine", "Settings"]
