"""Pages in a real browser, on a desktop and on a phone: whole, inside the window, and legible."""

import json
import shutil
import subprocess
import tarfile

import pytest
from helpers import browser, tables

from redalign_jax import report
from redalign_jax.data import look
from redalign_jax.report import advice

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not browser.executable(), reason="chromium is not installed"),
]
WIDTHS = (1280, 390)  # CSS pixels: a desktop, a phone
PAGES = ("arrays", "redundancy", "law of two axes", "nasty names", "all diverged")
ALL = (*PAGES, "beside", "decomposition", "advice")
PARTS = ("data", "balanced", "shuffled")
AXE = "axe-core@4.11.1"  # checks of accessibility, Mozilla Public Licence

OUTSIDE = """
[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.right > WIDTH + 1 && !e.parentElement.closest('.scroll, pre, svg');
}).map(e => e.outerHTML.slice(0, 80))
"""
UNDECODED = """
Promise.all([...document.images].map(image =>
  image.decode().then(() => image.naturalWidth ? '' : image.alt, () => image.alt)
)).then(found => found.filter(alt => alt))
"""
# the contrast of WCAG 2: (lighter + .05) / (darker + .05) of relative luminances
PALE = """
(() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255).map(
      v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e => {
    const colour = getComputedStyle(e).backgroundColor;
    if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    return e.parentElement ? behind(e.parentElement) : 'rgb(255, 255, 255)';
  };
  const texts = [...document.querySelectorAll('body *')].filter(e =>
    [...e.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  return texts.filter(e => {
    const levels = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => b - a);
    return (levels[0] + 0.05) / (levels[1] + 0.05) < 4.5;
  }).map(e => e.outerHTML.slice(0, 80));
})()
"""
SCROLLING = """
[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1).map(
  e => [getComputedStyle(e).backgroundAttachment, e.tabIndex])
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Name → path of a page."""
    folder, made = tmp_path_factory.mktemp("pages"), {}
    for name in PAGES:
        results = tables.KINDS[name]()
        tables.write(folder / name, results, tables.learning(results))
        report.make(folder / name)
        made[name] = folder / name / "report.html"
    tables.write(folder / "beside", tables.beside())
    lines = json.dumps(["600 rows of a name that is long: " + "w" * 90])
    (folder / "beside" / look.FILE).write_text(lines)
    report.make(folder / "beside")
    made["beside"] = folder / "beside" / "report.html"
    assert all(f'id="{part}"' in made["beside"].read_text() for part in PARTS)
    about = {"config": tables.CONFIG}
    alone = folder / "decomposition"
    alone.mkdir()
    (alone / "config.json").write_text(json.dumps(about))
    tables.decomposed().to_parquet(alone / "decomposition.parquet")
    report.make(alone)
    made["decomposition"] = alone / "report.html"
    made["advice"] = advice.make(folder, about, tables.advised((*tables.NASTY, "c")))
    return made


@pytest.fixture(scope="module")
def tab():
    with browser.Browser() as tab:
        yield tab


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ALL)
def test_a_page_is_whole_inside_the_window_and_legible(name, width, pages, tab):
    tab.open(pages[name], width)
    tab.run("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert not tab.errors
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run(OUTSIDE.replace("WIDTH", str(width))) == []
    assert tab.run(UNDECODED) == []
    assert tab.run("[...document.images].filter(image => !image.alt.trim()).length") == 0
    assert tab.run(PALE) == []


def test_a_table_wider_than_a_phone_looks_like_it_and_can_be_reached(pages, tab):
    tab.open(pages["redundancy"], 390)
    found = tab.run(SCROLLING)
    assert found
    for attachment, place in found:  # shadows stay at the edges while the table moves
        assert "local" in attachment and "scroll" in attachment
        assert place == 0
    tab.open(pages["redundancy"], 1280)
    wide = "document.querySelector('#numbers .scroll')"
    assert tab.run(f"{wide}.scrollWidth - {wide}.clientWidth") <= 0


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The script of axe-core, through npm."""
    folder = tmp_path_factory.mktemp("axe")
    if not shutil.which("npm"):
        pytest.skip("npm, which fetches axe-core, is not installed")
    done = subprocess.run(["npm", "pack", AXE], cwd=folder, capture_output=True, timeout=120)
    if done.returncode:
        pytest.skip("npm cannot fetch axe-core")
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


@pytest.mark.parametrize("name", ALL)
def test_axe_finds_nothing(name, pages, tab, axe):
    tab.open(pages[name], 390)
    tab.run(axe)
    found = tab.run("axe.run().then(r => r.violations.map(v => [v.id, v.nodes[0].html]))")
    assert found == []


def test_what_is_wrong_is_seen(tab, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'>"
        "<body style='margin:0'><p style='color:#999'>pale</p>"
        "<div style='width:900px'>wide</div><img alt='torn' src='data:image/svg+xml;base64,AAAA'>"
        "<script>console.error('said'); undefined_name()</script>"
    )
    tab.open(page, 390)
    assert len(tab.errors) >= 2
    assert len(tab.run(OUTSIDE.replace("WIDTH", "390"))) == 1
    assert len(tab.run(PALE)) == 1
    assert tab.run(UNDECODED) == ["torn"]
