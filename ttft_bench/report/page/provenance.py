"""The manifest as the page shows it: names and values, every text harmless."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ttft_bench.report import format as fmt
from ttft_bench.text import printable

#: Sections of the manifest, in the order in which a reader asks for them.
_SECTIONS = (("Suite", "suite"), ("Plan", "plan"), ("Environment", "provenance"))


def section(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of the manifest; empty if it is not there."""
    found = manifest.get(name)
    return found if isinstance(found, Mapping) else {}


def title(manifest: Mapping[str, Any]) -> str:
    """The page's title."""
    parts = ["ttft-bench", section(manifest, "suite").get("name"), manifest.get("run_id")]
    return " · ".join(printable(str(part), limit=80) for part in parts if part)


def command(manifest: Mapping[str, Any]) -> str:
    """The command that wrote the run; empty if the manifest does not say."""
    argv = section(manifest, "provenance").get("argv")
    return printable(shlex.join(str(word) for word in argv)) if isinstance(argv, list | tuple) else ""


def wall(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Wall time of each stage of the run."""
    return [
        (printable(str(name)), fmt.seconds(value) if isinstance(value, int | float) else printable(str(value)))
        for name, value in section(manifest, "wall_s").items()
    ]


def provenance(manifest: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Heading and facts of every section that has some."""
    general = {name: value for name, value in manifest.items() if not isinstance(value, Mapping)}
    sections = [("Run", general), *((heading, section(manifest, name)) for heading, name in _SECTIONS)]
    for heading, part in sections:
        rows = [(printable(name), printable(value, limit=2000)) for name, value in _flatten(part)]
        if rows:
            yield heading, rows


def _flatten(part: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield f"{prefix}{name}", ", ".join(str(item) for item in value) or fmt.MISSING
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, default=str)


__all__ = ["command", "provenance", "section", "title", "wall"]
