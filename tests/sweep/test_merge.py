"""``ttft-bench merge``: every cell once, the origin of each run kept, conflicts named and told by the exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from documented import assert_documented
from paired_rows import row
from reporters import Log
from ttft_bench.cli.merge import merge
from ttft_bench.errors import CorpusError, ResumeError, UsageError
from ttft_bench.sweep import store
from ttft_bench.sweep.alignment import align_run
from ttft_bench.sweep.merge import merge_runs
from ttft_bench.sweep.parts import Variant
from ttft_bench.sweep.picks import read_picks
from ttft_bench.sweep.request import Outcome, Request
from ttft_bench.sweep.stored import from_picks
from ttft_bench.sweep.suite import Suite
from ttft_bench.sweep.variants import VARIANTS, run_all

app = typer.Typer()
app.command()(merge)
QUICK = Path(__file__).parents[2] / "reports" / "2026-11-23_quick"


def write(folder, *cells, **manifest):
    """A run folder of (cell id, changes) pairs."""
    folder.mkdir()
    with store.Journal(folder / store.RESULTS) as journal:
        for cell_id, changes in cells:
            pct = changes.pop("pct", 80.0)
            journal.append(row("a", 0, pct, cell_id=cell_id, **{"run_id": folder.name, **changes}))
    store.write_manifest(folder, manifest)
    return folder


def test_cells_are_joined_and_each_is_kept_once(tmp_path):
    one = write(tmp_path / "one", ("x", {}), ("y", {}), run_id="1", plan={"strategies": ["a"], "budgets": [5]})
    two = write(tmp_path / "two", ("y", {}), ("z", {}), run_id="2", plan={"strategies": ["b", "a"], "budgets": [1]})
    found = merge_runs([one, two], tmp_path / "out")
    assert (found.rows, found.by_run, found.repeated, found.conflicts) == (3, {"one": 2, "two": 1}, 1, ())
    run = store.load_run(tmp_path / "out")
    assert [item["cell_id"] for item in run.rows] == ["x", "y", "z"]
    assert [item["run_id"] for item in run.rows] == ["one", "one", "two"], "rows say where they are from"
    assert run.manifest["plan"] == {"strategies": ["a", "b"], "budgets": [1, 5], "controls": []}
    assert [part["run_id"] for part in run.manifest["merged"]] == ["1", "2"]
    assert list(pd.read_parquet(tmp_path / "out" / "results.parquet")["cell_id"]) == ["x", "y", "z"]


def test_a_success_replaces_a_failure_from_either_side(tmp_path):
    one = write(tmp_path / "one", ("x", {"status": "oom"}), ("y", {}))
    two = write(tmp_path / "two", ("x", {}), ("y", {"status": "failed"}))
    found = merge_runs([one, two], tmp_path / "out")
    assert (found.replaced, found.conflicts) == (2, ())
    assert {item["status"] for item in store.load_run(tmp_path / "out").rows} == {"ok"}


def test_conflicts_are_named_and_the_first_run_wins(tmp_path):
    one = write(tmp_path / "one", ("x", {"pct": 80.0}), ("y", {"finetune_s": 1.0}))
    two = write(tmp_path / "two", ("x", {"pct": 81.0}), ("y", {"finetune_s": 2.0}))
    result = CliRunner().invoke(app, [str(one), str(two), "--output", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 1
    assert_documented("merge", json.loads(result.stdout))
    bits, time = json.loads(result.stdout)["conflicts"]
    assert (bits["cell_id"], bits["kind"], bits["kept"], bits["dropped"]) == ("x", "bits", "one", "two")
    assert bits["columns"] == ["bpb_after", "bpb_pct"] and "a at N = 10" in bits["what"]
    assert (time["kind"], time["columns"]) == ("time", ["finetune_s"])
    run = store.load_run(tmp_path / "out")
    assert [item["bpb_pct"] for item in run.rows] == [80.0, 80.0]
    assert len(run.manifest["conflicts"]) == 2
    shutil.rmtree(tmp_path / "out")
    result = CliRunner().invoke(app, [str(one), str(two), "--output", str(tmp_path / "out")])
    assert result.exit_code == 1 and "conflict in bits" in result.stdout and "kept one, dropped two" in result.stdout


def test_without_conflicts_the_exit_code_is_0(tmp_path):
    one, two = write(tmp_path / "one", ("x", {})), write(tmp_path / "two", ("y", {}))
    result = CliRunner().invoke(app, [str(one), str(two), "--output", str(tmp_path / "out")])
    assert result.exit_code == 0 and "2 cells" in result.stdout


def test_side_files_come_along_each_record_once(tmp_path):
    one, two = write(tmp_path / "one", ("x", {})), write(tmp_path / "two", ("y", {}))
    for folder, cells in ((one, "xy"), (two, "yz")):
        lines = [json.dumps({"cell_id": cell, "alignment": 0.5}) for cell in cells]
        (folder / store.ALIGNMENT).write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / store.PICKS).write_text("".join(json.dumps({"key": cell}) + "\n" for cell in cells), encoding="utf-8")
    merge_runs([one, two], tmp_path / "out")
    for name, key in ((store.ALIGNMENT, "cell_id"), (store.PICKS, "key")):
        records, _ = store.read_journal(tmp_path / "out" / name)
        assert [record[key] for record in records] == ["x", "y", "z"]
    assert not (tmp_path / "out" / store.DOCUMENTS).exists()


def test_runs_of_different_suites_are_joined_with_a_word_about_it(tmp_path):
    for name, suite in (("one", "quick"), ("same", "quick"), ("two", "minipile")):
        write(tmp_path / name, (name, {}))
        manifest = store.read_manifest(tmp_path / name) or {}
        store.write_manifest(tmp_path / name, {**manifest, "suite": {"name": suite}})
    assert merge_runs([tmp_path / "one", tmp_path / "same"], tmp_path / "alike").warnings == ()
    found = merge_runs([tmp_path / "one", tmp_path / "two"], tmp_path / "out")
    assert found.rows == 2 and "of different suites (quick, minipile)" in " ".join(found.warnings)
    assert store.load_run(tmp_path / "out").manifest["suite"]["name"] == "quick + minipile"


def write_texts(folder, text, **identity):
    """A run with one row of document 7, whose text in this run's corpus is ``text``."""
    write(folder, (folder.name, {"document_ids": [7]}), identity=identity)
    (folder / store.PICKS).write_text(json.dumps({"key": folder.name}) + "\n", encoding="utf-8")
    records = [{"kind": "document", "id": 7, "text": text}, {"kind": "prompt", "prompt_id": "p000", "text": "?"}]
    (folder / store.DOCUMENTS).write_text("\n".join(map(json.dumps, records)) + "\n", encoding="utf-8")
    (folder / store.ALIGNMENT).write_text(json.dumps({"cell_id": folder.name}) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("other", [{"corpus": "b", "train_documents": "2"}, {"corpus": "a", "train_documents": "2"}])
def test_texts_of_different_corpora_are_never_joined(tmp_path, other):
    one = write_texts(tmp_path / "one", "first", corpus="a", train_documents="1")
    same = write_texts(tmp_path / "same", "first", corpus="a", train_documents="1")
    two = write_texts(tmp_path / "two", "second", **other)
    found = merge_runs([one, same], tmp_path / "alike")
    assert found.warnings == () and read_picks(tmp_path / "alike").texts == {7: "first"}
    result = CliRunner().invoke(app, [str(one), str(two), "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "picks and documents are left out" in result.stderr and f"two: {other['corpus']} (2)" in result.stderr
    assert len(store.load_run(tmp_path / "out").rows) == 2
    assert not any((tmp_path / "out" / name).exists() for name in (store.PICKS, store.DOCUMENTS))
    assert len(store.read_journal(tmp_path / "out" / store.ALIGNMENT)[0]) == 2, "these go by cell"
    again = merge_runs([tmp_path / "out", one], tmp_path / "again")
    assert len(again.warnings) == 1 and not (tmp_path / "again" / store.DOCUMENTS).exists()


def test_a_mixture_of_corpora_is_aligned_run_by_run_with_its_own_texts(tmp_path):
    one = write_texts(tmp_path / "one", "first", corpus="a", train_documents="1")
    two = write_texts(tmp_path / "two", "second", corpus="b", train_documents="2")
    for run in (one, two):
        (run / store.ALIGNMENT).unlink()
    merge_runs([one, two], tmp_path / "out")
    with pytest.raises(UsageError, match=r"rows of 2 corpora.*one by one"):
        align_run(tmp_path / "out", Log(), picks=one)
    with pytest.raises(CorpusError, match=r"texts of another corpus .*--picks"):
        align_run(one, Log(), picks=two)


def test_a_corpus_as_variant_is_told_and_costs_the_joint_texts_only(tmp_path):
    for label, corpus in (("x", "a"), ("y", "b")):
        (tmp_path / VARIANTS).mkdir(exist_ok=True)
        write_texts(tmp_path / VARIANTS / label, label, corpus=corpus, train_documents=corpus)
    suite = Suite("s", variants=tuple(Variant(label, {"pool": {"k": k}}) for label, k in (("x", 5), ("y", 6))))
    log = Log()
    run_all(lambda request, _: Outcome(request.folder, 1, 0), Request(suite, tmp_path), log, merge=True)
    assert len(store.load_run(tmp_path).rows) == 2
    assert sum("warning: picks and documents are left out" in note for note in log.notes) == 1


def test_picks_that_were_made_apart_are_not_finetuned_as_one(tmp_path):
    one = write_texts(tmp_path / "one", "first", corpus="a", train_documents="1", pool_k=50, device="cpu")
    two = write_texts(tmp_path / "two", "first", corpus="a", train_documents="1", pool_k=99, device="cuda")
    merge_runs([one, two], tmp_path / "out")
    with pytest.raises(UsageError, match=r"not made alike \(pool_k is 50 or 99\): use the runs .* from .*one, .*two"):
        from_picks(Request(Suite("s"), tmp_path / "run", picks=tmp_path / "out"))


def test_provenance_of_each_is_kept_and_what_agrees_stands_for_all(tmp_path):
    facts = {"python": "3.11", "gpu": None}
    one = write(tmp_path / "one", provenance={**facts, "commit": "1"}, identity={"model": "m", "device": "cpu"})
    two = write(tmp_path / "two", provenance={**facts, "commit": "2"}, identity={"model": "m", "device": "cuda"})
    for folder in (one, two):
        (folder / store.RESULTS).write_text(json.dumps(row("a", 0, 80.0, cell_id=folder.name)) + "\n")
    merge_runs([one, two], tmp_path / "out")
    manifest = store.read_manifest(tmp_path / "out")
    assert manifest["provenance"] == facts
    assert [part["provenance"]["commit"] for part in manifest["merged"]] == ["1", "2"]
    with pytest.raises(ResumeError, match="device was"):
        store.check_identity(tmp_path / "out", {"model": "m", "device": "cpu"})


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "q").mkdir()
    one, two = write(tmp_path / "p" / "run", ("x", {})), write(tmp_path / "q" / "run", ("y", {}))
    assert set(merge_runs([one, two], tmp_path / "out").by_run) == {str(one), str(two)}


def test_a_merge_of_merges_and_an_early_run_keeps_everything(tmp_path):
    one, two = write(tmp_path / "one", ("x", {})), write(tmp_path / "two", ("y", {}))
    merge_runs([one, two], tmp_path / "first")
    found = merge_runs([tmp_path / "first", QUICK], tmp_path / "out")
    assert found.rows == 2 + len(store.load_run(QUICK).rows)
    parts = store.read_manifest(tmp_path / "out")["merged"]
    assert [part["run"] for part in parts[0]["merged"]] == ["one", "two"]
    assert parts[1]["provenance"]["commit"] == store.read_manifest(QUICK)["provenance"]["commit"]


def test_what_cannot_be_merged_is_refused(tmp_path):
    one, two = write(tmp_path / "one", ("x", {})), write(tmp_path / "two", ("y", {}))
    for runs, output, message in (
        ([one], "out", "at least two"),
        ([one, one], "out", "given twice"),
        ([one, tmp_path / "none"], "out", "does not exist"),
        ([one, two], "one", "is not empty"),
    ):
        with pytest.raises(UsageError, match=message):
            merge_runs(runs, tmp_path / output)
    assert not (tmp_path / "out").exists()
