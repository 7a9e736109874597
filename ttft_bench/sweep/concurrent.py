"""Tasks in lanes: one thread per lane, tasks handed out in order, rows written one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from ttft_bench.sweep.plan import Task

if TYPE_CHECKING:
    from ttft_bench.engine.lanes import Lane
    from ttft_bench.sweep.runner import Runner


class Writer:
    """Passes rows on, one at a time whichever thread they come from."""

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write
        self._lock = threading.Lock()

    def __call__(self, row: dict[str, Any]) -> None:
        """Write one row."""
        with self._lock:
            self._write(row)


def run_in_lanes(lanes: Sequence[Lane], runners: Sequence[Runner], tasks: Sequence[Task]) -> Iterator[Task]:
    """Run every task on the next free lane; yield each one as it is done.

    With one lane everything happens in the calling thread. If the caller stops early, or something raises,
    the tasks under way are finished, so that their rows are kept, and no other is begun.
    """
    if len(lanes) == 1:
        for task in tasks:
            runners[0].run(task)
            yield task
        return

    def work(lane: int, task: Task) -> int:
        with lanes[lane].active():
            runners[lane].run(task)
        return lane

    waiting = iter(tasks)
    with ThreadPoolExecutor(len(lanes), thread_name_prefix="lane") as pool:
        running: dict[Future[int], Task] = {}
        for lane, task in zip(range(len(lanes)), waiting, strict=False):
            running[pool.submit(work, lane, task)] = task
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                finished, lane = running.pop(future), future.result()
                following = next(waiting, None)
                if following is not None:
                    running[pool.submit(work, lane, following)] = following
                yield finished


__all__ = ["Writer", "run_in_lanes"]
