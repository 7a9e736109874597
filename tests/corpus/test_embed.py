from __future__ import annotations

import json
import multiprocessing
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from fake_embedder import HashingEmbedder, embed_and_count
from ttft_bench.corpus import embed, rowfiles, sentence
from ttft_bench.corpus.cachefiles import digest
from ttft_bench.corpus.embed import count_cached, embed_texts, load_embedder
from ttft_bench.errors import EmbeddingError, ModelError, StorageError

TEXTS = [f"document {number} about " + "word " * (number % 7) for number in range(23)]


def test_rows_are_unit_in_order_and_read_only(tmp_path: Path) -> None:
    rows = embed_texts(TEXTS, HashingEmbedder(), tmp_path)
    assert rows.dtype == np.float32 and rows.shape == (23, 32)
    assert isinstance(rows, np.memmap)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(rows, HashingEmbedder().embed(TEXTS), atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        rows[0, 0] = 1
    np.testing.assert_array_equal(rows, embed_texts(TEXTS, HashingEmbedder()))


def test_second_call_embeds_nothing(tmp_path: Path) -> None:
    first = embed_texts(TEXTS, HashingEmbedder(), tmp_path)
    again = HashingEmbedder()
    calls: list[tuple[int, int]] = []
    second = embed_texts(TEXTS, again, tmp_path, lambda *counts: calls.append(counts))
    assert again.embedded == [] and calls == []
    np.testing.assert_array_equal(first, second)


def test_growing_or_reordered_corpus_embeds_only_what_is_new(tmp_path: Path) -> None:
    embed_texts(TEXTS, HashingEmbedder(), tmp_path)
    grown = HashingEmbedder()
    rows = embed_texts([*reversed(TEXTS), "brand new"], grown, tmp_path)
    assert grown.embedded == ["brand new"]
    np.testing.assert_allclose(rows[22], HashingEmbedder().embed(TEXTS[:1])[0], atol=1e-6)
    assert count_cached(["brand new", "never seen"], tmp_path) == {"hashing-0001": 1}


def test_equal_texts_are_embedded_once(tmp_path: Path) -> None:
    embedder = HashingEmbedder()
    rows = embed_texts(["same"] * 5, embedder, tmp_path)
    assert embedder.embedded == ["same"] and rows.shape == (5, 32)


def test_another_fingerprint_shares_nothing(tmp_path: Path) -> None:
    embed_texts(TEXTS, HashingEmbedder(), tmp_path)
    other = HashingEmbedder()
    other.fingerprint = "hashing-0002"
    embed_texts(TEXTS, other, tmp_path)
    assert len(other.embedded) == len(TEXTS)


def test_interrupted_embedding_resumes(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        embed_texts(TEXTS, HashingEmbedder(fail_after=12), tmp_path)
    resumed = HashingEmbedder()
    calls: list[tuple[int, int]] = []
    embed_texts(TEXTS, resumed, tmp_path, lambda *counts: calls.append(counts))
    assert len(resumed.embedded) == len(TEXTS) - 12
    assert calls[0] == (0, 11) and calls[-1] == (11, 11)
    assert not list(tmp_path.rglob("*.tmp"))


def test_progress_counts_and_persists_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "PERSIST_ROWS", 8)
    monkeypatch.setattr(embed, "PERSIST_S", float("inf"))
    embed_texts(TEXTS, HashingEmbedder(), tmp_path)
    assert len(list(tmp_path.rglob("rows-*.npz"))) == 3


@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (np.inf, "infinity"), (0.0, "length zero")])
def test_unusable_vectors_name_the_document(tmp_path: Path, value: float, what: str) -> None:
    texts = [*TEXTS, "the poisoned \x1b[31mdocument"]
    with pytest.raises(EmbeddingError, match=what) as caught:
        embed_texts(texts, HashingEmbedder(bad={"poisoned": value}), tmp_path)
    assert "the poisoned \\x1b[31mdocument" in str(caught.value) and "\x1b" not in str(caught.value)
    fine = HashingEmbedder()  # what came before the bad document was kept
    embed_texts(TEXTS, fine, tmp_path)
    assert len(fine.embedded) < len(TEXTS)


def test_wrong_number_of_rows_is_refused() -> None:
    class Short(HashingEmbedder):
        def embed(self, texts):
            return super().embed(texts)[:-1]

    with pytest.raises(EmbeddingError, match="one row per text"):
        embed_texts(TEXTS, Short())


