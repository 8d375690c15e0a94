"""`emoji`: pictures and English names of emoji; the label is the group they are filed under.

1,636 emoji in 8 groups, with flags 1,906 in 9. Modalities: `image`, 64 × 64 pictures as Google
draws them, on white; `twitter`, the same emoji as Twitter draws them; `text`, their names without
the groups' own words. Variants of one emoji (people, families, colours, clocks) are in one split.

Pictures and names come from the npm packages `emoji-datasource-google`, `emoji-datasource-twitter`
and `emojibase-data`, and are joined by code point.
"""

import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from PIL import Image

from redalign_jax.data import coarse, grouped, npm, prepared, splits, text
from redalign_jax.data.sources import emoji_names
from redalign_jax.errors import UserError
from redalign_jax.task import Task

MODALITIES = ("image", "text", "twitter")
SIDE = 64
NAMES = npm.Package(
    "emojibase-data",
    "17.0.0",
    "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
)
GOOGLE = npm.Package(
    "emoji-datasource-google",
    "16.0.0",
    "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==",
)
TWITTER = npm.Package(
    "emoji-datasource-twitter",
    "16.0.0",
    "7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==",
)


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return ConfigDict(
        {
            "source": "emoji",
            "modalities": ("image,text",),  # "" = also `twitter`
            "flags": False,  # also flags, a ninth group
            "cell": 1,  # pictures are means of so many × so many pixels
            "pieces": 0,  # how many word pieces names are made of; 0 for whole words
            "labels": (1000,),  # labelled training pairs; 0 = all
            "valid": 0.1,
            "test": 0.2,
            "data_dir": "",  # where prepared datasets are kept, see prepared.directory
        }
    )


def load(config: ConfigDict, seed: int) -> Task:
    """Pictures (n, 64 / cell, 64 / cell, 3) uint8 and names (n, t) int32, 8 or 9 classes.

    Args:
      config: the fields of `defaults`, one value each.
      seed: of splits and the choice of labelled examples.

    Returns:
      The task.

    Raises:
      UserError: an impossible field, or data that cannot be had.
    """
    names = splits.choose(config.modalities, MODALITIES, "emoji")
    for field in ("valid", "test"):
        if not 0 < config[field] < 1 or config.valid + config.test >= 1:
            raise UserError(f"data.{field}={config[field]} must lie between 0 and 1, and their sum")
    coarse.check(config.cell, (SIDE,))
    drawn = tuple(name for name in MODALITIES if name in names and name != "text")
    home = prepared.prepare(
        EmojiNames, config.data_dir, lambda: [npm.fetch(NAMES, config.data_dir)]
    )
    pictures = {name: _pictures(name, config.data_dir) for name in drawn}
    about = prepared.read(home, ["code", "name", "group"])
    codes, titles = (np.char.decode(about[field]) for field in ("code", "name"))
    kept = config.flags | (about["group"] != emoji_names.GROUPS.index("flags"))
    for found in pictures.values():
        kept &= np.isin(codes, list(found))
    rows = np.flatnonzero(kept)

    y = about["group"][rows]
    family = emoji_names.families(codes[rows], titles[rows])
    x = {
        name: coarse.means(np.stack([found[codes[row]] for row in rows]), config.cell)
        for name, found in pictures.items()
    }
    if "text" in names:
        kept_words = [emoji_names.without_own_words(titles[row]) for row in rows]
        x["text"] = text.tokens(kept_words, config.pieces)
    parts = grouped.stratified(
        y, family, valid=config.valid, test=config.test, seed=seed, source="emoji"
    )
    return splits.make_split_task(
        {name: x[name] for name in names},
        y,
        parts,
        labels=config.labels,
        seed=seed,
        source="emoji",
    )


def _pictures(modality: str, data_dir: str) -> dict[str, np.ndarray]:
    builder, package = {"image": (EmojiGoogle, GOOGLE), "twitter": (EmojiTwitter, TWITTER)}[
        modality
    ]
    home = prepared.prepare(builder, data_dir, lambda: [npm.fetch(package, data_dir)])
    return _by_code(home, prepared.used(home))


