"""Where batched code runs: NumPy, or torch on a device, with one spelling for both.

NumPy and torch agree on operators, indexing and most names (``where``, ``sqrt``, ``amax``, ``axis=``). An
:class:`Arrays` holds the few things they spell differently. Everything is in float64. torch is imported only
if a device is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.errors import UsageError
from ttft_strategies._gram import TIE_TOLERANCE


class Arrays:
    """NumPy.

    Attributes:
        module: what has ``where``, ``sqrt``, ``minimum``, ``amax`` and ``zeros_like``.
        batch_bytes: how much of a batch is worked on at a time; what a processor's last cache holds.
        patience: steps between looks at what is finished. Looking at a GPU makes the host wait for it.
    """

    module: Any = np
    batch_bytes = 2**26
    patience = 1

    def put(self, array: NDArray[Any]) -> Any:
        """As an array of this kind, of the same type."""
        return array

    def stack(self, parts: Sequence[NDArray[Any]]) -> Any:
        """Arrays of one shape, one after another, in float64."""
        return np.stack(parts, dtype=np.float64)

    def empty(self, *shape: int) -> Any:
        """Float64 without content."""
        return np.empty(shape)

    def count(self, n: int) -> Any:
        """0, 1, ..., n - 1."""
        return np.arange(n)

    def first_best(self, scores: Any) -> Any:
        """For each row the index of its largest score; the lowest index among ties."""
        return (scores >= scores.max(axis=1, keepdims=True) - TIE_TOLERANCE).argmax(axis=1)

    def has_ties(self, scores: Any) -> bool:
        """Whether any row holds two scores that are tied, as those of equal items are."""
        return bool((np.diff(np.sort(self.get(scores), axis=1), axis=1) <= TIE_TOLERANCE).any())

    def get(self, array: Any) -> NDArray[Any]:
        """As NumPy."""
        return np.asarray(array)


class TorchArrays(Arrays):
    """torch on one device.

    Args:
        device: as torch names it: "cpu", "cuda", "cuda:1", "mps".
    """

    def __init__(self, device: str) -> None:
        import torch

        self.module = torch
        try:
            place: Any = torch.device(device)  # "cuda" has no index, whatever torch's types say
            torch.empty(1, device=place, dtype=torch.float64)
        except (RuntimeError, AssertionError, TypeError) as error:
            first = str(error).splitlines()[0]
            raise UsageError(f"device {device!r} cannot be used here for float64 ({first})") from error
        if place.type == "cuda" and place.index is None:
            place = torch.device("cuda", torch.cuda.current_device())
        self.device = place
        if self.device.type != "cpu":
            self.batch_bytes = 2**30
            self.patience = 16

    def put(self, array: NDArray[Any]) -> Any:
        """As a tensor on the device, of the same type."""
        return self.module.as_tensor(array).to(self.device)

    def stack(self, parts: Sequence[NDArray[Any]]) -> Any:
        """Arrays of one shape in float64; they travel as they are, and are widened on the device."""
        torch, first = self.module, parts[0]
        kind = torch.float32 if first.dtype == np.float32 else torch.float64
        buffer = torch.empty((len(parts), *first.shape), dtype=kind, pin_memory=self.device.type == "cuda")
        np.stack(parts, out=buffer.numpy())
        return buffer.to(self.device).to(torch.float64)

    def empty(self, *shape: int) -> Any:
        """Float64 without content."""
        return self.module.empty(shape, device=self.device, dtype=self.module.float64)

    def count(self, n: int) -> Any:
        """0, 1, ..., n - 1."""
        return self.module.arange(n, device=self.device)

    def first_best(self, scores: Any) -> Any:
        """For each row the index of its largest score; the lowest index among ties."""
        torch = self.module
        return (scores >= scores.amax(1, keepdim=True) - TIE_TOLERANCE).to(torch.uint8).argmax(1)

    def get(self, array: Any) -> NDArray[Any]:
        """As NumPy."""
        values: NDArray[Any] = array.cpu().numpy()
        return values


def arrays_on(device: str | None) -> Arrays:
    """NumPy for None and "numpy", else torch on that device.

    Raises:
        UsageError: torch knows no such device, or it has no float64.
    """
    return Arrays() if device in (None, "numpy") else TorchArrays(str(device))


def even_bounds(total: int, parts: int) -> list[tuple[int, int]]:
    """First and last plus one of each of ``parts`` parts of nearly equal size."""
    return list(pairwise(total * part // parts for part in range(parts + 1)))
