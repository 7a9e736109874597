"""Plug-ins of strangers, installed as pip would: a module beside the metadata of its distribution."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path


def write_plugin(site: Path, distribution: str, source: str, group: str, names: Mapping[str, str]) -> Path:
    """Write a distribution, version 1.0, that offers plug-ins.

    Args:
        site: folder to be put on ``sys.path``; made if need be.
        distribution: its name; the module is called alike, with underscores.
        source: of the module.
        group: entry-point group.
        names: plug-in -> object in the module.

    Returns:
        The module's file.
    """
    module = distribution.replace("-", "_")
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = {module}:{thing}" for name, thing in names.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")
    file = site / f"{module}.py"
    file.write_text(textwrap.dedent(source))
    return file
