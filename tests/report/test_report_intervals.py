"""How intervals are written: two ends are two numbers, or there is no spread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ttft_bench.report import format as fmt
from ttft_bench.report.analysis import analyse
from ttft_bench.report.charts.words import told
from ttft_bench.report.groups import Estimate
from ttft_bench.report.page import tables
from ttft_bench.report.paired import Interval
from ttft_bench.report.paired.markdown import figure
from ttft_bench.report.summary import summarise
from ttft_bench.report.table import cells

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (76.066, 97.274, "76.07 to 97.27"),
        (99.9981, 100.0012, "99.998 to 100.001"),
        (99.99996, 100.00004, "99.99996 to 100.00004"),
        (-0.0004, 0.0003, "-0.0004 to 0.0003"),
        (-0.004, 1.0, "0.00 to 1.00"),
        (100.0, 100.0, "no spread"),
        (100.0, 100.00000000000001, "no spread"),
        (-1e-14, 1e-14, "no spread"),
    ],
)
def test_two_ends_are_two_numbers_or_there_is_no_spread(low: float, high: float, said: str) -> None:
    assert fmt.bounds(low, high) == said
    assert fmt.interval(low, high, 9) == said.replace(" to ", "–")


def test_a_figure_has_as_many_decimals_as_its_ends() -> None:
    narrow = Estimate(100.00012, 99.99912, 100.00111, 9)
    assert told(narrow) == figure(Interval(100.00012, 99.99912, 100.00111, 9, 9)) == "100.000 (99.999 to 100.001)"
    assert tables.estimate(narrow) == tables.Cell("100.000", 100.00012, "99.999 to 100.001")
    same = Estimate(100.0, 100.0, 100.0, 9)
    assert told(same) == "100.00 (no spread)" and tables.estimate(same).small == "no spread"


def test_a_range_of_one_number_is_that_number() -> None:
    assert (fmt.between(512, 512, 0), fmt.between(0.931, 0.934), fmt.between(1, 9, 0)) == (
        "512",
        "0.931 to 0.934",
        "1 to 9",
    )


@pytest.mark.parametrize(("step", "said"), [(0.0, "100.0 % (no spread)"), (0.001, "100.003 % (95 % interval 100.00")])
def test_the_summary_never_says_one_number_twice(make_cell: Make, step: float, said: str) -> None:
    data = [make_cell("knn", p, 100.0 + step * p) for p in range(7)]
    analysis = analyse(data, {})
    assert said in summarise(analysis, data) and "100.0 to 100.0" not in summarise(analysis, data)
    assert cells(analysis, analysis.groups[0])[4] != "100.00–100.00"
