"""Is a cheaper precision good enough? Two runs of the suite ``precision``, prompt by prompt.

    ttft-bench select --suite precision --output picks
    ttft-bench sweep --suite precision --picks picks --device cuda --precision fp32 --output exact
    ttft-bench sweep --suite precision --picks picks --device cuda --precision bf16 --output cheap
    python benchmarks/precision.py exact cheap

Prints mean and quantiles of the difference in BPB%, and how many prompts lie where; writes them with ``--output``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ttft_bench.errors import TtftBenchError
from ttft_bench.sweep.store import Run, load_run

#: Mean absolute difference in BPB% that a cheaper precision may cost.
TARGET = 0.2
_KEY = ("prompt_id", "strategy", "arm", "lr", "budget", "reuse_interval", "reuse_mode", "seed")
#: What a run's identity says of how it was computed.
_COMPUTED = {"precision", "device", "backend", "scored_in", "shadow_rounding"}
_EDGES = (0, 0.05, 0.1, 0.2, 0.5, 1, 2, float("inf"))


def compare(exact: list[dict[str, Any]], cheap: list[dict[str, Any]]) -> dict[str, Any]:
    """Differences cheap - exact over the rows that both have.

    Raises:
        ValueError: they share no row, or are in one precision.
    """
    left, right = ({tuple(row[key] for key in _KEY): row for row in rows} for rows in (exact, cheap))
    shared = [key for key in left if key in right]
    if not shared:
        raise ValueError("the two runs share no prompt, strategy and budget")
    if len({side[shared[0]]["precision"] for side in (left, right)}) == 1:
        raise ValueError(f"both runs are in {left[shared[0]]['precision']}: give one of each precision")
    differences = np.array([right[key]["bpb_pct"] - left[key]["bpb_pct"] for key in shared])
    before = np.array([right[key]["bpb_before"] / left[key]["bpb_before"] - 1 for key in shared])
    size = np.abs(differences)
    counts, _ = np.histogram(size, _EDGES)
    return {
        "rows": len(shared),
        "prompts": len({key[0] for key in shared}),
        "precisions": [next(iter(side.values()))["precision"] for side in (left, right)],
        "device": sorted({right[key]["device"] for key in shared}),
        "mean_absolute": float(size.mean()),
        "mean": float(differences.mean()),
        "quantiles_of_absolute": {str(q): float(np.quantile(size, q)) for q in (0.5, 0.75, 0.9, 1.0)},
        "counts": {f"{low:g}-{high:g}": int(n) for low, high, n in zip(_EDGES, _EDGES[1:], counts, strict=False)},
        "untouched_model_mean_absolute_pct": float(100 * np.abs(before).mean()),
        "differences": sorted(float(value) for value in differences),
    }


def _finished(run: Run) -> list[dict[str, Any]]:
    return [row for row in run.rows if row["status"] == "ok"]


def check_alike(exact: Run, cheap: Run) -> None:
    """Refuse runs that differ in anything but how they were computed.

    Raises:
        ValueError: they do; names the first setting.
    """
    # An empty value goes without saying.
    left, right = (
        {key: value for key, value in (run.manifest.get("identity") or {}).items() if value != ""}
        for run in (exact, cheap)
    )
    for key in sorted({*left, *right} - _COMPUTED):
        if left.get(key) != right.get(key):
            raise ValueError(
                f"the two runs differ in {key} ({left.get(key)!r} and {right.get(key)!r}), not in precision alone"
            )


def main(argv: list[str] | None = None) -> int:
    """Compare two run folders, or two files of rows."""
    parser = argparse.ArgumentParser(description="The same cells in two precisions, prompt by prompt.")
    parser.add_argument("exact", type=Path, help="run folder in fp32")
    parser.add_argument("cheap", type=Path, help="run folder in the cheaper precision")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args(argv)
    try:
        runs = [load_run(path) for path in (options.exact, options.cheap)]
        check_alike(*runs)
        found = compare(*map(_finished, runs))
    except (TtftBenchError, ValueError) as error:
        parser.error(str(error))
    met = "met" if found["mean_absolute"] <= TARGET else "missed"
    print(
        f"{found['rows']} rows of {found['prompts']} prompts, {found['precisions'][1]} against {found['precisions'][0]}"
    )
    print(f"mean |difference| {found['mean_absolute']:.3f} BPB% (target {TARGET}: {met}), mean {found['mean']:+.3f}")
    print("quantiles of |difference|: " + ", ".join(f"{q} {v:.3f}" for q, v in found["quantiles_of_absolute"].items()))
    print("prompts by |difference|: " + ", ".join(f"{place}: {n}" for place, n in found["counts"].items()))
    print(f"the untouched model's own bits per byte differ by {found['untouched_model_mean_absolute_pct']:.3f} %")
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
