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
    dither: bool = True,
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
        dither: whether a shadow is rounded by :func:`dithered`, or to the nearest.
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
    _store((weights, shadow, first), (w, m), dither)
    second.copy_(v)


def sgd_(
    group: tuple[torch.Tensor, ...],
    step: torch.Tensor,
    lr: torch.Tensor,
    scale: torch.Tensor | None,
    momentum: float,
    dither: bool = True,
) -> None:
    """One step of gradient descent, in place; arguments as for :func:`adam_`."""
    weights, shadow, gradient, first, _ = group
    g = gradient.float() if scale is None else gradient.float() * scale
    m = g if momentum == 0 else torch.where(step > 1, first * momentum, 0.0) + g
    _store((weights, shadow, first), (weights - lr * m, m), dither)


def _store(to: tuple[torch.Tensor, ...], values: tuple[torch.Tensor, ...], dither: bool) -> None:
    weights, shadow, first = to
    w, m = values
    weights.copy_(w)
    if shadow is not weights:
        shadow.copy_(dithered(w, m) if dither else w)
    first.copy_(m)


def dithered(w: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``w``, fp32, rounded up or down to a bf16 value at random, so that the mean is ``w``.

    A step moves a weight by less than half the distance of its bf16 neighbours. Rounded to the nearest, most weights
    would stay where they were or jump too far, the same way every time, and later gradients would mend what the
    weights themselves do not have: measured in benchmarks/engine_notes.md.

    Args:
        w: the weights.
        other: what goes into the choice beside ``w``: no generator is asked, equal numbers give equal bits.
    """
    bits = w.view(torch.int32)
    mixed = (bits * -1640531527) ^ (other.view(torch.int32) * -2048144789)
    mixed = (mixed ^ (mixed >> 15)) * 739982445
    mixed = (mixed ^ (mixed >> 12)) * 695872825
    return ((bits + ((mixed >> 15) & 0xFFFF)) & -65536).view(torch.float32)


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
        dither: how shadows are rounded.
    """

    def __init__(
        self,
        rule: Adam | SGD,
        groups: Sequence[FlatGroup],
        clip: float | None,
        wrap: Callable[[Callable[..., Any]], Callable[..., Any]],
        dither: bool = True,
    ) -> None:
        self.rule = rule
        self.groups = groups
        self.clip = clip
        self.dither = dither
        device = groups[0].weights.device
        self.step = torch.zeros((), device=device)
        self.lr = torch.zeros((), device=device)
        self._scale: torch.Tensor | None = None
        self._factors: tuple[torch.Tensor, torch.Tensor] = (self.lr, self.lr)
        self._coefficients = wrap(coefficients)
        self._apply = wrap(sgd_ if isinstance(rule, SGD) else adam_)

    def __call__(self) -> None:
        """Count the step and take it, with the learning rate in ``lr``. No host involved."""
        self.begin()
        for group in self.groups:
            self.apply(group)

    def begin(self) -> None:
        """Count the step; what all of its parts share is computed here. With clipping, all gradients must be there."""
        self.step.add_(1)
        self._scale = None if self.clip is None else clip_scale([group.gradient for group in self.groups], self.clip)
        if not isinstance(self.rule, SGD):
            self._factors = self._coefficients(self.step, self.lr, self.rule.beta1, self.rule.beta2)

    def apply(
        self, group: FlatGroup, span: tuple[int, int] | None = None, kernel: Callable[..., Any] | None = None
    ) -> None:
        """Take the step that was begun on one group, or on the elements ``span`` of it.

        Args:
            group: what to update.
            span: of which elements.
            kernel: does what :func:`adam_` does in its place.
        """
        rule = self.rule
        tensors = self._tensors(group, span)
        with torch.no_grad():  # in whatever thread this is called: compiled code is chosen by the mode too
            if isinstance(rule, SGD):
                self._apply(tensors, self.step, self.lr, self._scale, rule.momentum, self.dither)
                return
            decay = rule.weight_decay if isinstance(rule, AdamW) else 0.0
            numbers = (rule.beta1, rule.beta2, rule.eps, decay)
            apply = kernel or self._apply
            apply(tensors, self.step, self.lr, *self._factors, self._scale, numbers, self.dither)

    @staticmethod
    def _tensors(group: FlatGroup, span: tuple[int, int] | None) -> tuple[torch.Tensor, ...]:
        kinds = (group.weights, group.shadow, group.gradient, group.first, group.second)
        if span is None:
            return kinds
        # As data, with versions of their own: autograd would take what it kept of other blocks for overwritten.
        parts = [kind.data[span[0] : span[1]] for kind in kinds]
        if group.shadow is group.weights:
            parts[1] = parts[0]
        return tuple(parts)


__all__ = ["Update", "adam_", "clip_scale", "coefficients", "sgd_"]
