"""How names, numbers and intervals are written."""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

SHORT = {"redundancy": "R", "strength": "λ", "temperature": "τ", "label_temperature": "T"}
LONG = {
    "redundancy": "redundancy R",
    "label_temperature": "label temperature T",
    "embed_dim": "size of the embedding",
}


class Unit(NamedTuple):
    """What a quality metric and its changes are called and measured in.

    Attributes:
      metric: as a noun.
      scale: from the table's numbers to those shown.
      suffix: after a value, e.g. " %".
      change_name: what changes are called; more is better.
      change: their unit.
      digits: decimals shown.
    """

    metric: str
    scale: float
    suffix: str
    change_name: str
    change: str
    digits: int


def unit(metric: str, largest: float) -> Unit:
    """The unit of a quality metric whose changes are at most `largest`."""
    if metric.endswith("accuracy"):
        return Unit("accuracy", 100, " %", "change in accuracy", "points", 1)
    digits = 2 - math.floor(math.log10(largest)) if 0 < largest < math.inf else 3
    digits = max(0, min(digits, 8))
    return Unit("mean absolute error", 1, "", "fall in error", "units of the target", digits)


def number(value: float, digits: int, sign: bool = False) -> str:
    """A number with a true minus; one that rounds to zero has no sign."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def value(x: Any) -> str:
    """A value of a task axis or a hyperparameter."""
    if isinstance(x, str) or pd.api.types.is_bool(x):
        return str(x)
    return f"{x:g}".replace("-", "−") if pd.api.types.is_number(x) else str(x)


def setting(column: str, x: Any) -> str:
    """One coordinate of a task or setting: "R = 3", "labels = 100", "kar, pix"."""
    if column == "modalities":
        return str(x).replace(",", ", ")
    return f"{short_name(column)} = {value(x)}"


def short_name(column: str) -> str:
    """A column in a few letters."""
    return SHORT.get(column, column.replace("_", " "))


def long_name(column: str) -> str:
    """A column as an axis label."""
    return LONG.get(column, column.replace("_", " "))


def shorten(text: str, length: int) -> str:
    """`text` with its middle left out: names often differ only at the end."""
    if len(text) <= length:
        return text
    left = (length - 1) // 2
    return f"{text[:left]}…{text[left - length + 1 :]}"


def listed(items: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def capital(text: str) -> str:
    """`text` with its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def glued(text: str) -> str:
    """`text` whose equations, percentages and hyphens in names do not break across lines."""
    text = re.sub(r" ([=≤≥]) ", "\u00a0\\1\u00a0", text)
    return text.replace(" %", "\u00a0%").replace("k-NN", "k\u2011NN")


def bits_are_not_information(axis: str | None) -> str:
    """What to add where the redundancy R of the synthetic task is plotted, else nothing."""
    if axis != "redundancy":
        return ""
    return " R counts relevant bits that both modalities see: R = 0 is not zero redundancy in nats."
