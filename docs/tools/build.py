"""Build the site: ``python docs/tools/build.py [FOLDER]`` writes it to ``build/docs``, or FOLDER. Warnings are errors.

It needs no network, neither to build nor to read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from staging import ROOT, stage

CONFIG = ROOT / "docs" / "mkdocs.yml"


def build(site: Path) -> int:
    """Build into a folder, in place of what was there; beside it, in ``NAME.work``, lies what it was made of.

    Returns:
        The exit code of the builder.
    """
    work = site.with_name(f"{site.name}.work")
    stage(work / "pages")
    shutil.copyfile(CONFIG, work / "mkdocs.yml")
    paths = (ROOT / "docs" / "tools", ROOT, ROOT / "strategies")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-m", *BUILDER, "-f", "mkdocs.yml"]
    done = subprocess.run(command, cwd=work, env=environment, check=False).returncode
    if done == 0:
        shutil.rmtree(site, ignore_errors=True)
        (work / "site").rename(site)
    return done


BUILDER = ("zensical", "build", "--strict")

if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "build" / "docs"))
