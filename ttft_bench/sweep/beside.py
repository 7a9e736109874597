"""Rows that come to stand beside those of a run folder: allowed, as learning rates are an axis, but never in silence.

What no two rows of a run may differ in is refused by ``ttft_bench.sweep.store.check_identity``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ttft_bench.sweep import store
from ttft_bench.sweep.suite import Suite

#: Column of what tells rows apart -> the flag that sets it.
_FLAGS = {
    "lr": "--lr",
    "trainable": "--trainable",
    "long": "--long",
    "reuse_mode": "--reuse-mode",
    "reuse_grouping": "--reuse-grouping",
}


def added_beside(folder: Path, suite: Suite) -> str:
    """What finetuning by this suite would add to the rows of a folder, in one line; empty where it goes on with them.

    Read before the manifest is brought up to date: what was asked for earlier counts, also where a run was stopped
    before it had a row.
    """
    if not store.has_journal(folder / store.RESULTS):
        return ""
    rows = store.load_run(folder).rows
    manifest = store.read_manifest(folder) or {}
    before, now = [], []
    for column, wanted in _wanted(suite).items():
        counted = [row for row in rows if row.get("lr") is not None and ("reuse" not in column or _reuses(row))]
        there = {row[column] for row in counted}
        new = wanted - there - _asked(manifest, column) if there else set()
        if new:
            before.append(f"{_FLAGS[column]} {_listed(there)}")
            now.append(f"{_FLAGS[column]} {_listed(new)}")
    if not now:
        return ""
    return (
        f"{folder} holds rows made with {' '.join(before)}; those with {' '.join(now)} are added beside them "
        "(give another --output to keep them apart)"
    )


def timed_otherwise(folder: Path, lanes: int) -> str:
    """That rows of a folder were timed with other lanes than those to come, in one line; empty if none were."""
    rows = store.load_run(folder).rows if store.has_journal(folder / store.RESULTS) else []
    there = {row["lanes"] for row in rows if row.get("lr") is not None} - {lanes}
    if not there:
        return ""
    return (
        f"{folder} holds rows timed with --lanes {_listed(there)}; those to come have --lanes {lanes}: their times are "
        "not to be compared (quality does not depend on it)"
    )


def _wanted(suite: Suite) -> dict[str, set[Any]]:
    """The values of the rows that the suite asks for, column by column; none where it trains nothing."""
    if not any("finetune" in arm for arm in suite.select.arms):
        return {}
    settings = suite.finetune.settings()
    found: dict[str, set[Any]] = {
        "lr": set(suite.finetune.lrs),
        "trainable": {settings.trainable},
        "long": {suite.finetune.long},
    }
    if max(suite.select.reuse) > 1:
        found |= {"reuse_mode": set(suite.select.reuse_mode), "reuse_grouping": set(suite.select.groupings)}
    return found


def _asked(manifest: Mapping[str, Any], column: str) -> set[Any]:
    """The values that the last invocation asked for."""
    suite = manifest.get("suite") or {}
    finetune, select = suite.get("finetune") or {}, suite.get("select") or {}
    value = {
        "lr": finetune.get("lr"),
        "trainable": (manifest.get("plan") or {}).get("trainable"),
        "long": finetune.get("long"),
        "reuse_mode": select.get("reuse_mode"),
        "reuse_grouping": select.get("grouping"),
    }[column]
    return set(value) if isinstance(value, list) else {value}


def _reuses(row: Mapping[str, Any]) -> bool:
    return (row.get("reuse_interval") or 1) > 1


def _listed(values: set[Any]) -> str:
    return ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in sorted(values))


__all__ = ["added_beside", "timed_otherwise"]
