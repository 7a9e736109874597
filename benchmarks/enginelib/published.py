"""The loop as published systems run it, written down literally: what ours is measured beside.

fp32 eager, every sequence padded to 1024 tokens with an attention mask, the loss of the module itself, Adam
as torch.optim makes it (foreach), ``model.train()``, one loss read back per step, weights restored from a
state dict in host memory. Gradient reuse clones the gradient of every group and copies it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ttft_bench.engine.schedule import Step

LENGTH = 1024


class PublishedLoop:
    """One prompt after the other on ``module``, padded to ``length``."""

    def __init__(self, module: Any, lr: float = 5e-5, length: int = LENGTH) -> None:
        self.module = module
        self.lr = lr
        self.length = length
        self.saved = {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
        self.begin()

    def begin(self) -> None:
        """A fresh optimizer, as for every prompt."""
        self.module.train()
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=self.lr, foreach=True)
        self.cached: list[torch.Tensor] = []

    def pad(self, sequence: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the tokenizer hands over: ids, mask, labels, all of full length."""
        device = sequence.device
        ids = torch.zeros(1, self.length, dtype=torch.int64, device=device)
        mask = torch.zeros_like(ids)
        kept = min(len(sequence), self.length)
        ids[0, :kept], mask[0, :kept] = sequence[:kept], 1
        labels = ids.masked_fill(mask == 0, -100)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    def fresh(self, inputs: dict[str, torch.Tensor], keep: bool = False) -> float:
        """Forward, backward, step."""
        loss = self.module(**inputs).loss
        self.optimizer.zero_grad()
        loss.backward()
        if keep:
            self.cached = [parameter.grad.clone() for parameter in self.module.parameters()]
        self.optimizer.step()
        return float(loss.item())

    def reused(self) -> None:
        """The cached gradient once more."""
        for parameter, gradient in zip(self.module.parameters(), self.cached, strict=True):
            parameter.grad = gradient.clone()
        self.optimizer.step()

    def restore(self) -> None:
        """From host memory."""
        self.module.load_state_dict(self.saved)

    def prompt(self, steps: Sequence[Step[int]], inputs: dict[int, dict[str, torch.Tensor]]) -> None:
        """A whole prompt, restore included."""
        self.begin()
        reusing = any(not step.fresh for step in steps)
        for step in steps:
            if step.fresh:
                self.fresh(inputs[step.item], keep=reusing)
            else:
                self.reused()
        self.restore()
