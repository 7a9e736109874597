"""Progress of a run on stderr: notes always, bars with an estimate only on a terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import Progress, TaskID

from ttft_bench.cli.console import progress_bar, stderr
from ttft_bench.text import printable


class ConsoleReporter:
    """Shows notes as lines and stages as bars; use as a context manager."""

    def __init__(self) -> None:
        self._bars: Progress = progress_bar()
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}

    def __enter__(self) -> ConsoleReporter:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def note(self, message: str) -> None:
        """One line worth reading."""
        console = self._bars.console if not self._bars.disable else stderr()
        console.print(printable(message))

    def progress(self, stage: str, done: float, total: float) -> None:
        """``done`` of ``total`` units of a stage."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, rate="")
            self._started[stage] = time.perf_counter()
        elapsed = time.perf_counter() - self._started[stage]
        rate = f"{done / elapsed:.1f}/s" if done and elapsed > 0.5 else ""
        self._bars.update(self._tasks[stage], completed=done, total=total, rate=rate)
        if done >= total:
            self._bars.remove_task(self._tasks.pop(stage))


__all__ = ["ConsoleReporter"]
