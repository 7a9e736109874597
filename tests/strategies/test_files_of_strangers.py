"""Plug-ins that stand for a file: a stranger's function is called in a child process, whatever it does there."""

from __future__ import annotations

import os
import sys

import pytest

from strangers import write_plugin
from ttft_bench import registry
from ttft_bench.errors import BrokenPluginError
from ttft_bench.registry.installed import SUITES

MODULE = """
import os, sys, time

def good(): return __file__
def hangs(): time.sleep(600)
def ends(): os._exit(7)
def leaves(): sys.exit(0)
def number(): return 3
def nowhere(): return "/nowhere/suite.toml"
"""
NAMES = ("good", "hangs", "ends", "leaves", "number", "nowhere")


@pytest.fixture
def planted(tmp_path, monkeypatch):
    file = write_plugin(tmp_path, "odd-suites", MODULE, SUITES, {f"{name}-suite": name for name in NAMES})
    monkeypatch.syspath_prepend(str(tmp_path))
    return file


def test_a_function_of_a_stranger_is_called_elsewhere(planted):
    assert registry.file_of("good-suite", SUITES) == planted
    assert "odd_suites" not in sys.modules, "neither imported nor called here"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("ends", "its function ended the process (exit code 7)"),
        ("leaves", "SystemExit: 0"),
        ("number", "TypeError"),
        ("nowhere", f"{os.sep}nowhere{os.sep}suite.toml is no file"),
    ],
)
def test_one_that_fails_is_broken_and_says_why(planted, name, cause):
    with pytest.raises(BrokenPluginError) as told:
        registry.file_of(f"{name}-suite", SUITES)
    assert cause in str(told.value) and "odd-suites 1.0" in str(told.value) and "tell its author" in str(told.value)


def test_one_that_hangs_is_given_up(planted):
    path, fault = registry._ask_path(registry.entry("hangs-suite", SUITES), timeout_s=6.0)
    assert (path, fault) == ("", "its function took longer than 6 s")
