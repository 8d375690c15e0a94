"""A sweep's encoders beside those of the atlas: the numbers are those of the table."""

import numpy as np
import pytest
from helpers.tables import CONFIG, THREE, helps, symmetric, table

from redalign_jax.analysis import on_atlas
from redalign_jax.report import atlas_figure, render
from redalign_jax.runtime.results import BALANCED


def swept(early, **how):
    """A table of a grid and, at strength 16, the mechanism."""
    made = table(settings=(*THREE, {"strength": 16.0}), early=early, noise=0, **how)
    made.insert(made.columns.get_loc("subject"), BALANCED, made["strength"] == 16)
    return made


def early(task, encoder, setting):
    at = {"a": 0.01, "b": -0.02, "c": 0.04}[encoder]
    return at * setting["strength"] + 0.001 * task.get("redundancy", 0)


@pytest.mark.parametrize("tasks", [({},), ({"redundancy": 0}, {"redundancy": 8})])
def test_lead_and_change_are_those_of_the_runs(tasks):
    made = swept(early, tasks=tasks, modalities=("a", "b", "c"))
    found = on_atlas.points(made, CONFIG)
    assert len(found) == 2 * 3 * len(tasks)
    rows = made[(made["metric"] == "early_accuracy") & (made["strength"] == 0)]
    for point in found:
        task = {"redundancy": point["redundancy"]} if "redundancy" in point else {}
        strength = 16.0 if point["arm"] == "posterior" else 1.0
        want = 100 * early(task, point["subject"], {"strength": strength})
        assert point["change"] == pytest.approx(want)
        here = rows[rows["redundancy"] == task["redundancy"]] if task else rows
        wide = here.pivot_table(index="seed", columns="subject", values="value")
        best = wide.drop(columns=point["subject"]).max(axis=1)
        assert point["lead"] == pytest.approx(100 * (best - wide[point["subject"]]).mean())
        assert point["change_low"] <= point["change"] <= point["change_high"]
    chart = atlas_figure.chart(found)
    assert render.render(chart).png.startswith(b"\x89PNG")


def test_what_the_atlas_does_not_have_is_not_put_there():
    made = table(early=helps)
    arms = {p["arm"] for p in on_atlas.points(made, CONFIG)}
    assert arms == {"1"}
    for section, field, value in (
        ("hyper", "temperature", [1.0]),
        ("alignment", "objective", "siglip"),
        ("alignment", "learned_temperature", True),
    ):
        other = CONFIG | {section: CONFIG[section] | {field: value}}
        assert on_atlas.points(made, other) == []
    assert on_atlas.points(table(metric="mae"), CONFIG) == []
    assert on_atlas.points(table(settings=symmetric(0, 1, temperature=0.2)), CONFIG) == []
    assert on_atlas.points(table(modalities=("a",)), CONFIG) == []
    lost = made[made["strength"] != 1]
    assert on_atlas.points(lost, CONFIG) == []
    assert np.isfinite([p["lead"] for p in on_atlas.points(made, CONFIG)]).all()
