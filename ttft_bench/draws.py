"""Draws of code that knows no generator but torch's global ones: dropout, sampling, fresh layers of a library."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Of the process, as the generators are. The thread that has it may take it again.
_LOCK = threading.RLock()


@contextmanager
def drawing(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, the global generators of the CPU and of ``device`` begin at ``seed``; afterwards they are as found.

    ``torch.manual_seed`` is not for this: it seeds every GPU there is. One thread at a time is inside; others wait.
    """
    import torch

    with _LOCK:
        generators = [torch.default_generator]
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            generators.append(torch.cuda.default_generators[index])
        elif device.type == "mps":
            generators.append(torch.mps._get_default_mps_generator())
        states = [generator.get_state() for generator in generators]
        try:
            for generator in generators:
                generator.manual_seed(seed)
            yield
        finally:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)


__all__ = ["drawing"]
