"""Corpora: documents, the split into training documents and prompts, embeddings, index, candidate pools."""

from __future__ import annotations

from ttft_bench.corpus.documents import Corpus, Document
from ttft_bench.corpus.load import corpus_names, load_corpus

__all__ = ["Corpus", "Document", "corpus_names", "load_corpus"]
