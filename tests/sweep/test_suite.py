from __future__ import annotations

import pytest

from ttft_bench.errors import SuiteError, UsageError
from ttft_bench.sweep.suite import Suite, load_suite


def write(tmp_path, text):
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_the_built_in_suite_loads():
    suite = load_suite("quick")
    assert suite.name == "quick" and suite.corpus.source == "minipile"
    assert suite.select.budgets == (1, 2, 4, 8) and suite.select.reuse == (1, 2)
    assert [control.label for control in suite.controls] == ["random-corpus"]


def test_a_file_overrides_defaults_and_takes_its_name_from_the_file(tmp_path):
    suite = load_suite(write(tmp_path, "[finetune]\nlr = 1\n[select]\nbudgets = [3]\n"))
    assert (suite.name, suite.finetune.lr, suite.select.budgets) == ("mine", 1.0, (3,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("budgets = [1]", "unknown key budgets"),
        ("[select]\nbudget = [1]", r"unknown key select\.budget: did you mean select\.budgets"),
        ("[pool]\nk = 'many'", r"pool\.k must be int, got 'many'"),
        ("[pool]\nk = true", r"pool\.k must be int"),
        ("[pool]\nk = 0", r"pool\.k must be at least 1"),
        ("[select]\nbudgets = 5", r"select\.budgets must be a list"),
        ("[select]\nbudgets = [0]", "budgets must be whole numbers of at least 1, got 0"),
        ("[select]\nreuse = []", "reuse must be whole numbers of at least 1, got none"),
        ("[[controls]]\nlabel = 'x'", "lacks strategy"),
        ("[[controls]]\nlabel = 'x'\nstrategy = 'knn'\npol = 'r'", r"unknown key controls\[0\]\.pol: did you mean"),
        ("[pool]\nsource = 'bm52'", r"pool\.source must be one of embedding, random, bm25"),
        ("[[controls]]\nlabel = 'x'\nstrategy = 'knn'\npool = 'far'", "pool of control x must be one of"),
        (
            "[[controls]]\nlabel = 'x'\nstrategy = 'knn'\n[[controls]]\nlabel = 'x'\nstrategy = 'random'",
            "control x is given twice: .* a label of its own",
        ),
        ("[select]\ngrouping = ['runs', 'both']", r"select\.grouping must be one of runs, global"),
        ("[finetune]\ndropout = true\nseeds = 2", "at least 3 where dropout is on, got 2"),
        ("[finetune]\nseeds = 2", "without dropout makes equal rows"),
        ("corpus = 3", "corpus must be a table"),
        ("= broken", "cannot be read as TOML"),
    ],
)
def test_bad_suite_files_are_named_with_the_key(tmp_path, text, message):
    with pytest.raises(SuiteError, match=message) as error:
        load_suite(write(tmp_path, text))
    assert "mine.toml" in str(error.value)
    assert error.value.exit_code == 2


def test_dropout_brings_three_seeds(tmp_path):
    assert load_suite(write(tmp_path, "[finetune]\ndropout = true")).finetune.n_seeds == 3
    assert load_suite(write(tmp_path, "[finetune]\ndropout = true\nseeds = 5")).finetune.n_seeds == 5
    assert load_suite(write(tmp_path, "")).finetune.n_seeds == 1


def test_missing_file_and_unknown_name(tmp_path):
    with pytest.raises(SuiteError, match="does not exist"):
        load_suite(str(tmp_path / "none.toml"))
    with pytest.raises(SuiteError, match=r"quikc.*quick"):
        load_suite("quikc")


def test_flags_override(tmp_path):
    suite = Suite("s").with_changes("pool", k=None).with_changes("pool", k=7).with_changes("", seed=3)
    assert (suite.pool.k, suite.seed) == (7, 3)
    with pytest.raises(UsageError):
        suite.with_changes("pool", k=0)
