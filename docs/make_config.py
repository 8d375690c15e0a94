"""Prints docs/config.md: every field of an experiment, from the table of fields and the sources.

python docs/make_config.py > docs/config.md
"""

import inspect
import math
import re
from types import ModuleType
from typing import Any

from redalign_jax import data
from redalign_jax.fields import FIELDS, HUGE, LARGEST, Field

TOP = """\
# Every field

Made by `python docs/make_config.py > docs/config.md` from the table of fields
(`redalign_jax/fields.py`) and the defaults of the sources (`redalign_jax/data/sources/`). The
defaults here are the base; a file in `configs/` sets some of them anew.

A field is set as `--config.SECTION.FIELD=VALUE`, or in a file of your own. A field whose default is
a tuple takes several values. Several values in `data`, in `hyper` or in `encoder.embed_dim` are an
axis of the sweep: every combination is a run. In `encoder.hidden_sizes`, `alignment.projection`,
`decompose.hidden_sizes` and `log.profile` the values belong to one setting. Numbers in `hyper` are
traced: sweeping them compiles nothing anew. An entry of `hyper.strength` may be a tuple, one λ per
modality: `--config.hyper.strength="(0,0),(3,0),(0,3)"`.
"""
COMMON = {  # of sources that need no word of their own
    "modalities": "comma-separated names",
    "valid": "share of the labelled pairs in the validation split",
    "test": "the same for the test split",
}


def page() -> str:
    """The text."""
    parts = [TOP]
    for section, rows in FIELDS.items():
        parts += [f"\n## {section}\n", "| field | default | may be | what it is |"]
        parts += ["| --- | --- | --- | --- |"]
        for name, row in rows.items():
            dotted = f"{section}.{name}" if name else section
            parts.append(_row(dotted, _code(row.default), _allowed(row), row.words))
    parts.append("\n## data\n\n`data.source` names where tasks come from; the others belong to it.")
    same: dict[tuple, list[str]] = {}  # sources that have the same fields
    for source in data.SOURCES:
        module = data.module(source)
        said = COMMON | _comments(module)
        rows = tuple(
            _row(f"data.{name}", _code(value), said.get(name, ""))
            for name, value in data.defaults(source).items()
            if name != "source"
        )
        same.setdefault(rows, []).append(source)
    for rows, sources in same.items():
        parts += [f"\n### {', '.join(sources)}\n", "| field | default | what it is |"]
        parts += ["| --- | --- | --- |", *rows]
    return "\n".join(parts) + "\n"


def _comments(module: ModuleType) -> dict[str, str]:
    """What the source says beside its defaults."""
    text = inspect.getsource(module)
    return dict(re.findall(r'^ +"(\w+)": .*?  # (.*)$', text, re.MULTILINE))


def _row(*cells: str) -> str:
    return f"| `{cells[0]}` | " + " | ".join(c.replace("|", "\\|") for c in cells[1:]) + " |"


def _code(value: Any) -> str:
    if value in ("", ("",)):
        return "empty"
    if isinstance(value, tuple):
        return (
            "`"
            + (";" if any("," in str(v) for v in value) else ",").join(str(v) for v in value)
            + "`"
            if value
            else "`()`"
        )
    return f"`{value}`"


def _allowed(row: Field) -> str:
    if row.choices:
        return ", ".join(f"`{c}`" for c in row.choices)
    if row.kind not in (int, float):
        return {"bool": "true, false", "str": "text"}[row.kind.__name__]
    kind = "whole number" if row.kind is int else "number"
    low = f"above {row.low:g}" if row.above else f"at least {row.low:g}"
    bounded = row.high < min(math.inf, HUGE) and row.high != LARGEST
    return f"{kind}, {low}" + (f", at most {row.high:,.10g}" if bounded else "")


if __name__ == "__main__":
    print(page(), end="")
