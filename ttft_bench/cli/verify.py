"""``ttft-bench verify``: what strategies claim, against exact solutions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttft_bench.cli import complete

if TYPE_CHECKING:
    from rich.table import Table

    from ttft_bench.verify import IntegerReference, VerifyRow, VerifySummary


Csv = Annotated[Path | None, typer.Option("--csv", help="Write every row to this file.")]
Figures = Annotated[Path | None, typer.Option("--figures", help="Draw both figures, PNG and SVG, into this folder.")]


def verify(
    strategies: str = typer.Option(
        "hullft",
        "--strategies",
        help='Strategies that certify their objective, e.g. "hullft[cap=3]".',
        autocompletion=complete.strategies,
    ),
    suite: str = typer.Option(
        "quick", "--suite", help="Name of a suite, or path of a suite file.", autocompletion=complete.suite_or_file
    ),
    budgets: str = typer.Option("1,2,5,10,20,50", "--budgets", help="Budgets, e.g. 1,5,10-20."),
    limit: int | None = typer.Option(None, "--limit", min=1, help="Prompts per subset."),
    reference: str = typer.Option("exact-qp", "--reference", help="Strategy that finds the optimum."),
    integer_reference: str | None = typer.Option(
        None,
        "--integer-reference",
        help="Strategy that finds the best whole steps on small problems, or none. [exact-integer, if it can be used]",
    ),
    integer_rows: int = typer.Option(12, "--integer-rows", min=1, help="Rows of a small problem: a pool's first."),
    integer_budget: int = typer.Option(10, "--integer-budget", min=1, help="Largest budget of a small problem."),
    csv: Csv = None,
    figures: Figures = None,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead of a table."),
) -> None:
    """Check 0 <= f - f* <= gap on real pools, and whole steps against the best ones; exits 1 where it fails."""
    from dataclasses import asdict

    from ttft_bench.cli.console import note, print_json, progress_bar, stdout
    from ttft_bench.cli.options import parse_numbers
    from ttft_bench.cli.tables import show_table
    from ttft_bench.errors import EXIT_CELLS_FAILED
    from ttft_bench.registry import parse_specs
    from ttft_bench.sweep.prepare import prepare_problems
    from ttft_bench.verify import Trace, gap_traces, paired_references, rows_to_csv, summarise
    from ttft_bench.verify import verify as run
    from ttft_bench.verify.files import require_writable, write_files
    from ttft_bench.verify.traces import STEPS, sweepable

    wanted = parse_numbers(budgets, "budget")
    specs = [str(spec) for spec in parse_specs(strategies)]
    require_writable(csv, figures)
    integer = _integer(integer_reference, specs, integer_rows, integer_budget)
    paired_references(specs, reference, integer)  # a misspelt name is told before any pool is made
    pools = prepare_problems(suite, limit=limit, note=note)
    rows: list[VerifyRow] = []
    traces: list[Trace] = []
    with progress_bar() as bar:
        task = bar.add_task("verify", total=len(pools) * len(specs) * len(wanted), rate="")
        for row in run(specs, pools, wanted, reference, integer=integer):
            rows.append(row)
            bar.advance(task)
        if figures is not None:
            sweep = bar.add_task("iterations", total=len(sweepable(specs)) * len(STEPS), rate="")
            traces = gap_traces(specs, pools, wanted[-1], rows, on_step=lambda: bar.advance(sweep))
    summaries = summarise(rows)
    failed = [row for row in rows if not row.ok]
    if csv is not None:
        write_files({csv: rows_to_csv(rows).encode("utf-8")})
        note(f"rows: {csv}")
    if figures is not None:
        from ttft_bench.verify.figures import draw_verification

        write_files({figures / name: content for name, content in draw_verification(summaries, traces).items()})
        note(f"figures: {figures}")
    if as_json:
        payload = {
            "suite": suite,
            "reference": reference,
            "integer_reference": integer.spec if integer else None,
            "ok": not failed,
            "summary": [asdict(summary) for summary in summaries],
            "rows": [asdict(row) for row in rows],
            "traces": [asdict(trace) for trace in traces],
        }
        print_json(payload)
    else:
        console = stdout()
        show_table(_table(summaries, reference))
        if integer is not None and any(summary.integer_pools for summary in summaries):
            show_table(_integer_table(summaries, integer))
        for line in _verdict(rows, reference):
            console.print(line)
    if failed:
        raise typer.Exit(EXIT_CELLS_FAILED)


def _integer(name: str | None, specs: list[str], rows: int, budget: int) -> IntegerReference | None:
    from ttft_bench.cli.console import note
    from ttft_bench.verify import IntegerReference, default_integer_reference

    if name is None:
        name, reason = default_integer_reference(specs)
        if name is None:
            note(f"no integer optimum: {reason}")
    return None if name in {None, "none"} else IntegerReference(str(name), rows, budget)


def _table(summaries: list[VerifySummary], reference: str) -> Table:
    from rich.table import Table

    table = Table(
        box=None,
        pad_edge=False,
        caption="means over pools; f = squared distance to the prompt, f* its minimum",
    )
    table.caption_justify = "left"
    table.add_column("strategy")
    titles = (
        "N", "pools", "f(w)", "certified gap", f"f* ({reference})", "true gap", "worst true gap",
        "f rounded", "support", "f* support", "select ms", f"{reference} ms", "failed",
    )  # fmt: skip
    for title in titles:
        table.add_column(title, justify="right")
    for row in summaries:
        table.add_row(
            row.strategy,
            str(row.budget),
            str(row.pools),
            f"{row.objective:.6f}",
            f"{row.gap:.2e}",
            f"{row.optimum:.6f}",
            f"{row.true_gap:.2e}",
            f"{row.worst_true_gap:.2e}",
            f"{row.residual:.6f}",
            f"{row.support:.1f}",
            f"{row.reference_support:.1f}",
            f"{1000 * row.select_s:.2f}",
            f"{1000 * row.reference_s:.1f}",
            str(row.failures),
        )
    return table


def _integer_table(summaries: list[VerifySummary], integer: IntegerReference) -> Table:
    from rich.table import Table

    caption = f"whole steps on the first {integer.rows} rows of each pool, against the best there are ({integer.spec})"
    table = Table(box=None, pad_edge=False, caption=caption)
    table.caption_justify = "left"
    table.add_column("strategy")
    for title in ("N", "pools", "f rounded", "best f", "mean excess", "worst excess", "best found", "ms"):
        table.add_column(title, justify="right")
    for row in summaries:
        if row.integer_excess is None or row.worst_integer_excess is None:
            continue
        table.add_row(
            row.strategy,
            str(row.budget),
            str(row.integer_pools),
            f"{row.integer_residual:.6f}",
            f"{row.integer_optimum:.6f}",
            f"{row.integer_excess:.2e}",
            f"{row.worst_integer_excess:.2e}",
            f"{row.integer_hits} of {row.integer_pools}",
            f"{1000 * (row.integer_s or 0.0):.1f}",
        )
    return table


def _verdict(rows: list[VerifyRow], reference: str) -> list[str]:
    from ttft_bench.selector import CERTIFICATE_TOLERANCE

    if not rows:
        return ["nothing to verify: the suite has no prompts"]
    failed = [row for row in rows if not row.ok]
    lines = [f"FAILED {row.strategy} N={row.budget} on {row.pool}: {row.reason}" for row in failed]
    accuracy = max(row.accuracy for row in rows)
    lines.append(
        f"0 <= f - f* <= gap holds in {sum(row.certified for row in rows)} of {len(rows)} cases "
        f"(tolerance {CERTIFICATE_TOLERANCE:g}; solver accuracy of {reference}: {accuracy:.1e})"
    )
    return lines
