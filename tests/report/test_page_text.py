"""Text of the page: what may break, what a merged run says of its parts, and what a reader is told in words."""

from __future__ import annotations

import pytest

from paired_rows import budgets
from ttft_bench.report.analysis import analyse
from ttft_bench.report.findings import find_in
from ttft_bench.report.page import answers
from ttft_bench.report.page.provenance import commands, provenance
from ttft_bench.report.page.text import breakable, glued
from ttft_bench.report.paired.at_time import bpb_at_times
from ttft_bench.report.stats import settle
from ttft_bench.report.summary import beside_reference

TIE = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80.0 % (95 % interval", f"80.0{TIE}% (95{TIE}% interval"),
        ("N = 50, 638 ms per prompt", f"N{TIE}={TIE}50, 638{TIE}ms per prompt"),
        ("50 settings of 5 strategies", "50 settings of 5 strategies"),
    ],
)
def test_figures_keep_their_units(text: str, expected: str) -> None:
    assert glued(text) == expected


def test_a_spec_may_break_after_its_marks_and_is_never_markup() -> None:
    assert str(breakable("hullft[solver=corrective]")) == "hullft[<wbr>solver=<wbr>corrective]"
    assert "<img" not in breakable("a[<img src=x>]")


def test_a_merged_run_shows_the_commands_and_facts_of_its_parts() -> None:
    part = {"run_id": "one", "plan": {"prompts": 60}, "provenance": {"argv": ["ttft-bench", "sweep", "-o", "a b"]}}
    other = {"run_id": "two", "plan": {"prompts": 30}, "provenance": {"argv": ["ttft-bench", "sweep"]}}
    manifest = {"run_id": "both", "provenance": {"commit": "c"}, "merged": [part, other], "conflicts": []}
    assert commands(manifest) == ["ttft-bench sweep -o 'a b'", "ttft-bench sweep"]
    facts = dict(provenance(manifest))
    assert list(facts) == ["Run", "Environment", "Merged from, 1 of 2", "Merged from, 2 of 2"]
    assert ("plan.prompts", "30") in facts["Merged from, 2 of 2"]
    assert "merged" not in dict(facts["Run"])
    assert commands({"provenance": {"argv": ["x"]}}) == ["x"] and commands({}) == []


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (75.0, "below a (N = 5)"),
        (79.9, "the two are equivalent (within ±0.5 points)"),
    ],
)
def test_the_best_is_told_beside_the_reference(level: float, said: str) -> None:
    rows = budgets({"a": [(5, 80.0, 2.0)], "b": [(5, level, 2.0)]}, n=60)
    found = beside_reference(analyse(rows, {}), find_in(rows, {}, reference="a").scopes[0].parts[0].family)
    assert found.startswith("Prompt by prompt, b (N = 5) is ") and said in found
    assert ("it is better" in found) == (level == 75.0)


def test_nothing_is_said_beside_the_reference_where_the_best_is_the_reference_or_prompts_are_few() -> None:
    rows = budgets({"a": [(5, 70.0, 2.0)], "b": [(5, 75.0, 2.0)]}, n=60)
    assert beside_reference(analyse(rows, {}), find_in(rows, {}, reference="a").scopes[0].parts[0].family) == ""
    few = budgets({"a": [(5, 80.0, 2.0)], "b": [(5, 75.0, 2.0)]}, n=12)
    assert beside_reference(analyse(few, {}), find_in(few, {}, reference="a").scopes[0].parts[0].family) == ""


def test_a_line_that_no_time_reaches_is_named_below_the_table_and_not_in_it() -> None:
    rows = budgets({"a": [(1, 95.0, 1.0), (5, 85.0, 2.0)], "slow": [(5, 80.0, 9.0)]}, n=12)
    found = bpb_at_times(settle(rows), (1.5, 3.0))
    assert answers.unreached(found) == ("slow",)
    assert [line.cells[0].shown for line in answers.times_table("t", found, "strategy").lines] == ["a"]
