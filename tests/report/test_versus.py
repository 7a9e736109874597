"""``ttft-bench compare``: settings that differ are named, rows are paired by prompt and setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from documented import assert_documented
from paired_rows import rows
from ttft_bench.cli.compare import compare
from ttft_bench.errors import DataError, UsageError
from ttft_bench.report.versus import compare_runs, versus_markdown
from ttft_bench.sweep import store

app = typer.Typer()
app.command()(compare)
QUICK = Path(__file__).parents[2] / "reports" / "2026-11-23_quick"


def write(folder, data, **manifest):
    folder.mkdir()
    with store.Journal(folder / store.RESULTS) as journal:
        for place, row in enumerate(data):
            journal.append({**row, "cell_id": f"{folder.name}-{place}"})
    store.write_manifest(folder, manifest)
    return folder


@pytest.fixture
def pair(tmp_path):
    """Run B trains with another learning rate: better on a, the same on b, without c, with d."""
    before = write(
        tmp_path / "a",
        rows({"a": 80.0, "b": 80.0, "c": 80.0}, n=40),
        suite={"name": "s", "finetune": {"lr": 5e-5}},
        provenance={"commit": "1", "argv": ["x"]},
    )
    better = rows({"a": 78.0}, n=40, seed=1, lr=1e-4, finetune_s=2.0)
    same = [{**row, "lr": 1e-4} for row in rows({"a": 80.0, "b": 80.0}, n=40) if row["strategy"] == "b"]
    after = write(
        tmp_path / "b",
        [*better, *same, *rows({"d": 80.0}, n=40, lr=1e-4)],
        suite={"name": "s", "finetune": {"lr": 1e-4}},
        provenance={"commit": "2", "argv": ["y"]},
    )
    return before, after


def test_what_differs_and_what_changed(pair):
    found = compare_runs(*pair)
    assert [(item.name, item.a, item.b) for item in found.settings] == [
        ("suite.finetune.lr", 5e-5, 1e-4),
        ("rows.lr", ["5e-05"], ["0.0001"]),
    ]
    assert [(item.name, item.a, item.b) for item in found.provenance] == [("commit", "1", "2")]
    verdicts = {item.comparison.setting.strategy: item for item in found.changes}
    assert verdicts["a"].comparison.verdict == "better"
    assert verdicts["a"].comparison.difference.value == pytest.approx(-2.0, abs=0.3)
    assert (verdicts["a"].total_a_s, verdicts["a"].total_b_s) == (pytest.approx(1.1), pytest.approx(2.1))
    assert (verdicts["b"].comparison.verdict, verdicts["b"].n_identical) == ("equivalent", 40)
    assert [key.strategy for _, key in found.only_a] == ["c"] and [key.strategy for _, key in found.only_b] == ["d"]
    text = versus_markdown(found)
    assert "only in A: c (N = 10)" in text and "suite.finetune.lr" in text and "40 of 40" in text


def test_different_suites_are_told_first_and_settings_shown_as_a_suite_has_them(tmp_path):
    data = rows({"a": 80.0}, n=40)
    control = {"label": "c", "strategy": "random"}
    one = write(tmp_path / "one", data, suite={"name": "s", "dropout": False, "controls": [control]})
    other = write(tmp_path / "other", data, suite={"name": "t", "dropout": True, "controls": []})
    found = compare_runs(one, other)
    assert found.warnings[0].startswith("the runs are of different suites, s and t: settings of the same name")
    assert compare_runs(one, one).warnings == ()
    text = versus_markdown(found)
    assert text.index("different suites") < text.index("## Settings that differ")
    assert "| suite.dropout | false | true |" in text
    assert "| suite.controls | label = c; strategy = random | none |" in text


def test_prompts_of_one_run_only_are_counted(tmp_path):
    data = rows({"a": 80.0}, n=40)
    found = compare_runs(write(tmp_path / "a", data), write(tmp_path / "b", data[:30]))
    (change,) = found.changes
    assert (change.comparison.difference.n_prompts, change.comparison.n_one_sided) == (30, 10)
    assert found.settings == () and "None." in versus_markdown(found)


def test_models_are_compared_with_themselves(tmp_path):
    data = [*rows({"a": 80.0}, n=10), *rows({"a": 70.0}, n=10, model="other")]
    found = compare_runs(write(tmp_path / "a", data), write(tmp_path / "b", data))
    assert {item.scope: item.n_identical for item in found.changes} == {"model=other": 10, "model=tiny": 10}


@pytest.mark.parametrize(
    ("column", "one", "other"), [("model", "gpt2", "smol"), ("lr", 5e-5, 1e-4), ("trainable", "full", "lora[r=8]")]
)
def test_what_one_run_has_once_and_the_other_several_times_is_shared(tmp_path, column, one, other):
    data = rows({"a": 80.0, "b": 79.0}, n=12, **{column: one})
    more = [*data, *rows({"a": 70.0, "b": 69.0}, n=12, **{column: other})]
    found = compare_runs(write(tmp_path / "a", data), write(tmp_path / "b", more))
    assert [item.comparison.setting.strategy for item in found.changes] == ["a", "b"]
    assert {item.n_identical for item in found.changes} == {12}
    assert found.only_a == () and len(found.only_b) == 2
    back = compare_runs(tmp_path / "b", tmp_path / "a")
    assert [item.n_identical for item in back.changes] == [12, 12] and len(back.only_a) == 2


def test_what_differs_between_two_runs_but_not_within_them_does_not_part_them(tmp_path):
    data = rows({"a": 80.0}, n=12, device="cpu", model="gpt2")
    more = [{**row, "device": "gpu", "lr": 1e-3} for row in (*data, *rows({"a": 70.0}, n=12, model="smol"))]
    found = compare_runs(write(tmp_path / "a", data), write(tmp_path / "b", more))
    (change,) = found.changes
    assert (change.scope, change.n_identical) == ("model=gpt2", 12)


def test_the_command_prints_markdown_or_json(pair):
    result = CliRunner().invoke(app, [str(pair[0]), str(pair[1])])
    assert result.exit_code == 0 and "## What changed" in result.stdout
    result = CliRunner().invoke(app, [str(pair[0]), str(pair[1]), "--json"])
    assert_documented("compare", json.loads(result.stdout))
    assert json.loads(result.stdout)["changes"][0]["comparison"]["setting"]["strategy"] == "a"


def test_an_early_run_is_the_same_as_itself():
    found = compare_runs(QUICK, QUICK)
    assert found.settings == found.provenance == found.only_a == ()
    assert {item.n_identical for item in found.changes} == {6}


def test_runs_without_rows_or_folders_are_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        compare_runs(QUICK, tmp_path / "none")
    with pytest.raises(DataError, match="no rows yet"):
        compare_runs(QUICK, write(tmp_path / "empty", []))
