"""The embedders that have names of ours: plug-ins, and pinned models. Neither is loaded here."""

from __future__ import annotations

from typing import Any

from ttft_bench import assets
from ttft_bench.registry import EMBEDDERS, list_group


def list_embedders() -> list[dict[str, Any]]:
    """One row for each, by name: name, distribution, status, cause, remedy, summary.

    ``status`` is that of a plug-in (:class:`ttft_bench.registry.Row`), for a pinned model ok, as it is fetched when
    it is first used, or duplicate where two distributions offer one of that name.
    """
    keys = ("name", "status", "cause", "remedy", "summary")
    rows = [
        {**{key: getattr(row, key) for key in keys}, "distribution": f"{row.distribution} {row.version}"}
        for row in list_group(EMBEDDERS)
    ]
    rows += [
        dict.fromkeys(keys, "")
        | {"name": asset.name, "status": "ok", "summary": asset.about, "distribution": asset.requirement}
        for asset in assets.catalogue().values()
        if asset.kind == "embedder"
    ]
    rows += [
        dict.fromkeys(keys, "")
        | {"name": name, "status": "duplicate", "distribution": asset.requirement}
        | dict(zip(("cause", "remedy"), twice.message.split("; ", 1), strict=True))
        for name, twice in assets.doubled().items()
        for asset in twice.claims
        if asset.kind == "embedder"
    ]
    return sorted(rows, key=lambda row: str(row["name"]))


__all__ = ["list_embedders"]
