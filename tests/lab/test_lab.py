"""A Lab adapts, measures, generates, and leaves the weights as they were; and it is what a sweep is."""

from __future__ import annotations

import doctest
import functools
import json
import threading
from collections import Counter

import numpy as np
import pytest
import torch

from fake_embedder import HashingEmbedder
from notes import PROMPT, notes
from reporters import Log
from tiny import write_model
from ttft_bench.corpus.documents import Document
from ttft_bench.corpus.hashedwords import HashedWords
from ttft_bench.engine.compiled import Options
from ttft_bench.engine.finetune import Engine
from ttft_bench.engine.model import load_model, state_hash
from ttft_bench.engine.schedule import build_schedule
from ttft_bench.engine.score import make_target, score, training_sequence
from ttft_bench.engine.settings import Settings
from ttft_bench.errors import (
    CellError,
    NonFiniteError,
    UsageError,
)
from ttft_bench.lab import Lab
from ttft_bench.sweep import store
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.run import run_sweep
from ttft_bench.sweep.suite import CorpusSpec, FinetuneSpec, ModelSpec, PoolSpec, SelectSpec, Suite


def test_the_example_of_the_docstring(monkeypatch, tmp_path, tiny_model):
    (tmp_path / "my-notes").mkdir()
    for number, text in enumerate(notes(60)):
        (tmp_path / "my-notes" / f"{number}.md").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ttft_bench.lab.lab.open_embedder", lambda *_, **__: HashedWords())
    names = {"model": tiny_model, "prompt": PROMPT}
    (example,) = doctest.DocTestFinder(recurse=False).find(Lab, "Lab", globs=names)
    assert len(example.examples) >= 6
    assert doctest.DocTestRunner().run(example).failed == 0


def test_an_adaptation_is_the_engine_run_on_the_picks(lab, tiny_model):
    untouched = state_hash(tiny_model.module)
    before = lab.bits_per_byte(PROMPT)
    with lab.adapted(PROMPT) as tuned:
        after, adapted = tuned.bits_per_byte(PROMPT), state_hash(tuned.module)
    assert state_hash(tiny_model.module) == untouched != adapted
    assert lab.bits_per_byte(PROMPT) == before != after

    texts = notes()
    engine = Engine(tiny_model, Settings(lr=1e-3))
    sequences = {i: training_sequence(tiny_model, texts[i], 48) for i in set(tuned.selection.order)}
    with engine.adapted(build_schedule(tuned.selection.order), sequences) as module:
        assert state_hash(module) == adapted
        assert score(tiny_model, make_target(tiny_model, PROMPT, 48)) == after


