"""An encoder's module as plain data, back, and the shapes of its parameters."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from flax import traverse_util

from redalign_jax import fields
from redalign_jax.encoders import ACTIVATIONS, CNN, DTYPES, MLP
from redalign_jax.encoders.bag import Bag
from redalign_jax.encoders.transformer import SequenceTransformer, ViT
from redalign_jax.errors import UserError
from redalign_jax.fields import WIDEST, Field
from redalign_jax.fitted.inputs import Input

MODULES = {"mlp": MLP, "cnn": CNN, "bag": Bag, "transformer": SequenceTransformer, "vit": ViT}
_SIZE = Field(1, "", int, 1, WIDEST)
_FIELDS = {
    "widths": Field((), "", int, 1, WIDEST, empty=True),
    "activation": Field("", "", str, choices=tuple(ACTIVATIONS)),
    "dtype": Field("", "", str, choices=DTYPES),
    "vocabulary": Field(0, "", int, 0, fields.LARGEST),
    "depth": Field(1, "", int, 1, 1000),
    **dict.fromkeys(("features", "width", "heads", "patch"), _SIZE),
}


def _names(module: type[nn.Module]) -> list[str]:
    return [f.name for f in dataclasses.fields(module) if f.name not in ("parent", "name")]


def kind(module: nn.Module) -> str:
    """The key of a module in `MODULES`."""
    return next(name for name, known in MODULES.items() if type(module) is known)


def describe(module: nn.Module) -> dict[str, Any]:
    """A module as JSON holds it: its kind and its attributes."""
    held = {name: getattr(module, name) for name in _names(type(module))}
    return {"kind": kind(module)} | {
        name: list(v) if isinstance(v, tuple) else v for name, v in held.items()
    }


def build(described: Mapping[str, Any]) -> nn.Module:
    """The module that `describe` has described.

    Raises:
      UserError: it is none.
    """
    module = MODULES.get(described.get("kind"))
    if module is None:
        raise UserError(f"{fields.shown(described.get('kind'))} is no kind of encoder")
    names = _names(module)
    if set(described) != {"kind", *names}:
        raise UserError(f"a {described['kind']} has kind, {', '.join(names)}")
    return module(**{name: fields.read(name, _FIELDS[name], described[name]) for name in names})


def shapes(module: nn.Module, head: nn.Module, input: Input) -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters of an encoder and its head, by "encoder/…" and "head/…"."""
    x = jax.ShapeDtypeStruct((1, *input.shape), input.dtype)

    def init(x: jax.Array) -> dict[str, Any]:
        encoder, h = module.init_with_output(jax.random.key(0), x)[::-1]
        return {"encoder": encoder, "head": head.init(jax.random.key(0), h)}

    found = flat(jax.eval_shape(init, x))
    return {name: leaf.shape for name, leaf in found.items()}


def flat(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters {"encoder": {"params": …}, "head": …} by names joined with "/"."""
    whole = {part: params[part]["params"] for part in ("encoder", "head")}
    return traverse_util.flatten_dict(whole, sep="/")


def nested(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What `flat` was made of."""
    whole = traverse_util.unflatten_dict(dict(tensors), sep="/")
    return {part: {"params": whole[part]} for part in ("encoder", "head")}
