"""The page of advice: a picture that shows what was measured, for every verdict."""

import numpy as np
import pytest
from helpers import tables
from helpers.legible import check
from matplotlib import rc_context

from redalign_jax.report import advice, advice_figures, format, render
from redalign_jax.report.style import STYLE


def drawn(found, width=render.WIDE):
    with rc_context(STYLE):
        charts = {chart.name: chart for chart in advice_figures.charts(found)}
        return {name: (chart, chart.draw(width)) for name, chart in charts.items()}


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_the_picture_holds_what_was_measured_known_and_expected(scale):
    found = tables.advised(scale=scale)
    expected, figure = drawn(found)["expected_change"]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["vision", "text", "audio"]
    for name, ax in zip(found["encoders"], figure.axes, strict=True):
        assert [t.get_text() for t in ax.get_yticklabels()] == found["trials"]["arms"]
        bars = [bar.get_segments()[0][:, 0].tolist() for bar in ax.collections]
        points = [float(np.atleast_1d(line.get_xdata())[0]) for line in ax.lines[1:]]
        want = []
        for k in range(2):
            want += [found["trials"]["prior"][name][k], found["trials"]["changes"][name][k]]
        want.append(found["encoders"][name]["expected_change"])
        assert points == pytest.approx([scale * one[0] for one in want])
        assert np.ravel(bars) == pytest.approx([scale * v for one in want for v in one[1:]])
    assert "points of accuracy" in figure.axes[-1].get_xlabel()
    assert f"text, posterior: {format.number(2.5 * scale, 1, True)}" in expected.alt


def test_the_page_has_the_picture_and_its_file(tmp_path):
    found = tables.advised()
    page = advice.make(tmp_path, {"config": tables.CONFIG}, found).read_text()
    assert '<section id="expected_change">' in page
    assert (tmp_path / "figures" / "expected_change.svg").stat().st_size > 1000
    assert "not a heading" in page and "<b>What vision tells" not in page
    assert "--job=fit" in page
    for row in found["encoders"].values():
        row |= {"verdict": "cannot tell", "strength": 0.0, "arm": None}
    found["trials"] |= {"repeats": 0}  # too few to try
    page = advice.make(tmp_path, {"config": tables.CONFIG}, found).read_text()
    assert "<img" not in page and "Train without alignment" in page


@pytest.mark.parametrize("width", [render.WIDE, render.NARROW])
def test_text_of_pictures_is_legible(width):
    for chart in advice_figures.charts(tables.advised((*tables.NASTY, "c"))):
        check(chart, width)
