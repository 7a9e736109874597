from __future__ import annotations

import json
import math
import subprocess
import sys

import pandas as pd
import pytest

from ttft_bench.errors import CorpusError, ResumeError, RunLockedError, StorageError, UsageError
from ttft_bench.sweep import store
from ttft_bench.sweep.schema import COLUMNS, SCHEMA_VERSION, make_row


def row(cell_id, **values):
    return make_row(cell_id=cell_id, status="ok", **values)


def write_rows(folder, *rows):
    folder.mkdir(exist_ok=True)
    with store.Journal(folder / store.RESULTS) as journal:
        for record in rows:
            journal.append(record)


def test_rows_come_back_as_written_and_the_last_one_wins(tmp_path):
    write_rows(
        tmp_path,
        make_row(cell_id="a", status="failed", reason="x"),
        row("b"),
        row("a", bpb_after=1.5, document_ids=[3, 3]),
    )
    run = store.load_run(tmp_path)
    assert [(r["cell_id"], r["status"]) for r in run.rows] == [("b", "ok"), ("a", "ok")]
    assert run.rows[1]["document_ids"] == [3, 3] and list(run.rows[0]) == list(COLUMNS)


def test_unknown_columns_are_refused_when_writing():
    with pytest.raises(KeyError, match="bpb_afterwards"):
        make_row(bpb_afterwards=1.0)


def test_a_torn_last_line_is_dropped_with_a_warning_and_then_overwritten(tmp_path):
    write_rows(tmp_path, row("a"), row("b"))
    file = tmp_path / store.RESULTS
    file.write_bytes(file.read_bytes()[:-30])
    run = store.load_run(tmp_path)
    assert [r["cell_id"] for r in run.rows] == ["a"]
    assert "line 2" in run.warnings[0]
    write_rows(tmp_path, row("c"))
    run = store.load_run(tmp_path)
    assert [r["cell_id"] for r in run.rows] == ["a", "c"] and not run.warnings


def test_a_whole_last_line_that_lacks_only_its_line_break_is_kept(tmp_path):
    write_rows(tmp_path, row("a"))
    file = tmp_path / store.RESULTS
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    write_rows(tmp_path, row("b"))
    assert [r["cell_id"] for r in store.load_run(tmp_path).rows] == ["a", "b"]


def test_a_damaged_line_in_the_middle_costs_only_itself(tmp_path):
    write_rows(tmp_path, row("a"), row("b"), row("c"))
    file = tmp_path / store.RESULTS
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + b"\xff\xfe garbage\n" + lines[2])
    run = store.load_run(tmp_path)
    assert [r["cell_id"] for r in run.rows] == ["a", "c"] and len(run.warnings) == 1


def test_nan_never_reaches_the_journal(tmp_path):
    with store.Journal(tmp_path / "j") as journal, pytest.raises(ValueError, match=r"JSON"):
        journal.append({"x": math.nan})


def test_tables_hold_the_same_rows(tmp_path):
    write_rows(
        tmp_path, row("a", budget=2, bpb_pct=99.5, document_ids=[1, 2], subset="é"), make_row(cell_id="b", status="oom")
    )
    store.write_tables(store.load_run(tmp_path))
    parquet, csv = pd.read_parquet(tmp_path / "results.parquet"), pd.read_csv(tmp_path / "results.csv")
    assert list(parquet.columns) == list(csv.columns) == list(COLUMNS)
    assert list(parquet["document_ids"][0]) == [1, 2] and csv["document_ids"][0] == "1 2"
    assert parquet["budget"][0] == 2 and pd.isna(parquet["budget"][1]) and parquet["subset"][0] == "é"
    assert parquet["bpb_pct"].dtype == "float64" and str(parquet["budget"].dtype) == "Int64"


def test_identity_changes_are_refused_with_names_and_remedy(tmp_path):
    store.write_manifest(tmp_path, {"identity": {"model": "m", "device": "cpu"}})
    store.check_identity(tmp_path, {"model": "m", "new": 1})
    with pytest.raises(ResumeError, match=r"device was 'cpu', now 'cuda'.*--output"):
        store.check_identity(tmp_path, {"model": "m", "device": "cuda"})


def test_two_writers_the_second_is_told_who_the_first_is(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ttft_bench.sweep import store\n"
        "with store.writing(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], stdin=-1, stdout=-1, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RunLockedError, match=rf"process {holder.pid} on .*--output"),
            store.writing(tmp_path / "run"),
        ):
            pass
    finally:
        holder.communicate("")
    with store.writing(tmp_path / "run"):
        pass


def test_a_killed_writer_leaves_no_lock_behind(tmp_path):
    code = (
        "import sys, os, signal; from pathlib import Path; from ttft_bench.sweep import store\n"
        "with store.writing(Path(sys.argv[1])):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=False)
    with store.writing(tmp_path / "run"):
        pass


def test_an_unwritable_output_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"file.*another --output"), store.writing(tmp_path / "file" / "run"):
        pass


def test_a_full_disk_is_one_clear_error_and_keeps_the_rows(tmp_path, monkeypatch):
    write_rows(tmp_path, row("a"))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with (
        store.Journal(tmp_path / store.RESULTS) as journal,
        pytest.raises(StorageError, match=r"No space left.*rows already written are kept"),
    ):
        journal.append(row("b"))
    with pytest.raises(StorageError, match="No space left"):
        store.write_manifest(tmp_path, {})
    assert not list(tmp_path.glob("*.tmp")) and not list(tmp_path.glob(".*.tmp"))
    assert store.load_run(tmp_path).rows[0]["cell_id"] == "a"


def test_not_a_run_folder(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        store.load_run(tmp_path / "none")
    with pytest.raises(CorpusError, match="not a run folder"):
        store.load_run(tmp_path)


def test_rows_of_a_newer_schema_are_refused(tmp_path):
    (tmp_path / store.RESULTS).write_text(json.dumps({"cell_id": "a", "schema_version": SCHEMA_VERSION + 1}) + "\n")
    with pytest.raises(CorpusError, match="upgrade"):
        store.load_run(tmp_path)


def test_a_damaged_manifest_is_named(tmp_path):
    (tmp_path / store.MANIFEST).write_text("{")
    with pytest.raises(CorpusError, match=r"manifest\.json is not valid JSON"):
        store.load_run(tmp_path)
