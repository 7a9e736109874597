"""``... new NAME`` of the listings: a plug-in of one's own, ready to be installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="With `new`: where the new folder goes; by default the current one."),
]


def asks_for_new(kind: str, words: list[str], output: Path | None) -> bool:
    """Whether a listing's arguments are ``new NAME``.

    Raises:
        UsageError: they are half of it, or ``--output`` is given without.
    """
    from ttft_bench.errors import UsageError

    if words[:1] == ["new"]:
        if len(words) != 2:
            given = f"got {len(words) - 1} names" if words[1:] else "the name is missing"
            raise UsageError(f"a new {kind} needs one name, as in `new my-{kind}`: {given}")
        return True
    if output is not None:
        raise UsageError(f"--output goes with `new NAME`, which writes a new {kind}: leave it out, or give the name")
    return False


def write_new(kind: str, name: str, output: Path | None, as_json: bool) -> None:
    """Write the distribution and say what comes next."""
    from ttft_bench.cli.console import print_json, stdout
    from ttft_bench.scaffold import next_steps, write_distribution
    from ttft_bench.text import printable

    folder = write_distribution(kind, name, output or Path())
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if as_json:
        print_json({"folder": str(folder), "files": files, "next": next_steps(kind, name, folder)})
        return
    console = stdout()
    console.print(printable(f"{folder}: {', '.join(files)}"), soft_wrap=True)
    console.print("next:")
    for command in next_steps(kind, name, folder):
        console.print(printable(f"  {command}"), soft_wrap=True)


__all__ = ["Output", "asks_for_new", "write_new"]
