"""The child process that imports strangers' providers of assets: ``python -m ttft_bench.assets.probe``.

It answers each entry point with the assets behind it as plain data, or with why there are none.
"""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import asdict
from typing import Any

from ttft_bench.assets.offers import assets_of
from ttft_bench.registry.children import serve
from ttft_bench.registry.installed import Entry, import_failure


def describe(item: dict[str, str]) -> dict[str, Any]:
    """Import one entry point and list what it offers, or say why that cannot be and what to do."""
    entry = Entry(**item)
    try:
        found = importlib.metadata.EntryPoint(entry.name, entry.value, entry.group).load()
        # Written here, where it fails as the provider's fault: not as the end of this process.
        return {"assets": json.loads(json.dumps([asdict(asset) for asset in assets_of(found)]))}
    except BaseException as error:  # SystemExit and the like are causes here, never our end
        cause, remedy = import_failure(error, entry)
        return {"cause": cause, "remedy": remedy}


if __name__ == "__main__":
    serve(describe)
