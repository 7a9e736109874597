"""The site's own modules, and the site, built once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "docs" / "tools"
sys.path.append(str(TOOLS))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; building it is a test in itself, for warnings are errors."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    done = subprocess.run([sys.executable, str(TOOLS / "build_site.py"), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
