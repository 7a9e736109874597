"""How a setting is called: one wording, whoever tells of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from paired_rows import rows
from ttft_bench.report.analysis import analyse
from ttft_bench.report.charts.words import setting_name
from ttft_bench.report.findings import find_in
from ttft_bench.report.findings_markdown import findings_markdown
from ttft_bench.report.paired.at_time import line_label
from ttft_bench.report.paired.prompts import by_setting
from ttft_bench.report.stats import Key
from ttft_bench.report.table import cells

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("changes", "said", "in_figures", "column"),
    [
        ({}, "sift (N = 50)", "sift, N = 50", "1"),
        ({"reuse_interval": 2}, "sift (N = 50, r = 2)", "sift, r = 2, N = 50", "2"),
        (
            {"reuse_interval": 2, "reuse_grouping": "global"},
            "sift (N = 50, r = 2 global)",
            "sift, r = 2 global, N = 50",
            "2 global",
        ),
        ({"arm": "in-context"}, "sift (N = 50, in-context)", "sift, in-context, N = 50", "1 in-context"),
        (
            {"lr": 5e-5, "trainable": "lora"},
            "sift (N = 50, lr=5e-05 lora)",
            "sift, lr=5e-05 lora, N = 50",
            "1 lr=5e-05 lora",
        ),
        ({"arm": "none", "budget": 0, "strategy": "none"}, "untouched model", "untouched model", "–"),
    ],
)
def test_a_setting_has_one_wording(changes: dict[str, Any], said: str, in_figures: str, column: str) -> None:
    key = Key(
        **{"strategy": "sift", "budget": 50, "reuse_interval": 1, "reuse_grouping": "", "reuse_mode": ""} | changes
    )
    assert (str(key), setting_name(key), key.reuse) == (said, in_figures, column)


def test_the_untouched_model_is_called_so_in_tables_and_statistics(make_cell: Make) -> None:
    data = [make_cell("knn", p, 90.0 + p) for p in range(3)]
    data += [make_cell("none", p, 100.0, arm="none", budget=0, trainable="", lr=None) for p in range(3)]
    analysis = analyse(data, {})
    lines = [cells(analysis, group)[:3] for group in analysis.groups]
    assert ["untouched model", "–", "–"] in [[line[0].rstrip("*"), *line[1:]] for line in lines]
    assert [line_label(key) for key in by_setting(data)] == ["knn", "untouched model"]


def test_statistics_call_settings_as_a_reader_would() -> None:
    data = [*rows({"a": 80.0, "b": 78.0}, n=12), *rows({"b": 79.0}, n=12, reuse_interval=2)]
    data += rows({"none": 100.0}, n=12, noise=0.0, arm="none", budget=0, lr=None, trainable="", finetune_s=None)
    text = findings_markdown(find_in(data, {"plan": {"strategies": ["a", "b"]}}, reference="a"))
    assert "reuse 1" not in text and "N = 0" not in text and "none (" not in text
    assert "| b (N = 10, r = 2) |" in text and "| untouched model |" in text
    assert "- untouched model is not compared: every BPB% is relative to it" in text
