"""The analysis as plain data, for ``ttft-bench report --json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ttft_bench.report.analysis import Analysis
from ttft_bench.report.groups import Group
from ttft_bench.report.paired.outcomes import CONFIDENCE


def analysis_to_json(analysis: Analysis) -> dict[str, Any]:
    """Groups, ranking and failures under self-describing names; names are as in the rows, not cut."""
    return {
        "n_rows": analysis.n_rows,
        "n_prompts": len(analysis.prompts),
        "confidence": CONFIDENCE,
        "groups": [_group(analysis, group) for group in analysis.groups],
        "ranking": [
            {"place": item.place, **asdict(item.group.key), "interval_overlaps_first": item.tied}
            for item in analysis.ranking
        ],
        "failures": [
            {**asdict(item.key), "status": item.status, "reason": item.reason, "count": item.count}
            for item in analysis.failures
        ],
    }


def _group(analysis: Analysis, group: Group) -> dict[str, Any]:
    bpb = group.bpb
    return {
        **asdict(group.key),
        "control": group.control,
        "frontier": group in analysis.frontier,
        "n_prompts": len(group.prompts),
        "bpb_pct_mean": None if bpb is None else bpb.mean,
        "bpb_pct_mean_low": None if bpb is None else bpb.low,
        "bpb_pct_mean_high": None if bpb is None else bpb.high,
        "bpb_pct_corpus": group.bpb_pct_corpus,
        "n_distinct_mean": group.n_distinct,
        "gap_max": group.gap_max,
        "times": {key: asdict(spread) for key, spread in group.times.items()},
        "statuses": dict(group.statuses),
    }


__all__ = ["analysis_to_json"]