def test_the_selection_says_what_was_picked_and_why(make_lab):
    with make_lab(strategy="hullft", budget=9, reuse=2).adapted(PROMPT) as tuned:
        chosen = tuned.selection
    assert len(chosen.order) == 9 and chosen.n_candidates == 20 and chosen.budget == 9
    assert Counter(chosen.order) == {pick.id: pick.repeats for pick in chosen.picks}
    assert any(pick.repeats > 1 for pick in chosen.picks)
    embedder, texts = HashingEmbedder(), notes()
    query = embedder.embed([PROMPT])[0]
    similarity = embedder.embed(texts) @ query
    for pick in chosen.picks:
        assert pick.document.text == texts[pick.id]
        assert pick.similarity == pytest.approx(similarity[pick.id], abs=1e-6)
        assert pick.rank == 1 + int((similarity > similarity[pick.id]).sum())
        assert pick.weight is not None and 0 < pick.weight <= 1
    assert sum(pick.weight for pick in chosen.picks) <= 1 + 1e-9
    repeats = np.array([pick.repeats for pick in chosen.picks])
    assert tuned.timing.steps == 9
    assert tuned.timing.fresh_steps == int(((repeats + 1) // 2).sum()), (
        "a run of c steps at r = 2 has ceil(c/2) gradients"
    )


def test_a_lab_does_to_a_prompt_what_a_sweep_does(tmp_path, tiny_model_dir, tiny_embedder_dir, tiny_corpus_file):
    """Same candidates, same picks, same bits per byte; stochastic strategies draw alike."""
    records = [json.loads(line) for line in tiny_corpus_file.read_text(encoding="utf-8").splitlines()]
    for number, record in enumerate(records):
        record["split"] = "prompt" if number in (4, 40) else "train"
        record["group"] = ""
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    strategies = ("sift[lam=0.2]", "random", "hullft")
    suite = Suite(
        "tiny",
        corpus=CorpusSpec(str(corpus)),
        pool=PoolSpec(str(tiny_embedder_dir), k=20),
        select=SelectSpec(strategies, budgets=(5,), reuse=(2,)),
        model=ModelSpec(str(tiny_model_dir), max_tokens=64),
        finetune=FinetuneSpec(lr=1e-3),
        seed=11,
    )
    run_sweep(Request(suite, tmp_path / "run", device="cpu"), Log())
    rows = store.load_run(tmp_path / "run").rows
    assert len(rows) == 6
    for strategy in strategies:
        lab = Lab(
            model=str(tiny_model_dir),
            corpus=corpus,
            strategy=strategy,
            budget=5,
            reuse=2,
            embedder=str(tiny_embedder_dir),
            pool_k=20,
            max_tokens=64,
            lr=1e-3,
            device="cpu",
            precision="fp32",
            seed=11,
        )
        assert len(lab) == 58
        for row in (row for row in rows if row["strategy"].startswith(strategy.partition("[")[0])):
            text = next(r["text"] for r in records if Document(r["text"]).key == row["prompt_id"])
            before = lab.bits_per_byte(text)
            with lab.adapted(text) as tuned:
                assert list(tuned.selection.order) == row["document_ids"]
                assert (before, tuned.bits_per_byte(text)) == (row["bpb_before"], row["bpb_after"])
            assert (tuned.timing.steps, tuned.timing.fresh_steps) == (row["steps"], row["fresh_steps"])


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, torch.OutOfMemoryError])
def test_whatever_happens_in_the_block_the_weights_come_back(lab, tiny_model, failure):
    before = state_hash(tiny_model.module)
    with pytest.raises(failure), lab.adapted(PROMPT) as tuned:
        assert state_hash(tiny_model.module) != before
        raise failure
    assert state_hash(tiny_model.module) == before
    assert tuned.timing.restore_s > 0
    with lab.adapted(PROMPT) as tuned:  # and the Lab goes on
        assert tuned.timing.steps == 6


def test_an_interrupt_while_weights_come_back_is_obeyed_once_they_are_back(lab, tiny_model, monkeypatch):
    before = state_hash(tiny_model.module)
    snapshot = lab._engine.backend.snapshot
    calls, real = [], snapshot.restore

    def interrupted():
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        real()

    monkeypatch.setattr(snapshot, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt), lab.adapted(PROMPT):
        pass
    assert state_hash(tiny_model.module) == before
    with lab.adapted(PROMPT):
        pass


def test_a_run_that_diverges_or_runs_out_of_memory_says_so_and_leaves_no_trace(make_lab, tiny_model, monkeypatch):
    before = state_hash(tiny_model.module)
    with pytest.raises(NonFiniteError, match="learning rate"), make_lab(lr=1e30, optimizer="sgd").adapted(PROMPT):
        pytest.fail("the block must not be entered")
    assert state_hash(tiny_model.module) == before
    lab = make_lab()
    monkeypatch.setattr(lab._engine.backend, "gradient", lambda *_: (_ for _ in ()).throw(MemoryError("9 GiB")))
    with pytest.raises(CellError, match=r"out of memory.*9 GiB.*lower max_tokens"), lab.adapted(PROMPT):
        pytest.fail("the block must not be entered")
    assert state_hash(tiny_model.module) == before


