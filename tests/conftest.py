"""Tiny stand-ins, built here and now: a language model, an embedder and a corpus that need no download."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tiny import WORDS, write_model

# The same examples on every machine for the same code, and no limit of milliseconds that a busy one could miss;
# pytest --hypothesis-profile=search draws others each time.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="module", autouse=True)
def _workers_without_numba(request: pytest.FixtureRequest) -> Iterator[None]:
    """Spare the worker processes of tests that are not about selection the seconds that importing numba takes.

    Of a module, so that its own fixtures, which run sweeps too, find it set.
    """
    if request.path.parent.name not in ("cli", "lab", "sweep"):
        yield
        return
    from ttft_strategies import _fast

    _fast._kernels.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTFT_PURE", "1")
        yield
    _fast._kernels.cache_clear()


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny-gpt2"))


@pytest.fixture(scope="session")
def tiny_embedder_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random sentence-transformers model over a word vocabulary: texts sharing words are near."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-embedder")
    bert = folder / "bert"
    bert.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (bert / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(vocab_file=str(bert / "vocab.txt")).save_pretrained(bert)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            initializer_range=1.0,
        )
        BertModel(config).save_pretrained(bert)
    word = Transformer(str(bert), max_seq_length=64)
    SentenceTransformer(modules=[word, Pooling(config.hidden_size)], device="cpu").save(str(folder / "st"))
    return folder / "st"


@pytest.fixture(scope="session")
def tiny_corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty short texts in two subsets, ten groups each."""
    import numpy as np

    rng = np.random.default_rng(7)
    file = tmp_path_factory.mktemp("tiny-corpus") / "tiny.jsonl"
    with file.open("w", encoding="utf-8") as stream:
        for subset, words in (("greek", WORDS[:12]), ("letters", WORDS[8:])):
            for index in range(30):
                text = " ".join(rng.choice(words, size=8)) + f" {subset} {index} ünï."
                record = {"text": text, "subset": subset, "group": f"{subset}-{index % 10}"}
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return file


@pytest.fixture
def engines(monkeypatch):
    """Every engine made from now on, with the hash of its model's weights when it was made."""
    from ttft_bench.engine.finetune import Engine
    from ttft_bench.engine.model import state_hash

    made = []
    real = Engine.__init__

    def remember(self, *args, **kwargs):
        real(self, *args, **kwargs)
        made.append((self, state_hash(self.model.module)))

    monkeypatch.setattr(Engine, "__init__", remember)
    return made
