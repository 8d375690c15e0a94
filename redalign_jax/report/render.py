"""Charts to bytes: SVG for a desktop and for a phone, PNG for slides."""

import io
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from redalign_jax.report.style import STYLE
from redalign_jax.runtime import workdir

WIDE, NARROW = 7.2, 3.7  # inches: a page of a paper, a phone
DPI = 220


class Chart(NamedTuple):
    """A figure of the report, not yet drawn.

    Attributes:
      name: of its files.
      title: what it answers, in a few words.
      caption: how to read it.
      alt: what a reader who cannot see it should know.
      draw: width in inches → the figure.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[float], Figure]


class Drawn(NamedTuple):
    """A chart and its pictures."""

    chart: Chart
    wide: bytes
    narrow: bytes
    png: bytes


def render(chart: Chart) -> Drawn:
    """Draws a chart at both widths; the same bytes every time."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # a name in a script that the font lacks: the page and its tables have it as text
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        wide, narrow = (laid_out(chart.draw(width)) for width in (WIDE, NARROW))
        svg = {"format": "svg", "metadata": {"Date": None, "Creator": None}}
        png = {"format": "png", "dpi": DPI, "metadata": {"Software": None}}
        return Drawn(chart, _bytes(wide, **svg), _bytes(narrow, **svg), _bytes(wide, **png))


def save(folder: Path, drawn: Sequence[Drawn]) -> None:
    """Writes `figures/*.svg` and `figures/*.png` into a workdir."""
    for one in drawn:
        stem = folder / "figures" / one.chart.name
        for suffix, picture in ((".svg", one.wide), (".png", one.png)):
            workdir.write(stem.with_suffix(suffix), partial(Path.write_bytes, data=picture))


def laid_out(figure: Figure) -> Figure:
    """Lays a figure out once; left to itself, it would be at every drawing."""
    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine:
        engine.execute(figure)
        figure.set_layout_engine(None)
    return figure


def _bytes(figure: Figure, **how: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, **how)
    return file.getvalue()
