"""Which rows with gradient reuse a run has: a strategy decides, never what a part of the picks happens to repeat."""

from __future__ import annotations

import json

import pytest

from reporters import Log
from ttft_bench.engine.eager import EagerBackend
from ttft_bench.report import build_report
from ttft_bench.report.analysis import analyse
from ttft_bench.report.findings import read_rows
from ttft_bench.sweep import store
from ttft_bench.sweep.merge import merge_runs
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.run import plan_run, run_selection, run_sweep
from ttft_bench.sweep.suite import CorpusSpec, ModelSpec, PoolSpec, SelectSpec, Suite

QUALITY = ("bpb_before", "bpb_after", "steps", "fresh_steps", "document_ids", "reuse_interval", "reuse_mode")


@pytest.fixture(scope="module")
def suite(tiny_model_dir, tiny_embedder_dir, tiny_corpus_file, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTFT_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Suite(
            "tiny",
            corpus=CorpusSpec(str(tiny_corpus_file), prompts_per_subset=1),
            pool=PoolSpec(str(tiny_embedder_dir), k=20),
            select=SelectSpec(("sift", "knn"), budgets=(2, 4), reuse=(1, 2)),
            model=ModelSpec(str(tiny_model_dir), max_tokens=32),
        )


def records(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def write(folder, name, lines):
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def picks(suite, tmp_path_factory):
    """Two prompts; SIFT repeats its picks for the first and picks nothing twice for the second."""
    folder = tmp_path_factory.mktemp("picks") / "picks"
    run_selection(Request(suite, folder), Log())
    lines = records(folder, store.PICKS)
    first = lines[0]["prompt_id"]
    texts = [line["id"] for line in records(folder, store.DOCUMENTS) if line["kind"] == "document"]
    assert len(texts) >= 4
    for line in lines:
        assert line["repeats"] is (line["strategy"] == "sift")
        if line["strategy"] == "sift":
            chosen = [texts[0], texts[0], texts[1], texts[1]] if line["prompt_id"] == first else texts[:4]
            line["document_ids"] = chosen[: line["budget"]]
    write(folder, store.PICKS, lines)
    return folder


def deal(picks, folder, early):
    """The picks of each prompt in a folder of their own; ``early``: as written before they stated repeats."""
    lines = records(picks, store.PICKS)
    for number, prompt in enumerate(dict.fromkeys(line["prompt_id"] for line in lines)):
        part = folder / f"picks{number}"
        part.mkdir()
        own = [line for line in lines if line["prompt_id"] == prompt]
        write(part, store.PICKS, [{k: v for k, v in line.items() if not (early and k == "repeats")} for line in own])
        documents = records(picks, store.DOCUMENTS)
        write(part, store.DOCUMENTS, [line for line in documents if line.get("prompt_id") in (None, prompt)])
        (part / store.MANIFEST).write_bytes((picks / store.MANIFEST).read_bytes())
        yield part


def sweep(suite, folder, picks):
    outcome = run_sweep(Request(suite, folder, device="cpu", picks=picks), Log())
    assert outcome.failed == 0
    return store.load_run(folder).rows


def quality(rows):
    return {row["cell_id"]: tuple(str(row[name]) for name in QUALITY) for row in rows}


@pytest.fixture(scope="module")
def whole(suite, picks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    sweep(suite, folder, picks)
    return folder


@pytest.mark.parametrize("early", [False, True], ids=["states repeats", "early picks"])
def test_parts_that_are_merged_have_the_rows_of_the_whole(suite, picks, whole, tmp_path, early):
    parts = list(deal(picks, tmp_path, early))
    for number, part in enumerate(parts):
        sweep(suite, tmp_path / f"run{number}", part)
    merge_runs([tmp_path / f"run{number}" for number in range(len(parts))], tmp_path / "merged")
    rows = store.load_run(tmp_path / "merged").rows
    assert quality(rows) == quality(store.load_run(whole).rows)
    settings = [(row["strategy"], row["reuse_interval"]) for row in rows]
    assert {setting: settings.count(setting) for setting in settings} == {("sift", 1): 4, ("sift", 2): 4, ("knn", 1): 4}


def test_reuse_that_changes_no_step_is_not_finetuned_again(suite, picks, tmp_path, monkeypatch):
    (_, part) = deal(picks, tmp_path, early=False)
    taken = []
    real = EagerBackend.update
    monkeypatch.setattr(EagerBackend, "update", lambda self, lr: (taken.append(lr), real(self, lr))[1])
    counts = []
    for reuse in ((1,), (1, 2, 3)):
        before = len(taken)
        asked = suite.with_changes("select", reuse=reuse)
        assert len(sweep(asked, tmp_path / f"run-{len(reuse)}", part)) == 4 + 2 * (len(reuse) - 1)
        counts.append(len(taken) - before)
    assert counts[0] == counts[1] > 0


def test_a_run_that_left_such_rows_out_gets_them_without_a_step(suite, picks, whole, tmp_path, monkeypatch):
    rows = store.load_run(whole).rows
    idle = [row for row in rows if row["reuse_interval"] == 2 and row["fresh_steps"] == row["steps"]]
    assert len(idle) == 2, "SIFT's for the second prompt"
    run = tmp_path / "run"
    run.mkdir()
    (run / store.MANIFEST).write_bytes((whole / store.MANIFEST).read_bytes())
    write(run, store.RESULTS, [row for row in rows if row not in idle])
    monkeypatch.setattr(EagerBackend, "gradient", lambda *_: pytest.fail("nothing is left to finetune"))
    assert quality(sweep(suite, run, picks)) == quality(rows)


def test_a_plan_has_the_cells_of_the_run_before_and_after_it(suite, picks, whole, tmp_path):
    ids = {row["cell_id"] for row in store.load_run(whole).rows}
    for folder, done in ((tmp_path / "new", set()), (whole, ids)):
        plan = plan_run(Request(suite, folder, device="cpu", picks=picks), Log())
        assert {cell.cell_id for cell in plan.cells} == ids and plan.done == done


def test_a_report_leaves_out_reuse_that_changed_nothing_in_the_whole_run(suite, picks, tmp_path):
    idle, used = (tmp_path / name for name in ("idle", "used"))
    used_part, idle_part = deal(picks, tmp_path, early=False)
    sweep(suite, idle, idle_part)
    sweep(suite, used, used_part)

    def groups(folder):
        run = store.load_run(folder)
        return analyse(read_rows(run)[0], run.manifest).groups

    def shown(found):
        return {(group.key.strategy, group.key.reuse_interval) for group in found}

    assert shown(build_report(idle, html=False).analysis.groups) == {("sift", 1), ("knn", 1)}
    assert "2,runs" in (idle / "results.csv").read_text(), "the rows are there"
    merge_runs([idle, used], tmp_path / "merged")
    found = groups(tmp_path / "merged")
    assert shown(found) == shown(groups(used)) == {("sift", 1), ("sift", 2), ("knn", 1)}
    (reused,) = [group for group in found if (group.key.reuse_interval, group.key.budget) == (2, 4)]
    assert len(reused.prompts) == 2, "it covers every prompt"
