"""``ttft-bench doctor``: is this installation well, and what to do where it is not."""

from __future__ import annotations

from typing import Annotated

import typer

_WORDS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM"}
_STYLES = {"ok": None, "warning": "yellow", "problem": "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Examine libraries, devices and their speed, the cache, downloads, free disk and plug-ins.

    Exits with 1 if there is a problem; each comes with its remedy. Warnings do not count. Takes some seconds.
    """
    from dataclasses import asdict

    from ttft_bench.cli.console import note, print_json, stdout
    from ttft_bench.doctor import Finding, diagnose
    from ttft_bench.text import printable

    console = stdout()
    found: list[Finding] = []
    for finding in diagnose(note):
        if not as_json:
            if not found or found[-1].section != finding.section:
                console.print(finding.section, style="bold")
            told = f"  {_WORDS[finding.status]:<8} {finding.name}: {finding.detail}"
            console.print(printable(told), style=_STYLES[finding.status])
            if finding.remedy:
                console.print(f"           -> {printable(finding.remedy)}")
        found.append(finding)
    counts = {status: sum(finding.status == status for finding in found) for status in _WORDS}
    if as_json:
        print_json(
            {
                "ok": not counts["problem"],
                "problems": counts["problem"],
                "warnings": counts["warning"],
                "findings": [asdict(finding) for finding in found],
            }
        )
    else:
        console.print(f"problems: {counts['problem']}, warnings: {counts['warning']}")
    if counts["problem"]:
        raise typer.Exit(1)


__all__ = ["doctor"]
