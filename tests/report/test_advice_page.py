"""The page of advice: pictures that show what was measured, for every verdict."""

import numpy as np
import pytest
from helpers import tables
from helpers.legible import check
from matplotlib import rc_context

from redalign_jax.report import advice, advice_figures, render
from redalign_jax.report.style import STYLE


def drawn(found, width=render.WIDE):
    with rc_context(STYLE):
        charts = {chart.name: chart for chart in advice_figures.charts(found)}
        return {name: (chart, chart.draw(width)) for name, chart in charts.items()}


@pytest.mark.parametrize(("metric", "scale"), [("accuracy", 100), ("mae", 1)])
def test_pictures_hold_what_was_measured(metric, scale):
    found = tables.advised(metric=metric)
    expected, figure = drawn(found)["expected_change"]
    (ax,) = figure.axes
    # what was not measured is not drawn; what is undecided is
    assert [t.get_text() for t in ax.get_yticklabels()] == ["vision", "text"]
    assert [t.get_text() for t in ax.texts] == ["align", "undecided"]
    points = [line for line in ax.lines if len(np.atleast_1d(line.get_xdata())) == 1]
    bars = [bar.get_segments()[0][:, 0].tolist() for bar in ax.collections]
    for name, point, bar in zip(("vision", "text"), points, bars, strict=True):
        mean, *ends = found["pilot"]["measured"][name]
        assert np.atleast_1d(point.get_xdata())[0] == pytest.approx(mean * scale)
        assert bar == pytest.approx([end * scale for end in ends])
    assert len({(p.get_color(), p.get_marker()) for p in points}) == 2
    assert "more is better" in ax.get_xlabel()
    assert "vision, align: +" in expected.alt and "text, undecided" in expected.alt

    tried, figure = drawn(found)["tried"]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["vision", "text", "audio"]
    for ax in figure.axes:
        (line,) = (line for line in ax.lines if len(line.get_xdata()) == 3)
        assert line.get_ydata() == pytest.approx(np.array([0, 0.02, 0.06]) * scale)
        assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "2", "16"]
    assert "audio: 0" in tried.alt


def test_the_page_has_the_pictures_and_their_files(tmp_path):
    found = tables.advised()
    page = advice.make(tmp_path, {"config": tables.CONFIG}, found).read_text()
    for name in ("expected_change", "tried"):
        assert f'<section id="{name}">' in page
        assert (tmp_path / "figures" / f"{name}.svg").stat().st_size > 1000
    assert "not a heading" in page and "<b>What vision tells" not in page
    for row in found["encoders"].values():
        row |= {"verdict": "undecided", "strength": 0.0}
    found["pilot"] = {"folds": 0, "labelled": 40}  # too few to try
    page = advice.make(tmp_path, {"config": tables.CONFIG}, found).read_text()
    assert "<img" not in page


@pytest.mark.parametrize("width", [render.WIDE, render.NARROW])
def test_text_of_pictures_is_legible(width):
    for chart in advice_figures.charts(tables.advised((*tables.NASTY, "c"))):
        check(chart, width)
