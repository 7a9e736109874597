"""`ttft-bench verify` on a tiny suite: table, CSV, figures, exit codes."""

from __future__ import annotations

import csv
import json

import pytest

from documented import assert_documented


def _verify(invoke, tiny, *more):
    return invoke("verify", "--suite", tiny, "--budgets", "1,3", "--limit", "1", "--integer-reference", "none", *more)


def test_a_table_a_csv_and_two_figures(invoke, tiny, tmp_path):
    result = _verify(invoke, tiny, "--csv", "out/rows.csv", "--figures", "out/figures")
    assert result.code == 0, result.err
    assert "0 <= f - f* <= gap holds in 4 of 4 cases" in result.out
    with (tmp_path / "out" / "rows.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["strategy"], row["budget"], row["ok"]) for row in rows] == [
        ("hullft", "1", "True"),
        ("hullft", "3", "True"),
    ] * 2
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "out" / "figures").iterdir()}
    assert sorted(drawn) == [
        "gap_vs_iterations.png",
        "gap_vs_iterations.svg",
        "objective_vs_budget.png",
        "objective_vs_budget.svg",
    ]
    assert drawn["gap_vs_iterations.png"].startswith(b"\x89PNG")


def test_as_json(invoke, tiny):
    told = json.loads(_verify(invoke, tiny, "--json").out)
    assert_documented("verify", told)
    assert (told["ok"], told["reference"], told["integer_reference"]) == (True, "exact-qp", None)
    assert len(told["rows"]) == 4 and len(told["summary"]) == 2 and told["traces"] == []


def test_any_installed_strategy_serves_as_integer_reference_by_name(invoke, tiny):
    # hullft is its own reference here: no excess, whatever it is worth.
    result = _verify(invoke, tiny, "--integer-reference", "hullft", "--integer-rows", "5", "--integer-budget", "1")
    assert result.code == 0, result.err
    (line,) = (line for line in result.out.splitlines() if "2 of 2" in line)
    assert line.split()[:3] == ["hullft", "1", "2"]
    assert "first 5 rows of each pool" in result.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--strategies", "knn"], 2, "claims no objective"),
        (["--reference", "no-such-thing"], 3, "unknown strategy 'no-such-thing'"),
        (["--integer-reference", "no-such-thing"], 3, "unknown strategy 'no-such-thing'"),
        (["--csv", "."], 2, "--csv . is a folder"),
        (["--figures", "tiny.toml"], 2, "--figures tiny.toml is a file"),
    ],
)
def test_impossible_requests_are_refused_before_any_pool_is_made(invoke, tiny, arguments, code, words):
    result = _verify(invoke, tiny, *arguments)
    assert (result.code, result.out) == (code, "")
    assert words in result.err


def test_an_unwritable_target_is_told(invoke, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    result = _verify(invoke, tiny, "--csv", "file/rows.csv")
    assert result.code == 4
    assert "cannot write file/rows.csv" in result.err
