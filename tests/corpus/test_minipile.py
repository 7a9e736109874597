from __future__ import annotations

import hashlib
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from ttft_bench.corpus import Corpus, load_corpus
from ttft_bench.corpus.documents import normalised
from ttft_suites import minipile
from ttft_suites.minipile import licences, mediawiki, phenotypes, source
from ttft_suites.minipile.mediawiki import prose


def test_markup_becomes_prose(monkeypatch: pytest.MonkeyPatch) -> None:
    markup = textwrap.dedent("""\
        {{Infobox|name={{nowrap|x}}|area=5}}
        [[File:A.jpg|thumb|A [[link|nice]] picture.]]
        '''Albedo''' ({{IPA|x}}; ''albus'')<ref name="a">{{cite|b}}</ref> is the [[ratio|share]] of light reflected.
        == Heading ==
        A road of {{convert|5|km|mi}} &amp; more<ref name="z"/> lies [http://x.org beside] the [[lake]]s ().
        * a list item that is long enough to be taken for a paragraph of prose by its length alone.
        {| class="t"
        | cell {| nested |}
        |}
        The end<!-- hidden --> of this article comes&nbsp;after &frac12; a mile of [[:Category:Roads|roads]] and more.
        [[Category:Things]]
        """)
    monkeypatch.setattr(mediawiki, "SHORTEST", 20)
    assert prose(markup) == [
        "Albedo (albus) is the share of light reflected.",
        "A road of 5 km & more lies beside the lakes.",
        "The end of this article comes after ½ a mile of roads and more.",
    ]


def test_code_and_docstrings_share_no_text(tmp_path: Path) -> None:
    body = "\n".join(f"    x = x + {n}" for n in range(40))
    doc = "Sentence about the function. " * 15
    (tmp_path / "m.py").write_text(
        f'"""Module."""\n@decorated\ndef f(x):\n    """{doc}"""\n'
        f'    def g():\n        """Inner."""\n        return 1\n{body}\n'
    )
    (code,) = source.read_code(tmp_path)
    (docs,) = source.read_docstrings(tmp_path)
    assert code.text.startswith("@decorated\ndef f(x):\n    def g():\n        return 1\n    x = x + 0")
    assert docs.text == doc.strip()
    assert code.group == docs.group == "m"


def test_licences_that_share_wording_are_one_family(tmp_path: Path) -> None:
    wording = " ".join(f"clause{n} of the licence grants right{n}" for n in range(60))
    other = " ".join(f"another{n} wording altogether number{n}" for n in range(60))
    for key, head, text in (
        ("acme-1.0", "", wording),
        ("acme-2.0", "", other),
        ("copycat", "", wording + " with an addition"),
        ("french", "language: fr\n", wording),
        ("loner", "", " ".join(f"word{n}" for n in range(300))),
    ):
        (tmp_path / f"{key}.LICENSE").write_text(f"---\nkey: {key}\n{head}---\n\n{text}\n")
    found = {document.text.strip(): document.group for document in licences.read(tmp_path)}
    assert found[wording] == found[other] == found[wording + " with an addition"] == "acme-1.0"
    assert set(found.values()) == {"acme-1.0", "loner"}


def test_phenotypes_list_children_once(tmp_path: Path) -> None:
    terms = ["[Term]\nid: 1\nname: All"]
    for n in range(2, 6):
        terms.append(
            f'[Term]\nid: {n}\nname: Term {n}\ndef: "{"Long text. " * 20}\\"q\\"" [x]\n'
            f'synonym: "Syn {n}" EXACT []\nis_a: 1 ! All\nis_a: 2 ! Term'
        )
    terms.append("[Term]\nid: 9\nname: Gone\nis_obsolete: true\nis_a: 1 ! All")
    (tmp_path / "hp.obo").write_text("format\n\n" + "\n\n".join(terms) + "\n")
    (document,) = phenotypes.read(tmp_path)
    assert document.text.startswith("All\n\nTerm 2. Long text.")
    assert '"q" Also called: Syn 2.' in document.text
    assert "Gone" not in document.text


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus("minipile")


@pytest.mark.real
def test_domains_have_their_sizes(corpus: Corpus) -> None:
    counts = corpus.counts()
    assert list(counts) == [domain.name for domain in minipile.DOMAINS]
    assert counts.pop("lint-rules") == (739, 49)  # ruff has 977 rules
    assert set(counts.values()) == {(1100, 50)}


@pytest.mark.real
def test_documents_are_300_to_3000_characters_and_distinct(corpus: Corpus) -> None:
    texts = [normalised(document.text) for document in (*corpus.train, *corpus.prompts)]
    assert all(300 <= len(document.text) <= 3000 for document in (*corpus.train, *corpus.prompts))
    assert len(set(texts)) == len(texts)


@pytest.mark.real
def test_no_group_straddles_the_split(corpus: Corpus) -> None:
    assert {document.group for document in corpus.train}.isdisjoint(document.group for document in corpus.prompts)
    assert max(Counter((document.subset, document.group) for document in corpus.prompts).values()) <= 5


@pytest.mark.real
def test_the_build_is_the_pinned_one() -> None:
    data = minipile.serialise(minipile.gather(lambda message: None))
    assert hashlib.sha256(data).hexdigest() == minipile.PINNED
