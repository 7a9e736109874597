"""``ttft-bench check``: the contract, on any installed strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ttft_bench.cli import complete

if TYPE_CHECKING:
    from ttft_bench.checks.isolated import Checked


def check(
    name: str = typer.Argument(
        help='Name or spec of an installed strategy, e.g. "sift[lam=1]", or all.', autocompletion=complete.strategy
    ),
    timeout: float = typer.Option(
        60.0, "--timeout", min=0.1, help="Seconds one check may take; starting and importing may take 120 more."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead of lines."),
) -> None:
    """Run the contract of strategies: exits 1 where a check fails, 3 where a plug-in cannot be checked.

    One whose optional requirement is missing is named with the command that installs it; among others (`all`)
    it does not count as a failure.
    """
    from ttft_bench.checks.isolated import check_all, check_selector
    from ttft_bench.cli.console import print_json, stdout
    from ttft_bench.errors import EXIT_CELLS_FAILED, PluginError
    from ttft_bench.registry import entries
    from ttft_bench.text import printable

    everything = name.strip() == "all"
    names = list(dict.fromkeys(item.name for item in entries()))
    found: list[Checked] = []
    console = stdout()
    for checked in check_all(names, timeout) if everything else [check_selector(name, timeout)]:
        found.append(checked)
        if not as_json:
            for line in _lines(checked):
                console.print(printable(line))
    failed = any(checked.status == "failed" for checked in found)
    unusable = any(checked.status == "broken" for checked in found) or not any(checked.results for checked in found)
    if as_json:
        payload = {"ok": not (failed or unusable), "selectors": [checked.to_json() for checked in found]}
        print_json(payload)
    elif everything:
        console.print(_total(found))
    if unusable:
        raise typer.Exit(PluginError.exit_code)
    if failed:
        raise typer.Exit(EXIT_CELLS_FAILED)


def _lines(checked: Checked) -> list[str]:
    """One line per check and one that sums up."""
    lines = [
        f"  {'ok    ' if result.ok else 'FAILED'}  {result.name}" + ("" if result.ok else f": {result.reason}")
        for result in checked.results
    ]
    title = f"{checked.spec} ({checked.source})" if checked.source else checked.spec
    if checked.status in {"broken", "missing-requirement"}:
        why = "; ".join(filter(None, (checked.cause, checked.remedy)))
        return [f"{title}: NOT CHECKED, {checked.status}: {why}"]
    total = f"{checked.passed} of {len(checked.results)} checks passed"
    if checked.not_tried:
        total += f"; {checked.not_tried} not tried after the last one"
    return [title, *lines, f"{checked.spec}: {total}"]


def _total(found: list[Checked]) -> str:
    words = {"ok": "ok", "failed": "failed", "broken": "broken", "missing-requirement": "lacking a requirement"}
    counts = [f"{count} {word}" for status, word in words.items() if (count := sum(c.status == status for c in found))]
    return f"{len(found)} strategies: {', '.join(counts)}"
