"""What a shell offers behind a flag or a command, from names alone: no stranger's plug-in is imported, no corpus read.

``ttft-bench --install-completion`` sets the shell up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

#: Pairs of a value and what is said beside it, where the shell shows that.
Offers = list[tuple[str, str]]


def _installed(group: str) -> Offers:
    from ttft_bench.registry.installed import entries  # here, as `--help` needs neither it nor numpy

    return [(item.name, "" if item.built_in else item.source) for item in entries(group)]


def strategy(incomplete: str) -> Offers:
    """Names of strategies."""
    return _fitting(_installed("ttft_bench.selectors"), incomplete)


def strategies(incomplete: str) -> Offers:
    """Names of strategies, also behind others in a list; parameters in brackets are left to the user."""
    return _listed(incomplete, _installed("ttft_bench.selectors"))


def suite(incomplete: str) -> Offers:
    """Names of suites."""
    return _fitting(_installed("ttft_bench.suites"), incomplete)


def suite_or_file(incomplete: str) -> Offers:
    """Names of suites, and suite files."""
    return suite(incomplete) or _paths(incomplete, lambda path: path.suffix == ".toml")


def corpus(incomplete: str) -> Offers:
    """Names of corpora; files and folders where no name fits."""
    return _fitting([*_installed("ttft_bench.corpora"), ("pile", "")], incomplete) or _paths(
        incomplete, lambda path: True
    )


def asset(incomplete: str) -> Offers:
    """Names of our own assets, and ``all``: those of others are known to who imports them."""
    from ttft_bench.assets import built_in

    return _fitting([*((item.name, item.about) for item in built_in()), ("all", "")], incomplete)


def model(incomplete: str) -> Offers:
    """Assets that are language models; files and folders where no name fits."""
    return _assets("model", incomplete)


def embedder(incomplete: str) -> Offers:
    """Assets that are embedders, and the one without a model; files and folders where no name fits."""
    return _assets("embedder", incomplete, ("hashed-words", "no model: hashed words"))


def run(incomplete: str) -> Offers:
    """Folders, those that hold a run first."""
    from ttft_bench.sweep.store import MANIFEST

    found = _paths(incomplete, lambda path: False)
    return sorted(found, key=lambda item: not (Path(item[0]).expanduser() / MANIFEST).is_file())


def cache_kinds(incomplete: str) -> Offers:
    """Kinds of things in the cache, and ``all``."""
    from ttft_bench.cache import KINDS

    return _fitting([*((kind.name, kind.about) for kind in KINDS), ("all", "")], incomplete)


def words(*offered: str) -> Callable[[str], Offers]:
    """A fixed set of words, also behind others in a list."""
    return lambda incomplete: _listed(incomplete, [(word, "") for word in offered])


def _assets(kind: str, incomplete: str, *more: tuple[str, str]) -> Offers:
    from ttft_bench.assets import built_in

    named = [(item.name, item.about) for item in built_in() if item.kind == kind]
    return _fitting([*named, *more], incomplete) or _paths(incomplete, lambda path: False)


def _fitting(offered: Iterable[tuple[str, str]], incomplete: str) -> Offers:
    return [item for item in dict.fromkeys(offered) if item[0].startswith(incomplete)]


def _listed(incomplete: str, offered: Iterable[tuple[str, str]]) -> Offers:
    """Offers for the last item of a list; nothing inside brackets."""
    if incomplete.count("[") > incomplete.count("]"):
        return []
    before, comma, last = incomplete.rpartition(",")
    return [(f"{before}{comma}{name}", told) for name, told in _fitting(offered, last)]


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> Offers:
    """Folders and wanted files that begin so, written as the user began to write them."""
    folder, slash, begin = incomplete.rpartition("/")
    try:
        found = sorted(Path(f"{folder}{slash}" or ".").expanduser().iterdir())
    except OSError:
        return []
    return [
        (f"{folder}{slash}{path.name}", "")
        for path in found
        if path.name.startswith(begin)
        and (begin.startswith(".") or not path.name.startswith("."))
        and (path.is_dir() or wanted(path))
    ]


__all__ = [
    "asset",
    "cache_kinds",
    "corpus",
    "embedder",
    "model",
    "run",
    "strategies",
    "strategy",
    "suite",
    "suite_or_file",
    "words",
]
