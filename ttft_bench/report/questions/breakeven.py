"""After how many later tokens has finetuning paid for itself, against reading the same picks as context?

Finetuning costs once; a context is read once and then makes every later token dearer. For the same picks, in means over
prompts::

    once      F = finetune_s + restore_s          C = context_s          (select_s is spent on both)
    a token   f = score_s / tokens_scored         c = score_s / tokens_scored, behind the context
    n*        = (F - C) / (c - f)

after which finetuning is the cheaper way::

              f < c                    f = c                    f > c
    F <= C    from the start, n* = 0   from the start, n* = 0   only at first, up to (C - F) / (f - c)
    F > C     after n*                 never                    never

where F = C with f > c is never, too. Tokens are timed by scoring, all at once; a token that is generated alone costs
more with and without context, so n* is that of reading or scoring later text. Time only: the difference in quality
stands beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ttft_bench.report.paired.compare import Comparison, compare
from ttft_bench.report.paired.outcomes import Interval, Outcome
from ttft_bench.report.paired.prompts import by_setting, groups_of, per_prompt, quality
from ttft_bench.report.paired.resample import Floats, interval
from ttft_bench.report.stats import Key, Row, number


@dataclass(frozen=True)
class BreakEven:
    """One finetuned setting against the same picks as context.

    Attributes:
        finetuned: the finetuned setting.
        in_context: its counterpart.
        once_finetune_s: F, mean seconds.
        once_context_s: C, mean seconds.
        token_finetune_s: f, mean seconds a token.
        token_context_s: c, mean seconds a token.
        tokens: n*; its outcome is ``never`` or ``only at first`` where there is none, and ``unstable`` where that
            hangs on a difference of f and c that is not shown.
        quality: BPB% of finetuning minus in-context.
    """

    finetuned: Key
    in_context: Key
    once_finetune_s: float | None
    once_context_s: float | None
    token_finetune_s: float | None
    token_context_s: float | None
    tokens: Interval
    quality: Comparison

    @property
    def in_words(self) -> str:
        """What is true where there is no n*, such as ``only at first, up to 1500 tokens``; else empty."""
        F, C, f, c = self.once_finetune_s, self.once_context_s, self.token_finetune_s, self.token_context_s
        if self.tokens.value is not None or F is None or C is None or f is None or c is None:
            return ""
        if self.tokens.outcome is Outcome.UNSTABLE:
            return "not decided: which costs more a token is not shown"
        # Two sums that are the same but for their order may round to say "at first" where the means are equal.
        until = f", up to {(C - F) / (f - c):.0f} tokens" if self.tokens.outcome is Outcome.AT_FIRST and f > c else ""
        return f"{self.tokens.outcome}{until}"


def break_even(rows: Sequence[Row]) -> tuple[BreakEven, ...]:
    """Every finetuned setting whose picks were also read as context, in one scope."""
    members = by_setting(rows)
    found = []
    for key, part in members.items():
        if key.arm != "finetune":
            continue
        wanted = ("in-context", key.strategy, key.budget)
        other = next((one for one in members if (one.arm, one.strategy, one.budget) == wanted), None)
        if other is not None:
            found.append(_against(key, part, other, members[other]))
    return tuple(found)


def _against(key: Key, rows: Sequence[Row], other: Key, other_rows: Sequence[Row]) -> BreakEven:
    parts = [
        per_prompt(rows, lambda row: _sum(row, "finetune_s", "restore_s")),
        per_prompt(other_rows, lambda row: _sum(row, "context_s")),
        per_prompt(rows, _token_s),
        per_prompt(other_rows, _token_s),
    ]
    prompts = sorted(set(parts[0]).intersection(*parts[1:]))
    groups = groups_of([*rows, *other_rows])
    values = np.array([[part[prompt] for part in parts] for prompt in prompts]).reshape(len(prompts), 4)
    names = [groups[prompt] for prompt in prompts]
    tokens = interval(values, names, _tokens)
    means: list[float | None] = list(map(float, values.mean(axis=0))) if prompts else [None] * 4
    if tokens.outcome is Outcome.NO_DATA and prompts:
        saved = interval(values, names, lambda sums: sums[..., 3] - sums[..., 2])
        tokens = dataclasses.replace(
            tokens, outcome=_without(float(values[:, 0].sum()), float(values[:, 1].sum()), saved)
        )
    return BreakEven(key, other, means[0], means[1], means[2], means[3], tokens, compare(key, rows, other, other_rows))


def _without(once_finetune: float, once_context: float, saved: Interval) -> Outcome:
    """Why there is no n*; nothing is said where a token is not shown to save or to cost anything."""
    if saved.low is not None and saved.high is not None and saved.low < 0 < saved.high:
        return Outcome.UNSTABLE
    return Outcome.AT_FIRST if once_finetune < once_context else Outcome.NEVER


def _tokens(sums: Floats) -> Floats:
    # Sums serve as well as means: the number of prompts cancels.
    once, saved = sums[..., 0] - sums[..., 1], sums[..., 3] - sums[..., 2]
    later = np.where(saved > 0, once / np.where(saved > 0, saved, 1.0), np.nan)
    found: Floats = np.where((once <= 0) & (saved >= 0), 0.0, later)
    return found


def _token_s(row: Row) -> float | None:
    seconds, tokens = number(row, "score_s"), number(row, "tokens_scored")
    return None if quality(row) is None or seconds is None or not tokens else seconds / tokens


def _sum(row: Row, *columns: str) -> float | None:
    values = [number(row, column) for column in columns]
    return None if quality(row) is None or None in values else sum(value for value in values if value is not None)


__all__ = ["BreakEven", "break_even"]
