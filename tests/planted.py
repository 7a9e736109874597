"""Distributions of strangers, as pip would leave them: one module and its dist-info."""

from __future__ import annotations

import textwrap
from pathlib import Path


def plant(folder: Path, distribution: str, source: str, entry_points: str) -> None:
    """Install version 1 of a distribution whose module has its name; ``entry_points`` as in the file of that name."""
    (folder / f"{distribution.replace('-', '_')}.py").write_text(textwrap.dedent(source))
    info = folder / f"{distribution.replace('-', '_')}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(entry_points)
