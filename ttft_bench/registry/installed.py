"""Entry points of installed distributions: look-up, duplicates, and what to do about a failed import.

Nothing here imports a plug-in. Public names are re-exported by ``ttft_bench.registry``.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ttft_bench.errors import DuplicateNameError, UnknownPluginError
from ttft_bench.specs import nearest

SELECTORS = "ttft_bench.selectors"
CORPORA = "ttft_bench.corpora"
SUITES = "ttft_bench.suites"
EMBEDDERS = "ttft_bench.embedders"
ASSETS = "ttft_bench.assets"
FALSIFIERS = "ttft_bench.falsifiers"

#: What a user calls a member of each group.
_KIND = {
    SELECTORS: "strategy",
    SUITES: "suite",
    EMBEDDERS: "embedder",
    CORPORA: "corpus",
    ASSETS: "asset",
    FALSIFIERS: "falsifiers",
}
#: All groups that a plug-in can be in.
GROUPS = tuple(_KIND)
_BUILT_IN = "ttft-bench"


@dataclass(frozen=True)
class Entry:
    """One name that one distribution offers in one group."""

    name: str
    group: str
    value: str
    distribution: str
    version: str

    @property
    def source(self) -> str:
        """Distribution and version, e.g. ``ttft-bench 0.1.0``."""
        return f"{self.distribution} {self.version}"

    @property
    def built_in(self) -> bool:
        """Whether ttft-bench itself provides it."""
        return self.distribution == _BUILT_IN


def kind_of(group: str) -> str:
    """What a user calls a member of the group, e.g. "strategy"."""
    return _KIND.get(group, group)


def entries(group: str = SELECTORS) -> list[Entry]:
    """Everything installed in a group, by name; a name offered twice appears twice."""
    # Reading the metadata of a distribution costs milliseconds: once for all of its entry points.
    known: dict[int, tuple[str, str]] = {}
    found = set()
    for point in importlib.metadata.entry_points(group=group):
        source = known.setdefault(id(point.dist), known.get(id(point.dist)) or _source(point))
        found.add(Entry(point.name, group, point.value, *source))
    return sorted(found, key=lambda entry: (entry.name, not entry.built_in, entry.distribution))


def _source(point: importlib.metadata.EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("unknown", "0")


def duplicates(group: str = SELECTORS) -> dict[str, list[Entry]]:
    """The names that more than one distribution offers."""
    by_name: dict[str, list[Entry]] = defaultdict(list)
    for item in entries(group):
        by_name[item.name].append(item)
    return {name: items for name, items in by_name.items() if len(items) > 1}


def entry(name: str, group: str = SELECTORS) -> Entry:
    """Look a name up without importing what it names.

    Raises:
        UnknownPluginError: nothing of that name is installed; the nearest name is offered.
        DuplicateNameError: several distributions offer it. Only users of that name are affected.
    """
    installed = entries(group)
    found = [item for item in installed if item.name == name]
    if len(found) > 1:
        raise DuplicateNameError(duplicate_message(found))
    if not found:
        known = sorted({item.name for item in installed})
        listing = ", ".join(known) or "none"
        raise UnknownPluginError(f"unknown {kind_of(group)} {name!r}{nearest(name, known)} (installed: {listing})")
    return found[0]


def duplicate_message(found: list[Entry]) -> str:
    """Name every distribution that offers the name, and the way out."""
    kind, sources = kind_of(found[0].group), " and ".join(item.source for item in found)
    return f"{kind} {found[0].name!r} is offered by {sources}; {duplicate_remedy(found)}"


def duplicate_remedy(found: list[Entry]) -> str:
    """Which distribution to uninstall so that one stays; never ttft-bench itself."""
    foreign = [item.distribution for item in found if not item.built_in]
    return "uninstall one: " + " or ".join(f"pip uninstall {name}" for name in dict.fromkeys(foreign))


def distribution_of(name: str, group: str = SELECTORS) -> str:
    """The distribution and version behind a name, e.g. ``ttft-bench 0.1.0``."""
    return entry(name, group).source


def import_failure(error: BaseException, item: Entry) -> tuple[str, str]:
    """Why an import failed and what to do, each in one line."""
    cause = in_one_line(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        if error.name.partition(".")[0] != item.value.partition(":")[0].partition(".")[0]:
            wanted = missing_distributions(_requirements(item.distribution)) or [error.name.partition(".")[0]]
            return cause, "try: pip install " + " ".join(wanted)
        return cause, f"try: pip install --force-reinstall {item.distribution}"
    return cause, update_remedy(item)


def in_one_line(error: BaseException) -> str:
    """An exception's class and text, e.g. ``ValueError: no luck``."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def update_remedy(item: Entry) -> str:
    """What to do about a plug-in that is installed but does not work."""
    return f"update it (pip install --upgrade {item.distribution}) or tell its author"


def _requirements(distribution: str) -> list[str]:
    """What a distribution needs unconditionally; extras and platform markers are left out."""
    try:
        return [line for line in importlib.metadata.requires(distribution) or [] if ";" not in line]
    except importlib.metadata.PackageNotFoundError:
        return []


def requirements_of(selector: Any) -> tuple[str, ...]:
    """What a selector or its class declares in ``requires``; a string, which an author means as one, is one.

    Raises:
        TypeError: it is neither a string nor a sequence.
    """
    declared = selector.requires
    return (declared,) if isinstance(declared, str) else tuple(map(str, declared))


def missing_distributions(requirements: Iterable[str]) -> list[str]:
    """Those requirements whose distribution is not installed (versions are pip's business)."""
    missing = []
    for requirement in requirements:
        name = re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    return missing
