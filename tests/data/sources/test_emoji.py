"""Emoji: pictures joined with names by code point, variants together, no label in a name."""

import io

import numpy as np
import pandas as pd
import pytest
from helpers import archives
from helpers.commands import sweep
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict
from PIL import Image

from redalign_jax.data import grouped, text
from redalign_jax.data.sources import emoji, emoji_names
from redalign_jax.errors import UserError

GROUPS = {str(i): name for i, name in enumerate(emoji_names.GROUPS[:2])}
GROUPS |= {"2": "component"} | {str(i + 1): n for i, n in enumerate(emoji_names.GROUPS) if i > 1}


def png(colour, mode="RGBA"):
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    picture.paste(colour, (0, 0, 32, 64))
    file = io.BytesIO()
    picture.convert(mode).save(file, format="png")
    return file.getvalue()


def content(each=20):
    """`each` emoji of every group, and what must be left out; a picture tells its emoji."""
    rows, google, twitter = [], {}, {}
    for g in range(10):
        for k in range(each):
            point = f"{0x1F000 + 100 * g + k:X}"
            name = f"the {'abcdefghij'[g]}{k} of nature{' animals' * (k % 2)}"
            rows.append({"hexcode": f"{point}-FE0F", "label": name, "group": g})
            # Google's file has the selector, Twitter's does not.
            google[f"img/google/64/{point.lower()}-fe0f.png"] = png((10 * g, k, 7, 255))
            twitter[f"img/twitter/64/{point.lower()}.png"] = png((10 * g, k, 9, 255))
    rows.append({"hexcode": "1F1E6", "label": "regional indicator A"})
    rows.append({"hexcode": "1FFFF", "label": "too new for a picture", "group": 7})
    google["img/google/sheets/64.png"] = b"not to be read"
    return rows, google, twitter


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    rows, google, twitter = content()
    names = {"en/data.json": rows, "meta/groups.json": {"groups": GROUPS}, "en/other.json": b"{"}
    for constant, files in (("NAMES", names), ("GOOGLE", google), ("TWITTER", twitter)):
        package = archives.write(tmp_path, getattr(emoji, constant), files)
        monkeypatch.setattr(emoji, constant, package)
    return str(tmp_path)


def load(data_dir, seed=0, **fields):
    given = {"modalities": "", "labels": 0, "valid": 0.2, "test": 0.2, **fields}
    return emoji.load(ConfigDict({**emoji.defaults(), **given, "data_dir": data_dir}), seed)


def test_pictures_names_and_groups_belong_together(data_dir):
    task = load(data_dir)
    assert task.modalities == ("image", "text", "twitter") and task.classes == 8
    assert [len(s.x[0]) for s in (task.train, task.valid, task.test)] == [96, 32, 32]
    seen = []
    for split in (task.train, task.valid, task.test):
        image, tokens, twitter = split.x
        assert image.dtype == twitter.dtype == np.uint8 and tokens.dtype == np.int32
        assert image.shape[1:] == (64, 64, 3)
        assert (image[:, :, 32:] == 255).all()  # transparent there, so white
        assert np.array_equal(image[:, 5, 5, :2], twitter[:, 5, 5, :2])
        assert (image[:, 5, 5, 2] == 7).all() and (twitter[:, 5, 5, 2] == 9).all()
        group, k = image[:, 5, 5, 0] // 10, image[:, 5, 5, 1]
        assert np.array_equal(split.y, group - (group > 2))  # without the components
        words = {}  # the second of "the a7 of" says which emoji it is
        for g, number, row in zip(group, k, tokens, strict=True):
            assert (row > 0).tolist() == [True] * 3
            assert words.setdefault(row[1], (g, number)) == (g, number)
        seen += list(zip(group.tolist(), k.tolist(), strict=True))
    assert len(set(seen)) == 160
    with_flags = load(data_dir, flags=True, modalities="image,text")
    assert with_flags.classes == 9 and len(with_flags.train.x[0]) == 108


def test_sizes_do_not_depend_on_the_seed_nor_rows_on_the_modalities(data_dir):
    one, two = load(data_dir), load(data_dir, 1, modalities="text,image")
    assert [x.shape for x in two.test.x] == [one.test.x[1].shape, one.test.x[0].shape]
    assert not np.array_equal(one.test.x[0], two.test.x[1])
    assert np.array_equal(one.test.x[0], load(data_dir, modalities="image").test.x[0])


