"""Reuse that changed nothing in a whole run: its rows say what those without reuse say, and are not shown again.

A run keeps them, so that parts of it, finetuned apart and merged, come to the same rows as the whole. Whether a setting
of reuse ever changed a step is known only here, where all prompts are at hand.
"""

from __future__ import annotations

from collections.abc import Sequence

from ttft_bench.report.paired.split import SCOPE_COLUMNS
from ttft_bench.report.stats import Key, Row, number

#: What the row without reuse shares with one that has it.
_SAME = ("prompt_id", "strategy", "budget", "arm", "lr", "trainable", "seed", *SCOPE_COLUMNS)
#: One setting of reuse over all its prompts and budgets.
_SETTING = ("strategy", "reuse_interval", "reuse_grouping", "reuse_mode", "arm", "lr", "trainable", *SCOPE_COLUMNS)


def without_idle_reuse(rows: Sequence[Row]) -> list[Row]:
    """The rows, but for reuse settings that took for every prompt and budget the very steps taken without reuse."""
    plain = {_mark(row, _SAME): _outcome(row) for row in rows if Key.of(row).reuse_interval == 1}
    changed = {
        _mark(row, _SETTING)
        for row in rows
        if Key.of(row).reuse_interval > 1 and not _alike(plain.get(_mark(row, _SAME)), _outcome(row))
    }
    return [row for row in rows if Key.of(row).reuse_interval == 1 or _mark(row, _SETTING) in changed]


def _outcome(row: Row) -> tuple[object, ...]:
    return row.get("status"), number(row, "steps"), number(row, "fresh_steps")


def _alike(plain: tuple[object, ...] | None, reused: tuple[object, ...]) -> bool:
    """Whether a row took the steps of the one without reuse (as many, and as many fresh), or failed as it did."""
    known = reused[0] != "ok" or None not in reused
    return known and plain == reused


def _mark(row: Row, columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(row.get(column)) for column in columns)


__all__ = ["without_idle_reuse"]
