"""The report: what it says is what the numbers say, of any results, and it needs no other file."""

import json
import re
from functools import partial
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from helpers import planted
from helpers.legible import check
from helpers.tables import CONFIG, KINDS, helps, learning, symmetric, table, with_redundancy, write
from matplotlib import rc_context
from scipy import stats

from redalign_jax import report
from redalign_jax.analysis import conclusions, differences, strengths
from redalign_jax.analysis.trend import trend
from redalign_jax.errors import UserError
from redalign_jax.report import (
    charts,
    facets,
    findings,
    format,
    heatmap,
    law_figure,
    law_text,
    regime_map,
    render,
    sentences,
    told,
)
from redalign_jax.report.style import STYLE


class Page(HTMLParser):
    """Collects what a page refers to, its text, and checks that tags are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.refers, self.images, self.tables, self.text = [], [], [], [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "iframe", "object")
        attrs = dict(attrs)
        self.refers += [attrs[k] for k in ("src", "srcset", "href", "data") if k in attrs]
        assert not any(name.startswith("on") for name in attrs)
        if tag == "img":
            self.images.append(attrs)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in ("img", "meta", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data


def some_slow(kinds, fast):
    """Parameters of which these few belong to the fast tier."""
    return [k if k in fast else pytest.param(k, marks=pytest.mark.slow) for k in kinds]


WHOLE = some_slow([kind for kind in KINDS if kind != "many strengths"], ("arrays", "one seed"))


@pytest.mark.parametrize("kind", WHOLE)
def test_any_results_get_a_whole_page(kind, tmp_path):
    results = KINDS[kind]()
    curves = learning(results) if kind in ("redundancy", "arrays", "all diverged") else None
    summary = report.make(write(tmp_path / "w", results, curves))

    assert json.loads((tmp_path / "w" / "summary.json").read_text()) == summary
    html = (tmp_path / "w" / "report.html").read_text()
    shown = Page(html)
    assert all(ref.startswith("data:image/svg+xml;base64,") for ref in shown.refers)
    assert all(image["alt"] for image in shown.images)
    assert not re.search(r"\b(nan|None|inf)\b", shown.text.replace('"git": null', ""))
    figures = sorted(p.stem for p in (tmp_path / "w" / "figures").glob("*.svg"))
    assert figures == sorted(p.stem for p in (tmp_path / "w" / "figures").glob("*.png"))
    expected = {"change", "best_strength", "similarity"}
    if "redundancy" in results:
        expected.add("encoders")
    if kind.startswith("law"):
        expected.add("law")
        expected.remove("similarity")
        assert "When not to believe it" in shown.text
    if kind == "law of two axes":
        expected.add("regimes")
        assert "Where the law holds" in shown.text
    if kind == "one modality":
        expected.remove("similarity")
    if curves is not None:
        expected.add("learning")
    if summary["atlas"]:
        expected.add("atlas")
    assert set(figures) == (set() if kind == "all diverged" else expected)
    assert len(shown.images) == len(figures)
    for figure in (tmp_path / "w" / "figures").glob("*.svg"):
        ElementTree.parse(figure)  # well-formed
    for name in results["subject"].unique():
        if "|" not in name and name not in ("fusion", "shared") and kind != "all diverged":
            assert name in shown.text


@pytest.mark.slow
def test_redrawing_gives_the_same_bytes(tmp_path):
    results = table()
    for folder in ("first", "second"):
        report.make(write(tmp_path / folder, results, learning(results)))
    report.make(tmp_path / "first")
    files = [p.relative_to(tmp_path / "first") for p in (tmp_path / "first").rglob("*.*")]
    assert len(files) > 10
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def headline(results):
    plan = facets.layout(results)
    trends = [t for axis in differences.columns(results).tasks if (t := trend(results, axis))]
    return sentences.of(plan, findings.find(results, plan), trends)


def test_headline_says_what_is_so():
    nothing = headline(table(change=lambda *_: 0.0, seeds=8))
    assert nothing.headline == "No gain from alignment is shown for a and b"
    assert "Too strong: no loss is shown at the strongest setting." in nothing.reasons

    only_a = table(change=lambda task, encoder, setting: 0.02 if encoder == "a" else -0.02)
    assert headline(only_a).headline == (
        "Alignment helps a but is not shown to help b"
        "; stopped early, with every test of the page counted, no gain is shown"
    )
    lasting = headline(table(early=helps))
    assert lasting.headline == "Alignment helps a and b"
    assert any("no loss is shown" in reason for reason in lasting.reasons)

    along = headline(
        table(
            tasks=[{"redundancy": r} for r in (0, 2, 4, 8)],
            settings=symmetric(0, 0.3, 1, 4),
            change=with_redundancy,
            early=lambda task, *_: 0.02 if task["redundancy"] == 8 else -0.02,
        )
    )
    assert along.headline.startswith(
        "Alignment helps at every redundancy R"
        "; stopped early, with every test of the page counted, a gain is shown only at R = 8"
    )
    assert any(r.startswith("Too strong: λ = 4 harms at R ≤ 4;") for r in along.reasons)
    assert headline(KINDS["one seed"]()).headline.startswith("One seed")
    assert headline(KINDS["all diverged"]()).headline.startswith("Every run diverged")
    assert headline(KINDS["a task diverged"]()).headline.startswith(
        "Alignment helps at R = 0 and 8"
    )


@pytest.mark.slow
def test_the_answer_comes_first_and_is_one_list_for_page_terminal_and_summary(tmp_path):
    """What validation data choose leads; what only the last test scores show is hindsight."""
    results = table(seeds=8, early=lambda task, encoder, _: 0.02 * (encoder == "a"))
    summary = report.make(write(tmp_path / "w", results, learning(results)))
    assert summary["headline"] == (
        "Chosen on validation data, alignment helps a but is not shown to help b"
    )
    shown = Page((tmp_path / "w" / "report.html").read_text()).text
    places = [shown.index(format.glued(one["text"])) for one in summary["findings"]]
    assert places == sorted(places) and len(places) > 5
    whens = [one["when"] for one in summary["findings"]]
    assert whens == sorted(whens, key=["chosen", "hindsight", "published"].index)
    assert "Alignment helps a and b" in summary["findings"][whens.index("hindsight")]["text"]
    lines = told.text(summary).splitlines()
    assert lines[0] == summary["headline"]
    assert lines[1:] == [one["text"] for one in summary["findings"] if one["when"] == "chosen"]
    (of_a,) = (line for line in lines if line.startswith("a: "))
    early = results[(results["metric"] == "early_accuracy") & (results["subject"] == "a")]
    wide = early.pivot(index="seed", columns="strength", values="value")
    chosen = float(of_a.rsplit("λ = ", 1)[1].rstrip("."))
    assert f"{100 * (wide[chosen] - wide[0]).mean():+.1f} [" in of_a

    along = KINDS["redundancy"]()
    summary = report.make(write(tmp_path / "along", along, learning(along)))
    assert summary["headline"].startswith("Chosen on validation data, alignment")
    assert "at any redundancy R" in summary["headline"]
    without = report.make(write(tmp_path / "without", table()))  # no learning curves
    assert without["headline"].startswith("Alignment helps a and b")
    assert {one["when"] for one in without["findings"]} == {"hindsight"}


def paired(results, subject, strength):
    """(seeds,) changes in points, straight from the table."""
    rows = results[(results["metric"] == "accuracy") & (results["subject"] == subject)]
    wide = rows.pivot(index="seed", columns="strength", values="value")
    return 100 * (wide[strength] - wide[0.0]).to_numpy()


def test_table_holds_the_numbers(tmp_path):
    swept = (0.0, 0.1, 0.2, 0.3, 1.0)
    results = table(
        settings=symmetric(*swept),
        seeds=5,
        noise=0.01,
        change=lambda task, encoder, setting: -0.05 if encoder == "b" else 0.0,
    )
    results.insert(1, "resplit", 0.0)  # seeds are draws of their own
    report.make(write(tmp_path / "w", results))
    flattered = 0
    # Holm of two encoders, two directions, three tables: the last step, stopped early, fused
    losses = {m: paired(results, m, 1.0) for m in "ab"}
    first, second = sorted(
        "ab", key=lambda m: stats.ttest_1samp(losses[m], 0, alternative="less").pvalue
    )
    p = {
        m: times * 6 * stats.ttest_1samp(losses[m], 0, alternative="less").pvalue
        for m, times in ((first, 2), (second, 1))
    }
    header, *rows = Page((tmp_path / "w" / "report.html").read_text()).tables[0]
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        changes = paired(results, cells["encoder"], 1.0)
        low, high = stats.t.interval(0.95, 4, np.mean(changes), stats.sem(changes))
        mark = "▼" if p[cells["encoder"]] <= 0.05 else ""
        assert cells["change at the strongest λ"] == (
            f"{mark}{changes.mean():+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")
        )
        every = np.array([paired(results, cells["encoder"], s) for s in swept])
        means, held_out = every.mean(axis=1), []
        for seed in range(5):
            rest = np.delete(every, seed, axis=1).mean(axis=1)
            held_out.append(every[np.argmax(rest), seed])
        gain, held_out = (format.number(v, 1, True) for v in (max(means), np.mean(held_out)))
        assert cells["held-out gain"].lstrip("▲▼").split(" ")[0] == held_out
        flattered += gain != held_out
        assert cells["verdict"] == ("hurts" if mark else "undecided")
    assert flattered  # else the gain at λ* could have been shown instead
    assert [row[0] for row in rows] == ["a", "b"]


def test_main_figure_draws_paired_changes_from_zero():
    results = KINDS["redundancy"]()
    with rc_context(STYLE):
        (ax,) = charts.change(results, facets.layout(results)).draw(render.WIDE).axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "0.3", "1", "4"]
    lines = [line for line in ax.lines if len(line.get_xdata()) == 4]
    for redundancy, line in zip((0, 2, 4, 8), lines, strict=True):
        rows = results[results["redundancy"] == redundancy]
        expected = [
            np.mean([paired(rows, encoder, s) for encoder in ("a", "b")])
            for s in (0.0, 0.3, 1.0, 4.0)
        ]
        np.testing.assert_allclose(line.get_ydata(), expected, atol=1e-9)
        assert abs(line.get_xdata() - np.arange(4)).max() < 0.25
    names = [t.get_text() for t in ax.texts]
    assert {"R = 0", "R = 2", "R = 4", "R = 8"} <= set(names)


@pytest.mark.slow
def test_the_law_is_told_and_drawn_as_it_was_found(tmp_path):
    results = planted.results(planted.spread(6), seeds=4).assign(resplit=0.0)  # fresh draws
    summary = report.make(write(tmp_path / "w", results))
    (found,) = summary["law"]
    shown = Page((tmp_path / "w" / "report.html").read_text())
    rho = next(r for r in found["relations"] if r["outcome"] == "best_strength")
    ends = (format.number(rho[f"spearman{e}"], 2) for e in ("", "_low", "_high"))
    assert "the best strength rises with the shared fraction" in shown.text
    assert format.glued("Spearman’s ρ = {} [{}, {}]".format(*ends)) in shown.text
    plan = facets.layout(results)
    several = [row | {"shared_fraction": None} for row in found["together"]]
    told = law_text.sentences([found | {"together": several}], plan)
    assert not any(
        "slopes of ranks" in sentence for sentence in told
    )  # of which none could be fitted
    assert any("slopes of ranks" in sentence for sentence in law_text.sentences([found], plan))
    with rc_context(STYLE):
        chart = law_figure.chart(summary["law"], facets.layout(results))
        figure = chart.draw(render.WIDE)
    for ax, outcome in zip(figure.axes, law_figure.NAMES, strict=True):
        points = [line for line in ax.lines if len(line.get_xdata()) == 1]
        assert [p.get_xdata()[0] for p in points] == [p["shared_fraction"] for p in found["points"]]
        values = [p[outcome] for p in found["points"]]
        if outcome == "best_strength":
            values = np.searchsorted(planted.STRENGTHS, values) / 100
        np.testing.assert_allclose([p.get_ydata()[0] / 100 for p in points], values, atol=1e-9)
    assert "where it is 0, the shared fraction is 0.05" in chart.caption


@pytest.mark.parametrize(
    "kind",
    some_slow(
        ["many strengths", "redundancy", "several axes", "nasty names", "law", "law of two axes"],
        ("nasty names",),
    ),
)
@pytest.mark.parametrize("width", [render.WIDE, render.NARROW])
def test_text_of_figures_is_legible(kind, width):
    results = KINDS[kind]()
    plan = facets.layout(results)
    found = findings.find(results, plan)
    summary = conclusions.summarise(results)
    drawn = charts.all_of(results, learning(results), CONFIG, plan, found)
    drawn += [c for c in [law_figure.chart(summary["law"], plan)] if c]
    for chart in [*drawn, *regime_map.charts(summary["regimes"])]:
        check(chart, width)


def test_numbers_of_a_map_stand_out_on_its_darkest_cells():
    wide, narrow = np.array([-5.0, 0.0, 5.0]), np.array([-0.1, 0.0, 0.1])
    rows = [heatmap.Row("", name, wide, wide - by, wide + by) for name, by in (("a", 9), ("b", 1))]
    rows.append(heatmap.Row("", "c", narrow, narrow - 1, narrow + 1))
    draw = partial(heatmap.draw, rows, ("0", "1", "2"), 1, "λ")
    for width in (render.WIDE, render.NARROW):
        check(render.Chart("map", "", "", "", draw), width)


def test_bad_workdirs_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"config\.json"):
        report.make(tmp_path)
    folder = write(tmp_path / "w", table())
    whole = (folder / "results.parquet").read_bytes()
    (folder / "results.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"results\.parquet") as torn:
        report.make(folder)
    assert "\n" not in str(torn.value)
    table().drop(columns="diverged").to_parquet(folder / "results.parquet")
    with pytest.raises(UserError, match=r"results\.parquet has no column 'diverged'"):
        report.make(folder)
    (folder / "results.parquet").unlink()
    with pytest.raises(UserError, match=r"holds no results\.parquet"):
        report.make(folder)
    assert not (folder / "report.html").exists()


def test_what_diverged_stays_in_the_table_and_encoders_are_judged_by_their_own_strength(tmp_path):
    some = KINDS["some diverged"]()  # one seed of four is left at λ = 1
    assert (strengths.best(some)["strongest"] == 1).all()
    assert (strengths.best(some)["seeds"] == 4).all()
    assert (strengths.best(some)["change_at_max"] < -0.3).all()
    report.make(write(tmp_path / "w", some))
    shown = Page((tmp_path / "w" / "report.html").read_text())
    assert "count as the worst outcome: an accuracy of 0" in shown.text
    assert ["1", "3 of 4"] in shown.tables[-1]

    own = strengths.best(KINDS["strengths of their own"]()).set_index("subject")
    assert own["strongest"].to_dict() == {"vision": 1, "text": 3, "audio": 2}
    np.testing.assert_allclose(own["change_at_max"], [0.02, 0.06, 0.04], atol=0.003)

    alone = strengths.best(KINDS["one seed"]())
    unknown = ["best_strength_low", "gain_p", "held_out_gain_high"]
    assert alone[unknown].isna().all(axis=None)


@pytest.mark.slow
def test_the_page_says_what_its_intervals_speak_of(tmp_path):
    """Seeds that draw rows, split the same rows, share a test split; old tables by their config."""
    results = table(seeds=6)
    said = {
        "fresh": (0.0, False, "new draws of these tasks"),
        "split": (1 / 3, False, "new splits of rows like these"),
        "published": (0.2, True, "new seeds on the published split, not new rows"),
    }
    halves = {}
    for name, (share, fixed, words_) in said.items():
        own = results.copy()
        own.insert(1, "resplit", share)
        own.insert(2, "fixed_test", fixed)
        summary = report.make(write(tmp_path / name, own))
        text = Page((tmp_path / name / "report.html").read_text()).text
        assert words_ in summary["speaks_of"] and words_ in text.replace("New", "new")
        assert ("√(1/J +" in text) == (share > 0)
        row = summary["best"][0]
        halves[name] = row["change_at_max"] - row["change_at_max_low"]
    assert halves["split"] == pytest.approx(halves["fresh"] * np.sqrt(1 + 6 / 3))
    old = write(tmp_path / "old", results)
    about = json.loads((old / "config.json").read_text())
    for data, name in (
        ({"source": "redundancy_bits", "test": 100}, "fresh"),
        ({"test": 0.25}, "split"),
    ):
        about["config"]["data"] = data
        (old / "config.json").write_text(json.dumps(about))
        row = report.make(old)["best"][0]
        assert row["change_at_max"] - row["change_at_max_low"] == pytest.approx(halves[name])


@pytest.mark.slow
def test_no_cause_is_read_from_two_levels(tmp_path):
    """A gain at the last step and none stopped early is told as two sights, not as a reason."""
    report.make(write(tmp_path / "w", KINDS["redundancy"]()))
    text = Page((tmp_path / "w" / "report.html").read_text()).text
    for cause in ("overfitting", "stopping early brings", "goes away", "is gone"):
        assert cause not in text


def test_imbalance_is_said():
    results = table(seeds=6, change=lambda *_: 0.0)
    known = results[results["metric"] == "accuracy"]
    more = [
        known.assign(metric="majority", value=known["value"].max() + 0.01),
        known.assign(metric="balanced_accuracy", value=0.5),
    ]
    (line,) = (
        r
        for r in headline(pd.concat([results, *more], ignore_index=True)).reasons
        if r.startswith("Imbalance")
    )
    assert "balanced accuracy 50.0 %" in line
    assert not any(r.startswith("Imbalance") for r in headline(results).reasons)


def test_ends_of_the_best_strength_are_strengths_that_were_swept():
    results = table(seeds=6, noise=0.02, change=lambda *_: 0.0, settings=symmetric(0, 0.3, 1, 4))
    found = strengths.best(results)
    for column in ("best_strength_low", "best_strength", "best_strength_high"):
        assert found[column].isin([0, 0.3, 1, 4]).all()
    assert (found["best_strength_low"] < found["best_strength_high"]).all()
