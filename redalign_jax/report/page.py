"""The page: one HTML file that needs no other."""

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from redalign_jax.analysis import differences
from redalign_jax.report import (
    control,
    format,
    law_text,
    mechanism,
    published,
    reading,
    regime_map,
    sentences,
    tables,
)
from redalign_jax.report.facets import Layout
from redalign_jax.report.findings import Findings
from redalign_jax.report.render import Drawn

STYLE = Path(__file__).with_name("style.css")


def build(
    about: dict[str, Any],
    results: pd.DataFrame,
    summary: dict[str, Any],
    plan: Layout,
    found: Findings,
    drawn: Sequence[Drawn],
    decomposed: str = "",
) -> str:
    """The report of a sweep as HTML.

    Args:
      about: what `config.json` holds.
      results: the tidy table.
      summary: of the results, see `conclusions.summarise`.
      plan: of its figures.
      found: the best strengths.
      drawn: the figures, in reading order.
      decomposed: the section about information, if any.
    """
    said = sentences.of(plan, found, summary["trends"])
    source = about["config"]["data"].get("source", "experiment")
    said_of = {
        "law": _list(law_text.sentences(summary["law"], plan)),
        "regimes": _list(regime_map.sentences(summary["regimes"], summary["regime_overview"])),
    }
    figures = [
        figure(number, drawing, said_of.get(drawing.chart.name, ""))
        for number, drawing in enumerate(drawn, 1)
    ]
    # the table belongs to the figure of what it holds
    told = next((i for i, f in enumerate(drawn, 1) if f.chart.name == "best_strength"), 0)
    body = [
        f'<header><p class="kicker">redalign · {escape(str(source))}</p>'
        f"<h1>{_text(said.headline)}</h1>",
        _list([*said.reasons, *published.sentences(source)]),
        f'<p class="counts">{escape(_counts(summary, results))}</p>'
        f'<p class="setup">{escape(_setup(about["config"]))}</p></header>',
        *figures[:told],
        _numbers(results, plan, found),
        *figures[told:],
        mechanism.section(summary["balanced"], plan),
        control.section(summary["shuffled"], plan),
        _regimes(summary, plan),
        decomposed,
        _runs(results, summary),
        reading.section(plan, results),
        _provenance(about),
    ]
    return document(said.headline, body)


def alone(about: dict[str, Any], headline: str, decomposed: str) -> str:
    """The page of a workdir that holds a decomposition and no sweep."""
    source = about["config"]["data"].get("source", "experiment")
    header = (
        f'<header><p class="kicker">redalign · {escape(str(source))}</p>'
        f"<h1>{_text(headline)}</h1></header>"
    )
    return document(headline, [header, decomposed, _provenance(about)])


def document(title: str, body: Sequence[str]) -> str:
    """A page of its own, from its title and the HTML of its parts."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · redalign</title>\n"
        f"<style>\n{STYLE.read_text()}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    return escape(format.glued(text))


def _list(items: Sequence[str]) -> str:
    if not items:
        return ""
    lines = []
    for item in items:
        lead, colon, rest = item.partition(": ")
        known = colon and len(lead) < 80
        lines.append(
            f"<li><b>{_text(lead)}:</b> {_text(rest)}</li>" if known else f"<li>{_text(item)}</li>"
        )
    return f'<ul class="reasons">{"".join(lines)}</ul>'


def _counts(summary: dict[str, Any], results: pd.DataFrame) -> str:
    role = differences.columns(results)
    tasks = len(results[role.tasks].drop_duplicates()) if role.tasks else 1
    settings = len(results[[*role.others, *role.strengths]].drop_duplicates())
    lost = summary["diverged"]
    far = summary["under_way"]
    under_way = ""
    if far:
        under_way = f"The sweep is not finished: {far['runs']:,} of {far['of']:,} runs are. "
    return (
        f"{under_way}{summary['runs']:,} runs: {tasks} {_plural('task', tasks)} × {settings} "
        f"{_plural('setting', settings)} × {summary['seeds']} {_plural('seed', summary['seeds'])}; "
        f"{lost if lost else 'none'} diverged."
    )


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _setup(config: dict[str, Any]) -> str:
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


def figure(number: int, drawn: Drawn, said: str = "") -> str:
    """A figure with its title, what is said of it, and its caption."""
    chart = drawn.chart
    wide, narrow = (
        f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}"
        for picture in (drawn.wide, drawn.narrow)
    )
    return (
        f'<section id="{chart.name}"><h2>{escape(chart.title)}</h2>\n{said}<figure><picture>'
        f'<source media="(max-width: 640px)" srcset="{narrow}">'
        f'<img src="{wide}" alt="{escape(chart.alt)}"></picture>\n'
        f"<figcaption><b>Figure {number}.</b> {_text(chart.caption)} "
        f'<span class="file">figures/{chart.name}.svg</span></figcaption></figure></section>'
    )


def _numbers(results: pd.DataFrame, plan: Layout, found: Findings) -> str:
    if not len(plan.finished):
        return ""
    parts = [
        '<section id="numbers"><h2>The numbers</h2>',
        tables.best(results, plan, found),
        '<p class="note">▲ p of the gain is at most .05, ▼ p of the loss; the verdict is the first '
        "that holds: helps ▲, hurts ▼, neither (gain and loss are shown to be smaller than "
        f"{reading.margin(plan)}), undecided.</p>",
    ]
    if results["strength"].isna().any():
        parts += ["<h3>Encoders with strengths of their own</h3>", tables.directed(results, plan)]
    return "\n".join([*parts, "</section>"])


def _regimes(summary: dict[str, Any], plan: Layout) -> str:
    if not summary["regimes"]:
        return ""
    means = regime_map.overview_table(summary["regime_overview"], plan)
    every = regime_map.table(summary["regimes"], plan)
    return f'<section id="every_regime"><h2>Every regime</h2>{means}{every}</section>'


def _runs(results: pd.DataFrame, summary: dict[str, Any]) -> str:
    if not summary["diverged"]:
        return ""
    return (
        '<section id="diverged"><h2>Runs that diverged</h2><p>Their encoders count as the worst '
        f"outcome: {reading.worst(results)}, or the worst run of the same task and encoder that "
        "did not diverge if that is worse; an encoder of which every run diverged is left out. "
        "Changes at these settings are bounds. Similarities leave diverged runs out.</p>"
        f"{tables.diverged(results)}</section>"
    )


def _provenance(about: dict[str, Any]) -> str:
    devices = about.get("devices", [])
    counted = [f"{devices.count(d)} × {d}" for d in dict.fromkeys(devices)]
    versions = ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items())
    facts = {
        "Command": about.get("command", "unknown"),
        "Revision": about.get("git") or "unknown",
        "Devices": ", ".join(counted) or "unknown",
        "Versions": versions or "unknown",
    }
    config = escape(json.dumps(about["config"], indent=2))
    return (
        f'<section id="provenance"><h2>Where this comes from</h2>{tables.pairs(facts)}'
        f"<details><summary>The whole config</summary><pre>{config}</pre></details></section>"
    )
