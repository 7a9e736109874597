"""What ``ttft-bench adapt`` does: one prompt, scored and continued before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ttft_bench.engine.host import fit_threads, keep_freed_memory
from ttft_bench.lab.chosen import Chosen
from ttft_bench.lab.given import check_prompt
from ttft_bench.lab.lab import Lab
from ttft_bench.lab.timing import Timing


@dataclass(frozen=True)
class Change:
    """Bits per byte of a text under the untouched weights and under the adapted ones."""

    before: float
    after: float

    @property
    def percent(self) -> float:
        """After, in percent of before; lower is better."""
        return 100.0 * self.after / self.before


@dataclass(frozen=True)
class Continuation:
    """How the prompt goes on, by the untouched model and by the adapted one."""

    before: str
    after: str


@dataclass(frozen=True)
class Outcome:
    """What came of adapting to one prompt.

    Attributes:
        settings: what the Lab works with.
        prompt: what it was adapted to.
        score: of the prompt.
        other: score of another text, if one was given.
        selection: what was picked, and why.
        timing: what took how long.
        notes: what is worth knowing.
        continuation: of the prompt, if it was asked for.
    """

    settings: dict[str, str | int]
    prompt: str
    score: Change
    other: Change | None
    selection: Chosen
    timing: Timing
    notes: tuple[str, ...]
    continuation: Continuation | None


def open_lab(**settings: Any) -> Lab:
    """A Lab for a program of its own, whose process may be set up for it; for the settings see :class:`Lab`."""
    fit_threads()
    keep_freed_memory()
    return Lab(**settings)


def adapt(
    lab: Lab,
    prompt: str,
    *,
    other: str | None = None,
    new_tokens: int | None = None,
    temperature: float = 0.0,
    seed: int = 0,
) -> Outcome:
    """Score a prompt, adapt to it, score it again.

    Args:
        lab: does the work.
        prompt: what to adapt to.
        other: another text to score, before and after.
        new_tokens: continue the prompt by at most so many tokens, before and after; None for not at all.
        temperature: of the continuation; 0 takes the likeliest token each time.
        seed: of its draws.

    Raises:
        TtftBenchError: see :meth:`ttft_bench.lab.Lab.adapted`.
    """
    check_prompt(prompt, lab.protocol)  # before anything is scored
    texts = [prompt] if other is None else [prompt, other]
    before = [lab.bits_per_byte(text) for text in texts]
    told = None if new_tokens is None else lab.generate(prompt, new_tokens, temperature=temperature, seed=seed)
    with lab.adapted(prompt) as tuned:
        after = [tuned.bits_per_byte(text) for text in texts]
        now = None if new_tokens is None else tuned.generate(new_tokens, temperature=temperature, seed=seed)
    changes = [Change(*pair) for pair in zip(before, after, strict=True)]
    return Outcome(
        settings=lab.describe(),
        prompt=prompt,
        score=changes[0],
        other=None if other is None else changes[1],
        selection=tuned.selection,
        timing=tuned.timing,
        notes=tuned.notes,
        continuation=None if told is None or now is None else Continuation(told, now),
    )


__all__ = ["Change", "Continuation", "Outcome", "adapt", "open_lab"]
