"""The sentence, the notes and the terminal table: what they claim, and what they must not."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from ttft_bench.cli.tables import show_table
from ttft_bench.report import format as fmt
from ttft_bench.report.analysis import analyse
from ttft_bench.report.summary import notes, ranking_lines, summarise
from ttft_bench.report.table import build_table

Make = Callable[..., Any]


def told(rows: list[dict[str, Any]]) -> tuple[str, str]:
    analysis = analyse(rows, {})
    return summarise(analysis, rows), "\n".join(notes(analysis))


def printed(rows: list[dict[str, Any]], width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, markup=False, force_terminal=False).print(build_table(analyse(rows, {})))
    return out.getvalue()


def test_below_thirty_prompts_nothing_is_ranked_and_the_reason_is_given(sweep_rows: Make) -> None:
    rows = sweep_rows({"hullft": 16, "knn": 5}, (1, 4), (1,), 29)
    summary, found = told(rows)
    assert ranking_lines(analyse(rows, {})) == []
    assert "29 prompts cannot rank strategies (30 are needed)" in summary
    assert "No ranking: 29 prompts, 30 are needed." in found


def test_from_thirty_prompts_on_strategies_are_ranked_at_one_budget(sweep_rows: Make) -> None:
    rows = sweep_rows({"hullft": 20, "knn": 5}, (1, 4), (1,), 30)
    lines = ranking_lines(analyse(rows, {}))
    assert [line.split(" ")[0] for line in lines] == ["hullft", "knn"]
    assert all("N = 4" in line for line in lines)
    summary, found = told(rows)
    assert summary.startswith("Over 30 prompts the lowest mean of 4 settings is that of hullft (N = 4)")
    assert "No ranking" not in found


def test_seconds_of_prompts_that_shared_a_device_are_no_latencies(make_cell: Make) -> None:
    alone = [make_cell("knn", p, lanes=1) for p in range(3)]
    assert "no latencies" not in told(alone)[1]
    failed = make_cell("sift", 0, lanes=4, status="failed")
    assert "no latencies" not in told([*alone, failed])[1], "nothing of it is shown"
    shared = [make_cell("knn", p, lanes=4) for p in range(3)]
    assert "Seconds of finetuning and scoring are of 4 prompts at once on one device (--lanes)" in told(shared)[1]
    assert "of 2 or 4 prompts at once" in told([*shared, make_cell("sift", lanes=2), *alone])[1]


def test_without_a_control_the_summary_says_what_is_unknown(make_cell: Make) -> None:
    assert "without a control" in told([make_cell("knn", p) for p in range(3)])[0]


def test_one_prompt_is_no_result(make_cell: Make) -> None:
    rows = [make_cell("knn"), make_cell("random-corpus")]
    summary, _ = told(rows)
    assert "1 prompt cannot rank" in summary
    assert "(1 of the 30 prompts that are needed), and this is a sign of life, not a result" in summary
    assert "n = 1" in printed(rows)


def test_a_run_in_which_everything_failed_says_so(make_cell: Make) -> None:
    rows = [make_cell("knn", p, None, status="failed", reason="loss is not finite") for p in range(3)]
    summary, found = told(rows)
    assert summary == "No cell of any strategy succeeded (3 failed); the most frequent reason: loss is not finite"
    assert "3 of 3 rows did not succeed" in found
    assert "0/3" in printed(rows)


def test_different_prompts_are_said_plainly(make_cell: Make) -> None:
    rows = [make_cell("knn", p) for p in range(3)] + [make_cell("sift", p) for p in range(2)]
    assert "1 setting did not measure all 3 prompts" in told(rows)[1]
    cut_short = [make_cell("knn", p) for p in (0, 1)] + [make_cell("sift", p) for p in (1, 2)]
    assert "No strategy measured all 3 prompts" in told(cut_short)[1]


def test_thirty_prompts_do_not_rank_what_covers_different_ones(make_cell: Make) -> None:
    rows = [make_cell("knn", p) for p in range(31)] + [make_cell("sift", p) for p in range(1, 32)]
    summary, found = told(rows)
    assert ranking_lines(analyse(rows, {})) == []
    assert summary.startswith("No strategy measured every prompt, so none is ranked")
    assert "No ranking: no strategy measured every prompt" in found


def test_a_strategy_without_reuse_is_explained(make_cell: Make) -> None:
    rows = [make_cell("knn"), make_cell("sift"), make_cell("sift", reuse_interval=2)]
    assert "Without gradient reuse only: knn." in told(rows)[1]
    assert "Without gradient reuse" not in told(rows[:2])[1]


def test_the_table_fits_a_terminal_of_eighty_columns(sweep_rows: Make) -> None:
    shown = printed(sweep_rows({"hullft": 16, "sift": 13, "knn": 11}, (1, 8), (1, 2), 6))
    assert "…" not in shown
    assert "random-corpus*" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


@pytest.mark.parametrize("width", [80, 140, 240])
def test_names_that_differ_at_their_end_are_told_apart_on_any_terminal(
    make_cell: Make, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    for name, value in (("NO_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", str(width))):
        monkeypatch.setenv(name, value)
    start = "hullft[solver=fully-corrective,rounding=largest-remainder,ridge=0.001,cap="
    modes = {"reuse_interval": 4, "reuse_grouping": "global", "reuse_mode": "weighted-loss", "arm": "in-context"}
    rows = [make_cell(f"{start}{cap}]", pct=88.0 + cap, reuse_interval=1, lr=1e-5) for cap in (1, 2)]
    rows += [make_cell("sift", **modes, trainable=trainable) for trainable in ("last[n=1]", "last[n=2]")]
    show_table(build_table(analyse(rows, {})))
    shown = "".join(capsys.readouterr().out.split())
    for setting in (f"{start}1]", f"{start}2]", "last[n=1]", "last[n=2]"):
        assert setting in shown, shown
    assert "…" not in shown
    assert f"{start}1] (N = 4" in told(rows)[0], "the sentence names its setting whole"


def test_missing_gaps_are_dashes_and_the_largest_gap_is_shown(make_cell: Make) -> None:
    rows = [make_cell("hullft", p, gap=10.0**-p) for p in range(1, 4)] + [make_cell("knn", 1)]
    lines = [line.split() for line in printed(rows).splitlines()]
    assert next(line for line in lines if line[:1] == ["hullft"])[-1] == "0.1"
    assert next(line for line in lines if line[:1] == ["knn"])[-1] == fmt.MISSING


def test_names_are_shown_never_obeyed(make_cell: Make) -> None:
    shown = printed([make_cell("[red]x[/red]"), make_cell("\x1b[31mboo")], width=160)
    assert "[red]x[/red]" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), (0.0, "0 s"), (4.2e-5, "42.0 µs"), (0.0034, "3.40 ms"), (0.412, "412 ms"),
        (1.254, "1.25 s"), (99.96, "100 s"), (412.0, "412 s"), (900.0, "15.0 min"),
    ],
)  # fmt: skip
def test_seconds_have_the_unit_that_suits_them(value: float | None, shown: str) -> None:
    assert fmt.seconds(value) == shown


def test_tick_labels_carry_no_empty_digits() -> None:
    assert [fmt.tick_seconds(value) for value in (0.005, 0.2, 5.0, 100.0)] == [
        "5 ms",
        "200 ms",
        "5 s",
        "100 s",
    ]
