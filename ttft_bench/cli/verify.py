"""``ttft-bench verify``: Frank-Wolfe against exact solutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from ttft_bench.verify import VerifyRow, VerifySummary


def verify(
    strategies: str = typer.Option("hullft", "--strategies", help="Strategies that certify their objective."),
    suite: str = typer.Option("quick", "--suite", help="Name of a suite, or path of a suite file."),
    budgets: str = typer.Option("1,2,5,10,20,50", "--budgets", help="Budgets, e.g. 1,5,10-20."),
    limit: int | None = typer.Option(None, "--limit", min=1, help="Prompts per subset."),
    reference: str = typer.Option("exact-qp", "--reference", help="Strategy that finds the optimum."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead of a table."),
) -> None:
    """Check 0 <= f - f* <= gap on real pools; exits 1 where it fails."""
    import json
    from dataclasses import asdict

    from ttft_bench.cli.console import note, progress_bar, stdout
    from ttft_bench.cli.options import parse_numbers
    from ttft_bench.errors import EXIT_CELLS_FAILED
    from ttft_bench.registry import parse_specs
    from ttft_bench.sweep.prepare import prepare_problems
    from ttft_bench.verify import certified_selectors, summarise
    from ttft_bench.verify import verify as run

    wanted = parse_numbers(budgets, "budget")
    specs = [str(spec) for spec in parse_specs(strategies)]
    certified_selectors([*specs, reference])  # a misspelt name is told before any pool is made
    pools = prepare_problems(suite, limit=limit, note=note)
    rows: list[VerifyRow] = []
    with progress_bar() as bar:
        task = bar.add_task("verify", total=len(pools) * len(specs) * len(wanted), rate="")
        for row in run(specs, pools, wanted, reference):
            rows.append(row)
            bar.advance(task)
    summaries = summarise(rows)
    failed = [row for row in rows if not row.ok]
    if as_json:
        payload = {
            "suite": suite,
            "reference": reference,
            "ok": not failed,
            "summary": [asdict(summary) for summary in summaries],
            "rows": [asdict(row) for row in rows],
        }
        typer.echo(json.dumps(payload, indent=2))
    else:
        console = stdout()
        console.print(_table(summaries, reference))
        for line in _verdict(rows, reference):
            console.print(line, soft_wrap=True)
    if failed:
        raise typer.Exit(EXIT_CELLS_FAILED)


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


def _verdict(rows: list[VerifyRow], reference: str) -> list[str]:
    from ttft_bench.selector import CERTIFICATE_TOLERANCE

    if not rows:
        return ["nothing to verify: the suite has no prompts"]
    failed = [row for row in rows if not row.ok]
    lines = [f"FAILED {row.strategy} N={row.budget} on {row.pool}: {row.reason}" for row in failed]
    accuracy = max(row.accuracy for row in rows)
    word = "fails" if failed else "holds"
    lines.append(
        f"0 <= f - f* <= gap {word} in {len(rows) - len(failed)} of {len(rows)} cases "
        f"(tolerance {CERTIFICATE_TOLERANCE:g}; solver accuracy of {reference}: {accuracy:.1e})"
    )
    return lines
