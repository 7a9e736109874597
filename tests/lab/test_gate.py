"""One caller at a time, and an adaptation for its block and thread only: told at once, clearly, with the remedy."""

from __future__ import annotations

import copy
import threading

import pytest

from notes import PROMPT
from tiny import write_model
from ttft_bench.engine.compiled import CompiledBackend
from ttft_bench.engine.model import load_model, state_hash
from ttft_bench.errors import LabError, UsageError


def in_thread(work):
    """What ``work`` raised in a thread named "other"."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="other")
    thread.start()
    thread.join()
    return raised


CALLS = {
    "adapted": lambda lab: lab.adapted(PROMPT).__enter__(),
    "bits_per_byte": lambda lab: lab.bits_per_byte(PROMPT),
    "generate": lambda lab: lab.generate(PROMPT, 2),
    "add": lambda lab: lab.add(["more"]),
}


@pytest.mark.parametrize("call", CALLS)
def test_nothing_else_of_a_lab_while_an_adaptation_is_open(lab, call):
    with lab.adapted(PROMPT) as tuned:
        before = tuned.bits_per_byte(PROMPT)
        with pytest.raises(LabError, match=rf"^{call}: this Lab's model has adapted open.*leave that block first"):
            CALLS[call](lab)
        assert tuned.bits_per_byte(PROMPT) == before, "a refused call changes nothing"
    if call != "adapted":
        CALLS[call](lab)


def test_another_thread_is_refused_at_once_and_served_later(lab):
    with lab.adapted(PROMPT):
        (error,) = in_thread(lambda: lab.bits_per_byte(PROMPT))
    assert isinstance(error, LabError)
    assert "in use by the thread 'MainThread' (adapted)" in str(error) and "for each thread" in str(error)
    assert in_thread(lambda: lab.bits_per_byte(PROMPT)) == []


USES = {
    "bits_per_byte": lambda tuned: tuned.bits_per_byte(PROMPT),
    "generate": lambda tuned: tuned.generate(2),
    "module": lambda tuned: tuned.module,
}


@pytest.mark.parametrize("use", USES)
def test_an_adaptation_ends_with_its_block_and_belongs_to_its_thread(lab, use):
    with lab.adapted(PROMPT) as tuned:
        USES[use](tuned)
        (error,) = in_thread(lambda: USES[use](tuned))
        assert isinstance(error, LabError) and f"{use}: this adaptation belongs to the thread 'MainThread'" in str(
            error
        )
    with pytest.raises(LabError, match=rf"{use}: this adaptation is over.*adapt again"):
        USES[use](tuned)
    assert tuned.selection.picks and tuned.timing.restore_s is not None, "what is known stays readable"
    with lab.adapted(PROMPT), pytest.raises(LabError, match="is over"):
        USES[use](tuned)  # the next adaptation is not this one's


def test_labs_that_share_a_model_share_its_gate(lab, make_lab, tiny_model):
    """A Lab made, or opened, while another has the weights would take adapted ones for untouched."""
    other = make_lab(strategy="knn")
    before = state_hash(tiny_model.module)
    with lab.adapted(PROMPT) as tuned:
        found = tuned.bits_per_byte(PROMPT)
        with pytest.raises(LabError, match="adapted: this Lab's model has adapted open"), other.adapted(PROMPT):
            pass
        with pytest.raises(LabError, match="Lab: this Lab's model"):
            make_lab()
        assert tuned.bits_per_byte(PROMPT) == found
    with other.adapted(PROMPT) as tuned:
        assert tuned.timing.steps == 6
    assert state_hash(tiny_model.module) == before
    copy.deepcopy(tiny_model.module)  # lanes do


def test_an_adaptation_that_was_never_entered_holds_nothing(lab, tiny_model):
    before = state_hash(tiny_model.module)
    lab.adapted(PROMPT)
    with lab.adapted(PROMPT):
        pass
    assert state_hash(tiny_model.module) == before


def test_a_refusal_or_a_failure_leaves_the_gate_open(lab):
    for _ in range(2):
        with pytest.raises(Exception, match="prompt is empty"), lab.adapted(""):
            pass
        with pytest.raises(Exception, match="nothing to score"):
            lab.bits_per_byte("")
    with lab.adapted(PROMPT) as tuned:
        assert tuned.timing.steps == 6


def test_labs_of_one_model_share_compiled_steps_or_are_refused(make_lab, tmp_path, monkeypatch):
    """Each would move the weights away from under the other: nothing trained, or nothing restored."""
    monkeypatch.setattr(CompiledBackend, "_wrap", lambda self, function: function)  # the compiler takes seconds
    model = load_model(write_model(tmp_path / "m"), device="cpu")
    labs = [make_lab(model=model, backend="compiled", lr=lr) for lr in (1e-3, 1e-2)]
    before = state_hash(model.module)
    untouched, found = labs[0].bits_per_byte(PROMPT), []
    for lab in labs:
        with lab.adapted(PROMPT) as tuned:
            found.append(tuned.bits_per_byte(PROMPT))
        assert state_hash(model.module) == before and lab.bits_per_byte(PROMPT) == untouched
    assert len({untouched, *found}) == 3
    with pytest.raises(UsageError, match="another Engine on the compiled backend"):
        make_lab(model=model, backend="eager")
    with pytest.raises(UsageError, match=r"bias\+norm would disturb"):
        make_lab(model=model, backend="compiled", trainable="bias+norm")
    del labs, lab, tuned
    make_lab(model=model, backend="eager")
