"""Build the site: ``python docs/tools/build_site.py [FOLDER]`` writes it to ``build/docs``, or to FOLDER.

Warnings are errors. It needs no network, neither to build nor to read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from checking import menu_faults, site_faults
from mathfont import write_font
from staging import ROOT, sources, stage

CONFIG = ROOT / "docs" / "mkdocs.yml"
BUILDER = ("zensical", "build", "--strict")


def build(site: Path) -> int:
    """Build into a folder, in place of what was there; ``NAME.work`` beside it keeps what it was made of.

    Returns:
        0, or 1 after saying on stderr what is wrong.
    """
    work = site.with_name(f"{site.name}.work")
    shutil.rmtree(work, ignore_errors=True)  # the builder's cache too: a page that it knows is not looked at again
    stage(work / "pages")
    write_font(work / "pages" / "math.woff")
    shutil.copyfile(CONFIG, work / "mkdocs.yml")
    paths = (ROOT / "docs" / "tools", ROOT, ROOT / "strategies")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run([sys.executable, "-m", *BUILDER, "-f", "mkdocs.yml"], cwd=work, env=environment, check=False)
    faults = menu_faults(CONFIG.read_text(encoding="utf-8"), sources())
    faults += ["the builder failed"] if done.returncode else site_faults(work / "site")
    if faults:
        sys.stderr.write("".join(f"{fault}\n" for fault in faults))
        return 1
    shutil.rmtree(site, ignore_errors=True)
    (work / "site").rename(site)
    return 0


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "build" / "docs"))
