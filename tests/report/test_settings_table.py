"""The page's tables of settings and answers: what stands where there is no figure."""

from __future__ import annotations

from paired_rows import rows
from ttft_bench.report.findings import find_in
from ttft_bench.report.page.settings import settings_table
from ttft_bench.report.view import views

READ = {"arm": "in-context", "trainable": "", "lr": None, "context_s": 0.2, "finetune_s": 0.0}


def verdicts(data):
    findings = find_in(data, {}, reference="a")
    table = settings_table(views(data, {}, findings))
    place = {column.key: at for at, column in enumerate(table.columns)}
    names = ("strategy", "reuse", "budget_n")
    return {
        tuple(line.cells[place[name]].shown for name in names): line.cells[place["verdict"]].shown
        for line in table.lines
    }


def test_only_what_others_are_compared_with_is_called_the_reference():
    found = verdicts([*rows({"a": 80.0, "b": 90.0}, n=40), *rows({"a": 85.0}, n=40, budget=16, **READ)])
    assert found == {("a", "1", "10"): "reference", ("b", "1", "10"): "worse", ("a", "1 in-context", "16"): "–"}


def test_a_reference_without_a_rival_is_one():
    found = verdicts([*rows({"a": 80.0}, n=40), *rows({"a": 85.0}, n=40, **READ)])
    assert found == {("a", "1", "10"): "reference", ("a", "1 in-context", "10"): "worse"}
