"""Embedders of strangers: found by entry point, and named with a remedy where they do not work."""

from __future__ import annotations

import sys
import textwrap

import pytest

from ttft_bench.corpus.embed import embed_texts
from ttft_bench.corpus.embedder_checks import embedder_checks
from ttft_bench.corpus.embedder_list import list_embedders
from ttft_bench.corpus.embedders import open_embedder
from ttft_bench.errors import (
    BrokenPluginError,
    ContractError,
    DuplicateNameError,
    EmbeddingError,
    SpecError,
)

GOOD = '''
    import numpy as np

    class E:
        """Sums of letters."""
        dimension = 8

        def __init__(self, shift: int = 0, device: str = "nowhere"):
            if shift < 0:
                raise ValueError("shift must not be negative")
            self.shift, self.device = shift, device
            self.fingerprint = f"letters-{shift}"

        def embed(self, texts):
            rows = np.zeros((len(texts), 8), dtype=np.float32)
            for row, text in zip(rows, texts):
                for letter in text:
                    row[(ord(letter) + self.shift) % 8] += 1
                row += 0.1
                row /= np.linalg.norm(row)
            return rows
'''


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """Install a module as a distribution that offers one embedder."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source, name="letters", distribution="other-letters"):
        module = distribution.replace("-", "_")
        monkeypatch.delitem(sys.modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{module}-2.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text(f"[ttft_bench.embedders]\n{name} = {module}:E\n")

    return write


def test_a_sound_one_is_opened_with_its_parameters_and_the_device(plant):
    plant(GOOD)
    embedder = open_embedder("letters[shift=3]", device="cpu")
    assert (embedder.name, embedder.fingerprint, embedder.dimension) == ("letters[shift=3]", "letters-3", 8)
    assert embedder._inner.device == "cpu" and embed_texts(["a", "b"], embedder).shape == (2, 8)
    assert open_embedder("letters[shift=0]").name == "letters", "as by default is left out"
    assert open_embedder("shuffled[letters]").name == "shuffled[letters]"
    for check in embedder_checks("letters"):
        check()
    (row,) = (row for row in list_embedders() if row["name"] == "letters")
    assert (row["status"], row["distribution"], row["summary"]) == ("ok", "other-letters 2.0", "Sums of letters.")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("letters[shft=1]", "no parameter 'shft'; did you mean 'shift'"),
        ("letters[device=cuda]", "no parameter 'device'"),
        ("letters[shift=many]", "shift must be a whole number"),
        ("letters[shift=-1]", r"letters\[shift=-1\]: shift must not be negative"),
    ],
)
def test_parameters_that_do_not_fit(plant, spec, message):
    plant(GOOD)
    with pytest.raises(SpecError, match=message):
        open_embedder(spec)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("import sys; sys.exit(0)", BrokenPluginError, "SystemExit: 0; update it"),
        ("import no_such_thing", BrokenPluginError, "pip install no_such_thing"),
        ("E = 3", BrokenPluginError, "cannot be built: TypeError"),
        (GOOD.replace("self.fingerprint", "self.other"), BrokenPluginError, "fingerprint is 'missing'"),
        (GOOD.replace('f"letters-{shift}"', '"../../out"'), BrokenPluginError, "names a folder of the cache"),
        (GOOD.replace("def embed", "def other"), BrokenPluginError, "is no embedder"),
        (
            GOOD.replace("row += 0.1", "raise RuntimeError('no\\n luck')"),
            EmbeddingError,
            "failed on 1 texts: RuntimeError: no luck",
        ),
        (GOOD.replace("row += 0.1", "row += np.nan"), EmbeddingError, "NaN or infinity"),
        (GOOD.replace("return rows", "return rows[:, :4]"), EmbeddingError, "shape .1, 4. for 1 texts"),
        (GOOD.replace("return rows", "return 'rows'"), EmbeddingError, "ValueError"),
    ],
)
def test_broken_ones_are_named_with_a_remedy(plant, source, error, message):
    plant(source)
    with pytest.raises(error, match=message):
        embed_texts(["some text"], open_embedder("letters"))
    assert open_embedder("hashed-words").dimension == 1024, "others are as they were"


def test_two_of_one_name_harm_only_that_name(plant):
    plant(GOOD, name="hashed-words")
    with pytest.raises(
        DuplicateNameError, match=r"embedder 'hashed-words' is offered by ttft-bench .* and other-letters"
    ):
        open_embedder("hashed-words")
    assert {row["status"] for row in list_embedders() if row["name"] == "hashed-words"} == {"duplicate"}


@pytest.mark.parametrize(
    ("change", "named", "message"),
    [
        (("row /= np.linalg.norm(row)", "pass"), "unit rows", "length 1"),
        (("return rows", "return rows[::-1].copy()"), "a text has one vector", "depends on the texts beside it"),
        (("row += 0.1", "row += np.random.rand(8)"), "global random state", "global random generator"),
        (('f"letters-{shift}"', 'f"letters-{id(self)}"'), "opens twice alike", "fingerprint is"),
    ],
)
def test_each_check_can_fail(plant, change, named, message):
    plant(GOOD.replace(*change))
    (check,) = (check for check in embedder_checks("letters") if str(check) == named)
    with pytest.raises(ContractError, match=message):
        check()
