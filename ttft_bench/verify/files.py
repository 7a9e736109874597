"""Writing what was verified: whole files or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ttft_bench.errors import UsageError
from ttft_bench.files import replacing


def require_writable(csv: Path | None, figures: Path | None) -> None:
    """Refuse targets that cannot be, before anything is computed.

    Raises:
        UsageError: the CSV file is a folder, or the figures' folder a file.
    """
    if csv is not None and csv.is_dir():
        raise UsageError(f"--csv {csv} is a folder: give the name of a file")
    if figures is not None and figures.exists() and not figures.is_dir():
        raise UsageError(f"--figures {figures} is a file: give the name of a folder")


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files, each of them old or new but never a part.

    Raises:
        StorageError: one cannot be written.
    """
    for path, content in contents.items():
        with replacing(path, "Free some space or name another place") as handle:
            handle.write(content)


__all__ = ["require_writable", "write_files"]
