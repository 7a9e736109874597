"""The whole road on tiny models: select, finetune, score, rows, resume, failures."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from reporters import Log
from ttft_bench.engine.eager import EagerBackend
from ttft_bench.engine.finetune import Engine
from ttft_bench.engine.model import load_model, state_hash
from ttft_bench.engine.schedule import Reuse, build_schedule
from ttft_bench.engine.score import make_target, score, training_sequence
from ttft_bench.errors import CorpusError, NonFiniteError, ResumeError, UsageError
from ttft_bench.sweep import store
from ttft_bench.sweep.picks import read_picks
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.run import plan_run, run_selection, run_sweep
from ttft_bench.sweep.suite import ControlSpec, CorpusSpec, FinetuneSpec, ModelSpec, PoolSpec, SelectSpec, Suite

QUALITY = ("bpb_before", "bpb_after", "bytes_scored", "steps", "fresh_steps", "document_ids", "residual")


@pytest.fixture(scope="module")
def suite(tiny_model_dir, tiny_embedder_dir, tiny_corpus_file):
    return Suite(
        "tiny",
        corpus=CorpusSpec(str(tiny_corpus_file), prompts_per_subset=2),
        pool=PoolSpec(str(tiny_embedder_dir), k=20),
        select=SelectSpec(("hullft", "sift[lam=1]", "knn"), budgets=(1, 2, 5), reuse=(1, 2)),
        controls=(ControlSpec("random-corpus", "random"),),
        model=ModelSpec(str(tiny_model_dir), max_tokens=64),
    )


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTFT_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def sweep(suite, folder, log=None, **options):
    outcome = run_sweep(Request(suite, folder, device="cpu", **options), log or Log())
    return outcome, store.load_run(folder).rows


def key(row):
    return (row["prompt_id"], row["strategy"], row["budget"], row["reuse_interval"])


def quality(rows):
    return {key(row): tuple(str(row[name]) for name in QUALITY) for row in rows}


@pytest.fixture(scope="module")
def finished(suite, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    return sweep(suite, folder)


def test_every_cell_is_an_ok_row(finished):
    outcome, rows = finished
    assert outcome.failed == 0 and outcome.ok == len(rows)
    strategies = {(row["strategy"], row["reuse_interval"]) for row in rows}
    assert {("hullft", 1), ("sift[lam=1.0]", 1), ("knn", 1), ("random-corpus", 1)} <= strategies
    assert ("knn", 2) not in strategies, "kNN picks nothing twice: reuse leaves it as it is"
    assert len([row for row in rows if row["strategy"] == "knn"]) == 4 * 3
    assert len([row for row in rows if row["strategy"] == "random-corpus"]) == 4, "one control row per prompt"
    for row in rows:
        assert row["bpb_pct"] == pytest.approx(100 * row["bpb_after"] / row["bpb_before"])
        assert row["steps"] == row["budget"] == len(row["document_ids"])
        assert 1 <= row["fresh_steps"] <= row["steps"] and row["n_distinct"] == len(set(row["document_ids"]))
        assert (
            min(row[name] for name in ("embed_s", "retrieve_s", "select_s", "finetune_s", "restore_s", "score_s")) > 0
        )
        assert row["start_token"] == "<|endoftext|>" and row["device"] == "cpu" and row["status"] == "ok"
        assert (row["gap"] is not None) == (row["strategy"] == "hullft")


def test_rows_equal_a_finetuning_run_of_their_own(finished, suite):
    """Shared runs and prefixes must give what one run per cell gives, bit for bit."""
    outcome, rows = finished
    picks = read_picks(outcome.folder)
    model = load_model(suite.model.name, device="cpu")
    engine = Engine(model)
    for row in rows:
        target = make_target(model, picks.prompts[row["prompt_id"]]["text"], 64)
        sequences = {i: training_sequence(model, picks.texts[i], 64) for i in row["document_ids"]}
        with engine.adaptation() as adaptation:
            adaptation.advance(build_schedule(row["document_ids"], Reuse(row["reuse_interval"])), sequences)
            assert score(model, target) == row["bpb_after"]
        assert score(model, target) == row["bpb_before"]


def test_the_prompt_is_never_trained_on(finished):
    outcome, rows = finished
    picks = read_picks(outcome.folder)
    for row in rows:
        assert picks.prompts[row["prompt_id"]]["text"] not in [picks.texts[i] for i in row["document_ids"]]


def test_the_same_command_again_does_nothing(finished, suite):
    outcome, rows = finished
    log = Log()
    again, rows_again = sweep(suite, outcome.folder, log)
    assert log.updates == 0 and (again.ok, again.failed) == (outcome.ok, 0)
    assert rows_again == rows
    assert any("are done already, 0 to go" in note for note in log.notes)


def test_manifest_says_what_was_done(finished):
    outcome, _ = finished
    manifest = store.read_manifest(outcome.folder)
    assert manifest["state"] == "finished"
    assert manifest["plan"]["controls"] == ["random-corpus"] and manifest["plan"]["prompts"] == 4
    assert manifest["identity"]["device"] == "cpu" and manifest["provenance"]["packages"]["torch"]
    assert manifest["execution"] == {"products": "default (no layer is large enough)"}
    assert {"prepare", "select", "finetune"} <= set(manifest["wall_s"])


def test_interrupted_runs_keep_their_rows_and_go_on(finished, suite, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_sweep(Request(suite, tmp_path / "run", device="cpu"), Log(interrupt_after=3))
    kept = store.load_run(tmp_path / "run").rows
    assert 0 < len(kept) < len(finished[1])
    assert store.read_manifest(tmp_path / "run")["state"] == "interrupted"
    outcome, rows = sweep(suite, tmp_path / "run")
    assert outcome.failed == 0 and quality(rows) == quality(finished[1])
    assert rows[: len(kept)] == kept, "what was there was not run again"


def test_a_torn_journal_costs_one_cell(finished, suite, tmp_path):
    sweep(suite, tmp_path / "run", limit=1)
    file = tmp_path / "run" / store.RESULTS
    file.write_bytes(file.read_bytes()[:-40])
    log = Log()
    outcome, _ = sweep(suite, tmp_path / "run", log, limit=1)
    assert outcome.failed == 0
    assert any("not a whole record" in note for note in log.notes)
    assert any("1 to go" in note for note in log.notes)


def test_order_of_strategies_and_company_change_no_quality(finished, suite, tmp_path):
    select = dataclasses.replace(suite.select, strategies=("knn", "hullft"), budgets=(5, 2))
    _, rows = sweep(dataclasses.replace(suite, select=select, controls=()), tmp_path / "run")
    expected = quality(finished[1])
    assert {k: expected[k] for k in quality(rows)} == quality(rows)


def test_more_prompts_later_run_only_the_new_ones(finished, suite, tmp_path):
    _, few = sweep(suite, tmp_path / "run", limit=1)
    _, rows = sweep(suite, tmp_path / "run", limit=2)
    assert rows[: len(few)] == few and quality(rows) == quality(finished[1])


def test_stored_picks_finetune_without_corpus_or_embedder(finished, suite, tmp_path):
    run_selection(Request(suite, tmp_path / "picks"), Log())
    elsewhere = dataclasses.replace(
        suite,
        corpus=CorpusSpec("/nowhere.jsonl", prompts_per_subset=None),
        pool=PoolSpec("no-such-embedder"),
        select=dataclasses.replace(suite.select, strategies=()),
    )
    plan = plan_run(Request(elsewhere, tmp_path / "run", picks=tmp_path / "picks"), Log())
    _, rows = sweep(elsewhere, tmp_path / "run", picks=tmp_path / "picks")
    assert quality(rows) == quality(finished[1])
    assert (
        {row["cell_id"] for row in rows} == {row["cell_id"] for row in finished[1]} <= {c.cell_id for c in plan.cells}
    )
    assert {row["embedder"] for row in rows} == {suite.pool.embedder}
    recorded = store.read_manifest(tmp_path / "run")
    assert recorded["suite"]["corpus"]["source"] == suite.corpus.source, "the manifest says what was really used"
    assert recorded["plan"]["embedder"] == suite.pool.embedder


def test_picks_of_a_finished_run_go_to_another_device(finished, suite, tmp_path, monkeypatch):
    outcome, _ = finished
    monkeypatch.setattr("ttft_bench.sweep.provenance.device_label", lambda device: "cuda:NVIDIA H200")
    for _ in range(2):  # the second time resumes
        again, rows = sweep(suite, tmp_path / "run", picks=outcome.folder)
        assert again.failed == 0 and {row["device"] for row in rows} == {"cuda:NVIDIA H200"}


def test_stored_picks_that_are_not_there(suite, tmp_path):
    with pytest.raises(CorpusError, match="ttft-bench select"):
        sweep(suite, tmp_path / "run", picks=tmp_path / "none")
    assert not (tmp_path / "run").exists(), "a run that never began leaves nothing behind"
    run_selection(Request(suite, tmp_path / "picks", limit=1), Log())
    other = dataclasses.replace(suite, select=dataclasses.replace(suite.select, budgets=(3,)))
    with pytest.raises(UsageError, match=r"holds no picks for --budgets 3 \(it has 1,2,5\)"):
        sweep(other, tmp_path / "run", picks=tmp_path / "picks")
    documents = tmp_path / "picks" / store.DOCUMENTS
    documents.write_bytes(documents.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(CorpusError, match="lacks the text"):
        sweep(suite, tmp_path / "run", picks=tmp_path / "picks")


def test_stored_picks_are_found_however_their_spec_is_written_and_missing_ones_named(suite, tmp_path):
    made = dataclasses.replace(suite, select=dataclasses.replace(suite.select, strategies=("knn", "sift[lam=1]")))
    run_selection(Request(made, tmp_path / "picks", limit=1), Log())
    _, rows = sweep(made, tmp_path / "run", picks=tmp_path / "picks")
    assert {"knn", "sift[lam=1.0]"} <= {row["strategy"] for row in rows}
    more = dataclasses.replace(made, select=dataclasses.replace(made.select, strategies=("knn", "sift[lam=2]")))
    with pytest.raises(UsageError, match=r"no picks for sift\[lam=2.0\] .it has .*sift\[lam=1.0\]"):
        sweep(more, tmp_path / "other", picks=tmp_path / "picks")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"model": {"max_tokens": 32}}, "max_tokens"),
        ({"pool": {"k": 19}}, "pool_k"),
        ({"finetune": {"clip": 1.0}}, "optimizer"),
        ({"score": {"protocol": "document"}}, "bpb_protocol"),
        ({"corpus": {"train_per_subset": 10}}, "train_documents"),
    ],
)
def test_resuming_with_other_settings_is_refused(finished, suite, change, name):
    outcome, rows = finished
    for section, values in change.items():
        suite = suite.with_changes(section, **values)
    with pytest.raises(ResumeError, match=rf"{name} was .* now .*--output"):
        sweep(suite, outcome.folder)
    assert store.load_run(outcome.folder).rows == rows


def test_resuming_with_another_model_embedder_or_device_is_refused(finished, suite, tmp_path, monkeypatch):
    from tiny import write_model

    outcome, _ = finished
    with pytest.raises(ResumeError, match=r"model was .*model_fingerprint was"):
        sweep(suite.with_changes("model", name=str(write_model(tmp_path / "other", seed=5))), outcome.folder)
    import shutil

    shutil.copytree(suite.pool.embedder, tmp_path / "embedder")
    with pytest.raises(ResumeError, match="embedder was"):
        sweep(suite.with_changes("pool", embedder=str(tmp_path / "embedder")), outcome.folder)
    monkeypatch.setattr("ttft_bench.sweep.provenance.device_label", lambda device: "cuda:NVIDIA H200")
    with pytest.raises(ResumeError, match="device was 'cpu', now 'cuda:NVIDIA H200'"):
        sweep(suite, outcome.folder)


def test_out_of_memory_and_nan_are_rows_and_the_others_go_on(finished, suite, tmp_path, monkeypatch):
    real, calls = EagerBackend._loss, []

    def faulty(self, batch):
        calls.append(1)
        if len(calls) == 6:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        if len(calls) == 10:
            return real(self, batch) * float("nan")
        return real(self, batch)

    monkeypatch.setattr(EagerBackend, "_loss", faulty)
    outcome, rows = sweep(suite, tmp_path / "run")
    monkeypatch.undo()
    bad = [row for row in rows if row["status"] != "ok"]
    assert outcome.failed == len(bad) > 0
    assert {row["status"] for row in bad} == {"oom", "failed"}
    assert any("out of memory" in row["reason"] for row in bad) and any("loss is nan" in row["reason"] for row in bad)
    assert all(row["bpb_after"] is None for row in bad)
    expected = quality(finished[1])
    good = quality([row for row in rows if row["status"] == "ok"])
    assert good and all(expected[k] == v for k, v in good.items()), "a failure touched another cell"
    outcome, rows = sweep(suite, tmp_path / "run")
    assert outcome.failed == 0 and quality(rows) == expected, "failed cells are never treated as done"


def test_a_learning_rate_that_breaks_every_step_gives_failed_rows(suite, tmp_path):
    outcome, rows = sweep(suite.with_changes("finetune", lr=1e30), tmp_path / "run", limit=1)
    # One step at N = 1 may still end finite; whatever took a second gradient cannot.
    assert {row["status"] for row in rows if row["budget"] == 5} == {"failed"} and outcome.failed
    assert any("loss is nan" in row["reason"] or "diverged" in row["reason"] for row in rows)


def test_a_diverged_score_fails_its_row_only(suite, tmp_path, monkeypatch):
    from ttft_bench.sweep import runner

    calls = []

    def faulty(model, target, context=None):
        calls.append(1)
        if len(calls) == 3:
            raise NonFiniteError("the prompt's log-likelihood is nan")
        return score(model, target, context)

    monkeypatch.setattr(runner, "score", faulty)
    outcome, _ = sweep(suite, tmp_path / "run", limit=1)
    assert outcome.failed >= 1 and outcome.ok > 0


def test_weights_are_the_same_after_a_sweep_with_failures(suite, tmp_path, engines):
    sweep(suite, tmp_path / "run", limit=1)
    engine, before = engines[0]
    assert state_hash(engine.model.module) == before


def test_a_budget_above_the_pool_is_capped_and_said_so(suite, tmp_path):
    select = dataclasses.replace(suite.select, strategies=("knn", "sift"), budgets=(6,), reuse=(1,))
    small = dataclasses.replace(suite, select=select, pool=dataclasses.replace(suite.pool, k=4), controls=())
    _, rows = sweep(small, tmp_path / "run", limit=1)
    for row in rows:
        if row["strategy"] == "knn":
            assert row["steps"] == 4 and row["budget"] == 6 and "capped at the pool of 4" in row["reason"]
        else:
            assert row["steps"] == 6 and row["reason"] == ""


def test_global_grouping_is_another_cell_and_reorders(finished, suite, tmp_path):
    select = dataclasses.replace(suite.select, strategies=("sift[lam=1]",), grouping="global", budgets=(5,))
    outcome, rows = sweep(dataclasses.replace(suite, select=select, controls=()), tmp_path / "run")
    assert outcome.failed == 0
    ours = {row["reuse_interval"]: row["cell_id"] for row in rows}
    theirs = {row["cell_id"] for row in finished[1]}
    assert ours[1] in theirs and ours.get(2) not in theirs


def test_dry_run_plan_counts_what_is_done(finished, suite):
    outcome, rows = finished
    plan = plan_run(Request(suite, outcome.folder), Log())
    assert {row["cell_id"] for row in rows} <= {cell.cell_id for cell in plan.cells}
    assert len(plan.done) == len(rows) and plan.n_prompts == 4


def test_automatic_precision_is_settled_before_cells_are_planned_and_stays_what_it_was(finished, suite, monkeypatch):
    from ttft_bench.engine import precision

    monkeypatch.setattr(precision, "bf16_lead", lambda: 2 * precision.LEAD)
    automatic = suite.with_changes("model", precision="auto")
    here, elsewhere = finished[0].folder, finished[0].folder / "elsewhere"
    # The run that is there began in fp32: it goes on so, although the probe now says otherwise.
    assert plan_run(Request(automatic, here, device="cpu"), Log()) == plan_run(
        Request(suite, here, device="cpu"), Log()
    )
    assert plan_run(Request(automatic, elsewhere, device="cpu"), Log()).suite.model.precision == "bf16"
    monkeypatch.setattr(precision, "bf16_lead", lambda: 0.05)
    assert plan_run(Request(automatic, elsewhere, device="cpu"), Log()).suite == suite


def test_picks_are_kept_and_not_made_again(suite, tmp_path, monkeypatch):
    run_selection(Request(suite, tmp_path / "p", limit=1), Log())
    before = (tmp_path / "p" / store.PICKS).read_bytes()

    def forbidden(*_):
        raise AssertionError("asked again")

    monkeypatch.setattr("ttft_bench.sweep.worker.Worker.ask", forbidden)
    run_selection(Request(suite, tmp_path / "p", limit=1), Log())
    assert (tmp_path / "p" / store.PICKS).read_bytes() == before
    records = [json.loads(line) for line in before.splitlines()]
    assert {record["spec"] for record in records if record["control"]} == {"random"}


def test_nothing_but_the_selected_seeds_decides(suite, tmp_path):
    torch.manual_seed(123)
    state = torch.get_rng_state()
    sweep(suite, tmp_path / "a", limit=1)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was touched"
    torch.manual_seed(999)
    sweep(suite, tmp_path / "b", limit=1)
    assert quality(store.load_run(tmp_path / "a").rows) == quality(store.load_run(tmp_path / "b").rows)


def test_dropout_is_finetuned_with_three_seeds_that_rows_name(suite, tmp_path):
    small = dataclasses.replace(
        suite,
        select=SelectSpec(("hullft",), budgets=(2,), reuse=(1,)),
        corpus=dataclasses.replace(suite.corpus, prompts_per_subset=1),
        controls=(),
        finetune=FinetuneSpec(dropout=True, lr=1e-3),
        seed=5,
    )
    run_sweep(Request(small, tmp_path / "run", device="cpu"), Log())
    rows = store.load_run(tmp_path / "run").rows
    by_seed = {row["seed"]: row["bpb_after"] for row in rows if row["subset"] == rows[0]["subset"]}
    assert set(by_seed) == {5, 6, 7} and len(set(by_seed.values())) == 3
    assert all("dropout=on" in row["optimizer"] for row in rows)
    assert {cell.cell_id for cell in plan_run(Request(small, tmp_path / "run"), Log()).cells} == {
        row["cell_id"] for row in rows
    }
