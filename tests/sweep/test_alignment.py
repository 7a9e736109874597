"""Gradient alignment: cosines of sketches, and the side file of a run."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy

from documented import assert_documented
from reporters import Log
from ttft_bench.cli import app
from ttft_bench.engine.alignment import SIZE, GradientSketcher, cosine
from ttft_bench.engine.model import load_model
from ttft_bench.engine.score import training_sequence
from ttft_bench.engine.trainable import select_trainable
from ttft_bench.errors import CorpusError, UsageError
from ttft_bench.report.questions.alignment import read_alignment
from ttft_bench.sweep import store
from ttft_bench.sweep.alignment import align_run
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.run import run_selection, run_sweep
from ttft_bench.sweep.suite import CorpusSpec, FinetuneSpec, ModelSpec, PoolSpec, SelectSpec, Suite

TEXTS = ["the quick brown fox", "jumps over", "the lazy dog, ünï"]


def exact(model, sequence, weights):
    parameters = select_trainable(model.module, weights)
    loss = cross_entropy(model.module(input_ids=sequence[None, :-1]).logits[0], sequence[1:])
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, parameters)]).double()


@pytest.mark.parametrize("weights", ["last[k=1]", "full"])
def test_cosines_of_sketches_are_those_of_gradients(tiny_model_dir, weights):
    model = load_model(tiny_model_dir, device="cpu")
    sketcher = GradientSketcher(model, weights)
    sequences = [training_sequence(model, text, 64) for text in TEXTS]
    prompt, *picks = [sketcher.sketch(sequence) for sequence in sequences]
    true, *others = [exact(model, sequence, weights) for sequence in sequences]
    counts = {0: 3, 1: 1}
    found = cosine(prompt, dict(enumerate(picks)), counts)
    wanted = float(cosine_similarity(true, 3 * others[0] + others[1], dim=0))
    assert found == pytest.approx(wanted, abs=4 / math.sqrt(SIZE))
    assert float(prompt.norm()) == pytest.approx(float(true.norm()), rel=0.05)
    assert cosine(prompt, {0: prompt}, {0: 2}) == pytest.approx(1)
    assert cosine(prompt, {0: -prompt}, {0: 1}) == pytest.approx(-1)
    assert cosine(prompt, {0: torch.zeros(SIZE, dtype=torch.float64)}, {0: 1}) is None
    assert torch.equal(GradientSketcher(model, weights).sketch(sequences[0]), prompt), "the same bits every time"


def test_adapters_have_no_gradient_to_align(tiny_model_dir):
    with pytest.raises(UsageError, match="not lora"):
        GradientSketcher(load_model(tiny_model_dir, device="cpu"), "lora")


@pytest.fixture(scope="module")
def folders(tiny_model_dir, tiny_embedder_dir, tiny_corpus_file, tmp_path_factory):
    suite = Suite(
        "tiny",
        corpus=CorpusSpec(str(tiny_corpus_file), prompts_per_subset=1),
        pool=PoolSpec(str(tiny_embedder_dir), k=20),
        select=SelectSpec(("sift[lam=1.0]",), budgets=(2, 5), reuse=(1, 2), arms=("none", "finetune")),
        model=ModelSpec(str(tiny_model_dir), max_tokens=32),
        finetune=FinetuneSpec(lr=1e-3),
    )
    top = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTFT_BENCH_CACHE", str(top / "cache"))
        run_selection(Request(suite, top / "picks"), Log())
        run_sweep(Request(suite, top / "run", device="cpu", picks=top / "picks"), Log())
    return top / "run", top / "picks"


def test_every_row_with_picks_gets_its_cosine_once(folders, monkeypatch):
    run, picks = folders
    (run / store.ALIGNMENT).unlink(missing_ok=True)
    with pytest.raises(CorpusError, match=r"lacks .* text.*--picks"):
        align_run(run, Log(), device="cpu")
    rows = [row for row in store.load_run(run).rows if row["arm"] == "finetune"]
    calls = []
    real = GradientSketcher.sketch_all
    monkeypatch.setattr(GradientSketcher, "sketch_all", lambda self, s: calls.extend(s) or real(self, s))
    assert align_run(run, Log(), picks=picks, device="cpu") == len(rows) > 4
    found, warnings = read_alignment(run)
    assert warnings == [] and set(found) == {row["cell_id"] for row in rows}
    assert all(-1 <= value <= 1 for value in found.values())
    texts = sum(
        1 + len({i for row in rows if row["prompt_id"] == prompt for i in row["document_ids"]})
        for prompt in {row["prompt_id"] for row in rows}
    )
    assert len(calls) == texts, "no gradient twice"
    again = Log()
    assert align_run(run, again, picks=picks, device="cpu") == 0 and "0 to go" in again.notes[0]
    # Another set of weights is computed anew, and counts from then on.
    assert align_run(run, Log(), picks=picks, device="cpu", weights="bias+norm") == len(rows)
    assert read_alignment(run)[0] != found


def test_the_command_says_what_it_did(folders, tmp_path):
    from typer.testing import CliRunner

    run, picks = folders
    (run / store.ALIGNMENT).unlink(missing_ok=True)
    result = CliRunner().invoke(app, ["align", str(run), "--picks", str(picks), "--device", "cpu"])
    assert result.exit_code == 0 and "rows aligned in" in result.stdout
    record = json.loads((run / store.ALIGNMENT).read_text(encoding="utf-8").splitlines()[0])
    assert record["weights"] == "last[k=1]" and record["size"] == SIZE
    result = CliRunner().invoke(app, ["align", str(run), "--picks", str(picks), "--device", "cpu", "--json"])
    assert_documented("align", json.loads(result.stdout))
