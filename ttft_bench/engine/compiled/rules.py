"""The optimizers as arithmetic on flat tensors, written to be compiled into one kernel each.

``step`` counts from 1. At step 1 the moments count as zero whatever they hold, so that nothing has to be
cleared between prompts. Gradients may be in half precision; all arithmetic is in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ttft_bench.engine.compiled.flat import FlatGroup
from ttft_bench.engine.settings import SGD, Adam, AdamW


def coefficients(step: torch.Tensor, lr: torch.Tensor, beta1: float, beta2: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Adam's step size ``lr / (1 - beta1^t)`` and ``1 / sqrt(1 - beta2^t)``: scalars, computed once a step."""
    return lr / (1 - beta1**step), (1 - beta2**step).rsqrt()


def adam_(
    group: tuple[torch.Tensor, ...],
    step: torch.Tensor,
    lr: torch.Tensor,
    size: torch.Tensor,
    root: torch.Tensor,
    scale: torch.Tensor | None,
    rule: tuple[float, float, float, float],
) -> None:
    """One Adam or AdamW step, in place.

    Args:
        group: weights, shadow, gradient, first and second moment.
        step: number of this step.
        lr: learning rate.
        size: first of :func:`coefficients`.
        root: second of them.
        scale: factor on the gradient (clipping); None for 1.
        rule: beta1, beta2, eps, weight decay.
    """
    weights, shadow, gradient, first, second = group
    beta1, beta2, eps, decay = rule
    g = gradient.float() if scale is None else gradient.float() * scale
    begun = step > 1
    m = torch.where(begun, first, 0.0)
    m = m + (g - m) * (1 - beta1)
    v = torch.where(begun, second, 0.0) * beta2 + g * g * (1 - beta2)
    w = weights if decay == 0 else weights * (1 - lr * decay)
    w = w - size * (m / (v.sqrt() * root + eps))
    _store((weights, shadow, first), (w, m))
    second.copy_(v)


def sgd_(
    group: tuple[torch.Tensor, ...],
    step: torch.Tensor,
    lr: torch.Tensor,
    scale: torch.Tensor | None,
    momentum: float,
) -> None:
    """One step of gradient descent, in place; arguments as for :func:`adam_`."""
    weights, shadow, gradient, first, _ = group
    g = gradient.float() if scale is None else gradient.float() * scale
    m = g if momentum == 0 else torch.where(step > 1, first * momentum, 0.0) + g
    _store((weights, shadow, first), (weights - lr * m, m))


def _store(to: tuple[torch.Tensor, ...], values: tuple[torch.Tensor, ...]) -> None:
    weights, shadow, first = to
    w, m = values
    weights.copy_(w)
    if shadow is not weights:
        shadow.copy_(w)
    first.copy_(m)


def clip_scale(gradients: Sequence[torch.Tensor], limit: float) -> torch.Tensor:
    """What brings the norm of all gradients together down to ``limit``; at most 1."""
    norms = torch.stack([torch.linalg.vector_norm(gradient, dtype=torch.float32) for gradient in gradients])
    norm: torch.Tensor = torch.linalg.vector_norm(norms)
    return (limit / (norm + 1e-6)).clamp(max=1.0)


class Update:
    """The optimizer of a run over its flat groups.

    Args:
        rule: which optimizer.
        groups: what it updates.
        clip: largest norm of the gradient, or None.
        wrap: applied to each kernel: torch.compile, or nothing.
    """

    def __init__(
        self,
        rule: Adam | SGD,
        groups: Sequence[FlatGroup],
        clip: float | None,
        wrap: Callable[[Callable[..., Any]], Callable[..., Any]],
    ) -> None:
        self.rule = rule
        self.groups = groups
        self.clip = clip
        device = groups[0].weights.device
        self.step = torch.zeros((), device=device)
        self.lr = torch.zeros((), device=device)
        self._coefficients = wrap(coefficients)
        self._apply = wrap(sgd_ if isinstance(rule, SGD) else adam_)

    def __call__(self) -> None:
        """Count the step and take it, with the learning rate in ``lr``. No host involved."""
        self.step.add_(1)
        scale = clip_scale([group.gradient for group in self.groups], self.clip) if self.clip is not None else None
        rule = self.rule
        if isinstance(rule, SGD):
            for group in self.groups:
                self._apply(self._tensors(group), self.step, self.lr, scale, rule.momentum)
            return
        size, root = self._coefficients(self.step, self.lr, rule.beta1, rule.beta2)
        decay = rule.weight_decay if isinstance(rule, AdamW) else 0.0
        for group in self.groups:
            numbers = (rule.beta1, rule.beta2, rule.eps, decay)
            self._apply(self._tensors(group), self.step, self.lr, size, root, scale, numbers)

    @staticmethod
    def _tensors(group: FlatGroup) -> tuple[torch.Tensor, ...]:
        return group.weights, group.shadow, group.gradient, group.first, group.second


__all__ = ["Update", "adam_", "clip_scale", "coefficients", "sgd_"]
