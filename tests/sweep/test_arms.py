"""What else a run can compare: arms, learning rates, reuse modes, trainable sets, chunks, batches, lanes."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from reporters import Log
from ttft_bench.engine.compiled import Options
from ttft_bench.engine.context import fit_context, read_context
from ttft_bench.engine.eager import EagerBackend
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.items import Chunk, Items
from ttft_bench.engine.model import load_model
from ttft_bench.engine.schedule import Batch, Reuse, build_schedule
from ttft_bench.engine.score import make_target, score, tokenize, training_chunks, training_sequence
from ttft_bench.errors import SuiteError, UsageError
from ttft_bench.sweep import store
from ttft_bench.sweep.picks import read_picks
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.rows import nearest_documents
from ttft_bench.sweep.run import plan_run, run_selection, run_sweep
from ttft_bench.sweep.suite import CorpusSpec, FinetuneSpec, ModelSpec, PoolSpec, SelectSpec, Suite, load_suite

QUALITY = ("bpb_before", "bpb_after", "bytes_scored", "tokens_scored", "steps", "fresh_steps", "document_ids")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTFT_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def suite(tiny_model_dir, tiny_embedder_dir, tiny_corpus_file):
    return Suite(
        "tiny",
        corpus=CorpusSpec(str(tiny_corpus_file), prompts_per_subset=1),
        pool=PoolSpec(str(tiny_embedder_dir), k=20),
        select=SelectSpec(("sift[lam=1.0]",), budgets=(2, 5), reuse=(1, 2)),
        model=ModelSpec(str(tiny_model_dir), max_tokens=32),
        finetune=FinetuneSpec(lr=1e-3),
    )


@pytest.fixture(scope="module")
def picks(suite, tmp_path_factory):
    folder = tmp_path_factory.mktemp("picks") / "picks"
    run_selection(Request(suite, folder), Log())
    return folder


def sweep(suite, folder, picks, **options):
    outcome = run_sweep(Request(suite, folder, device="cpu", picks=picks, **options), Log())
    return outcome, store.load_run(folder).rows


def change(suite, **sections):
    for section, values in sections.items():
        suite = suite.with_changes(section, **values)
    return suite


def quality(rows):
    return {row["cell_id"]: tuple(str(row[name]) for name in QUALITY) for row in rows}


def test_every_arm_scores_exactly_the_same_tokens(suite, picks, tmp_path, tiny_model_dir):
    arms = ("in-context+finetune", "none", "finetune", "in-context")
    asked = change(suite, select={"arms": arms, "reuse": (1,)})
    outcome, rows = sweep(asked, tmp_path / "run", picks)
    assert outcome.failed == 0
    assert sorted(row["arm"] for row in rows) == sorted(["none"] * 2 + [*arms[:1], *arms[2:]] * 4)
    model = load_model(tiny_model_dir, device="cpu")
    stored = read_picks(picks)
    for prompt in stored.prompts:
        mine = [row for row in rows if row["prompt_id"] == prompt]
        assert len({(row["tokens_scored"], row["bytes_scored"], row["bpb_before"]) for row in mine}) == 1
        for row in mine:
            documents = row["document_ids"] or []
            sequences = {i: training_sequence(model, stored.texts[i], 32) for i in documents}
            tokens = [model.start_id, *tokenize(model, stored.prompts[prompt]["text"])[0]][:32]
            context = torch.tensor([], dtype=torch.int64)
            if "in-context" in row["arm"]:
                record = stored.records[prompt, row["strategy"], row["budget"]]
                nearest = nearest_documents(record)
                fitting = nearest[: row["n_in_context"]]
                assert len(fitting) > 0 and row["context_s"] > 0
                context = torch.cat([sequences[i] for i in reversed(fitting)])
                assert len(context) + len(tokens) - 1 <= 128
                more = nearest[len(fitting) : len(fitting) + 1]
                assert not more or len(context) + len(sequences[more[0]]) + len(tokens) - 1 > 128
            steps = build_schedule(documents) if "finetune" in row["arm"] else ()
            with Engine(model, Settings(lr=1e-3)).adaptation() as adaptation:
                adaptation.advance(steps, sequences)
                whole = torch.cat([context, torch.tensor(tokens)])
                with torch.inference_mode():
                    logits = model.module(input_ids=whole[None, :-1]).logits[0, len(context) :]
                bits = torch.nn.functional.cross_entropy(logits, whole[len(context) + 1 :], reduction="sum") / 0.6931472
            assert row["bpb_after"] == pytest.approx(float(bits) / row["bytes_scored"], rel=1e-4)
            trained = "finetune" in row["arm"]
            assert (row["lr"] == 1e-3, row["steps"] > 0, row["trainable"] != "") == (trained,) * 3
            if row["arm"] == "none":
                assert row["bpb_after"] == row["bpb_before"] and row["strategy"] == "none" and row["budget"] == 0


def test_a_context_that_does_not_fit_is_left_out(tiny_model_dir):
    model = load_model(tiny_model_dir, device="cpu")
    target = make_target(model, "x" * 100, 120)
    documents = [training_sequence(model, text, 64) for text in ("ab", "c" * 60, "d")]
    context = fit_context(model, target, documents)
    assert context.n_documents == 1 and context.tokens.tolist() == documents[0].tolist(), "in order, or not at all"
    empty = fit_context(model, make_target(model, "x" * 200, 128), documents)
    assert empty.n_documents == 0 and read_context(model, empty) is None


def test_a_context_is_read_in_the_precision_of_steps_and_kept_in_that_of_scoring(tiny_model_dir):
    found = {}
    for precision in ("fp32", "bf16"):
        model = load_model(tiny_model_dir, device="cpu", precision=precision)
        target = make_target(model, "alpha beta gamma delta", 64)
        kept = read_context(model, fit_context(model, target, [training_sequence(model, "zeta eta theta", 64)]))
        layer = kept.layers[0]
        assert layer.keys.dtype == layer.values.dtype == torch.float32
        found[precision] = (layer.values, score(model, target, kept))
    (exact, bits), (rounded, near) = found["fp32"], found["bf16"]
    assert not torch.equal(exact, rounded), "the same values to the last bit were not computed in bf16"
    assert torch.allclose(exact, rounded, rtol=0.05, atol=0.02 * float(exact.abs().max()))
    assert near == pytest.approx(bits, rel=1e-3)


def test_windows_after_one_context_do_not_see_each_other(tiny_model_dir):
    model = load_model(tiny_model_dir, device="cpu")
    target = make_target(model, "alpha beta gamma delta " * 3, 20, "document")
    assert len(target.windows) > 2
    context = read_context(model, fit_context(model, target, [training_sequence(model, "zeta eta", 64)]))
    parts = [score(model, dataclasses.replace(target, windows=(window,)), context) for window in target.windows]
    assert score(model, target, context) == pytest.approx(sum(parts), rel=1e-6)


def test_nearest_documents_follow_the_pool_and_count_once():
    record = {"document_ids": [7, 5, 7, 9], "positions": [3, 0, 3, 1]}
    assert nearest_documents(record) == [5, 9, 7]
    assert nearest_documents({"document_ids": [7, 5, 7]}) == [7, 5], "early records are taken in training order"


def test_learning_rates_are_an_axis(suite, picks, tmp_path):
    asked = change(suite, finetune={"lr": (1e-3, 1e-4)}, select={"reuse": (1,)})
    outcome, rows = sweep(asked, tmp_path / "run", picks)
    assert outcome.failed == 0 and sorted({row["lr"] for row in rows}) == [1e-4, 1e-3]
    _, alone = sweep(change(suite, select={"reuse": (1,)}), tmp_path / "alone", picks)
    assert quality(alone).items() <= quality(rows).items(), "company changes nothing"
    from ttft_bench.report import build_report

    report = build_report(tmp_path / "run")
    assert any("lr=0.001" in path.read_text() for path in report.paths if path.suffix == ".html")
    assert not any(
        "lr=0.00" in path.read_text() for path in build_report(tmp_path / "alone").paths if path.suffix == ".html"
    )


def test_reuse_modes_are_an_axis_and_each_takes_its_own_steps(suite, picks, tmp_path):
    modes = ("cached", "skip", "scale-lr", "weighted-loss")
    asked = change(suite, select={"reuse_mode": modes, "reuse": (1, 3), "grouping": "global"})
    outcome, rows = sweep(asked, tmp_path / "run", picks)
    assert outcome.failed == 0
    assert {row["reuse_mode"] for row in rows if row["reuse_interval"] == 1} == {"cached"}
    assert {row["reuse_mode"] for row in rows if row["reuse_interval"] == 3} == set(modes)
    for row in rows:
        reuse = Reuse(row["reuse_interval"], row["reuse_grouping"], row["reuse_mode"])
        steps = build_schedule(row["document_ids"], reuse)
        assert (row["steps"], row["fresh_steps"]) == (len(steps), sum(step.fresh for step in steps))


@pytest.mark.parametrize(
    ("finetune", "optimizer"),
    [
        ({"trainable": "lora[r=2]", "optimizer": "adamw[weight_decay=0.1]"}, "adamw[betas=0.9,0.999;eps=1e-08;"),
        ({"trainable": "last[k=1]", "optimizer": "sgd[momentum=0.9]", "clip": 1.0}, "sgd[momentum=0.9;clip=1]"),
        ({"trainable": "bias+norm", "batch": 2, "long": "chunk"}, "adam[betas=0.9,0.999;eps=1e-08;batch=2]"),
    ],
)
def test_what_is_trained_and_how_is_in_the_row_and_in_the_cell(suite, picks, tmp_path, finetune, optimizer):
    outcome, rows = sweep(change(suite, finetune=finetune), tmp_path / "run", picks)
    assert outcome.failed == 0
    for row in rows:
        assert row["trainable"] == finetune["trainable"].replace("[k=1]", "")
        assert row["optimizer"].startswith(optimizer) and row["long"] == finetune.get("long", "truncate")
        assert row["bpb_after"] != row["bpb_before"]
    usual = {cell.cell_id for cell in plan_run(Request(suite, tmp_path / "x", picks=picks), Log()).cells}
    assert not usual & {row["cell_id"] for row in rows}


def test_chunks_cover_the_text_and_make_steps(tiny_model_dir):
    model = load_model(tiny_model_dir, device="cpu")
    text = "abcdefghijklmnopqrstuvwxyz"
    chunks = training_chunks(model, text, 11)
    assert [len(chunk) for chunk in chunks] == [11, 11, 7] and all(chunk[0] == model.start_id for chunk in chunks)
    assert [t for chunk in chunks for t in chunk[1:].tolist()] == tokenize(model, text)[0]
    items = Items(model, {4: text, 9: "xy"}, 11, chunk=True)
    assert items.arrange([4, 9, 4]) == [Chunk(4, 0), Chunk(4, 1), Chunk(4, 2), Chunk(9, 0)] + [
        Chunk(4, i) for i in range(3)
    ]
    found = items.sequences(items.arrange([4]))
    assert [found[Chunk(4, i)].tolist() for i in range(3)] == [chunk.tolist() for chunk in chunks]
    both = Items(model, {4: text, 9: "xy"}, 11, chunk=True, batch=2)
    assert len(both.arrange([4, 9, 4])) == 4, "three picks, seven chunks, two a step"
    batched = Items(model, {4: text, 9: "xy"}, 11, batch=2)
    assert batched.arrange([4, 9, 4]) == [Batch((4, 9)), Batch((4,))]
    assert set(batched.sequences(batched.arrange([4, 9, 4]))) == {4, 9}


@pytest.mark.parametrize(("finetune", "steps"), [({}, {2, 5}), ({"batch": 2}, {1, 3}), ({"long": "chunk"}, {6, 15})])
def test_a_budget_is_picks_and_steps_are_what_they_come_to(suite, picks, tmp_path, finetune, steps):
    asked = change(suite, finetune=finetune, select={"reuse": (1,)})
    _, rows = sweep(asked, tmp_path / "run", picks)
    assert {row["budget"] for row in rows} == {2, 5} == {len(row["document_ids"]) for row in rows}
    assert {row["steps"] for row in rows} == steps


@pytest.mark.parametrize("dropout", [False, True])
def test_the_order_of_prompts_changes_no_quality_field(suite, picks, tmp_path, monkeypatch, dropout):
    from ttft_bench.sweep import stage

    asked = change(suite, finetune={"dropout": dropout}, select={"arms": ("none", "finetune")})
    state = torch.get_rng_state()
    _, rows = sweep(asked, tmp_path / "forth", picks)
    real = stage.make_tasks
    monkeypatch.setattr(stage, "make_tasks", lambda *arguments: real(*arguments)[::-1])
    _, backwards = sweep(asked, tmp_path / "back", picks)
    assert quality(rows) == quality(backwards) and [r["cell_id"] for r in rows] != [r["cell_id"] for r in backwards]
    assert torch.equal(torch.get_rng_state(), state), "the global generator was touched"


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_lanes_change_no_quality_field(suite, picks, tmp_path, backend, monkeypatch):
    monkeypatch.setattr("ttft_bench.engine.compiled.backend.Options", lambda: Options(compile=False))
    results = []
    for lanes in (1, 3):
        outcome, rows = sweep(suite, tmp_path / str(lanes), picks, lanes=lanes, backend=backend)
        assert outcome.failed == 0 and {row["lanes"] for row in rows} == {lanes}
        assert {row["backend"] for row in rows} == {backend}
        results.append(quality(rows))
    assert results[0] == results[1] and results[0]


def test_a_failure_in_one_lane_costs_its_rows_only(suite, picks, tmp_path, monkeypatch):
    real, calls = EagerBackend._loss, itertools.count(1)

    def faulty(self, batch):
        if next(calls) == 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, batch)

    monkeypatch.setattr(EagerBackend, "_loss", faulty)
    outcome, rows = sweep(suite, tmp_path / "run", picks, lanes=2)
    assert 0 < outcome.failed < outcome.ok and {row["status"] for row in rows} == {"ok", "oom"}


@pytest.mark.parametrize("phase", ["gradient", "update", "score"])
def test_out_of_memory_in_any_phase_is_a_row_and_the_sweep_goes_on(suite, picks, tmp_path, monkeypatch, phase):
    from ttft_bench.sweep import runner

    owner, name = (runner, "score") if phase == "score" else (EagerBackend, phase)
    real, calls = getattr(owner, name), []

    def faulty(*args, **kwargs):
        calls.append(1)
        if len(calls) == 14:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, faulty)
        # Enough arms that the fourteenth call of each kind falls into the tasks.
        asked = change(suite, select={"arms": ("finetune", "in-context", "in-context+finetune")})
        outcome, rows = sweep(asked, tmp_path / "run", picks)
    assert outcome.failed and outcome.ok and {row["status"] for row in rows} == {"ok", "oom"}
    again, rows = sweep(asked, tmp_path / "run", picks)
    assert again.failed == 0
    _, fresh = sweep(asked, tmp_path / "fresh", picks)
    assert quality(rows) == quality(fresh)


def test_no_more_lanes_are_opened_than_have_work(suite, picks, tmp_path):
    log = Log()
    outcome = run_sweep(Request(suite, tmp_path / "run", device="cpu", picks=picks, lanes=1000), log)
    rows = store.load_run(tmp_path / "run").rows
    (opened,) = {row["lanes"] for row in rows if row["steps"]}
    assert outcome.failed == 0 and 1 < opened < 50
    assert any(f"1000 lanes were asked for, {opened} have work" in note for note in log.notes)
    assert any(f"{opened} lanes share the cores of one CPU" in note for note in log.notes)


def test_no_more_lanes_are_opened_than_a_device_can_have(suite, picks, tmp_path, monkeypatch):
    monkeypatch.setattr("ttft_bench.engine.lanes.most_lanes", lambda device: 2)
    log = Log()
    outcome = run_sweep(Request(suite, tmp_path / "run", device="cpu", picks=picks, lanes=3), log)
    assert outcome.failed == 0 and {row["lanes"] for row in store.load_run(tmp_path / "run").rows if row["steps"]} == {
        2
    }
    assert any("3 lanes have work, a GPU has streams for 2" in note for note in log.notes)


def test_an_interrupt_in_lanes_keeps_what_is_finished(suite, picks, tmp_path):
    class Impatient(Log):
        def progress(self, stage, done, total):
            if stage == "finetuning" and done:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(Request(suite, tmp_path / "run", device="cpu", picks=picks, lanes=2), Impatient())
    kept = store.load_run(tmp_path / "run").rows
    outcome, rows = sweep(suite, tmp_path / "run", picks, lanes=2)
    assert outcome.failed == 0 and rows[: len(kept)] == kept and 0 < len(kept) < len(rows)


def test_compiling_is_recorded_apart(suite, picks, tmp_path, monkeypatch):
    monkeypatch.setattr("ttft_bench.engine.compiled.backend.Options", lambda: Options(compile=False))
    sweep(suite, tmp_path / "run", picks, backend="compiled")
    manifest = store.read_manifest(tmp_path / "run")
    assert manifest["wall_s"]["compile"] > 0 and manifest["identity"]["backend"] == "compiled"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[finetune]\nlr = []", "lr must be a finite number above 0"),
        ("[finetune]\nlr = [1e-4, 0]", "lr must be a finite number above 0, got 0"),
        ("[finetune]\noptimizer = 'adm'", "unknown optimizer 'adm'; did you mean 'adam'"),
        ("[finetune]\noptimizer = 'adam[beta3=1]'", "adam has no parameter 'beta3'"),
        ("[finetune]\ntrainable = 'last[k=0]'", "k must be at least 1"),
        ("[finetune]\ntrainable = 'lora,full'", "expected one trainable set"),
        ("[finetune]\nclip = 0", "clip must be a finite number above 0"),
        ("[finetune]\nbatch = 0", "batch must be at least 1"),
        ("[finetune]\nlong = 'fold'", "truncate, chunk"),
        ("[select]\narms = []", r"select\.arms must be one of"),
        ("[select]\narms = ['zero-shot']", "finetune, none, in-context"),
        ("[select]\nreuse_mode = ['twice']", "cached, skip, scale-lr, weighted-loss"),
    ],
)
def test_impossible_settings_are_named(tmp_path, text, message):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(SuiteError, match=message):
        load_suite(str(file))


def test_a_rate_or_a_list_of_them(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[finetune]\nlr = [1e-3, 1e-4, 1e-3]")
    assert load_suite(str(file)).finetune.lrs == (1e-4, 1e-3)
    assert Suite("s").finetune.lrs == (5e-5,)
    with pytest.raises(UsageError):
        Suite("s").with_changes("finetune", trainable="everything")
