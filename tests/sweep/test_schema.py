"""The schema of result rows: self-describing, versioned, older versions are read, tables carry it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from ttft_bench.cli.schema import schema
from ttft_bench.errors import CorpusError, UsageError
from ttft_bench.sweep import store
from ttft_bench.sweep.schema import COLUMNS, FIELDS, SCHEMA_VERSION, STATUSES, make_row, read_row, schema_markdown
from ttft_bench.sweep.tables import VERSION_KEY, read_parquet

app = typer.Typer()
app.command()(schema)
ROOT = Path(__file__).parents[2]
QUICK = ROOT / "reports" / "2026-11-23_quick"


def test_every_column_says_what_it_is():
    assert len(set(COLUMNS)) == len(COLUMNS)
    for field in FIELDS:
        assert field.kind in ("str", "int", "float", "list") and field.meaning and 1 <= field.since <= SCHEMA_VERSION
        unit = next(
            (unit for suffix, unit in (("_s", "s"), ("_mib", "MiB"), ("_pct", "%")) if field.name.endswith(suffix)),
            None,
        )
        assert unit is None or field.unit == unit, field.name
    (status,) = (field for field in FIELDS if field.name == "status")
    assert status.meaning == " | ".join(STATUSES)


def test_columns_that_came_after_the_first_version_say_so():
    first = set(json.loads((QUICK / "results.jsonl").read_text(encoding="utf-8").splitlines()[0]))
    later = {field.name for field in FIELDS if field.since > 1}
    assert first == set(COLUMNS) - later, "a new column names the version that brings it: Field(..., since=...)"


def test_a_row_of_the_first_version_is_read_as_what_it_meant():
    (row, *_) = store.load_run(QUICK).rows
    assert list(row) == list(COLUMNS) and row["schema_version"] == SCHEMA_VERSION
    assert (row["long"], row["lanes"], row["context_s"], row["n_in_context"]) == ("truncate", 1, None, None)
    assert read_row({"cell_id": "a", "unheard_of": 1}, "x")["arm"] == "finetune"
    assert read_row({"schema_version": 1, "lanes": 4, "long": "chunk"}, "x")["lanes"] == 4, "what a row says stays"


def test_a_row_of_this_version_is_read_as_it_is():
    row = make_row(cell_id="a", arm="none", lr=None, document_ids=[1])
    assert read_row(json.loads(json.dumps(row)), "x") == row


@pytest.mark.parametrize("version", [0, -1, "2", True, None, 1.5, SCHEMA_VERSION + 1])
def test_versions_that_cannot_be_are_refused_by_name(version):
    with pytest.raises(CorpusError, match=r"some/file.*(never was|upgrade)"):
        read_row({"schema_version": version}, "some/file")


def test_parquet_gives_back_every_row(tmp_path):
    rows = [
        make_row(cell_id="a", status="ok", bpb_pct=99.5, budget=2, document_ids=[3, 3], subset="é|\n"),
        make_row(cell_id="b", status="failed", reason="x", bpb_before=1.0),
        make_row(cell_id="c", document_ids=[]),
    ]
    with store.Journal(tmp_path / store.RESULTS) as journal:
        for row in rows:
            journal.append(row)
    store.write_tables(store.load_run(tmp_path))
    assert read_parquet(tmp_path / "results.parquet") == store.load_run(tmp_path).rows == rows


def test_parquet_of_an_early_run_is_read_too():
    assert read_parquet(QUICK / "results.parquet") == store.load_run(QUICK).rows


def test_parquet_describes_itself(tmp_path):
    with store.Journal(tmp_path / store.RESULTS) as journal:
        journal.append(make_row(cell_id="a"))
    store.write_tables(store.load_run(tmp_path))
    found = pq.read_schema(tmp_path / "results.parquet")
    assert found.metadata[VERSION_KEY] == str(SCHEMA_VERSION).encode()
    for field in FIELDS:
        told = found.field(field.name).metadata
        assert (told[b"unit"].decode(), told[b"meaning"].decode()) == (field.unit, field.meaning)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"not parquet")
    with pytest.raises(CorpusError, match="cannot be read as Parquet"):
        read_parquet(tmp_path / "x.parquet")


def test_the_page_is_made_from_the_schema():
    page = (ROOT / "reports" / "SCHEMA.md").read_text(encoding="utf-8")
    assert page == schema_markdown(), "write it again: ttft-bench schema --markdown > reports/SCHEMA.md"


def test_the_command_lists_columns():
    found = json.loads(CliRunner().invoke(app, ["--json"]).stdout)
    assert found["schema_version"] == SCHEMA_VERSION
    assert [column["name"] for column in found["columns"]] == list(COLUMNS)
    assert CliRunner().invoke(app, ["--markdown"]).stdout == schema_markdown()
    table = CliRunner().invoke(app, []).stdout
    assert "bits/byte" in table and "similarity_mean" in table
    assert isinstance(CliRunner().invoke(app, ["--json", "--markdown"]).exception, UsageError)
