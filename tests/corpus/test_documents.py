from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from planted import plant
from ttft_bench.corpus import Corpus, Document, load, load_corpus
from ttft_bench.corpus.passages import paragraphs, passages
from ttft_bench.errors import BrokenPluginError, CorpusError

RECORDS = [{"text": f"document {n}", "subset": "ab"[n % 2], "group": f"g{n % 25}"} for n in range(100)]


def write_jsonl(path: Path, records: list[object]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return str(path)


def write_zst(path: Path, text: str) -> str:
    with pyarrow.output_stream(str(path), compression="zstd") as stream:
        stream.write(text.encode())
    return str(path)


def test_every_format_gives_the_same_documents(tmp_path: Path) -> None:
    plain = write_jsonl(tmp_path / "c.jsonl", list(RECORDS))
    text = Path(plain).read_text()
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    parquet.write_table(pyarrow.Table.from_pylist(RECORDS), tmp_path / "c.parquet")
    sources = [
        plain,
        str(tmp_path / "c.jsonl.gz"),
        write_zst(tmp_path / "d.jsonl.zst", text),
        str(tmp_path / "c.parquet"),
    ]
    corpora = [load_corpus(source) for source in sources]
    assert len({corpus.hash for corpus in corpora}) == 1
    assert corpora[0].subsets == ("a", "b")
    assert sum(map(sum, corpora[0].counts().values())) <= 100


def test_fewer_is_a_prefix_of_more(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "c.jsonl", list(RECORDS))
    few = load_corpus(source, train_per_subset=5, prompts_per_subset=1)
    many = load_corpus(source, train_per_subset=20, prompts_per_subset=3)
    for subset in "ab":
        for side in ("train", "prompts"):
            small, large = ([d for d in getattr(c, side) if d.subset == subset] for c in (few, many))
            assert small == large[: len(small)]
            assert len(small) < len(large)
    assert few.counts() == {"a": (5, 1), "b": (5, 1)}
    assert load_corpus(source, seed=1).train != load_corpus(source).train


def test_subsets_are_chosen_in_the_order_asked_for(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "c.jsonl", list(RECORDS))
    assert load_corpus(source, subsets=["b"]).subsets == ("b",)
    assert load_corpus(source, subsets=["b", "a"]).subsets == ("b", "a")
    with pytest.raises(CorpusError, match=r"no subset 'aa'; did you mean 'a'\? \(it has: a, b\)"):
        load_corpus(source, subsets=["aa"])


def test_a_given_split_is_kept(tmp_path: Path) -> None:
    records = [{"text": f"t{n}", "split": "test" if n < 3 else "train"} for n in range(10)]
    corpus = load_corpus(write_jsonl(tmp_path / "c.jsonl", list(records)))
    assert {document.text for document in corpus.prompts} == {"t0", "t1", "t2"}


def test_folder_of_text_files(tmp_path: Path) -> None:
    for subset in ("news", "poems"):
        (tmp_path / subset).mkdir()
        for n in range(6):
            (tmp_path / subset / f"{n}.txt").write_text(f"{subset} {n} " * 100 + "\n\n" + "more " * 300)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.txt").write_text("hidden")
    (tmp_path / "picture.png").write_bytes(b"\x89")
    corpus = load_corpus(str(tmp_path))
    assert corpus.subsets == ("news", "poems")
    assert corpus.prompts[0].group.startswith("news/")


def test_one_text_file_is_cut_into_passages(tmp_path: Path) -> None:
    file = tmp_path / "book.txt"
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(f"Paragraph {n}. " * 20 for n in range(40)).encode())
    corpus = load_corpus(str(file))
    texts = [document.text for document in (*corpus.train, *corpus.prompts)]
    assert len(texts) > 5
    assert all(300 <= len(text) <= 3000 for text in texts)


def test_passages_keep_the_text_and_the_bounds() -> None:
    text = "\n\n".join(["word " * 30, "x" * 7000, "A sentence. " * 400, "end"])
    parts = list(passages(paragraphs(text), least=300, target=1000, most=3000))
    assert max(map(len, parts)) <= 3000
    assert "".join("".join(parts).split()) == "".join(text.split())


