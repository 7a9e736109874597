"""THE loop: one optimizer step per scheduled item, gradient reuse in one place, restored on the way out.

A prompt's life::

    engine = Engine(model, Settings())
    engine.warm_up([sequence])
    with engine.adaptation(seed) as adaptation:
        adaptation.advance(steps[:4], sequences)     # timed
        bits = score(model, target)                  # not timed here
        adaptation.advance(steps[4:], sequences)
    # the weights are bit for bit what they were, also if something raised

Adam as in HullFT (arXiv 2605.30337) and SIFT (arXiv 2410.08020): lr 5e-5, betas (.9, .999), eps 1e-8,
no decay, clipping or schedule, batch 1, a fresh optimizer state for every prompt. How a step is executed
is the backend's business: :mod:`ttft_bench.engine.eager` is the short one to read.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from ttft_bench.draws import drawing
from ttft_bench.engine.backend import Backend
from ttft_bench.engine.claims import Claim, Kind
from ttft_bench.engine.clock import Stopwatch
from ttft_bench.engine.eager import EagerBackend
from ttft_bench.engine.guards import check_sequence
from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.opening import open_backend, resolve_backend, warn_fallback
from ttft_bench.engine.schedule import Step, parts_of
from ttft_bench.engine.settings import Settings, check_lr
from ttft_bench.errors import BackendError, NonFiniteError

#: What a step trains on: item -> int64 token ids, shape (T,), T >= 2, on the model's device.
Sequences = Mapping[Any, torch.Tensor]


@dataclass
class Adaptation:
    """A finetuning run under way; once it was left it takes no more steps.

    Attributes:
        lr: learning rate of the run.
        steps: optimizer steps taken so far.
        fresh_steps: how many of them computed a gradient.
        losses: mean cross-entropy in nats per token of every fresh step.
    """

    engine: Engine
    clock: Stopwatch
    lr: float
    steps: int = 0
    fresh_steps: int = 0
    losses: list[float] = field(default_factory=list)
    _over: bool = False
    _batches: dict[Any, Any] = field(default_factory=dict)
    _sequences: dict[Any, torch.Tensor] = field(default_factory=dict)

    @property
    def finetune_s(self) -> float:
        """Seconds spent in training steps so far."""
        return self.clock.seconds

    def prepare(self, steps: Sequence[Step[Any]], sequences: Sequences) -> None:
        """Make ready what these steps train on, outside the clock; :meth:`advance` does it for what is not yet.

        Raises:
            RuntimeError: the run is over.
        """
        if self._over:
            raise RuntimeError("this adaptation was left, and its weights restored: open another one")
        new = dict.fromkeys(step.item for step in steps if step.item not in self._batches)
        self._sequences.update({part: sequences[part] for item in new for part in parts_of(item)})
        backend = self.engine.backend
        self._batches.update(self.engine.prepare(new, sequences, begun=self.steps > 0))
        if self.engine.backend is not backend:  # it turned eager: what the other one made ready is not for this one
            self._batches = self.engine.prepare(self._batches, self._sequences)

    def advance(self, steps: Sequence[Step[Any]], sequences: Sequences) -> None:
        """Take steps.

        Args:
            steps: the next part of the schedule.
            sequences: of every item that the steps name.

        Raises:
            NonFiniteError: a loss is NaN or infinite.
            RuntimeError: the run is over.
        """
        if steps and not steps[0].fresh and self.steps == 0:
            raise ValueError("the first step has no gradient to reuse")
        self.prepare(steps, sequences)
        with self.clock.running():
            losses = self.engine.train(steps, self._batches, self.lr)
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
    """Finetunes one model again and again, from the same weights each time. Not re-entrant.

    Several Engines may have one model as long as they train the same weights. Compiled steps are shared by those of
    equal settings, learning rates aside; beside any others they are refused (:mod:`ttft_bench.engine.claims`).

    Args:
        model: what to finetune.
        settings: how.
        backend: auto | eager | compiled; auto is compiled on CUDA and eager elsewhere.
        options: of the compiled backend.
        like: an engine of a copy of the model; what it compiled is used here too, if it trains in the same way.

    Raises:
        UsageError: another Engine of the model, or an open adaptation of it, would be disturbed.
    """

    def __init__(
        self,
        model: LanguageModel,
        settings: Settings | None = None,
        *,
        backend: str = "auto",
        options: Any = None,
        like: Engine | None = None,
    ) -> None:
        self.model = model
        self.settings = settings or Settings()
        self.restore_s = 0.0
        #: Why steps run eagerly, as far as that was said; lanes share it.
        self._told: set[str] = like._told if like is not None else set()
        self._claim = Claim.on(model)
        self.kind = kind = Kind.of(model, self.settings, resolve_backend(backend, model.device), options)
        compiled = like.backend if like is not None and like.kind == kind else None
        self.backend: Backend = self._claim.admit(model, kind) or open_backend(
            backend, model, self.settings, options, compiled, self._told
        )
        self._claim.hold(self, kind)

    @contextmanager
    def adaptation(self, seed: int = 0, lr: float | None = None) -> Iterator[Adaptation]:
        """Open a finetuning run; on exit the weights and the optimizer state are as before.

        Args:
            seed: of the dropout masks; nothing else is random. The global generators are left as found.
            lr: learning rate of this run; the settings' if not given.
        """
        lr = self.settings.lr if lr is None else lr
        check_lr(lr)
        with ExitStack() as stack:
            stack.enter_context(self._claim.adapting())
            if self.settings.dropout:
                stack.enter_context(drawing(seed, self.model.device))
            adaptation = Adaptation(self, Stopwatch(self.model.device), lr)
            try:
                yield adaptation
            finally:
                adaptation._over = True
                self._restore()

    @contextmanager
    def adapted(self, steps: Sequence[Step[Any]], sequences: Sequences, seed: int = 0) -> Iterator[Any]:
        """The adapted ``transformers`` module, for scoring or ``generate``; restored on exit.

        The example in :mod:`ttft_bench.engine` is a whole program around it.
        """
        with self.adaptation(seed) as adaptation:
            adaptation.advance(steps, sequences)
            yield self.model.module

    def warm_up(self, sequences: Sequence[torch.Tensor]) -> float:
        """Build and run every path in every shape so that no clock sees a first call.

        Args:
            sequences: what the runs will train on; of every shape the longest is taken.

        Returns:
            Seconds of one fresh step on the longest, for estimates.
        """
        items = dict(enumerate(self.backend.representatives(sequences)))
        fresh = [Step[Hashable](item, fresh=True) for item in items]
        with self.adaptation() as adaptation:
            # Two rounds: the second still pays for memory that the first one touched and freed.
            adaptation.advance([*fresh, Step(fresh[-1].item, fresh=False), *fresh], items)
            before = adaptation.finetune_s
            adaptation.advance(fresh[-1:], items)
            return adaptation.finetune_s - before

    def prepare(self, items: Iterable[Any], sequences: Sequences, *, begun: bool = False) -> dict[Any, Any]:
        """Item -> what the backend trains on; where it cannot be built, the engine turns eager for good."""
        parts = {item: [sequences[part] for part in parts_of(item)] for item in items}
        for sequence in {id(s): s for group in parts.values() for s in group}.values():
            check_sequence(self.model, sequence)
        try:
            return {item: self.backend.prepare(group) for item, group in parts.items()}
        except BackendError as error:
            self.backend.restore()
            warn_fallback(error, self._told)
            eager = EagerBackend(self.model, self.settings)
            eager.compile_s, self.backend = self.backend.compile_s, eager
            if begun:  # the steps taken so far are lost with the backend that took them
                raise
            return {item: eager.prepare(group) for item, group in parts.items()}

    def train(self, steps: Sequence[Step[Any]], batches: Mapping[Any, Any], lr: float) -> list[torch.Tensor]:
        """The steps themselves; the losses of the fresh ones stay on the device."""
        losses = []
        for step in steps:
            if step.fresh:
                losses.append(self.backend.fresh(batches[step.item], lr * step.lr_scale, step.loss_weight))
            else:  # the gradient of the step before is still in place
                self.backend.update(lr * step.lr_scale)
        return losses

    def _restore(self) -> None:
        clock = Stopwatch(self.model.device)
        with clock.running():
            try:
                self.backend.restore()
            except KeyboardInterrupt:  # half the weights restored are worth nothing: begin again, then obey
                self.backend.restore()
                raise
        self.restore_s = clock.seconds


__all__ = ["Adaptation", "Engine", "Sequences", "Settings"]
