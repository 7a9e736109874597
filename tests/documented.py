"""What docs/json.toml says about the JSON of a command, held against what was printed."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

KEYS = tomllib.loads((Path(__file__).parents[1] / "docs" / "json.toml").read_text(encoding="utf-8"))


def assert_documented(command: str, printed: Any) -> None:
    """Every key of the objects that the page describes is described, and every key described is there."""
    containers: dict[str, set[str]] = {}
    for path in KEYS[command]:
        parent, _, key = path.rpartition(".")
        containers.setdefault(parent, set()).add(key.removesuffix("[]"))
        if parent.endswith("[]") and parent != "[]":
            containers.setdefault("", set()).add(parent.removesuffix("[]"))
    for parent, keys in containers.items():
        for item in _items(printed, parent):
            assert set(item) == keys, f"docs/json.toml, {command}, {parent or 'top'}"


def _items(printed: Any, parent: str) -> list[dict[str, Any]]:
    if parent == "[]":
        return list(printed)
    return list(printed[parent.removesuffix("[]")]) if parent else [printed]
