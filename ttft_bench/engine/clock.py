"""A stopwatch that waits for the device on both sides, so that queued work is never left uncounted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def synchronize(device: torch.device) -> None:
    """Wait for everything that this thread queued on ``device`` (nothing to wait for on a CPU).

    On CUDA that is the current stream: other lanes of a run are none of this clock's business.
    """
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


class Stopwatch:
    """Adds up the wall-clock seconds spent inside :meth:`running`.

    Attributes:
        seconds: total so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of the block, also when it raises."""
        synchronize(self.device)
        start = time.perf_counter()
        try:
            yield
        finally:
            synchronize(self.device)
            self.seconds += time.perf_counter() - start


__all__ = ["Stopwatch", "synchronize"]
