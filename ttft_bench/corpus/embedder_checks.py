"""What an embedder owes, as named checks for its author's tests.

With pytest::

    from ttft_bench.corpus.embedder_checks import embedder_checks

    @pytest.mark.parametrize("check", embedder_checks("my-embedder"), ids=str)
    def test_contract(check):
        check()
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ttft_bench.checks.problems import generator_states
from ttft_bench.corpus.embed import Embedder, embed_texts
from ttft_bench.corpus.embedders import open_embedder
from ttft_bench.errors import ContractError

_TEXTS = (
    "The cat sat on the mat.",
    "the cat sat on the mat.",
    "def add(a, b):\n    return a + b\n",
    "Größe, naïve, 東京, \u0001 and an emoji: 🦊",
    "word " * 3000,
    "x",
)


@dataclass(frozen=True)
class EmbedderCheck:
    """One named check; call it, it raises :class:`~ttft_bench.errors.ContractError` with a one-line reason."""

    name: str
    embedder: str
    run: Callable[[Embedder], None]

    def __call__(self) -> None:
        """Run the check on a fresh embedder."""
        self.run(open_embedder(self.embedder))

    def __str__(self) -> str:
        return self.name


def embedder_checks(name: str) -> list[EmbedderCheck]:
    """The checks of the installed embedder ``name``, parameters in brackets as in a spec."""
    checks = {
        "opens twice alike": lambda embedder: _opens_alike(embedder, name),
        "unit rows": _unit_rows,
        "a text has one vector": _one_vector,
        "global random state": _random_state,
    }
    return [EmbedderCheck(title, name, run) for title, run in checks.items()]


def _opens_alike(embedder: Embedder, name: str) -> None:
    again = open_embedder(name)
    for what in ("name", "fingerprint", "dimension"):
        mine, other = getattr(embedder, what), getattr(again, what)
        if mine != other:
            raise ContractError(f"{what} is {mine!r}, and {other!r} when opened again: caches could not be shared")


def _unit_rows(embedder: Embedder) -> None:
    embed_texts(_TEXTS, embedder)  # refuses what is not finite, has no direction or another shape
    lengths = np.linalg.norm(np.asarray(embedder.embed(list(_TEXTS))), axis=1)
    if not np.allclose(lengths, 1.0, atol=1e-3):
        raise ContractError(f"rows must have length 1; the longest has {lengths.max():.4g}")


def _one_vector(embedder: Embedder) -> None:
    together = np.asarray(embedder.embed(list(_TEXTS)))
    for row, text in zip(together, _TEXTS, strict=True):
        alone = np.asarray(embedder.embed([text]))[0]
        if float(np.abs(row - alone).max()) > 1e-4:
            raise ContractError(
                f"the vector of {text[:30]!r} depends on the texts beside it (by {np.abs(row - alone).max():.1e}): "
                "it is kept and used again"
            )


def _random_state(embedder: Embedder) -> None:
    before = generator_states()
    embedder.embed(list(_TEXTS[:2]))
    if generator_states() != before:
        raise ContractError("it draws from a global random generator: use a generator of its own, with a fixed seed")


__all__ = ["EmbedderCheck", "embedder_checks"]
