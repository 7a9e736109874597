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


def merged(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the runs brought along that this one was merged from; empty for a run of its own."""
    found = manifest.get("merged")
    return [part for part in found if isinstance(part, Mapping)] if isinstance(found, list | tuple) else []


def commands(manifest: Mapping[str, Any]) -> list[str]:
    """The commands that wrote the run: its own, or those of the runs it was merged from, as far as they are known."""
    found = [command(manifest), *(own for part in merged(manifest) for own in commands(part))]
    return list(dict.fromkeys(own for own in found if own))


def provenance(manifest: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Heading and facts of every section that has some, and of every run that this one was merged from."""
    parts = merged(manifest)
    own = {name: value for name, value in manifest.items() if not (name == "merged" and parts)}
    general = {name: value for name, value in own.items() if not isinstance(value, Mapping)}
    sections = [("Run", general), *((heading, section(manifest, name)) for heading, name in _SECTIONS)]
    sections += [(f"Merged from, {place} of {len(parts)}", part) for place, part in enumerate(parts, start=1)]
    for heading, part in sections:
        rows = [(printable(name), printable(value, limit=2000)) for name, value in _flatten(part)]
        if rows:
            yield heading, rows


def _flatten(part: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            told = [json.dumps(item, default=str) if isinstance(item, Mapping) else str(item) for item in value]
            yield f"{prefix}{name}", ", ".join(told) or fmt.MISSING
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, default=str)


__all__ = ["command", "commands", "provenance", "section", "title", "wall"]
