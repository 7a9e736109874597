"""Whatever goes wrong with one prompt or document is rows with a reason: weights restored, the sweep goes on."""

from __future__ import annotations

import pytest

from reporters import Log
from stored_picks import pick, write_picks
from ttft_bench.engine import items
from ttft_bench.engine.eager import EagerBackend
from ttft_bench.engine.model import load_model, load_tokenizer, state_hash
from ttft_bench.engine.score import make_target, training_sequence
from ttft_bench.errors import ModelError, UsageError
from ttft_bench.sweep import runner, store
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.run import run_sweep
from ttft_bench.sweep.suite import FinetuneSpec, ModelSpec, SelectSpec, Suite

TEXTS = ["alpha beta", "gamma delta", "epsilon zeta", "eta theta"]
#: Which documents each prompt trains on.
PICKED = {"first": [0, 1], "second": [1, 2], "third": [3, 0]}


@pytest.fixture
def sweep(tmp_path, tiny_model_dir, engines):
    """Finetunes hand-made picks; the rows come back as (prompt, budget) -> row."""
    records = [pick(prompt, "knn", ids[:n]) for prompt, ids in PICKED.items() for n in (1, 2)]
    picks = write_picks(tmp_path / "picks", {name: f"the {name} prompt" for name in PICKED}, TEXTS, records)

    def run(folder="run", log=None, lanes=1, long="truncate"):
        suite = Suite(
            "s",
            select=SelectSpec(("knn",), budgets=(1, 2), reuse=(1,)),
            model=ModelSpec(str(tiny_model_dir), max_tokens=32),
            finetune=FinetuneSpec(lr=1e-3, long=long),
        )
        request = Request(suite, tmp_path / folder, device="cpu", picks=picks, lanes=lanes)
        try:
            outcome = run_sweep(request, log or Log())
        finally:
            for engine, before in engines:
                assert state_hash(engine.model.module) == before, "the weights are not what they were"
        rows = store.load_run(tmp_path / folder).rows
        assert outcome.failed == sum(row["status"] != "ok" for row in rows) and len(rows) == 6
        return {(row["prompt_id"], row["budget"]): row for row in rows}

    return run


def fail(monkeypatch, owner, name, error, when):
    """Make a function raise where ``when`` of its arguments says so."""
    real = getattr(owner, name)

    def faulty(*args, **kwargs):
        if when(*args, **kwargs):
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, faulty)


@pytest.mark.parametrize("error", [IndexError("index out of range"), KeyError("x")])
def test_a_prompt_that_cannot_be_read_costs_its_rows_only(sweep, monkeypatch, error):
    whole = sweep("whole")
    fail(monkeypatch, runner, "make_target", error, lambda model, text, *_: "first" in text)
    rows = sweep()
    bad = {where for where, row in rows.items() if row["status"] == "failed"}
    assert bad == {("first", 1), ("first", 2)}, "the first prompt is what the warm-up reads too"
    for where in bad:
        assert type(error).__name__ in rows[where]["reason"] and "test_faults.py:" in rows[where]["reason"]
    good = rows.keys() - bad
    assert all(rows[where]["bpb_after"] == whole[where]["bpb_after"] for where in good)


@pytest.mark.parametrize("long", ["truncate", "chunk"])
def test_a_document_that_cannot_be_read_costs_the_rows_that_train_on_it(sweep, monkeypatch, long):
    name = "training_chunks" if long == "chunk" else "training_sequence"
    fail(monkeypatch, items, name, ValueError("no"), lambda model, text, *_: text == TEXTS[0])
    rows = sweep(long=long)
    bad = {where[0] for where, row in rows.items() if row["status"] == "failed"}
    assert bad == {"first", "third"} and rows["second", 2]["status"] == "ok"


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_step_that_fails_keeps_earlier_rows_and_restores_the_weights(sweep, monkeypatch, lanes):
    length = len(TEXTS[2]) + 1  # no other document has as many bytes
    fail(monkeypatch, EagerBackend, "_loss", IndexError("no"), lambda self, batch: len(batch[0]) == length)
    rows = sweep(lanes=lanes)
    assert {where for where, row in rows.items() if row["status"] == "failed"} == {("second", 2)}
    assert rows["second", 1]["steps"] == 1 and "IndexError: no (test_faults.py:" in rows["second", 2]["reason"]


def test_a_token_that_the_model_does_not_know_is_told_before_the_model_reads_it(sweep, tiny_model_dir, monkeypatch):
    def load(source):
        tokenizer = load_tokenizer(source)
        tokenizer.add_tokens(["epsilon", "third"])
        return tokenizer

    monkeypatch.setattr("ttft_bench.engine.model.load_tokenizer", load)
    model = load_model(tiny_model_dir, device="cpu")
    with pytest.raises(ModelError, match=r"makes token 257 of this text, and the model knows 0\.\.256 only"):
        training_sequence(model, TEXTS[2], 32)
    with pytest.raises(ModelError, match="token 258"):
        make_target(model, "the third prompt", 32)
    rows = sweep()
    bad = {prompt for (prompt, _), row in rows.items() if row["status"] == "failed"}
    assert bad == {"second", "third"} and rows["first", 2]["status"] == "ok"
    assert all("give a model with its own tokenizer" in rows[prompt, 2]["reason"] for prompt in bad)


def test_usage_errors_and_interrupts_end_the_run(sweep, monkeypatch):
    for error in (UsageError("no such lr"), KeyboardInterrupt(), SystemExit(3)):
        with monkeypatch.context() as patch, pytest.raises(type(error)):
            fail(patch, runner, "make_target", error, lambda model, text, *_: "second" in text)
            sweep(type(error).__name__)
