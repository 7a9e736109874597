"""Progress of a run on stderr: notes as lines, bars with an estimate only on a terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, TaskID

from ttft_bench.cli import console
from ttft_bench.text import printable

#: Where there are no bars, a stage that lasts says how far it is, once in so many seconds.
LINE_EVERY_S = 60.0


class ConsoleReporter:
    """Shows notes as lines and stages as bars; use as a context manager."""

    def __init__(self) -> None:
        self._bars: Progress = console.progress_bar()
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def __enter__(self) -> ConsoleReporter:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def note(self, message: str) -> None:
        """One line worth reading; ``--quiet`` drops it unless it is a warning."""
        console.note(message, self._console())

    def tell(self, message: str) -> None:
        """One line that must be read, whatever the flags."""
        console.tell(message, self._console())

    def progress(self, stage: str, done: float, total: float) -> None:
        """``done`` of ``total`` units of a stage."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(printable(stage), total=total, rate="")
            self._started[stage] = time.perf_counter()
            self._told[stage] = self._started[stage]
        now = time.perf_counter()
        elapsed = now - self._started[stage]
        if self._bars.disable and done < total and now - self._told[stage] >= LINE_EVERY_S:
            self._told[stage] = now  # a log without a line for minutes looks like one of a program that hangs
            self.note(f"{stage}: {done:g} of {total:g}")
        rate = f"{done / elapsed:.1f}/s" if done and elapsed > 0.5 else ""
        self._bars.update(self._tasks[stage], completed=done, total=total, rate=rate)
        if done >= total:
            self._bars.remove_task(self._tasks.pop(stage))
            if console.verbose():
                self.note(f"{stage}: {total:g} in {elapsed:.2f} s")

    def _console(self) -> Console | None:
        """That of the bars, which prints above them; none of its own where there are none."""
        return None if self._bars.disable else self._bars.console


__all__ = ["ConsoleReporter"]
