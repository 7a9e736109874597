"""What training steps train on: documents, the chunks of long ones, and batches of either."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.schedule import make_batches, parts_of
from ttft_bench.engine.score import training_chunks, training_sequence


class Chunk(NamedTuple):
    """One chunk of a document."""

    document: int
    number: int


class Items:
    """Documents as items of a schedule, and items as token sequences.

    Args:
        model: gives the tokenizer.
        texts: document id -> text.
        max_tokens: token limit of a sequence.
        chunk: whether a longer document becomes several items, or is cut.
        batch: items that one step trains on.
    """

    def __init__(
        self, model: LanguageModel, texts: Mapping[int, str], max_tokens: int, chunk: bool = False, batch: int = 1
    ) -> None:
        self.model = model
        self.texts = texts
        self.max_tokens = max_tokens
        self.chunk = chunk
        self.batch = batch
        self._counts: dict[int, int] = {}

    def arrange(self, documents: Sequence[int]) -> Sequence[Hashable]:
        """The items of picked documents, in training order."""
        items: list[Hashable] = list(documents)
        if self.chunk:
            items = [Chunk(document, number) for document in documents for number in range(self._count(document))]
        return make_batches(items, self.batch)

    def sequence(self, item: Any) -> torch.Tensor:
        """Token ids of a document or chunk.

        Raises:
            ModelError: nothing can be predicted in it.
        """
        if isinstance(item, Chunk):
            return training_chunks(self.model, self.texts[item.document], self.max_tokens)[item.number]
        return training_sequence(self.model, self.texts[item], self.max_tokens)

    def sequences(self, items: Sequence[Hashable]) -> dict[Hashable, torch.Tensor]:
        """Token ids of every part of these items; each document is tokenised once."""
        found: dict[Hashable, torch.Tensor] = {}
        for part in dict.fromkeys(part for item in items for part in parts_of(item)):
            if part in found:
                continue
            if isinstance(part, Chunk):
                chunks = training_chunks(self.model, self.texts[part.document], self.max_tokens)
                found.update({Chunk(part.document, number): chunk for number, chunk in enumerate(chunks)})
            else:
                found[part] = self.sequence(part)
        return found

    def documents(self, documents: Sequence[int]) -> list[torch.Tensor]:
        """Token ids of documents, cut, as a context holds them."""
        return [training_sequence(self.model, self.texts[document], self.max_tokens) for document in documents]

    def _count(self, document: int) -> int:
        if document not in self._counts:
            try:
                chunks = training_chunks(self.model, self.texts[document], self.max_tokens)
                self._counts[document] = len(chunks)
            except Exception:  # whatever the tokenizer raises is its own row's problem, once it is trained on
                self._counts[document] = 1
        return self._counts[document]


def count_step_tokens(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> NDArray[np.int64]:
    """Tokens of one training step on each text, shape (n,): its length plus the start token, cut."""
    if not texts:
        return np.empty(0, dtype=np.int64)
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
    lengths = np.array([len(tokens) + 1 for tokens in encoded["input_ids"]], dtype=np.int64)
    counted: NDArray[np.int64] = np.minimum(lengths, max_tokens)
    return counted


__all__ = ["Chunk", "Items", "count_step_tokens"]