def test_generate_continues_the_prompt_or_another_text(make_lab, tiny_model):
    lab = make_lab(lr=1e-2, budget=12)
    untouched = lab.generate(PROMPT, 12)
    assert lab.generate("note 1: ", 12) != untouched
    state = torch.random.get_rng_state()
    with lab.adapted(PROMPT) as tuned:
        now = tuned.generate(12)
        assert now == tuned.generate(12, PROMPT) != untouched
        drawn = [tuned.generate(12, temperature=2.0, seed=seed) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
        assert tuned.generate(3) == now[:3], "one token is one byte here"
        for settings, word in (
            ({"max_new_tokens": 0}, "max_new_tokens"),
            ({"max_new_tokens": 128}, "leaves no room"),
            ({"temperature": -1.0}, "temperature"),
            ({"top_p": 0.0}, "top_p"),
        ):
            with pytest.raises(UsageError, match=word):
                tuned.generate(**settings)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert lab.generate(PROMPT, 12) == untouched


def test_a_generation_reads_the_end_of_a_long_text(lab, tiny_model):
    tail = "x" * (tiny_model.max_positions - 9)
    assert lab.generate("never read" + tail, 8) == lab.generate(tail, 8)


def test_the_protocol_prefix_looks_for_the_first_half_only(make_lab):
    embedder = HashingEmbedder()
    lab = make_lab(embedder=embedder, protocol="prefix")
    with lab.adapted("alpha beta gamma delta epsilon zeta eta theta"):
        pass
    assert embedder.embedded[-1] == "alpha beta gamma delta"
    with pytest.raises(UsageError, match="first half"), lab.adapted(" x"):
        pass


def test_documents_are_added_and_only_they_are_embedded(make_lab):
    embedder = HashingEmbedder()
    lab = make_lab(embedder=embedder, strategy="knn", budget=1)
    at_first = len(embedder.embedded)
    near = ["beta alpha delta gamma beta alpha", "", Document("theta", "greek", "g")]
    assert lab.add(near) == range(20, 22)
    assert sorted(embedder.embedded[at_first:]) == [near[0], "theta"]
    with lab.adapted(PROMPT) as tuned:
        (pick,) = tuned.selection.picks
        assert (pick.id, pick.rank, pick.document.text) == (20, 1, near[0])
    again = len(embedder.embedded)
    lab.add([near[0]])
    whole = make_lab(embedder=embedder, corpus=[*notes(), near[0], "theta", "new"])
    assert embedder.embedded[again:].count(near[0]) == 0, "vectors are kept by content"
    assert "new" in embedder.embedded[again:] and len(whole) == 23
    for slip in ("a text", [3]):
        with pytest.raises(UsageError, match=r"give texts|list of texts"):
            lab.add(slip)


def test_a_file_is_added(make_lab, tmp_path):
    (tmp_path / "more.md").write_text("iota kappa lambda\n", encoding="utf-8")
    lab = make_lab()
    assert lab.add(tmp_path / "more.md") == range(20, 21)
    assert lab.add([]) == range(21, 21)


@pytest.mark.parametrize("trainable", ["last[k=1]", "bias+norm", "lora[r=2]"])
def test_other_sets_of_weights(tmp_path, make_lab, trainable):
    model = load_model(write_model(tmp_path / "m"), device="cpu")
    lab = make_lab(model=model, trainable=trainable, lr=1e-2)
    before = state_hash(model.module)
    with lab.adapted(PROMPT) as tuned:
        assert tuned.bits_per_byte(PROMPT) > 0 and isinstance(tuned.generate(4), str)
        assert state_hash(model.module) != before
    assert state_hash(model.module) == before


def test_on_the_compiled_backend(make_lab, tmp_path, monkeypatch):
    """Its weights lie in one flat buffer: what scores, generates and restores must see them there."""
    model = load_model(write_model(tmp_path / "m"), device="cpu")
    monkeypatch.setattr("ttft_bench.lab.lab.Engine", functools.partial(Engine, options=Options(compile=False)))
    eager, compiled = make_lab(), make_lab(model=model, backend="compiled", note=print)
    assert compiled.describe()["backend"] == "compiled"
    before = state_hash(model.module)
    with eager.adapted(PROMPT) as one, compiled.adapted(PROMPT) as other:
        assert one.bits_per_byte(PROMPT) == pytest.approx(other.bits_per_byte(PROMPT), abs=1e-4)
        assert state_hash(model.module) != before and other.generate(4) == one.generate(4)
    assert state_hash(model.module) == before
    with compiled.adapted(PROMPT, budget_s=0.2) as tuned:
        assert tuned.timing.steps >= 1
    assert state_hash(model.module) == before


def test_labs_of_their_own_work_at_the_same_time(tmp_path, make_lab):
    labs = [make_lab(model=load_model(write_model(tmp_path / "m"), device="cpu")) for _ in range(2)]
    found: dict[int, float] = {}
    both = threading.Barrier(2, timeout=300)

    def work(number: int) -> None:
        with labs[number].adapted(PROMPT) as tuned:
            both.wait()
            found[number] = tuned.bits_per_byte(PROMPT)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
