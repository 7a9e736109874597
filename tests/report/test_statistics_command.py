"""``ttft-bench statistics``: everything about a run, as Markdown and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from documented import assert_documented
from paired_rows import budgets, rows
from ttft_bench.cli.statistics import statistics
from ttft_bench.errors import DataError, UsageError
from ttft_bench.report.findings import find, find_in, usual_reference
from ttft_bench.report.findings_markdown import findings_markdown

app = typer.Typer()
app.command()(statistics)
QUICK = Path(__file__).parents[2] / "reports" / "2026-11-23_quick"


def test_an_early_run_is_read_and_told_in_words():
    result = CliRunner().invoke(app, [str(QUICK), "--at", "2,5"])
    assert result.exit_code == 0, result.output
    for title in (
        "### Settings",
        "### Against hullft",
        "T = 2.00 s",
        "Not decided: 6 of the 30",
        "sift-on-the-frontier",
    ):
        assert title in result.stdout


def test_json_holds_every_part_and_no_nan(tmp_path):
    data = [*rows({"a": 80.0, "b": 79.0}, n=12), *rows({"a": float("nan")}, n=3, budget=20)]
    for place, item in enumerate(data):
        item.update(cell_id=f"c{place}", **({"bpb_pct": None, "bpb_after": None} if item["budget"] == 20 else {}))
    lines = [json.dumps(item) for item in data]
    (tmp_path / "results.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = CliRunner().invoke(app, [str(tmp_path), "--json", "--by", "stratum", "--reference", "b"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert_documented("statistics", found)
    (scope,) = found["scopes"]
    assert [part["name"] for part in scope["parts"]] == ["all", "clean"] and scope["reference"] == "b"
    assert scope["parts"][0]["family"]["comparisons"][0]["difference"]["outcome"] == "ok"
    assert scope["residual"]["verdict"]["answer"] == "not decided"


def test_a_run_with_two_models_is_told_model_by_model():
    data = [*budgets({"a": [(1, 90.0, 1.0)]}, n=6), *budgets({"a": [(1, 80.0, 1.0)]}, n=6, model="other")]
    found = find_in(data, {})
    assert [scope.name for scope in found.scopes] == ["model=other", "model=tiny"]
    assert "## Rows with model=other" in findings_markdown(found)


def test_the_reference_is_chosen_by_the_plan_and_never_by_the_result():
    data = rows({"a": 80.0, "b": 70.0, "control": 60.0}, n=4)
    assert usual_reference(data, {"plan": {"strategies": ["gone", "b", "a"]}}, frozenset()) == "b"
    assert usual_reference(data, {}, frozenset({"control"})) == "a"
    with pytest.raises(UsageError, match=r"no row is of strategy 'x'; the run has a, b, control"):
        find_in(data, {}, reference="x")


@pytest.mark.parametrize("text", ["soon", "0", "-1,2", ",", "inf"])
def test_times_that_make_no_sense_are_refused(text):
    result = CliRunner().invoke(app, [str(QUICK), "--at", text])
    assert isinstance(result.exception, UsageError) and "--at" in str(result.exception)


def test_a_folder_without_rows_is_refused(tmp_path):
    (tmp_path / "results.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="no rows yet"):
        find(tmp_path)


def test_qualities_compare_across_devices_on_demand_and_times_never_do():
    data = [*rows({"a": 80.0}, n=40, device="one"), *rows({"b": 78.0}, n=40, device="two", finetune_s=9.0)]
    apart = find_in(data, {})
    assert [len(scope.parts[0].family.comparisons) for scope in apart.scopes] == [0, 0]
    (scope,) = find_in(data, {}, across_devices=True).scopes
    (part,) = scope.parts
    assert part.family.comparisons[0].verdict == "better"
    assert [line.label for line in part.times.lines] == ["a"]


def test_differences_at_equal_time_have_the_reference_under_several_rates():
    data = [*budgets({"a": [(1, 90.0, 1.0), (5, 80.0, 2.0)], "b": [(1, 91.0, 1.0), (5, 81.0, 2.0)]}, n=12)]
    data += budgets({"a": [(1, 95.0, 1.0)]}, n=12, lr=1e-3)
    (scope,) = find_in(data, {}).scopes
    differences = {cell.label for cell in scope.parts[0].times.cells if cell.difference is not None}
    assert scope.parts[0].times.reference == "a (lr=5e-05)" and "b (lr=5e-05)" in differences
