"""Two precisions compared prompt by prompt."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from tiny import write_model
from ttft_bench.engine.finetune import Engine
from ttft_bench.engine.model import load_model, state_hash
from ttft_bench.engine.schedule import Step
from ttft_bench.engine.score import make_target, score, training_sequence
from ttft_bench.sweep.store import Run

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def precision(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import precision

    yield precision
    sys.modules.pop("precision", None)


@pytest.fixture
def rounding(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import rounding

    yield rounding
    sys.modules.pop("rounding", None)


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


def test_runs_that_differ_in_more_than_how_they_were_computed_are_refused(precision):
    def run(**identity):
        return Run(Path("run"), {"identity": {"model": "tiny", "max_tokens": 256, **identity}}, [])

    exact = run(precision="fp32", backend="eager", device="cpu")
    precision.check_alike(
        exact, run(precision="bf16", backend="compiled", scored_in="fp32", shadow_rounding="at random")
    )
    with pytest.raises(ValueError, match=r"differ in max_tokens \(256 and 96\), not in precision alone"):
        precision.check_alike(exact, run(precision="bf16", max_tokens=96, excluded=""))
    with pytest.raises(ValueError, match=r"differ in trainable \(None and 'lora'\)"):
        precision.check_alike(exact, run(precision="bf16", trainable="lora"))


def test_the_command_refuses_them_too(precision, tmp_path, capsys):
    for name, tokens in (("exact", 256), ("cheap", 96)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps({"identity": {"max_tokens": tokens}}))
    with pytest.raises(SystemExit):
        precision.main([str(tmp_path / "exact"), str(tmp_path / "cheap")])
    assert "the two runs differ in max_tokens (256 and 96)" in capsys.readouterr().err


def test_rounding_without_picks_is_one_line(rounding, tmp_path, capsys):
    with pytest.raises(SystemExit):
        rounding.main([str(tmp_path), "--prompts", "7d46"])
    assert "has no picks.jsonl, or a packed one: make it with `ttft-bench select" in capsys.readouterr().err


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


@pytest.mark.parametrize("name", ["precision", "precision_to_nearest", "precision_scored_in_bf16"])
def test_the_kept_figures_are_those_of_the_notes(precision, name):
    kept = json.loads((BENCHMARKS.parent / f"reports/engine/{name}.json").read_text(encoding="utf-8"))
    assert kept["rows"] == len(kept["differences"]) == sum(kept["counts"].values()) >= 50
    for page in ("engine_notes.md", "README.md"):
        assert f"**{kept['mean_absolute']:.3f}**" in (BENCHMARKS / page).read_text(encoding="utf-8")


def test_the_kept_roundings_are_those_of_the_notes():
    kept = json.loads((BENCHMARKS.parent / "reports/engine/rounding.json").read_text(encoding="utf-8"))
    notes = (BENCHMARKS / "engine_notes.md").read_text(encoding="utf-8")
    for way in {row["rounded"] for row in kept} - {"exact"}:
        told = " | ".join(f"{row['difference']:+.2f}" for row in kept if row["rounded"] == way)
        assert f"| {told} |" in notes, way


def test_roundings_are_looked_at_one_at_a_time(rounding, tmp_path, monkeypatch):
    monkeypatch.setattr(rounding, "LR", 1e-3)
    model = load_model(write_model(tmp_path / "m", architecture="llama"), device="cpu")
    before = state_hash(model.module)
    texts = ["one text", "another one", "the third"]
    documents = [{"kind": "prompt", "prompt_id": "p1", "text": "a prompt"}]
    documents += [{"kind": "document", "id": number, "text": text} for number, text in enumerate(texts)]
    for name, lines in (("documents", documents), ("picks", [{"prompt_id": "p1", "document_ids": [2, 0, 1]}])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = {row["rounded"]: row for row in rounding.compare(model, tmp_path, ["p"], list(rounding.WAYS))}
    assert state_hash(model.module) == before and set(found) == set(rounding.WAYS)
    assert found["exact"]["difference"] == 0 and len({row["bpb_pct"] for row in found.values()}) == len(found)
    sequences = dict(enumerate(training_sequence(model, texts[number], rounding.TOKENS) for number in (2, 0, 1)))
    target = make_target(model, "a prompt", rounding.TOKENS)
    untouched = score(model, target)
    with Engine(model).adaptation(lr=rounding.LR) as adaptation:
        adaptation.advance([Step(number, True) for number in sequences], sequences)
        assert found["exact"]["bpb_pct"] == pytest.approx(100 * score(model, target) / untouched, rel=1e-6)


def test_every_way_rounds_what_it_says(rounding):
    weight = torch.linspace(0.01, 0.02, 1000)
    before, x = weight - 5e-5, torch.linspace(-1, 1, 1000)
    used = {name: way(weight, before, 1, x) for name, (_, way) in rounding.WAYS.items()}
    half = {name: [torch.equal(part, part.bfloat16().float()) for part in parts] for name, parts in used.items()}
    assert half == {
        "exact": [False, False],
        "weights": [True, False],
        "before": [False, False],
        "change": [False, False],
        "random": [True, False],
        "inputs": [False, True],
    }
    moved = {name: float((parts[0] - before).mean()) for name, parts in used.items()}
    assert moved["exact"] == pytest.approx(5e-5, rel=1e-3) == moved["inputs"]
    assert torch.allclose(used["before"][0] - rounding.nearest(before), weight - before, rtol=0, atol=1e-8)
    assert moved["random"] == pytest.approx(5e-5, rel=0.2)
