"""Embedders from sentence-transformers: a pinned asset, a local folder or a hub id.

Weights are read from safetensors only, and no code that comes with a model is run. Nothing heavy is
imported, and no weights are read, before the first text has to be embedded.

Sentence embedders read only the beginning of a long text: all-MiniLM-L6-v2 reads at most 256 tokens, about
the first 800 to 1,000 characters, so that a document of 3,000 characters is embedded by its first third.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.cachefiles import Note, silent
from ttft_bench.corpus.plainmodel import finish_plain, is_plain
from ttft_bench.draws import drawing
from ttft_bench.errors import ModelError
from ttft_bench.hub import ask_hub
from ttft_bench.text import printable

DEFAULT_EMBEDDER = "all-minilm-l6-v2"

#: What decides the vectors, and all that is fetched from a hub.
_MODEL_SUFFIXES = (".json", ".txt", ".model", ".safetensors")
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
#: Exports for other runtimes that hub repositories carry beside the weights.
_OTHER_RUNTIMES = ("onnx", "openvino")


class SentenceEmbedder:
    """A sentence-transformers model in a local folder, loaded when the first text comes.

    Attributes:
        name: what the user called it.
        folder: where it lies.
        device: where it runs, as torch spells it.
        batch_size: texts per forward pass. On two cores and texts of 1,000 characters all-MiniLM-L6-v2 reads
            27, 26, 23 and 21 documents/s in batches of 8, 16, 32 and 64.
    """

    def __init__(self, name: str, folder: Path, device: str = "cpu") -> None:
        _refuse_unsafe(name, folder)
        self.name = name
        self.folder = folder
        self.device = device
        self.batch_size = 16 if device == "cpu" else 128

    @cached_property
    def fingerprint(self) -> str:
        """Last part of the name, and a hash of all configuration, tokenizer and weight files."""
        state = hashlib.blake2b(digest_size=8)
        for path in _model_files(self.folder):
            relative = path.relative_to(self.folder).as_posix()
            with path.open("rb") as handle:
                content = hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
            state.update(f"{relative}\0{content}\0".encode())
        slug = re.sub(r"[^a-z0-9._-]+", "-", Path(self.name).name.lower()).strip("-.")
        return f"{slug or 'embedder'}-{state.hexdigest()}"

    @property
    def dimension(self) -> int:
        """Length d of a vector."""
        # Newer releases of sentence-transformers renamed this, and warn about the old name.
        renamed = getattr(self._model, "get_embedding_dimension", None)
        size = (renamed or self._model.get_sentence_embedding_dimension)()
        return int(size) if size else int(self.embed(["dimension"]).shape[1])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts in batches of ``batch_size``; shape (n, d), unit rows, float32."""
        rows = self._model.encode(
            list(texts),
            batch_size=self.batch_size,
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=True,
        )
        return np.asarray(rows, dtype=np.float32)

    @cached_property
    def _model(self) -> Any:
        with _undisturbed():
            try:
                from sentence_transformers import SentenceTransformer

                model = SentenceTransformer(
                    str(self.folder),
                    device=self.device,
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True},
                )
                if is_plain(self.folder):
                    finish_plain(model, self.name, self.folder)
                return model
            except ModelError:
                raise
            except Exception as error:  # whatever a third-party loader raises, the user needs one line
                reason = printable(str(error), 200) or type(error).__name__
                raise ModelError(
                    f"embedder {self.name!r} cannot be loaded ({reason}): check that {self.folder} holds "
                    f"a complete sentence-transformers model, or use the default, {DEFAULT_EMBEDDER}"
                ) from error

    def __repr__(self) -> str:
        return f"SentenceEmbedder({self.name!r}, device={self.device!r})"


