"""Pools to a GPU and answers back, with every leg busy: threads gather, the bus carries, the GPU works.

A batch is cut into parts. Threads gather the pools of a part into pinned memory, which is what lets a copy run beside
everything else. As soon as a part is there it is sent and its work queued, on a stream of its own, and its answer
comes back in one copy; the host meets it when it is ready, while later parts are still under way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_strategies._arrays import TorchArrays, even_bounds

#: From a part's raw rows on the device, shape (n, L, d), to what is to come back, shape (n, width) in float64.
Work = Callable[[Any], Any]
#: Told the name of what has just been queued; a clock waits for it here.
Mark = Callable[[str], None]


def unmarked(_: str) -> None:
    """No clock."""


@dataclass(frozen=True)
class Plan:
    """How a batch is cut, and how many warps run a prompt; no answer depends on it.

    Attributes:
        parts: streams of a batch. More of them start earlier and end earlier, but cost launches.
        least: prompts of a part at least.
        threads: gather, at most as many as there are cores; a few saturate the memory.
        solve_warps: of Frank-Wolfe, for each 256 lanes or fewer.
        round_warps: of the rounding.
        sift_warps: of SIFT.
    """

    parts: int = 2
    least: int = 32
    threads: int = 4
    solve_warps: int = 1
    round_warps: int = 4
    sift_warps: int = 4


def answers_in_parts(
    blocks: Sequence[Sequence[NDArray[Any]]], arrays: TorchArrays, work: Work, plan: Plan, mark: Mark
) -> Iterator[NDArray[np.float64]]:
    """Send the rows of each prompt, let the device work, and yield its answers part by part, in order.

    Args:
        blocks: matrices of each prompt, of the same shapes and type for all; they arrive one below the other.
        arrays: the device.
        work: queues the work of a part.
        plan: how to cut.
        mark: called after the rows of a part were gathered, and after they were sent.
    """
    bounds = even_bounds(len(blocks), min(plan.parts, max(len(blocks) // plan.least, 1)))
    if arrays.device.type == "cpu":
        for start, stop in bounds:
            rows = np.concatenate([matrix for block in blocks[start:stop] for matrix in block])
            yield work(arrays.module.from_numpy(rows.reshape(stop - start, -1, rows.shape[1]))).numpy()
        return
    yield from _on_streams(blocks, arrays, work, plan, mark, bounds)


def _on_streams(
    blocks: Sequence[Sequence[NDArray[Any]]],
    arrays: TorchArrays,
    work: Work,
    plan: Plan,
    mark: Mark,
    bounds: Sequence[tuple[int, int]],
) -> Iterator[NDArray[np.float64]]:
    torch = arrays.module
    height, d = sum(map(len, blocks[0])), blocks[0][0].shape[1]
    kind = torch.float32 if blocks[0][0].dtype == np.float32 else torch.float64
    threads = max(min(plan.threads, _cores()), 1)
    workers, streams = _workers(os.getpid(), threads), _streams(str(arrays.device), len(bounds))
    gathering: list[list[Future[None]]] = []
    with _PINNED.locked(torch, len(blocks) * height * d, kind) as flat:
        pinned = flat.view(len(blocks), height, d)
        rows = pinned.numpy()

        def gather(start: int, stop: int) -> None:
            matrices = [matrix for block in blocks[start:stop] for matrix in block]
            np.concatenate(matrices, out=rows[start:stop].reshape(-1, d))

        for start, stop in bounds:
            shares = even_bounds(stop - start, min(threads, stop - start))
            gathering.append([workers.submit(gather, start + first, start + last) for first, last in shares])
        answers = []
        try:
            for (start, stop), gathered, stream in zip(bounds, gathering, streams, strict=True):
                for share in gathered:
                    share.result()
                mark("gather")
                with torch.cuda.stream(stream):
                    sent = torch.empty((stop - start, height, d), dtype=kind, device=arrays.device)
                    sent.copy_(pinned[start:stop], non_blocking=True)
                    mark("send")
                    answer = work(sent)
                    host = torch.empty(answer.shape, dtype=answer.dtype, pin_memory=True)
                    host.copy_(answer, non_blocking=True)
                    answers.append((stream.record_event(), host))
            for event, host in answers:
                event.synchronize()
                yield host.numpy()
        except BaseException:
            wait([share for shares in gathering for share in shares])
            torch.cuda.synchronize(arrays.device)  # nothing may still be on its way from memory that is used again
            raise


class _Pinned:
    """One stretch of pinned memory, kept: to pin memory anew costs more than to fill it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._memory: Any = None

    @contextmanager
    def locked(self, torch: Any, entries: int, kind: Any) -> Iterator[Any]:
        """So many entries, for one batch at a time."""
        size = entries * kind.itemsize
        with self._lock:
            if self._memory is None or len(self._memory) < size:
                self._memory = None  # give back before asking for more
                self._memory = torch.empty(size, dtype=torch.uint8, pin_memory=True)
            yield self._memory[:size].view(kind)


_PINNED = _Pinned()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _workers(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process: they do not survive a fork, so a child starts its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"gather-{process}")


@cache
def _streams(device: str, parts: int) -> list[Any]:
    """A stream for each part; kept, since the allocator keeps memory by stream."""
    import torch

    return [torch.cuda.Stream(device) for _ in range(parts)]  # type: ignore[no-untyped-call]
