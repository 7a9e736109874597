"""The eager backend: a training step in plain PyTorch, the reference for every other way of running one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch.nn.functional import cross_entropy

from ttft_bench.engine.backend import Backend
from ttft_bench.engine.model import LanguageModel, Snapshot
from ttft_bench.engine.products import Swap
from ttft_bench.engine.settings import SGD, AdamW, Settings, parse_optimizer
from ttft_bench.engine.trainable import select_trainable

#: Labels with this value are not trained on; cross_entropy's own default.
IGNORED = -100


class EagerBackend(Backend):
    """One forward pass, one backward pass, one optimizer step; no padding at batch 1."""

    name: ClassVar[str] = "eager"

    def __init__(self, model: LanguageModel, settings: Settings) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        # PyTorch's attention kernels on a GPU add in whatever order thread blocks finish.
        self.repeatable = model.device.type != "cuda"
        self.parameters = select_trainable(model.module, settings.trainable)
        self.snapshot = Snapshot(model.module)
        self.optimizer = make_optimizer(self.parameters, settings, model.device)
        self.swap = Swap(model)

    def describe(self) -> dict[str, str]:
        """Which library multiplies matrices, where there was a choice."""
        return {"products": str(self.swap.products)}

    def prepare(self, sequences: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Nothing to prepare: sequences are used as they are."""
        return tuple(sequences)

    def gradient(self, batch: tuple[torch.Tensor, ...], loss_weight: float = 1.0) -> torch.Tensor:
        """Forward and backward."""
        # Freed, not zeroed: what the backward pass writes becomes the gradient, nothing is cleared or added.
        self.optimizer.zero_grad(set_to_none=True)
        if self.settings.dropout:
            self.model.module.train()
        try:
            with self.swap.active():
                loss = self._loss(batch)
                (loss if loss_weight == 1.0 else loss * loss_weight).backward()  # type: ignore[no-untyped-call]
        finally:
            if self.settings.dropout:
                self.model.module.eval()
        if self.settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        return loss.detach()

    def update(self, lr: float) -> None:
        """A reused step comes here at once: the gradient is still in place, no copy is ever made."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        try:
            self.optimizer.step()
        except BaseException:
            # A first step fills the state tensor by tensor: half of it would fail every later run, none begins anew.
            self.optimizer.state.clear()
            raise

    def restore(self) -> None:
        """Copy the weights back in one call; zero the optimizer state in place."""
        self.snapshot.restore()
        for state in self.optimizer.state.values():
            for value in state.values():
                if torch.is_tensor(value):
                    value.zero_()

    def is_untouched(self) -> bool:
        """Compare with the snapshot."""
        return self.snapshot.is_current()

    def _loss(self, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Mean over the items of the mean cross-entropy of every token but an item's first."""
        if len(batch) == 1:
            sequence = batch[0]
            logits = self._logits(sequence[None, :-1])
            return cross_entropy(logits[0].float(), sequence[1:])
        inputs, labels = pad(batch)
        logits = self._logits(inputs)
        losses = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none", ignore_index=IGNORED)
        counts = (labels != IGNORED).sum(1)
        return (losses.view_as(labels).sum(1) / counts).mean()

    def _logits(self, inputs: torch.Tensor) -> torch.Tensor:
        with self.model.autocast():
            logits: torch.Tensor = self.model.module(input_ids=inputs, use_cache=False).logits
        return logits


def pad(sequences: Sequence[torch.Tensor], length: int = 0, rows: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of sequences side by side, padded on the right.

    No mask is needed: attention is causal, so what is padded is seen by padding only, and its labels are ignored.

    Args:
        sequences: int64, each of shape (T,), T >= 2.
        length: of the padded inputs; the longest sequence's if 0.
        rows: number of rows, empty ones added below; as many as sequences if 0.

    Returns:
        Inputs and labels, int64, both of shape (rows, length).
    """
    length = length or max(len(sequence) for sequence in sequences) - 1
    shape = (rows or len(sequences), length)
    inputs = torch.zeros(shape, dtype=torch.int64, device=sequences[0].device)
    labels = torch.full(shape, IGNORED, dtype=torch.int64, device=sequences[0].device)
    for row, sequence in enumerate(sequences):
        inputs[row, : len(sequence) - 1] = sequence[:-1]
        labels[row, : len(sequence) - 1] = sequence[1:]
    return inputs, labels


def make_optimizer(
    parameters: Sequence[torch.nn.Parameter], settings: Settings, device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer of ``settings``; fused, so that an update reads and writes every weight once."""
    rule = parse_optimizer(settings.optimizer)
    fused = device.type in ("cpu", "cuda")
    if isinstance(rule, SGD):
        return torch.optim.SGD(parameters, lr=settings.lr, momentum=rule.momentum, fused=fused)
    betas = (rule.beta1, rule.beta2)
    if isinstance(rule, AdamW):
        return torch.optim.AdamW(
            parameters, lr=settings.lr, betas=betas, eps=rule.eps, weight_decay=rule.weight_decay, fused=fused
        )
    return torch.optim.Adam(parameters, lr=settings.lr, betas=betas, eps=rule.eps, fused=fused)


__all__ = ["IGNORED", "EagerBackend", "make_optimizer", "pad"]
