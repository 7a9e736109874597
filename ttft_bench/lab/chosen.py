"""What was picked for a prompt, and why: plain data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ttft_bench.corpus.documents import Document
from ttft_bench.corpus.library import Found, Library
from ttft_bench.picking import Picked
from ttft_bench.selector import measure


@dataclass(frozen=True)
class Pick:
    """One picked document.

    Attributes:
        id: of the document, as :meth:`ttft_bench.lab.Lab.add` counts.
        document: text, subset and group.
        rank: its place among the candidates, 1 for the one nearest to the prompt.
        similarity: inner product of its unit vector with the prompt's.
        weight: what the strategy gave it before rounding to whole steps, in [0, 1]; None without weights.
        repeats: steps it was picked for.
        n_tokens: tokens that one step trains on.
    """

    id: int
    document: Document
    rank: int
    similarity: float
    weight: float | None
    repeats: int
    n_tokens: int


@dataclass(frozen=True)
class Chosen:
    """A strategy's answer for one prompt.

    Attributes:
        strategy: its spec.
        budget: steps that were asked for; with a time budget, steps that it has room for.
        picks: the distinct documents, in the order of their first step.
        order: document ids in training order, repeats included.
        n_candidates: how many documents it could choose from.
        residual: squared distance between the prompt's vector and the mean of the picks'.
        similarity_mean: mean cosine of picks and prompt, repeats counted.
        similarity_max: the largest.
        objective: the strategy's own objective at its weights; None without one.
        gap: certified distance of the objective from its optimum; None without one.
        status: "ok", or why its solver stopped.
    """

    strategy: str
    budget: int
    picks: tuple[Pick, ...]
    order: tuple[int, ...]
    n_candidates: int
    residual: float
    similarity_mean: float
    similarity_max: float
    objective: float | None
    gap: float | None
    status: str


def describe(strategy: str, budget: int, picked: Picked, found: Found, library: Library) -> Chosen:
    """Put an answer together with the documents it is about.

    Args:
        strategy: spec of the strategy.
        budget: asked for.
        picked: the answer.
        found: the candidates that it is positions of.
        library: holds the documents.
    """
    positions = picked.selection.positions
    weights = picked.selection.weights
    counts = Counter(int(position) for position in positions)
    figures = measure(positions, picked.problem)
    return Chosen(
        strategy=strategy,
        budget=budget,
        picks=tuple(
            Pick(
                id=int(found.ids[position]),
                document=library[int(found.ids[position])],
                rank=position + 1,
                similarity=float(found.similarity[position]),
                weight=None if weights is None else float(weights[position]),
                repeats=count,
                n_tokens=int(picked.problem.n_tokens[position]),
            )
            for position, count in counts.items()  # in order of first appearance
        ),
        order=tuple(int(document) for document in found.ids[np.asarray(positions)]),
        n_candidates=len(found.ids),
        residual=figures["residual"],
        similarity_mean=figures["similarity_mean"],
        similarity_max=figures["similarity_max"],
        objective=picked.selection.objective,
        gap=picked.selection.gap,
        status=picked.selection.status,
    )


__all__ = ["Chosen", "Pick", "describe"]