def load_embedder(name: str = DEFAULT_EMBEDDER, device: str = "cpu", note: Note = silent) -> SentenceEmbedder:
    """Find an embedder, fetching it if need be; its weights are read when the first text is embedded.

    Args:
        name: an asset of :mod:`ttft_bench.assets`, a local folder, or a hub id such as
            ``sentence-transformers/all-mpnet-base-v2``, tried in this order; ``OWNER/NAME@REVISION`` is another
            revision than the newest. Of a plain encoder the mean over tokens is taken.
        device: where it will run, as torch spells it.
        note: receives one line per download.

    Raises:
        ModelError: there is no such model, it cannot be reached, or its weights are pickles.
        AssetError: the pinned asset cannot be fetched.
        DuplicateNameError: several distributions offer an asset of that name.
    """
    from ttft_bench import assets

    if assets.is_asset(name):
        return SentenceEmbedder(name, assets.fetch(name, note), device)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return SentenceEmbedder(folder.resolve().name, folder.resolve(), device)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?", name) or name.startswith("."):
        raise ModelError(
            f"embedder {name!r} is neither an asset, nor a folder, nor a hub id: see `ttft-bench assets list`"
        )
    return SentenceEmbedder(name, _from_hub(name, note), device)


def _from_hub(name: str, note: Note) -> Path:
    """Fetch the safetensors, configuration and tokenizer of a hub repository, or find them in its cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    repository, _, revision = name.partition("@")
    repository = repository if "/" in repository else f"sentence-transformers/{repository}"
    note(f"fetching embedder {repository} from its hub, unless it is there already")
    try:
        ask_hub(repository, revision or None)
        folder = Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=[f"*{suffix}" for suffix in _MODEL_SUFFIXES],
                ignore_patterns=[f"{runtime}/*" for runtime in _OTHER_RUNTIMES],
            )
        )
        if not any(path.suffix == ".safetensors" for path in _model_files(folder)):
            _explain_pickles(name, repository, revision or None)
        return folder
    except (OSError, LookupError, HfHubHTTPError, HFValidationError) as error:
        lines = str(error).strip().splitlines()
        reason = printable(lines[0], 160) if lines else type(error).__name__
        raise ModelError(
            f"embedder {name!r} cannot be fetched ({reason}): "
            f"check the name and the network, give a local folder, or use the default, {DEFAULT_EMBEDDER}"
        ) from error


def _explain_pickles(name: str, repository: str, revision: str | None) -> None:
    """Say what a hub repository without safetensors has instead, and how to get at them.

    Raises:
        ModelError: it has pickled weights only.
    """
    from huggingface_hub import HfApi

    files = HfApi().list_repo_files(repository, revision=revision)
    pickles = [file for file in files if Path(file).suffix in _PICKLE_SUFFIXES]
    if pickles:
        raise ModelError(
            f"embedder {name!r} has only pickled weights on its hub ({printable(pickles[0], 60)}), which could run "
            f"code when loaded: see whether a revision has .safetensors (often {repository}@refs/pr/1) and name it, or "
            "convert the weights where that is safe, and give the local folder"
        )


def _model_files(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.suffix in _MODEL_SUFFIXES and path.is_file())
    return sorted(path for path in files if path.relative_to(folder).parts[0] not in _OTHER_RUNTIMES)


def _refuse_unsafe(name: str, folder: Path) -> None:
    """Refuse weights that are pickles and modules that bring their own code: loading either runs code."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in _PICKLE_SUFFIXES and not list(path.parent.glob("*.safetensors")):
            raise ModelError(
                f"embedder {name!r} has only pickled weights ({path.relative_to(folder)}), which could run "
                "code when loaded: use a model with .safetensors weights, or save this one in that format"
            )
    if not any(path.suffix == ".safetensors" for path in _model_files(folder)):
        raise ModelError(f"embedder {name!r} has no .safetensors weights in {folder}: fetch or copy it again")
    listing = folder / "modules.json"
    if not listing.is_file():
        return
    try:
        types = [str(module["type"]) for module in json.loads(listing.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"embedder {name!r} has a damaged {listing} ({error}): copy it again") from error
    # Older releases of sentence-transformers run a local folder's own code without being asked.
    foreign = [kind for kind in types if not kind.startswith("sentence_transformers.")]
    if foreign:
        raise ModelError(f"embedder {name!r} brings its own code ({foreign[0]}), which is never run: use another model")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the terminal and Python's global generator, which the imports draw from, as they were."""
    state = random.getstate()
    import torch
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    # Reports on weights that are not needed: what is needed and lacks is an error of ours.
    logging.set_verbosity_error()
    try:
        with drawing(0, torch.device("cpu")):  # layers that are made and not used draw their weights
            yield
    finally:
        random.setstate(state)
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


__all__ = ["DEFAULT_EMBEDDER", "SentenceEmbedder", "load_embedder"]
