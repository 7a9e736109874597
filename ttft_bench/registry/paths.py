"""The child process that asks strangers' plug-ins for their files: ``python -m ttft_bench.registry.paths``.

What is behind such a name is a function that returns a path: importing it may be harmless and calling it not.
"""

from __future__ import annotations

import importlib.metadata
import os
from typing import Any

from ttft_bench.registry.children import serve
from ttft_bench.registry.installed import Entry, in_one_line


def locate(item: dict[str, str]) -> dict[str, Any]:
    """Import one entry point and call what it names: its path, or why there is none."""
    entry = Entry(**item)
    try:
        return {"path": os.fspath(importlib.metadata.EntryPoint(entry.name, entry.value, entry.group).load()())}
    except BaseException as error:  # SystemExit and the like are causes here, never our end
        return {"fault": in_one_line(error)}


if __name__ == "__main__":
    serve(locate)
