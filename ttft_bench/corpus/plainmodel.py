"""Embedders that are plain encoders, without a word on how to pool: the mean over tokens, as the papers take it.

``socialfoundations/roberta-large-pile-lr2e-5-bs16-8gpu-1700000`` is one (TTT-NN, arXiv 2305.18466): a masked language
model whose encoder is used, mean-pooled and normalised.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ttft_bench.errors import ModelError


def is_plain(folder: Path) -> bool:
    """Whether a model folder says nothing of pooling, so that sentence-transformers takes the mean."""
    return not (folder / "modules.json").is_file()


def finish_plain(model: Any, name: str, folder: Path) -> None:
    """Check a plain encoder that sentence-transformers has loaded, and cut texts where its positions end.

    Args:
        model: a ``SentenceTransformer``.
        name: what the user called it.
        folder: where its weights lie.

    Raises:
        ModelError: some of the encoder's weights are not in the files, so that they would be random.
    """
    encoder = model[0].auto_model
    there = _weights(folder)
    # The pooler, a layer on the first token, is not looked at by a mean over tokens.
    lacking = [key for key, _ in encoder.named_parameters() if not key.startswith("pooler.") and key not in there]
    if lacking:
        raise ModelError(
            f"embedder {name!r} lacks {len(lacking)} weights of its encoder, such as {lacking[0]}: "
            f"fetch or copy {folder} again, or use another model"
        )
    longest = _positions(encoder)
    if longest is not None and longest < (model.max_seq_length or longest + 1):
        model.max_seq_length = longest


def _weights(folder: Path) -> set[str]:
    """Names of all weights, and what is left of each without the modules around the encoder."""
    from safetensors import safe_open

    names: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - not a dict
                parts = key.split(".")
                names |= {".".join(parts[start:]) for start in range(len(parts))}
    return names


def _positions(encoder: Any) -> int | None:
    """Tokens that learned positions reach; RoBERTa's begin behind the padding index, so two less than the table has."""
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    if table is None or not hasattr(table, "num_embeddings"):
        return None
    return int(table.num_embeddings) - (0 if table.padding_idx is None else int(table.padding_idx) + 1)


__all__ = ["finish_plain", "is_plain"]
