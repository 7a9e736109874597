"""What is worth knowing about a prompt before its score is believed."""

from __future__ import annotations

from collections.abc import Iterator

from ttft_bench.corpus.leaks import NEAR, containment
from ttft_bench.corpus.library import Found
from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.score import tokenize
from ttft_bench.lab.chosen import Chosen
from ttft_bench.units import plural


def leaks(prompt: str, found: Found, chosen: Chosen) -> Iterator[str]:
    """Copies of the prompt that were kept out, and near-duplicates that were picked."""
    if found.copies:
        yield (
            f"leak: the corpus holds the prompt, or nearly, in {plural(len(found.copies), 'document')}: kept out "
            "of training, but neighbours that come from the same source may still quote it"
        )
    near = sum(containment(prompt, pick.document.text) >= NEAR for pick in chosen.picks)
    if near:
        yield (
            f"leak: near-duplicates of the prompt are among what is trained on ({near} of "
            f"{plural(len(chosen.picks), 'document')}), so that its score says little: exclude_near_duplicates "
            "(--exclude-near-duplicates) keeps them out"
        )


def cut(model: LanguageModel, prompt: str, max_tokens: int, protocol: str) -> Iterator[str]:
    """That not all of the prompt is scored."""
    room = max_tokens - (model.start_id is not None)
    n_tokens = len(tokenize(model, prompt)[0])
    if protocol == "window" and n_tokens > room:
        yield (
            f"the prompt has {n_tokens} tokens; bits per byte of it are those of the first {room} (max_tokens "
            f"{max_tokens}): the protocol document scores all of it"
        )


__all__ = ["cut", "leaks"]
