"""Real pools for timing: MiniLM embeddings of the minipile, and what is made of them where more is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ttft_bench.seeds import derive_rng
from ttft_bench.selector import Problem, make_problem

Rows = NDArray[np.float32]
Note = Callable[[str], None]

#: Documents per subset that the quick suite embeds too, and what a full run needs for K = 2,000.
QUICK_DOCUMENTS, FULL_DOCUMENTS = 250, 500
#: How much of another document's vector is added, orthogonally, when vectors are lifted.
LIFT_NOISE = 0.3
#: Norm of the noise that makes further rows out of real ones.
GROWTH_NOISE = 0.5


@dataclass(frozen=True)
class Vectors:
    """Unit rows of one embedder.

    Attributes:
        documents: shape (n, d).
        prompts: shape (p, d).
    """

    documents: Rows
    prompts: Rows

    def problem(self, prompt: int, k: int, budget: int) -> Problem:
        """The K documents nearest to a prompt, nearest first."""
        similarity = self.documents @ self.prompts[prompt]
        nearest = np.argsort(-similarity, kind="stable")[:k]
        return make_problem(self.prompts[prompt], self.documents[nearest], budget, ids=nearest)


def load_vectors(prompts: int, documents_per_subset: int, note: Note) -> Vectors:
    """Embed the minipile, or read it from the cache.

    Args:
        prompts: how many are wanted, spread evenly over the six subsets.
        documents_per_subset: training documents per subset; there is no more of some subsets than 739.
        note: receives progress lines.
    """
    # Here, so that a machine with a file of vectors needs none of what these need.
    from ttft_bench.assets import cache_dir
    from ttft_bench.corpus.embed import embed_texts
    from ttft_bench.corpus.load import load_corpus
    from ttft_bench.corpus.sentence import load_embedder

    corpus = load_corpus(
        "minipile", train_per_subset=documents_per_subset, prompts_per_subset=-(-prompts // 6), seed=0, note=note
    )
    embedder = load_embedder(note=note)

    def progress(done: int, total: int) -> None:
        if done == total or done % 320 == 0:
            note(f"embedded {done} of {total} texts")

    def embed(texts: list[str]) -> Rows:
        return embed_texts(texts, embedder, cache_dir(), progress, note=note)

    documents = embed([document.text for document in corpus.train])
    queries = embed([document.text for document in corpus.prompts])
    # Every subset in turn, so that the first n prompts are of all subsets.
    subsets = [document.subset for document in corpus.prompts]
    seen: dict[str, int] = {}
    turn = []
    for subset in subsets:
        turn.append(seen.get(subset, 0))
        seen[subset] = turn[-1] + 1
    order = np.argsort(turn, kind="stable")[:prompts]
    return Vectors(np.array(documents), np.array(queries)[order])


def write_vectors(vectors: Vectors, path: Path) -> None:
    """Keep vectors for a machine without corpus and embedder."""
    np.savez(path, documents=vectors.documents, prompts=vectors.prompts)


def read_vectors(path: Path, prompts: int) -> Vectors:
    """Vectors of :func:`write_vectors`; the first ``prompts`` prompts.

    Raises:
        ValueError: the file does not hold unit float32 rows, or too few prompts.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            documents, queries = file["documents"], file["prompts"]
    except (ValueError, KeyError, EOFError, BadZipFile, AttributeError) as error:
        raise ValueError(f"{path} holds no vectors of this benchmark: write them with --save-vectors") from error
    for rows in (documents, queries):
        if rows.dtype != np.float32 or rows.ndim != 2 or not np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-4):
            raise ValueError(f"{path} must hold float32 matrices of unit rows")
    if len(queries) < prompts:
        raise ValueError(f"{path} has {len(queries)} prompts, and {prompts} are needed")
    return Vectors(documents, queries[:prompts])


def fingerprint(vectors: Vectors) -> str:
    """Tells whether two runs had the same documents."""
    return sha256(np.ascontiguousarray(vectors.documents).tobytes()).hexdigest()[:16]


def lift(vectors: Vectors, d: int) -> Vectors:
    """Vectors of ``d`` dimensions made from real ones by a fixed rule.

    A fixed random orthonormal frame carries each vector, and LIFT_NOISE times the vector of another document
    into directions orthogonal to it; the sum is normalised. Inner products stay those of real text plus a
    tenth of those between unrelated texts.
    """
    small = vectors.documents.shape[1]
    if d < 2 * small:
        raise ValueError(f"lifting {small} dimensions needs at least {2 * small}, got {d}")
    rng = derive_rng("peers", "lift", d)
    frame = np.linalg.qr(rng.standard_normal((d, 2 * small)))[0]
    own, other = frame[:, :small], frame[:, small:]

    def raised(rows: Rows) -> Rows:
        partners = vectors.documents[rng.integers(len(vectors.documents), size=len(rows))]
        return _unit(rows @ own.T + LIFT_NOISE * (partners @ other.T))

    return Vectors(raised(vectors.documents), raised(vectors.prompts))


def grown(vectors: Vectors, prompt: int, k: int, budget: int) -> Problem:
    """A pool of K rows, of which those beyond the corpus are real rows plus Gaussian noise, nearest first."""
    n, d = vectors.documents.shape
    if k <= n:
        return vectors.problem(prompt, k, budget)
    rng = derive_rng("peers", "grow", prompt, k)
    extra = vectors.documents[rng.integers(n, size=k - n)]
    extra = _unit(extra + rng.standard_normal((k - n, d), dtype=np.float32) * (GROWTH_NOISE / np.sqrt(d)))
    return Vectors(np.concatenate([vectors.documents, extra]), vectors.prompts).problem(prompt, k, budget)


def _unit(rows: NDArray[np.float64] | Rows) -> Rows:
    unit: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit
