"""Drawing without a display and without global state: figures are objects, rendered to bytes.

Every text that a plug-in or a corpus had a hand in passes through ``printable``, and mathtext is off, so that
a ``$`` in a name is a dollar sign.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ttft_bench.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Everything that is not a strategy's colour is this ink, at some opacity: a page swaps it for its own.
INK = "#1f2328"
PNG_DPI = 200
#: Longest line that has room across a figure.
LINE_CHARS = 95

_SETTINGS: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "grid.alpha": 0.12,
    "grid.color": INK,
    "grid.linewidth": 0.8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "path",
    "text.color": INK,
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def drawing_style() -> Iterator[None]:
    """Our settings around building *and* rendering a figure, whatever the user's matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        # A name in a script that the font lacks is drawn as boxes; that is no reason to fail or to warn.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of its own (inches), without pyplot, with one pair of axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def new_grid(width: float, height: float, lines: int, columns: int) -> tuple[Figure, list[Axes]]:
    """As :func:`new_axes`, with several pairs of axes, line by line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(lines, columns, squeeze=False).flat)


def settle_layout(figure: Figure) -> None:
    """Arrange the figure once and for all: otherwise every rendering does it again, which takes most of its time."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def to_png(figure: Figure) -> bytes:
    """PNG on white."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": None})
    return target.getvalue()


def to_svg(figure: Figure, salt: str) -> bytes:
    """SVG that is the same, byte for byte, for the same figure: no date, ids from a fixed salt."""
    import matplotlib

    target = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        figure.savefig(target, format="svg", facecolor="white", metadata=nothing)
    return target.getvalue()


def label(text: str, width: int = LINE_CHARS) -> str:
    """Text for a figure: harmless, and broken into lines. It is never cut, for names may differ at their end alone."""
    return "\n".join(textwrap.wrap(printable(text), width, break_on_hyphens=False))


__all__ = [
    "INK",
    "LINE_CHARS",
    "PNG_DPI",
    "drawing_style",
    "label",
    "new_axes",
    "new_grid",
    "settle_layout",
    "to_png",
    "to_svg",
]