def bad_jsonl(line: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / "bad.jsonl").write_text('{"text": "fine"}\n' + line + "\n")
        return str(folder / "bad.jsonl")

    return write


def broken_file(name: str, content: bytes) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return write


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: str(folder / "none.jsonl"), r"none.jsonl does not exist"),
        (lambda folder: "minipil", r"unknown corpus 'minipil'; did you mean 'minipile'"),
        (bad_jsonl('{"txt": 1}'), r"bad.jsonl, line 2: no \"text\" \(keys: 'txt'\)"),
        (bad_jsonl('{"text": 7}'), r"line 2: \"text\" must be a string, found int"),
        (bad_jsonl('{"text": null}'), r"line 2: \"text\" must be a string, found NoneType"),
        (bad_jsonl('{"text": "x", "split": "dev"}'), r"line 2: unknown \"split\" 'dev'"),
        (bad_jsonl("[1]"), r"line 2: a JSON object was due, found list"),
        (bad_jsonl("{text}"), r"line 2: not JSON"),
        (
            broken_file("b.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n'),
            r"b.jsonl, line 2 \(byte 24\): not UTF-8",
        ),
        (broken_file("b.txt", b"fine\n\xe9"), r"b.txt, line 2 \(byte 5\): not UTF-8"),
        (broken_file("e.jsonl", b""), r"is empty"),
        (broken_file("e.jsonl", b'{"text": "  "}\n'), r"is empty"),
        (broken_file("o.jsonl", b'{"text": "one"}\n'), r"holds one document.*nothing is left to train on"),
        (broken_file("o.jsonl", b'{"text": "one"}\n' * 5), r"has no prompts"),
        (broken_file("o.csv", b"a,b"), r"no reader for this kind of file"),
        (broken_file("z.jsonl.gz", b"no gzip"), r"cannot be decompressed"),
        (broken_file("z.parquet", b"no parquet"), r"not a readable Parquet file"),
        (lambda folder: str(folder), r"holds no file that can be read"),
    ],
)
def test_bad_input_names_the_file_the_line_and_the_reason(
    tmp_path: Path, make: Callable[[Path], str], message: str
) -> None:
    with pytest.raises(CorpusError, match=message) as caught:
        load_corpus(make(tmp_path))
    assert caught.value.exit_code == 4


def test_blank_documents_are_dropped_with_a_count(tmp_path: Path) -> None:
    notes: list[str] = []
    source = write_jsonl(tmp_path / "c.jsonl", [*RECORDS, {"text": " \n"}, {"text": ""}])
    load_corpus(source, note=notes.append)
    assert notes[0].endswith("2 documents without text dropped")


def test_hash_is_of_the_content_not_the_name() -> None:
    one = Corpus("x", (Document("a"),), (Document("b"),))
    assert one.hash == Corpus("y", (Document("a"),), (Document("b"),)).hash
    assert one.hash != Corpus("x", (Document("b"),), (Document("a"),)).hash
    assert Document("a").key == Document("a", "other", "g").key
    assert len(Document("\ud800").key) == 16


def test_a_corpus_that_cannot_be_built_is_a_broken_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_builder(point: object) -> object:
        return lambda note: ["text"]

    monkeypatch.setattr(load.metadata.EntryPoint, "load", load_builder)
    with pytest.raises(BrokenPluginError, match="it yielded str where Document was due"):
        load_corpus("minipile")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import os; os._exit(0)", "its import ended the process (exit code 0)"),
        ("def build(note): raise KeyError('x')", "cannot be built: KeyError: 'x'"),
        ("def build(note): assert False", "cannot be built: AssertionError"),
    ],
)
def test_a_corpus_of_a_stranger_that_fails_ends_with_who_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, told: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "bad_corpus", raising=False)
    plant(tmp_path, "bad-corpus", source, "[ttft_bench.corpora]\nbad = bad_corpus:build\n")
    with pytest.raises(BrokenPluginError) as caught:
        load_corpus("bad")
    assert f"corpus 'bad' of bad-corpus 1 {'cannot be used: ' if 'exit' in told else ''}{told}; update it" in str(
        caught.value
    )