@pytest.mark.parametrize("pattern", ["matrix-*.npy", "rows-*.npz"])
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_damaged_files_are_made_again(tmp_path: Path, pattern: str, damage: str) -> None:
    first = np.array(embed_texts(TEXTS, HashingEmbedder(), tmp_path))
    path = next(tmp_path.rglob(pattern))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data if damage == "flip" else data[: len(data) // 2])
    again = HashingEmbedder()
    if pattern.startswith("rows"):  # the matrix would hide the damage
        next(tmp_path.rglob("matrix-*.npy")).unlink()
    second = embed_texts(TEXTS, again, tmp_path)
    np.testing.assert_allclose(first, second, atol=1e-7)
    assert bool(again.embedded) == pattern.startswith("rows")


def test_rows_that_vanish_or_come_from_elsewhere_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*texts: str) -> list[str]:
        embedder = HashingEmbedder()
        rows = embed_texts(texts, embedder, tmp_path, in_order=False)
        np.testing.assert_allclose(rows, HashingEmbedder().embed(texts), atol=1e-6)
        return embedder.embedded

    assert asked("a", "b") == ["a", "b"] and asked("b") == []
    (first,) = tmp_path.rglob("rows-*.npz")
    assert asked("c") == ["c"]
    first.unlink()  # as `cache clear` would
    assert asked("a", "c") == ["a"]
    rowfiles.RowFiles(first.parent).keep([digest("d")], HashingEmbedder().embed(["d"]))  # as another process would
    assert asked("d", "b") == ["b"]
    assert not list(tmp_path.rglob("matrix-*.npy")) and count_cached(["a", "b", "c", "d", "e"], tmp_path) == {
        "hashing-0001": 4
    }


def test_small_files_of_rows_are_put_together_and_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowfiles, "MOST_SMALL", 3)
    monkeypatch.setattr(rowfiles, "SMALL_ROWS", 3)
    files, other = rowfiles.RowFiles(tmp_path), rowfiles.RowFiles(tmp_path)
    rows = np.eye(7, dtype=np.float32)
    for number in range(7):
        assert set(other.keys()) == {str(key) for key in range(number)}
        files.keep([str(number)], rows[number : number + 1])
    assert len(list(tmp_path.glob("rows-*.npz"))) == 3
    for index in (files, other):
        found = index.find([str(number) for number in range(9)])
        assert sorted(found) == [str(number) for number in range(7)]
        assert all(np.array_equal(found[str(number)], rows[number]) for number in range(7))
    damaged = max(tmp_path.glob("rows-*.npz"), key=lambda path: path.stat().st_size)
    damaged.write_bytes(damaged.read_bytes()[:-200])
    assert len(files.find([str(number) for number in range(7)])) == 4 and not damaged.exists()


