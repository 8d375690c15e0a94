"""The page: one HTML file that needs no other, from templates that escape all they are given."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from redalign_jax.analysis import differences
from redalign_jax.report import format
from redalign_jax.report.render import Drawn

_ENVIRONMENT = Environment(
    loader=PackageLoader("redalign_jax.report"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def _embedded(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


_ENVIRONMENT.filters |= {"glued": format.glued, "embedded": _embedded}


def fill(template: str, **values: Any) -> Markup:
    """`templates/<template>.html` with these values; text among them is escaped."""
    return Markup(_ENVIRONMENT.get_template(f"{template}.html").render(values))


def report(
    about: dict[str, Any],
    found: dict[str, Any],
    figures: Sequence[Drawn] = (),
    decomposed: Markup | str = "",
    **sections: Any,
) -> str:
    """The page of a sweep or a decomposition.

    Args:
      about: what `config.json` holds.
      found: the headline and the list of findings, see `told.listed`.
      figures: in reading order.
      decomposed: the section about information.
      **sections: what only a sweep has, as `templates/report.html` names it.
    """
    empty = dict.fromkeys(
        ("counts", "setup", "numbers", "mechanism", "control", "regimes", "diverged"), ""
    )
    values = empty | {"said": {}, "reading": None} | sections
    values |= {"title": found["headline"], "figures": figures, "decomposed": decomposed}
    for when in ("chosen", "hindsight", "published"):
        values[when] = [one["text"] for one in found["findings"] if one["when"] == when]
    values["data"] = data(about)
    values["source"] = about["config"]["data"].get("source", "experiment")
    values["config"] = json.dumps(about["config"], indent=2)
    return fill("report", provenance=_provenance(about), **values)


def _provenance(about: dict[str, Any]) -> dict[str, str]:
    devices = about.get("devices", [])
    counted = [f"{devices.count(d)} × {d}" for d in dict.fromkeys(devices)]
    versions = ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items())
    return {
        "Command": about.get("command", "unknown"),
        "Revision": about.get("git") or "unknown",
        "Devices": ", ".join(counted) or "unknown",
        "Versions": versions or "unknown",
        "Products": _products(about["config"].get("train", {}).get("precision", "default")),
    }


def _products(precision: str) -> str:
    own = "the devices' own precision" if precision == "default" else f"precision {precision}"
    return f"float32, in training at {own}, in measures at full precision"


def data(about: dict[str, Any]) -> Markup:
    """The look at a user's own data, see `data.look`; empty for other data."""
    lines = about.get("look", [])
    return fill("data", lines=lines) if lines else Markup()


def counts(summary: dict[str, Any], results: pd.DataFrame) -> str:
    """How many runs, tasks, settings and seeds the page is about."""
    role = differences.columns(results)
    tasks = len(results[role.tasks].drop_duplicates()) if role.tasks else 1
    settings = len(results[[*role.others, *role.strengths]].drop_duplicates())
    far = summary["under_way"]
    under_way = ""
    if far:
        under_way = f"The sweep is not finished: {far['runs']:,} of {far['of']:,} runs are. "
    return (
        f"{under_way}{summary['runs']:,} runs: {tasks} {_plural('task', tasks)} × {settings} "
        f"{_plural('setting', settings)} × {summary['seeds']} {_plural('seed', summary['seeds'])}; "
        f"{summary['diverged'] or 'none'} diverged."
    )


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def setup(config: dict[str, Any]) -> str:
    """The experiment in one line."""
    data, hyper = config["data"], config["hyper"]
    encoder, align = config.get("encoder", {}), config.get("alignment", {})
    train = config.get("train", {})
    widths = [*encoder.get("hidden_sizes", []), _values(encoder.get("embed_dim", "?"))]
    labels = _values(data.get("labels"))
    parts = [
        f"{labels} labels" if labels not in ("", "0") else "",
        f"encoders of widths {' → '.join(map(str, widths))}",
        f"{align.get('objective', '')} on the "
        + ("projections" if align.get("projection") else "embeddings"),
        f"τ {_values(hyper.get('temperature'))}",
        f"λ {_values(hyper.get('strength'))}",
        f"{train['steps']:,} steps of {train['batch']} pairs" if train else "",
    ]
    return " · ".join(p for p in parts if p)


def _values(field: Any) -> str:
    if not isinstance(field, list):
        return "" if field is None else format.value(field)
    return ", ".join(
        f"({', '.join(map(format.value, v))})" if isinstance(v, list) else format.value(v)
        for v in field
    )
