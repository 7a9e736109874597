"""Pools to a GPU and answers back, with every leg busy: threads gather, the bus carries, the GPU works.

A batch is cut into parts. Threads gather the pools of a few prompts at a time into pinned memory, which is what
lets a copy run beside everything else, and send each such chunk off at once. As soon as a part is on its way its
work is queued on a stream of its own, and its answer comes back in one copy; the host meets it when it is ready,
while later parts are still under way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from itertools import count
from queue import SimpleQueue
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
        workers: threads that gather, at most as many as there are cores.
        chunk_bytes: what is gathered before it is sent; small enough for a core's cache.
        solve_warps: of Frank-Wolfe, for each 256 lanes or fewer.
        round_warps: of the rounding.
        sift_warps: of SIFT.
    """

    parts: int = 4
    least: int = 32
    workers: int = 8
    chunk_bytes: int = 4 * 2**20
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
        mark: called after the rows were sent.
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
    sender, streams = _streams(str(arrays.device), plan.parts)
    height, d = sum(map(len, blocks[0])), blocks[0][0].shape[1]
    kind = torch.float32 if blocks[0][0].dtype == np.float32 else torch.float64
    chunks: list[tuple[int, int, int, Any]] = []  # part, first and last prompt, place on the device
    parts: list[Any] = []
    for part, (start, stop) in enumerate(bounds):
        with torch.cuda.stream(streams[part]):
            rows = torch.empty((stop - start, height, d), dtype=kind, device=arrays.device)
        parts.append(rows)
        each = max(plan.chunk_bytes // (height * d * rows.element_size()), 1)
        for first, last in even_bounds(stop - start, -(-(stop - start) // each)):
            chunks.append((part, start + first, start + last, rows[first:last]))
    due = [sum(chunk[0] == part for chunk in chunks) for part in range(len(parts))]
    turn, done = count(), SimpleQueue[int | BaseException]()

    def gather() -> None:
        try:
            with torch.cuda.stream(sender):
                while (index := next(turn)) < len(chunks):
                    part, first, last, place = chunks[index]
                    pinned = torch.empty(place.shape, dtype=kind, pin_memory=True)
                    matrices = [matrix for block in blocks[first:last] for matrix in block]
                    np.concatenate(matrices, out=pinned.numpy().reshape(-1, d))
                    place.copy_(pinned, non_blocking=True)
                    done.put(part)
        except BaseException as error:
            done.put(error)

    workers = _workers(os.getpid(), max(min(plan.workers, _cores()), 1))
    gathering = [workers.submit(gather) for _ in range(min(plan.workers, len(chunks)))]
    answers = []
    try:
        for part, rows in enumerate(parts):
            while due[part]:
                sent = done.get()
                if isinstance(sent, BaseException):
                    raise sent
                due[sent] -= 1
            stream = streams[part]
            stream.wait_event(sender.record_event())
            with torch.cuda.stream(stream):
                mark("stack and copy")
                answer = work(rows)
                host = torch.empty(answer.shape, dtype=answer.dtype, pin_memory=True)
                host.copy_(answer, non_blocking=True)
                answers.append((stream.record_event(), host))
        for event, host in answers:
            event.synchronize()
            yield host.numpy()
    except BaseException:
        wait(gathering)  # nothing may still be on its way into memory that is given back now
        torch.cuda.synchronize(arrays.device)
        raise


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _workers(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process: they do not survive a fork, so a child starts its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"gather-{process}")


@cache
def _streams(device: str, parts: int) -> tuple[Any, list[Any]]:
    """A stream that sends and one for each part; kept, since the allocator keeps memory by stream."""
    import torch

    made: Any = [torch.cuda.Stream(device) for _ in range(1 + parts)]  # type: ignore[no-untyped-call]
    return made[0], made[1:]
