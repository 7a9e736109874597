"""Rows of a suite's variants in one table: what they differ in becomes part of a strategy's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ttft_bench.report.paired.split import QUALITY_SCOPE, split_scopes
from ttft_bench.report.stats import Row


def tell_apart(
    rows: Sequence[Row], manifest: Mapping[str, Any], controls: frozenset[str]
) -> tuple[list[Row], frozenset[str]]:
    """Name strategies after their variant, ``knn {pool_k=50}``, so that no mean is taken over variants.

    Rows of a run without variants stay as they are. A row that belongs to several variants (the untouched model,
    a control on random pools) appears in each of them.

    Returns:
        The rows, and the labels of the controls among them.
    """
    scopes = split_scopes(rows, QUALITY_SCOPE) if manifest.get("variants") else {}
    if len(scopes) < 2:
        return list(rows), controls
    named: list[Row] = [
        {**row, "strategy": _named(row.get("strategy"), scope)} for scope, part in scopes.items() for row in part
    ]
    return named, frozenset(_named(label, scope) for scope in scopes for label in controls)


def _named(strategy: object, scope: str) -> str:
    return f"{strategy} {{{scope}}}"


__all__ = ["tell_apart"]