REAL = """
1F468 man|1F469 woman|1F9D1 person|1F468-200D-1F9B0 man: red hair|1F469-200D-1F9B3 woman: white hair
|1F474 old man|1F467 girl
1F9D1-200D-1F3EB teacher|1F468-200D-1F3EB man teacher|1F469-200D-1F3EB woman teacher
1F3C3 person running|1F3C3-200D-2640 woman running
|1F3C3-200D-2642-200D-27A1 man running: facing right
1F46A family|1F468-200D-1F469-200D-1F466 family: man, woman, boy
|1F469-200D-1F467 family: woman, girl
1F550 one o’clock|1F55C one-thirty|1F551 two o’clock|1F567 twelve-thirty
2764 red heart|1F499 blue heart|1FA75 light blue heart|1F5A4 black heart
1F7E5 red square|2B1B black large square|25AB white small square
0023-20E3 keycap: #|0030-20E3 keycap: 0|1F51F keycap: 10
2B06 up arrow|2197 up-right arrow|2194 left-right arrow
1F311 new moon|1F314 waxing gibbous moon|1F317 last quarter moon
1F31A new moon face|1F31D full moon face
1F436 dog face
1F408 cat
1F63A grinning cat
1F600 grinning face
1F514 bell
1F515 bell with slash
1F53D downwards button
1F192 COOL button
231A watch
23F0 alarm clock
"""  # a line is a family, one that begins with | goes on with it


def test_variants_are_one_family_and_nothing_else_is():
    expected, codes, names = [], [], []
    for number, line in enumerate(REAL.replace("\n|", "|").strip().split("\n")):
        for one in line.split("|"):
            hexcode, name = one.split(" ", 1)
            expected.append(number)
            codes.append(hexcode)
            names.append(name)
    shuffled = np.random.default_rng(0).permutation(len(codes))
    found = emoji_names.families(*([column[i] for i in shuffled] for column in (codes, names)))
    expected = np.array(expected)[shuffled]
    same = found[:, None] == found[None]
    wrong = zip(*np.nonzero(same != (expected[:, None] == expected[None])), strict=True)
    assert [(names[shuffled[i]], names[shuffled[j]]) for i, j in wrong] == []


def test_smaller_pictures_are_means_of_blocks(data_dir):
    whole, small = (load(data_dir, modalities="image", cell=cell) for cell in (1, 4))
    blocks = whole.test.x[0].reshape(-1, 16, 4, 16, 4, 3).astype(np.float64)
    assert small.test.x[0].dtype == np.uint8
    assert np.abs(small.test.x[0] - blocks.mean(axis=(2, 4))).max() <= 0.5
    with pytest.raises(UserError, match=r"data\.cell=65 must be a whole number of pixels, 1 to 64"):
        load(data_dir, cell=65)


NAMES = [f"{a} {b}ing {c}" for a in ("red", "green") for b in ("jump", "sing") for c in "xyzw"]


def test_word_pieces_are_the_same_every_time_and_hide_no_word():
    first, again = (text.tokens(NAMES, pieces=20) for _ in range(2))
    assert np.array_equal(first, again) and first.max() < 20
    assert len(np.unique(first, axis=0)) == len(NAMES)
    there = first > 0
    assert (there[:, 1:] <= there[:, :-1]).all()  # zero only after the end


def test_more_pieces_than_texts_have_is_one_line():
    with pytest.raises(UserError, match=r"data\.pieces=5000: .*too high"):
        text.tokens(NAMES, pieces=5000)


def test_no_name_tells_its_group():
    leaky = ["pot of food", "People hugging", "1st place medal", "baby symbol", "flag: Togo"]
    told = [emoji_names.without_own_words(name) for name in leaky]
    assert told == ["pot of", "hugging", "1st medal", "baby", "togo"]
    for group in emoji_names.GROUPS:
        assert not emoji_names.without_own_words(group)  # whatever words it has
    # Nor in what the encoder sees: words appear in order, unknown ones never.
    assert text.tokens(["b a", "c", "A b-a"]).tolist() == [[2, 1, 0], [3, 0, 0], [1, 2, 1]]