@functools.lru_cache(maxsize=2)
def _by_code(home: Path, written: int) -> dict[str, np.ndarray]:
    del written
    arrays = prepared.read(home, ["code", "image"])
    return dict(zip(np.char.decode(arrays["code"]).tolist(), arrays["image"], strict=True))


class EmojiNames(prepared.LocalBuilder):
    """Names and groups, in the order of the file."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        f = tfds.features
        return tfds.core.DatasetInfo(
            builder=self,
            description="English names and groups of emoji, of the Unicode Common Locale Data "
            "Repository, from the npm package emojibase-data.",
            features=f.FeaturesDict(
                {
                    "code": f.Text(),
                    "name": f.Text(),
                    "group": f.ClassLabel(names=emoji_names.GROUPS),
                }
            ),
            homepage="https://cldr.unicode.org",
            license="Unicode License v3; the npm package: MIT",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, str]]]:
        (path,) = self.files
        wanted = ("en/data.json", "meta/groups.json")
        content = npm.members(path, lambda name: name in wanted)
        data, meta = (npm.parsed(path, name, content) for name in wanted)
        try:
            found = list(emoji_names.parse(data, meta["groups"]))
        except (AttributeError, KeyError, TypeError):
            raise UserError(f"{path}: {wanted[0]} is not a list of emoji") from None
        for i, row in enumerate(found):
            if not emoji_names.without_own_words(row.name):
                raise UserError(f"{path}: the emoji {row.code} has an empty name, {row.name!r}")
            yield i, row._asdict()


class EmojiPictures(prepared.LocalBuilder, skip_registration=True):
    """Base of the builders of pictures: PNG files on white.

    Attributes:
      FOLDER: of the pictures, in the archive.
      HOMEPAGE, LICENCE: of the pictures.
    """

    VERSION = tfds.core.Version("1.0.0")
    FOLDER: ClassVar[str]
    HOMEPAGE: ClassVar[str]
    LICENCE: ClassVar[str]

    def _info(self) -> tfds.core.DatasetInfo:
        f = tfds.features
        return tfds.core.DatasetInfo(
            builder=self,
            description="Pictures of emoji, from the npm package emoji-datasource of its vendor.",
            features=f.FeaturesDict(
                {"code": f.Text(), "image": f.Tensor(shape=(SIDE, SIDE, 3), dtype=np.uint8)}
            ),
            homepage=self.HOMEPAGE,
            license=self.LICENCE,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        (path,) = self.files
        folder = f"img/{self.FOLDER}/{SIDE}/"
        content = npm.members(path, lambda name: name.startswith(folder) and name.endswith(".png"))
        if not content:
            raise UserError(f"{path}: no pictures in {folder}")
        for i, (name, png) in enumerate(sorted(content.items())):
            code = emoji_names.code(name.removeprefix(folder).removesuffix(".png"))
            yield i, {"code": code, "image": _on_white(png, f"{path}: {name}")}


class EmojiGoogle(EmojiPictures):
    """Noto Color Emoji."""

    FOLDER = "google"
    HOMEPAGE = "https://github.com/googlefonts/noto-emoji"
    LICENCE = "SIL Open Font License 1.1; the npm package: MIT"


class EmojiTwitter(EmojiPictures):
    """Twemoji."""

    FOLDER = "twitter"
    HOMEPAGE = "https://github.com/jdecked/twemoji"
    LICENCE = "CC BY 4.0; the npm package: MIT"


def _on_white(png: bytes, where: str) -> np.ndarray:
    """A picture (SIDE, SIDE, 3) uint8: c α + 255 (1 − α)."""
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
            if picture.size != (SIDE, SIDE):
                raise UserError(f"{where} is {picture.size}, not {SIDE} x {SIDE}")
            rgba = np.asarray(picture.convert("RGBA"), np.float64)
    except UserError:
        raise
    except Exception as error:  # whatever a damaged file makes of the decoder
        raise UserError(f"{where} is not a picture ({str(error)[:80]!r})") from None
    alpha = rgba[..., 3:] / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
