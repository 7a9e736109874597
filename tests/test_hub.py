"""A hub is asked once, before loaders are let at it; what a mistyped name costs is one question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ttft_bench.corpus.sentence import load_embedder
from ttft_bench.engine.model import load_tokenizer, model_fingerprint
from ttft_bench.errors import ModelError
from ttft_bench.hub import TIMEOUT_S, ask_hub

Answer = Callable[[type[Exception] | None], list[tuple[str, str | None, float]]]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """A hub that answers every question with an error of the kind given, or knows everything; what it was asked."""
    import huggingface_hub
    import transformers
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    def forbidden(*_: object, local_files_only: bool = False, **__: object) -> None:
        raise LocalEntryNotFoundError("no") if local_files_only else AssertionError("a loader was let at the hub")

    def make(kind: type[Exception] | None) -> list[tuple[str, str | None, float]]:
        asked = []

        def model_info(_: object, repository: str, *, revision: str | None = None, timeout: float) -> None:
            asked.append((repository, revision, timeout))
            if kind is not None and issubclass(kind, HfHubHTTPError):
                raise kind("no", response=SimpleNamespace(headers={}, request=None))
            if kind is not None:
                raise kind("no")

        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
        return asked

    monkeypatch.setattr(huggingface_hub, "snapshot_download", forbidden)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", forbidden)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", forbidden)
    return make


class OfTheHTTPLibraryError(Exception):
    """Stands for errors whose class changes with the hub client's HTTP library."""


@pytest.mark.parametrize("load", [load_tokenizer, model_fingerprint, load_embedder])
@pytest.mark.parametrize("reached", [False, True])
def test_a_name_that_the_hub_does_not_know_is_one_question_and_one_error(
    answer: Answer, load: Callable[[str], object], reached: bool
) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    asked = answer(RepositoryNotFoundError if reached else OfTheHTTPLibraryError)
    words = "the hub has no '?some/mistyped" if reached else r"the hub cannot be reached \(no\)"
    with pytest.raises(ModelError, match=words) as caught:
        load("some/mistyped")
    assert asked == [("some/mistyped", None, TIMEOUT_S)]
    assert caught.value.exit_code == 4 and "local folder" in str(caught.value)


def test_a_revision_is_asked_for_and_named(answer: Answer) -> None:
    from huggingface_hub.errors import RevisionNotFoundError

    asked = answer(RevisionNotFoundError)
    with pytest.raises(ModelError, match="the hub has no revision 'refs/pr/9' of 'some/model'"):
        load_embedder("some/model@refs/pr/9")
    assert asked == [("some/model", "refs/pr/9", TIMEOUT_S)]


def test_another_answer_of_a_hub_leaves_it_to_the_loader(answer: Answer) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    for kind in (None, HfHubHTTPError):
        asked = answer(kind)
        ask_hub("some/model")
        assert len(asked) == 1
    for load in (load_tokenizer, load_embedder):
        with pytest.raises((AssertionError, ModelError), match="a loader was let at the hub"):
            load("some/model")


@pytest.mark.parametrize("file", ["config.json", "modules.json"])
def test_what_is_cached_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """Laid out as the hub's client lays it out; embedders of static vectors have no ``config.json``."""
    import huggingface_hub

    repository = tmp_path / "models--some--model"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / file).write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: pytest.fail("asked for what is here"))
    ask_hub("some/model")
    with pytest.raises(pytest.fail.Exception):
        ask_hub("some/other")
