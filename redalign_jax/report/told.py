"""What is told of the findings: the one headline and list of sentences that everything reads."""

from typing import Any

from redalign_jax.report import answer, published, sentences
from redalign_jax.report.facets import Layout
from redalign_jax.report.findings import Findings


def listed(
    plan: Layout, found: Findings, trends: list[dict[str, Any]], source: str = ""
) -> dict[str, Any]:
    """The headline and the list of findings that page, terminal and `summary.json` read.

    The answer comes first, as one would choose it: stopped early, at the strength that validation
    data choose, with an interval that holds for all of them. What the test split shows in hindsight
    follows. Without learning curves there is only that.

    Returns:
      {"headline", "findings": [{"when": "chosen" | "hindsight" | "published", "text"}]}.
    """
    told = sentences.of(plan, found, trends)
    first = answer.of(plan, found)
    seen = [f"{told.headline}.", *told.reasons] if first else told.reasons
    parts = {"chosen": first.reasons if first else [], "hindsight": seen}
    parts["published"] = published.sentences(source)
    return {
        "headline": (first or told).headline,
        "findings": [{"when": w, "text": text} for w, part in parts.items() for text in part],
    }


def text(summary: dict[str, Any]) -> str:
    """The headline and the answer's sentences, for a terminal."""
    chosen = [one["text"] for one in summary["findings"] if one["when"] == "chosen"]
    return "\n".join([summary["headline"], *chosen])
