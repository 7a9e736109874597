"""The tables of kept figures inside benchmarks/README.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from enginelib.table import markdown

README = Path(__file__).resolve().parents[1] / "README.md"


def inserted(text: str, name: str, results: dict[str, Any]) -> str:
    """``text`` with the tables of ``results`` between its marks ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.

    Parts named in the first mark, as in ``<!-- NAME:begin growth,sizes -->``, are all that is shown.

    Raises:
        ValueError: the marks are not there.
    """
    begin = _begin(text, name)
    parts = begin[1].split(",") if begin[1] else None
    shown = {**results, "rows": [row for row in results["rows"] if parts is None or row["part"] in parts]}
    return replaced(text, name, re.sub(r"\n{3,}", "\n\n", f"{markdown(shown)}\n\n{where(results)}"))


def where(results: dict[str, Any]) -> str:
    """On what these were measured, and its ceilings."""
    machine, ceilings = results["machine"], results["ceilings"]
    kind = "bf16" if "bf16_tflop_s" in ceilings else "fp32"
    rate, copied = ceilings[f"{kind}_tflop_s"], ceilings["gb_s"]
    return (
        f"{machine['gpu'] or machine['cpu']}, {machine['threads']} threads, torch {machine['torch_build']}; "
        f"{rate:.2f} TFLOP/s in a large {kind} product and {copied:.0f} GB/s in a copy."
    )


def replaced(text: str, name: str, body: str) -> str:
    """``text`` with ``body`` between its marks ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``.

    Raises:
        ValueError: the marks are not there.
    """
    begin = _begin(text, name)
    head, tail = text[: begin.end()], text[begin.end() :].split(f"<!-- {name}:end -->", 1)[1]
    return f"{head}\n{body}\n<!-- {name}:end -->{tail}"


def _begin(text: str, name: str) -> re.Match[str]:
    begin, end = re.search(rf"<!-- {name}:begin ?([a-z,]*) -->", text), f"<!-- {name}:end -->"
    if begin is None or end not in text[begin.end() :]:
        raise ValueError(f"no place for these figures: <!-- {name}:begin --> and {end} are missing")
    return begin


def rewrite(name: str, results: dict[str, Any]) -> None:
    """Put the tables into benchmarks/README.md."""
    README.write_text(inserted(README.read_text(encoding="utf-8"), name, results), encoding="utf-8")


__all__ = ["README", "inserted", "replaced", "rewrite", "where"]
