"""``ttft-bench cache``: what is kept on this machine, and removing some of it."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated

import typer

from ttft_bench.cli import complete
from ttft_bench.cli.console import WARNING, note, print_json, stdout, tell

app = typer.Typer(help="What is kept on this machine between runs, and removing it.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("info")
def info(as_json: _Json = False) -> None:
    """Say what the cache holds, kind by kind, and how large it is. TTFT_BENCH_CACHE names another folder."""
    from rich import box
    from rich.table import Table

    from ttft_bench.assets import cache_dir
    from ttft_bench.cache import contents
    from ttft_bench.cli.tables import show_table
    from ttft_bench.text import printable, size

    root = cache_dir()
    holdings = contents(root)
    total = sum(holding.bytes for holding in holdings)
    if as_json:
        rows = [
            {
                "kind": holding.kind.name,
                "about": holding.kind.about,
                "path": str(holding.path),
                "link": holding.link,
                "entries": len(holding.entries),
                "files": holding.files,
                "bytes": holding.bytes,
                "newest": max((entry.newest for entry in holding.entries), default=None),
                "foreign": list(holding.foreign),
            }
            for holding in holdings
        ]
        return print_json({"cache": str(root), "bytes": total, "kinds": rows})
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, right in (("kind", False), ("entries", True), ("size", True), ("newest", False), ("what it is", False)):
        table.add_column(title, justify="right" if right else "left")
    for holding in holdings:
        newest = max((entry.newest for entry in holding.entries), default=None)
        day = f"{datetime.fromtimestamp(newest).astimezone():%Y-%m-%d}" if newest else ""
        about = "a link: left alone" if holding.link else holding.kind.about
        table.add_row(holding.kind.name, f"{len(holding.entries):,}", size(holding.bytes), day, about)
    show_table(table)
    stdout().print(f"{size(total)} in {printable(str(root))}")
    for holding in holdings:
        if holding.foreign:
            names = ", ".join(holding.foreign[:5])
            note(f"not made by ttft-bench, and left alone: {len(holding.foreign)} in {holding.path} ({names})")
    return None


@app.command("clear")
def clear(
    kinds: Annotated[
        list[str],
        typer.Argument(help="Kinds of `cache info`, or `all`.", metavar="kind", autocompletion=complete.cache_kinds),
    ],
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, metavar="<days>", help="Only what was written longer ago.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
    as_json: _Json = False,
) -> None:
    """Remove kinds of things from the cache, after asking. Runs and reports are not in it.

    What other processes are making is left; so is everything that ttft-bench did not make, and links, with a warning.
    A kind whose folder is a link is passed by where `all` is asked for, and refused where it is named itself.
    """
    from ttft_bench.assets import cache_dir
    from ttft_bench.cache import KINDS, Entry, Outcome, choose
    from ttft_bench.cache import clear as remove
    from ttft_bench.errors import UsageError
    from ttft_bench.text import size

    root = cache_dir()
    choice = choose(root, kinds, older_than)
    chosen = choice.entries
    for path in choice.links:
        note(f"{WARNING}{path} is a link: it is left, and so is what it leads to, which is outside the cache")
    total = f"{len(chosen)} entries, {size(sum(entry.bytes for entry in chosen))}"
    if chosen and not dry_run and not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"nobody is there to ask whether to remove {total}: add --yes, or --dry-run to see them")
        for kind in KINDS:
            if any(entry.kind == kind.name for entry in chosen):
                tell(f"{kind.name}: {kind.about}; making it again {kind.again}")
        if not typer.confirm(f"Remove {total} from {root}?", err=True):
            tell("nothing was removed")
            return None
    removed: list[Entry] = []
    kept: list[Entry] = []
    for outcome in map(Outcome, chosen) if dry_run else remove(root, chosen):
        (kept if outcome.kept else removed).append(outcome.entry)
        told = f"kept, {outcome.kept}:" if outcome.kept else "would remove" if dry_run else "removed"
        note(f"{told} {outcome.entry.path}")
    freed = sum(entry.bytes for entry in removed)
    if as_json:
        shown = [{"kind": entry.kind, "path": str(entry.path), "bytes": entry.bytes} for entry in removed]
        left = [str(entry.path) for entry in kept]
        lists = {"removed": shown, "kept": left, "links": [str(path) for path in choice.links]}
        return print_json({"cache": str(root), "dry_run": dry_run, **lists, "bytes": freed})
    verb = "would be removed" if dry_run else "removed"
    stdout().print(f"{len(removed)} entries {verb}, {size(freed)}")
    return None


__all__ = ["app"]
