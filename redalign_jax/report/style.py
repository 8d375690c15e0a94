"""What figures look like; lines are told apart by colour, marker and, if unordered, dashes."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.labelcolor": "#222222",
    "axes.edgecolor": "#777777",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": "#777777",
    "ytick.color": "#777777",
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "text.parse_math": False,  # a modality may be called $x$
    "svg.fonttype": "path",
    "svg.hashsalt": "redalign",  # the same identifiers every time
}
CHARACTER = 0.068  # inches, of a label
MARKERS = "osD^vPX<>*"
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 3)))
# Okabe and Ito's colours for the colour-blind, the dark ones first; yellow is too pale on white
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#444444")


class Look(NamedTuple):
    """How one line is drawn."""

    colour: str
    marker: str
    dash: str | tuple
    filled: bool = True


def ordered(count: int) -> list[Look]:
    """Looks of lines along a numeric axis: dark to light, never too pale for white paper."""
    scale = matplotlib.colormaps["viridis"]
    places = [0.85 * i / max(1, count - 1) for i in range(count)]
    return [
        Look(matplotlib.colors.to_hex(scale(p)), MARKERS[i % len(MARKERS)], "-", i % 2 == 0)
        for i, p in enumerate(places)
    ]


def unordered(count: int) -> list[Look]:
    """Looks of lines that only have names."""
    return [
        Look(
            COLOURS[i % len(COLOURS)],
            MARKERS[i % len(MARKERS)],
            DASHES[i % len(DASHES)],
            i % 2 == 0,
        )
        for i in range(count)
    ]


PLAIN = Look("#111111", "*", "-")
TOGETHER = Look("#111111", "*", (0, (1, 1.2)))


def fitting(labels: Sequence[str], width: float) -> range:
    """Which of evenly spaced labels to show, so that they do not touch within `width` inches."""
    longest = max(map(len, labels))
    return range(0, len(labels), math.ceil(len(labels) * (longest * CHARACTER + 0.06) / width))


def luminance(colour: Any) -> float:
    """Relative luminance of WCAG 2, in [0, 1]."""
    parts = matplotlib.colors.to_rgb(colour)
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def dark(colour: Any) -> str:
    """A colour of a line, darkened until text in it is legible on white, 4.5:1."""
    parts = matplotlib.colors.to_rgb(colour)
    while 1.05 / (luminance(parts) + 0.05) < 4.6:  # hex digits round
        parts = tuple(0.95 * v for v in parts)
    return matplotlib.colors.to_hex(parts)
