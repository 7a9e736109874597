"""Where a run of a test tells how it is getting on."""

from __future__ import annotations


class Log:
    """Remembers notes; raises KeyboardInterrupt after so many finetuning updates if asked to."""

    def __init__(self, interrupt_after=None):
        self.notes, self.updates, self.interrupt_after = [], 0, interrupt_after

    def note(self, message):
        self.notes.append(message)

    def progress(self, stage, done, total):
        assert done <= total
        if stage == "finetuning":
            self.updates += 1
            if self.interrupt_after is not None and self.updates > self.interrupt_after:
                raise KeyboardInterrupt
