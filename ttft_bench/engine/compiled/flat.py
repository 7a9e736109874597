"""Weights of one kind side by side in one buffer, and everything a training step needs beside them.

An optimizer step is then one elementwise operation over one tensor, and a restore one copy, however many
tensors the model has. With a shadow, what the model computes with is a copy in half precision that the
optimizer writes together with the weights: per weight and step 4 + 4 + 4 bytes of weight and moments and 2 of
gradient are read, 4 + 4 + 4 and 2 of shadow are written: 28, as for Adam in fp32 without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import torch

#: Every tensor begins at a multiple of so many elements, so that kernels may load 16 bytes at once.
_ALIGNMENT = 64


class FlatGroup:
    """Trained parameters in one fp32 buffer; the parameters become views of it.

    Args:
        stacks: parameters, moved into the buffer, on one device; those of one stack lie below each other and
            are one leaf.
        dtype: what the model computes with: fp32 (the weights themselves), or bf16 (a shadow).
        rows: id of a parameter -> number of rows it is padded to with zeros.

    Attributes:
        weights: fp32, flat.
        shadow: flat, of ``dtype``; ``weights`` itself for fp32.
        gradient: flat, of ``dtype``.
        first, second: fp32, flat: the optimizer's moments; what they hold before the first step is ignored.
        leaves: per stack, the view of ``shadow`` that the model computes with, padded; leaves of autograd.
        gradients: per stack, the view of ``gradient``, shaped like the leaf.
        spans: per stack, where it begins and where the next one does.
    """

    def __init__(
        self,
        stacks: Sequence[Sequence[torch.nn.Parameter]],
        dtype: torch.dtype,
        rows: Mapping[int, int] | None = None,
    ) -> None:
        self.stacks = [tuple(stack) for stack in stacks]
        device = self.stacks[0][0].device
        shapes = [self._shape(stack, rows or {}) for stack in self.stacks]
        offsets, end = [], 0
        for shape in shapes:
            offsets.append(end)
            end += -(-prod(shape) // _ALIGNMENT) * _ALIGNMENT
        places = list(zip(offsets, shapes, strict=True))
        self.spans = list(zip(offsets, [*offsets[1:], end], strict=True))

        def views(flat: torch.Tensor) -> list[torch.Tensor]:
            return [flat[offset : offset + prod(shape)].view(shape) for offset, shape in places]

        self.weights = torch.zeros(end, device=device)
        for stack, view in zip(self.stacks, views(self.weights), strict=True):
            start = 0
            for parameter in stack:
                own = view[start : start + parameter.shape[0]] if parameter.dim() else view
                own.copy_(parameter.detach())
                parameter.data = own
                start += parameter.shape[0] if parameter.dim() else 0
        self.shadow = self.weights if dtype == torch.float32 else self.weights.to(dtype)
        self.gradient = torch.zeros(end, device=device, dtype=dtype)
        self.first = torch.zeros(end, device=device)
        self.second = torch.zeros(end, device=device)
        self.leaves = [torch.nn.Parameter(view) for view in views(self.shadow)]
        self.gradients = views(self.gradient)
        self._live = [self.weights] if self.shadow is self.weights else [self.weights, self.shadow]
        self._kept = [tensor.clone() for tensor in self._live]

    def find_gradients(self) -> dict[torch.nn.Parameter, torch.Tensor]:
        """Per parameter its own part of ``gradient``, without padding."""
        found = {}
        for stack, view in zip(self.stacks, self.gradients, strict=True):
            start = 0
            for parameter in stack:
                found[parameter] = view[start : start + parameter.shape[0]] if parameter.dim() else view
                start += parameter.shape[0] if parameter.dim() else 0
        return found

    def restore(self) -> None:
        """Bring the weights back."""
        for live, kept in zip(self._live, self._kept, strict=True):
            live.copy_(kept)

    def is_current(self) -> bool:
        """Whether the weights are what was kept."""
        return all(torch.equal(live, kept) for live, kept in zip(self._live, self._kept, strict=True))

    @staticmethod
    def _shape(stack: Sequence[torch.nn.Parameter], rows: Mapping[int, int]) -> tuple[int, ...]:
        shape = tuple(stack[0].shape)
        if not shape:
            return shape
        return (sum(rows.get(id(parameter), parameter.shape[0]) for parameter in stack), *shape[1:])


__all__ = ["FlatGroup"]
