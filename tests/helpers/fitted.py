"""Models whose numbers are drawn, not trained: one encoder of every kind."""

import functools

import numpy as np

from redalign_jax.data import scaling
from redalign_jax.encoders import CNN, MLP
from redalign_jax.encoders.bag import Bag
from redalign_jax.encoders.transformer import SequenceTransformer, ViT
from redalign_jax.fitted import architecture, inputs
from redalign_jax.fitted.encoder import Encoder
from redalign_jax.fitted.model import Model

RNG = np.random.default_rng(3)
_LEVELS = RNG.integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
_TEXTS = RNG.integers(1, 30, (40, 6)).astype(np.int32) * (
    np.arange(6) < RNG.integers(1, 7, (40, 1))
)
_SOUNDS = RNG.normal(5, 2, (40, 5, 3)) * (np.arange(5) < RNG.integers(1, 6, (40, 1)))[..., None]

_COUNTS = np.floor(np.exp(RNG.normal(3, 2, (40, 4))))

# name: (kind, 40 rows as a user has them, module)
KINDS = {
    "numbers": ("vector", 1e3 + 7 * RNG.normal(size=(40, 4)), MLP((8,), 5, "tanh")),
    "counts": ("vector", _COUNTS, MLP((8,), 5)),
    "levels": ("image", _LEVELS, CNN((4,), 5)),
    "pictures": ("image", RNG.normal(2, 3, (40, 8, 8, 2)), ViT(4, 8, 1, 2, 5)),
    "words": ("tokens", _TEXTS.astype(np.int32), Bag(30, 8, 5)),
    "tokens": ("tokens", _TEXTS.astype(np.int32), SequenceTransformer(8, 1, 2, 5, 30)),
    "sounds": ("sequence", _SOUNDS, SequenceTransformer(8, 1, 2, 5)),
}


@functools.cache
def parts(name, outputs):
    kind, x, module = KINDS[name]
    transform = "log1p" if name == "counts" else ""
    x = np.log1p(x) if transform else x
    scale = scaling.measure(x, kind, np.arange(30))
    ready = scaling.apply(x, kind, scale)[0]
    read = inputs.of(kind, ready, scale, getattr(module, "vocabulary", 0), transform)
    rng = np.random.default_rng(len(name))
    shapes = architecture.shapes(module, MLP((), outputs), read)
    drawn = {part: rng.normal(0, 0.5, shape).astype(np.float32) for part, shape in shapes.items()}
    params = architecture.nested(drawn)
    return read, module, outputs, params


def model(*names, class_names=("cat", "dog", "owl")):
    """A model of some of the kinds; of a regression where `class_names` is None."""
    found = None if class_names is None else np.array(class_names)
    outputs = 1 if found is None else len(found)
    encoders = {name: Encoder(*parts(name, outputs)) for name in names or KINDS}
    return Model(encoders, found, -3.5, 250.0, {"seed": 4, "note": [1.5, None]})


def rows(name):
    return KINDS[name][1]
