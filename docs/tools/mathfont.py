"""The font that formulas are drawn with: STIX Two Math (SIL Open Font License 1.1), cut down to what formulas need.

MathML takes its spacing from the font, and not every system has one for mathematics. This one comes with the package
``ziamath``, whose code is not used.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from fontTools import subset

#: Latin, Greek, punctuation, arrows, operators, brackets, and italic letters of both alphabets.
_RANGES = (
    *((0x20, 0x7F), (0xA0, 0x100), (0x370, 0x400), (0x2000, 0x2070), (0x2100, 0x2150), (0x2190, 0x2200)),
    *((0x2200, 0x2320), (0x27E6, 0x27F0), (0x1D434, 0x1D468), (0x1D6A4, 0x1D716)),
)


def write_font(target: Path) -> None:
    """Write the font as WOFF."""
    files = importlib.metadata.files("ziamath") or []
    source = next(str(file.locate()) for file in files if file.name == "STIXTwoMath-Regular.ttf")
    options = subset.Options()
    options.flavor = "woff"
    options.layout_features = ["ssty", "dtls", "kern"]
    options.name_IDs = ["*"]  # the licence stays with it
    font = subset.load_font(source, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[code for first, end in _RANGES for code in range(first, end)])
    subsetter.subset(font)
    subset.save_font(font, str(target), options)


__all__ = ["write_font"]
