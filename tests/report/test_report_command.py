"""``ttft-bench report`` on real run folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from documented import assert_documented
from ttft_bench.cli.report import report
from ttft_bench.errors import CorpusError, DataError, UsageError
from ttft_bench.report import build_report

Make = Callable[..., Any]

app = typer.Typer()
app.command()(report)


@pytest.fixture
def run_folder(tmp_path: Path, sweep_rows: Make) -> Path:
    """A run folder with a manifest and a journal whose last line is torn."""
    rows = sweep_rows({"hullft": 16, "knn": 9}, (1, 2), (1,), 3)
    lines = [json.dumps({**row, "cell_id": f"c{number}"}) for number, row in enumerate(rows)]
    (tmp_path / "results.jsonl").write_text(
        "\n".join(
            [*lines, '{"cell_id": "to'],
        ),
        encoding="utf-8",
    )
    (tmp_path / "manifest.json").write_text(json.dumps({"run_id": "r1"}), encoding="utf-8")
    return tmp_path


def test_table_and_sentence_on_stdout_paths_on_stderr(run_folder: Path) -> None:
    result = CliRunner().invoke(app, [str(run_folder)])
    assert result.exit_code == 0, result.output
    assert "hullft" in result.stdout and "3 prompts cannot rank" in result.stdout
    assert "report.html" in result.stderr and "report.html" not in result.stdout
    for name in ("results.csv", "results.parquet", "report.html", "figures/quality_vs_time.png"):
        assert (run_folder / name).stat().st_size > 0
    assert "is not a whole record" in result.stdout


def test_json_on_stdout_is_json(run_folder: Path) -> None:
    result = CliRunner().invoke(app, [str(run_folder), "--json", "--no-html"])
    found = json.loads(result.stdout)
    assert_documented("report", found)
    assert found["n_prompts"] == 3
    assert {group["strategy"] for group in found["groups"]} == {"hullft", "knn", "random-corpus"}
    assert not (run_folder / "report.html").exists()


def test_open_shows_the_page_that_was_written(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert CliRunner().invoke(app, [str(run_folder), "--open"]).exit_code == 0
    assert opened == [(run_folder / "report.html").resolve().as_uri()]


def test_open_without_a_page_is_refused(run_folder: Path) -> None:
    result = CliRunner().invoke(app, [str(run_folder), "--open", "--no-html"])
    assert isinstance(result.exception, UsageError)


def test_a_folder_that_is_no_run_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        build_report(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="not a run folder"):
        build_report(tmp_path)
    (tmp_path / "results.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="run or resume its sweep"):
        build_report(tmp_path)
