"""Something to run again and again on the same tensors: captured as a CUDA graph where there is CUDA."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch

#: Capturing and compiling happen one at a time, whichever lane asks.
BUILDING = threading.RLock()
_WARM_UPS = 3


class Program:
    """A function without arguments over static tensors.

    Args:
        function: what to run; it must not wait for the device.
        device: where it runs.
        pool: memory pool of CUDA graphs that never run at the same time; None runs the function itself.
        stream: where to capture. Libraries keep workspaces by stream and a graph keeps using that of its capture, so
            graphs that may run at the same time must be captured on streams of their own.
        warm: whether to run it at first: compilation, autotuning and libraries' workspaces come with first calls.

    Attributes:
        result: what the last run returned, in static tensors under a graph.
    """

    def __init__(
        self,
        function: Callable[[], Any],
        device: torch.device,
        pool: Any = None,
        stream: Any = None,
        warm: bool = True,
    ) -> None:
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        self.result: Any = None
        if device.type == "cuda" and pool is not None:
            self._capture(device, pool, stream, _WARM_UPS if warm else 0)
        elif warm:
            self.result = function()

    def run(self) -> None:
        """Queue one run."""
        if self._graph is not None:
            self._graph.replay()
        else:
            self.result = self._function()

    def _capture(self, device: torch.device, pool: Any, stream: Any, warm_ups: int) -> None:
        current = torch.cuda.current_stream(device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(warm_ups):
                self._function()
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other lanes may be at work: only what this thread does is held to the rules of capturing.
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            self.result = self._function()
        self._graph = graph


__all__ = ["BUILDING", "Program"]