def test_unwritable_cache(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StorageError, match="TTFT_BENCH_CACHE"):
        embed_texts(TEXTS, HashingEmbedder(), blocked)


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(StorageError, match="No space left"):
        embed_texts(TEXTS, HashingEmbedder(), tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[int] = context.Queue()
    workers = [context.Process(target=embed_and_count, args=(TEXTS, tmp_path, found)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted([found.get(timeout=5), found.get(timeout=5)]) == [0, len(TEXTS)]


def test_unknown_embedder_is_one_short_message(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither an asset, nor a folder, nor a hub id") as caught:
        load_embedder(str(tmp_path / "nowhere"))
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)


def test_unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def offline(*_: object, **__: object) -> str:
        raise OSError("no route to the hub\nand a long story")

    monkeypatch.setattr("ttft_bench.corpus.sentence.ask_hub", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ModelError, match=r"no route to the hub\): check the name and the network") as caught:
        load_embedder("someone/some-model")
    assert "long story" not in str(caught.value)


def _folder(path: Path, *, weights: str = "model.safetensors", module: str = "Transformer") -> Path:
    path.mkdir()
    (path / weights).write_bytes(b"not really")
    (path / "config.json").write_text("{}")
    kind = module if "." in module else f"sentence_transformers.models.{module}"
    (path / "modules.json").write_text(json.dumps([{"type": kind, "path": ""}]))
    return path


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"only pickled weights \(pytorch_model.bin\)"):
        load_embedder(str(_folder(tmp_path / "m", weights="pytorch_model.bin")))


def test_code_of_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"brings its own code \(custom.Module\)"):
        load_embedder(str(_folder(tmp_path / "m", module="custom.Module")))


def test_fingerprint_needs_no_weights_and_follows_the_files(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "My Model")
    before = load_embedder(str(folder)).fingerprint
    assert before.startswith("my-model-") and before == load_embedder(str(folder)).fingerprint
    (folder / "README.md").write_text("changes nothing")
    assert before == load_embedder(str(folder)).fingerprint
    (folder / "config.json").write_text('{"pooling": "max"}')
    assert before != load_embedder(str(folder)).fingerprint


def test_broken_weights_are_a_model_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_embedder(str(_folder(tmp_path / "m"))).embed(["text"])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model as it lies on a hub: no word on pooling, weights under the name of the whole model."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

    folder = tmp_path_factory.mktemp("encoder") / "m"
    words = ["<s>", "<pad>", "</s>", "<unk>", *"abcdefgh"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = RobertaConfig(vocab_size=len(words), max_position_embeddings=12, pad_token_id=1, **size)
        RobertaForMaskedLM(config).save_pretrained(folder)
    return folder


def test_a_plain_encoder_is_mean_pooled_and_cut_where_its_positions_end(
    encoder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch
    from transformers import AutoTokenizer, RobertaForMaskedLM

    capfd.readouterr()
    states = random.getstate(), torch.random.get_rng_state()
    embedder = load_embedder(str(encoder))
    rows = embedder.embed(["a b c", "d " * 50])
    assert random.getstate() == states[0] and torch.equal(torch.random.get_rng_state(), states[1])
    assert capfd.readouterr().err == ""
    whole = RobertaForMaskedLM.from_pretrained(encoder).eval()
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    for row, text in zip(rows, ("a b c", "d " * 10), strict=True):  # 12 positions, of which RoBERTa uses 10
        with torch.no_grad():
            mean = whole.roberta(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0].mean(0).numpy()
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)


def test_a_plain_encoder_without_some_of_its_weights_is_refused(encoder: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(encoder, tmp_path / "m")
    weights = load_file(tmp_path / "m" / "model.safetensors")
    kept = {key: value for key, value in weights.items() if "attention.self.query" not in key}
    save_file(kept, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 2 weights of its encoder, such as encoder\.layer\.0\.attention"):
        load_embedder(str(tmp_path / "m")).embed(["a"])


def test_a_hub_repository_of_pickles_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    name = "socialfoundations/roberta-large-pile-lr2e-5-bs16-8gpu-1700000"
    (tmp_path / "config.json").write_text("{}")
    asked = []

    def download(repository: str, revision: str | None = None, **_: object) -> str:
        asked.append((repository, revision))
        return str(tmp_path)

    monkeypatch.setattr("ttft_bench.corpus.sentence.ask_hub", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_, **__: ["config.json", "pytorch_model.bin"])
    for revision in ("", "@refs/pr/1"):
        with pytest.raises(
            ModelError, match=rf"only pickled weights on its hub \(pytorch_model.bin\).*{name}@refs/pr/1"
        ):
            load_embedder(name + revision)
    assert asked == [(name, None), (name, "refs/pr/1")]


@pytest.mark.real
def test_real_embedder(capfd: pytest.CaptureFixture[str]) -> None:
    import torch

    states = random.getstate(), torch.random.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    embedder = load_embedder(sentence.DEFAULT_EMBEDDER)
    fillers = [f"Sentence number {number} about {number * 7} other things." for number in range(17)]
    texts = ["A cat on the mat", "A kitten on the carpet", "Amendments to the tax law", *fillers]
    rows = embed_texts(texts, embedder)
    assert rows.shape == (20, 384) == (20, embedder.dimension)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2
    single = np.concatenate([embedder.embed([text]) for text in texts])
    np.testing.assert_allclose(rows, single, atol=1e-5)
    assert random.getstate() == states[0] and torch.equal(torch.random.get_rng_state(), states[1])
    np.testing.assert_array_equal(np.random.get_state()[1], states[2])  # noqa: NPY002
    assert capfd.readouterr().err == ""


def test_importing_brings_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys, ttft_bench.corpus.pools, ttft_bench.corpus.sentence; "
        "print([m for m in ('torch', 'faiss', 'sentence_transformers', 'transformers') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
