"""Compressed journals: read like plain ones by everything that reads a run, and added to without being rewritten."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from paired_rows import row, rows
from reporters import Log
from ttft_bench.cli.merge import merge
from ttft_bench.cli.options import default_output
from ttft_bench.errors import CorpusError
from ttft_bench.report.findings import find
from ttft_bench.report.versus import compare_runs
from ttft_bench.sweep import store
from ttft_bench.sweep.merge import merge_runs
from ttft_bench.sweep.picks import load_picks
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.run import run_selection, run_sweep
from ttft_bench.sweep.suite import CorpusSpec, ModelSpec, PoolSpec, SelectSpec, Suite

KEPT = Path(__file__).parents[2] / "reports" / "2026-11-26_minipile"
app = typer.Typer()
app.command()(merge)


def write(folder, *lines):
    folder.mkdir()
    with store.Journal(folder / store.RESULTS) as journal:
        for line in lines:
            journal.append(line)
    store.write_manifest(folder, {"run_id": folder.name})
    return folder


def compressed(folder):
    """A copy whose journals are compressed, as gzip on the command line does it."""
    copy = Path(shutil.copytree(folder, folder.with_name(f"{folder.name}-gz")))
    for name in store.JOURNALS:
        if (copy / name).exists():
            (copy / f"{name}.gz").write_bytes(gzip.compress((copy / name).read_bytes()))
            (copy / name).unlink()
    assert not any(copy.glob("*.jsonl")) and any(copy.glob("*.jsonl.gz"))
    return copy


def test_everything_that_reads_a_run_reads_a_compressed_one(tmp_path):
    run = write(tmp_path / "run", *rows({"knn": 80.0, "sift": 79.0}, n=12))
    kept = compressed(run)
    assert store.load_run(kept).rows == store.load_run(run).rows
    assert find(kept).to_json() == find(run).to_json()
    changes = compare_runs(run, kept).changes
    assert len(changes) == 2 and all(change.n_identical == 12 for change in changes)
    found = merge_runs([run, kept], tmp_path / "merged")
    assert (found.rows, found.repeated, found.conflicts) == (24, 24, ())


def test_what_is_written_afterwards_is_plain_and_counts_last(tmp_path):
    run = write(tmp_path / "run", row("a", 0, 80.0, cell_id="x", status="failed"), row("a", 1, 80.0, cell_id="y"))
    kept = compressed(run)
    before = (kept / "results.jsonl.gz").read_bytes()
    with store.Journal(kept / store.RESULTS) as journal:
        journal.append(row("a", 0, 70.0, cell_id="x"))
    assert (kept / "results.jsonl.gz").read_bytes() == before
    found = [(line["cell_id"], line["status"]) for line in store.load_run(kept).rows]
    assert found == [("y", "ok"), ("x", "ok")]
    store.compress_journals(kept)
    assert found == [(line["cell_id"], line["status"]) for line in store.load_run(kept).rows]
    assert not (kept / store.RESULTS).exists(), "both parts are in one file now"


def test_equal_rows_make_equal_bytes(tmp_path):
    for name in ("one", "two"):
        store.compress_journals(write(tmp_path / name, row("a", 0, 80.0)))
    one, two = ((tmp_path / name / "results.jsonl.gz").read_bytes() for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"rows", lambda data: data[:30] + b"?" * 20])
def test_a_damaged_file_is_named(tmp_path, damage):
    kept = compressed(write(tmp_path / "run", row("a", 0, 80.0)))
    file = kept / "results.jsonl.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CorpusError, match=r"results\.jsonl\.gz is not a whole gzip file.*restore it"):
        store.load_run(kept)


def test_a_merge_can_be_written_compressed(tmp_path):
    one, two = (write(tmp_path / name, row("a", place, 80.0)) for place, name in enumerate(("one", "two")))
    arguments = [str(one), str(two), "--output", str(tmp_path / "out"), "--compress"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert not any((tmp_path / "out").glob("*.jsonl")) and len(store.load_run(tmp_path / "out").rows) == 2
    assert (tmp_path / "out" / "results.parquet").is_file()


def test_a_sweep_goes_on_and_finetunes_from_compressed_picks(
    tmp_path, monkeypatch, tiny_model_dir, tiny_embedder_dir, tiny_corpus_file
):
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "cache"))
    suite = Suite(
        "tiny",
        corpus=CorpusSpec(str(tiny_corpus_file), prompts_per_subset=1),
        pool=PoolSpec(str(tiny_embedder_dir), k=20),
        select=SelectSpec(("knn",), budgets=(2,), reuse=(1,)),
        model=ModelSpec(str(tiny_model_dir), max_tokens=32),
    )
    run_selection(Request(suite, tmp_path / "picks"), Log())
    picks = compressed(tmp_path / "picks")
    assert load_picks(picks).sequences() == load_picks(tmp_path / "picks").sequences()
    outcome = run_sweep(Request(suite, tmp_path / "run", device="cpu", picks=picks), Log())
    assert (outcome.ok, outcome.failed) == (2, 0)
    again, log = compressed(tmp_path / "run"), Log()
    assert run_sweep(Request(suite, again, device="cpu", picks=picks), log).ok == 2 and log.updates == 0
    assert not (again / store.RESULTS).exists()
    run_selection(Request(suite, picks), Log())
    assert len(load_picks(picks).records) == 2 and not (picks / store.PICKS).read_text(), "nothing was picked again"


def test_a_run_with_compressed_texts_is_no_curated_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = default_output("mine")
    folder.mkdir(parents=True)
    store.write_manifest(folder, {})
    assert default_output("mine") != folder
    (folder / f"{store.DOCUMENTS}.gz").write_bytes(gzip.compress(b""))
    assert default_output("mine") == folder


def test_the_curated_run_holds_the_rows_that_its_table_holds():
    from ttft_bench.sweep.tables import read_parquet

    assert not (KEPT / store.RESULTS).exists()
    assert store.load_run(KEPT).rows == read_parquet(KEPT / "results.parquet")
