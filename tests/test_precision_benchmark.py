"""Two precisions compared prompt by prompt."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def precision(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import precision

    yield precision
    sys.modules.pop("precision", None)


def rows(precision, changes):
    shared = {
        "strategy": "knn",
        "arm": "finetune",
        "lr": 5e-5,
        "budget": 10,
        "reuse_interval": 1,
        "reuse_mode": "cached",
    }
    return [
        {**shared, "seed": 0, "device": "cuda", "precision": precision, "prompt_id": f"p{i}", "bpb_before": 1.0 + i}
        | {"bpb_pct": 80.0 + change}
        for i, change in enumerate(changes)
    ]


def test_differences_are_paired_and_their_distribution_is_told(precision):
    exact, cheap = rows("fp32", [0, 0, 0, 0]), rows("bf16", [0.12, -0.3, 0.0, 3.0])
    cheap[0]["bpb_before"] *= 1.04
    found = precision.compare(exact, [*cheap[::-1], {**cheap[0], "prompt_id": "alone"}])
    assert (found["rows"], found["prompts"], found["precisions"]) == (4, 4, ["fp32", "bf16"])
    assert found["mean_absolute"] == pytest.approx(0.855) and found["mean"] == pytest.approx(0.705)
    assert found["counts"] == {"0-0.05": 1, "0.05-0.1": 0, "0.1-0.2": 1, "0.2-0.5": 1, "0.5-1": 0, "1-2": 0, "2-inf": 1}
    assert found["quantiles_of_absolute"]["1.0"] == pytest.approx(3.0)
    assert found["untouched_model_mean_absolute_pct"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="both runs are in fp32"):
        precision.compare(exact, exact)
    with pytest.raises(ValueError, match="share no prompt"):
        precision.compare(exact[:1], cheap[1:])


@pytest.mark.parametrize("name", ["precision", "precision_scored_in_bf16"])
def test_the_kept_figures_are_those_of_the_notes(precision, name):
    kept = json.loads((BENCHMARKS.parent / f"reports/engine/{name}.json").read_text(encoding="utf-8"))
    assert kept["rows"] == len(kept["differences"]) == sum(kept["counts"].values()) >= 50
    for page in ("engine_notes.md", "README.md"):
        assert f"**{kept['mean_absolute']:.3f}**" in (BENCHMARKS / page).read_text(encoding="utf-8")