@given(
    sizes=st.lists(st.integers(1, 4), min_size=5, max_size=40),
    classes=st.integers(2, 3),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_families_stay_together_and_sizes_are_exact(sizes, classes, seed):
    rng = np.random.default_rng(seed)
    sizes = [*sizes, *[1] * 20 * classes]
    kinds = rng.integers(0, classes, len(sizes))
    kinds[-20 * classes :] = np.arange(20 * classes) % classes
    y = np.repeat(kinds, sizes)
    family = np.repeat(rng.permutation(1000)[: len(sizes)], sizes)
    order = rng.permutation(len(y))
    y, family = y[order], family[order]
    try:
        parts = grouped.stratified(y, family, valid=0.1, test=0.2, seed=seed, source="here")
    except UserError as error:
        assert "here has too few examples that belong to no others" in str(error)
        assert 0.3 * np.bincount(y).max() + 2 >= 20  # else single examples fill what is left
        return
    n = len(y)
    assert [len(p) for p in parts[1:]] == [round(0.1 * n), round(0.2 * n)]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    train, valid, test = (set(family[p]) for p in parts)
    assert not (train & valid or train & test or valid & test)
    for k in range(classes):  # of every class its share, up to rounding and the one guaranteed
        assert abs(np.sum(y[parts[2]] == k) - 0.2 * np.sum(y == k)) < 2


def test_families_can_be_too_large():
    with pytest.raises(UserError, match="data.valid=0.1, data.test=0.2: here has too few examples"):
        grouped.stratified(
            np.arange(40) % 2, np.arange(40) // 20, valid=0.1, test=0.2, seed=0, source="here"
        )


def test_the_whole_command(data_dir, tmp_path):
    load(data_dir)  # prepared here, because the real archives are not at hand there
    out = tmp_path / "out"
    fields = {"modalities": "image,text", "labels": 40, "valid": 0.2, "test": 0.2}
    done = sweep("emoji", out, data_dir=data_dir, **fields)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    table = pd.read_parquet(out / "results.parquet")
    assert set(table["subject"]) == {"image", "text", "image|text", "fusion"}
    assert (out / "report.html").stat().st_size > 0


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"modalities": "image,sound"}, "no 'sound' in emoji; it has image, text, twitter"),
        ({"test": 0.0}, "data.test=0.0 must lie between 0 and 1"),
        ({"valid": 0.5, "test": 0.5}, "must lie between 0 and 1, and their sum"),
        ({"labels": 7}, "data.labels=7 is below the 8 classes of emoji"),
        ({"valid": 0.02}, "data.valid=0.02, data.test=0.2 split the 160 examples of emoji into"),
    ],
)
def test_bad_fields_are_one_line(data_dir, fields, words):
    with pytest.raises(UserError) as caught:
        load(data_dir, **fields)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("img/google/64/1f000.png", b"no picture", "img/google/64/1f000.png is not a picture ("),
        ("img/google/64/1f000.png", png("red")[:60], "img/google/64/1f000.png is not a picture ("),
        ("img/google/64/1f000.png", None, "img/google/64/1f000.png is (32, 64), not 64 x 64"),
        ("img/google/64", None, "no pictures in img/google/64/"),
        ("en/data.json", [{"group": 0, "label": "x"}], "en/data.json is not a list of emoji"),
        ("en/data.json", b"[", "en/data.json is not JSON"),
        ("meta/groups.json", [], "en/data.json is not a list of emoji"),
        (
            "en/data.json",
            [{"group": 0, "label": "food", "hexcode": "1F000"}],
            "the emoji 1F000 has an empty name, 'food'",
        ),
    ],
)
def test_bad_archives_are_one_line_and_leave_nothing(tmp_path, monkeypatch, name, value, words):
    rows, google, _ = content(2)
    files = {"en/data.json": rows, "meta/groups.json": {"groups": GROUPS}, **google}
    if name == "img/google/64":
        files = {name: v for name, v in files.items() if "64/" not in name}
    elif value is None:
        small = io.BytesIO()
        Image.new("RGB", (32, 64)).save(small, format="png")
        value = small.getvalue()
    files |= {name: value} if value is not None else {}
    for constant in ("NAMES", "GOOGLE"):
        package = archives.write(tmp_path, getattr(emoji, constant), files)
        monkeypatch.setattr(emoji, constant, package)
    with pytest.raises(UserError) as caught:
        load(str(tmp_path), modalities="image,text")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    broken = "emoji_google" if "google" in name else "emoji_names"
    assert not list((tmp_path / broken).rglob("*.json"))


def test_palettes_and_grey_pictures():
    for mode in ("P", "LA", "RGBA"):
        got = emoji._on_white(png((100, 100, 100, 255), mode), "here")
        assert (got[:, :32] == 100).all() and got.shape == (64, 64, 3)
    half = emoji._on_white(png((10, 20, 30, 128)), "here")
    want = [round(c * 128 / 255 + 255 * 127 / 255) for c in (10, 20, 30)]
    assert np.array_equal(half[5, 5], want)
