"""A stopwatch that waits for the device on both sides, so that queued work is never left uncounted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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


def race(usual: Callable[[], Any], other: Callable[[], Any], rounds: int = 5) -> float:
    """How many times as fast ``other`` is: the ratio of the fastest of some rounds, taken in turn."""
    fastest = [float("inf"), float("inf")]
    for _ in range(rounds + 1):  # the first round pays for caches; it is never the fastest
        for index, run in enumerate((usual, other)):
            start = time.perf_counter()
            run()
            fastest[index] = min(fastest[index], time.perf_counter() - start)
    return fastest[0] / fastest[1]


__all__ = ["Stopwatch", "race", "synchronize"]
