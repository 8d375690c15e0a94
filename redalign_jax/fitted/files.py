"""Models as files: `model.json` says everything but numbers, a safetensors file holds these.

The format is described in docs/encoders.md. Nothing is unpickled and no code of a file is run; what
a file claims is checked against the architecture before it is used.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from redalign_jax.data.scaling import Scale
from redalign_jax.data.transforms import TRANSFORMS
from redalign_jax.encoders import MLP
from redalign_jax.errors import UserError
from redalign_jax.fitted import architecture
from redalign_jax.fitted.encoder import Encoder, Parts
from redalign_jax.fitted.inputs import Input
from redalign_jax.kinds import KINDS
from redalign_jax.runtime import workdir

FORMAT, VERSION = "redalign encoders", 1
JSON = "model.json"
TYPES = {"text": "U", "bytes": "S", "integer": "iu", "boolean": "b"}  # of class names
LARGEST = 2**31  # numbers of one row


class _Wrong(Exception):
    """What a file says that cannot be."""


def save(model: Parts, folder: Path) -> Path:
    """See `Model.save`. The numbers are there before the `model.json` that names them is."""
    there = folder.exists()
    if there and not folder.is_dir():
        raise UserError(f"model: {folder} is a file; name a folder")
    old = _held(folder) if (folder / JSON).exists() else None
    content = safetensors.numpy.save(_tensors(model))
    digest = hashlib.sha256(content).hexdigest()
    weights = folder / f"encoders-{digest[:12]}.safetensors"
    about = {"format": FORMAT, "version": VERSION}
    about |= {"weights": {"file": weights.name, "sha256": digest}, **_described(model)}
    new = not weights.exists()
    try:
        workdir.write(weights, lambda p: p.write_bytes(content))
        workdir.write_json(folder / JSON, about | {"sha256": _seal(about)})
    except UserError as error:
        if new and weights.exists():
            weights.unlink()
        if not there and folder.is_dir():
            os.rmdir(folder)
        raise UserError(str(error).replace("workdir:", "model:", 1)) from None
    if old and old != weights.name:
        (folder / old).unlink(missing_ok=True)
    return folder


def load(folder: Path) -> Parts:
    """The model that `save` wrote.

    Raises:
      UserError: one line: there is none, it is another program's, of a later version, or damaged.
    """
    about = _read_json(folder)
    file = folder / about["weights"]["file"]
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"model: {file} cannot be read: {error.strerror or error}") from None
    try:
        if hashlib.sha256(content).hexdigest() != about["weights"]["sha256"]:
            raise _Wrong(f"{file.name} is not as it was written")
        return _model(about, safetensors.numpy.load(content))
    except (_Wrong, UserError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    raise UserError(f"model: {folder} is damaged: {reason}")


def _tensors(model: Parts) -> dict[str, np.ndarray]:
    found = {}
    for name, encoder in model.encoders.items():
        parts = architecture.flat(encoder.params)
        found |= {f"{name}/{part}": np.asarray(v, np.float32) for part, v in parts.items()}
        if encoder.input.scale:
            found |= {f"{name}/{part}": v for part, v in encoder.input.scale._asdict().items()}
    return {name: np.ascontiguousarray(value) for name, value in found.items()}


def _described(model: Parts) -> dict[str, Any]:
    return {
        "classes": _classes(model.class_names),
        "target": {"mean": float(model.target_mean), "scale": float(model.target_scale)},
        "modalities": {
            name: {
                "input": {
                    "kind": e.input.kind,
                    "shape": list(e.input.shape),
                    "dtype": e.input.dtype,
                    "transform": e.input.transform,
                    "standardised": e.input.scale is not None,
                    "vocabulary": e.input.vocabulary,
                },
                "encoder": architecture.describe(e.module),
            }
            for name, e in model.encoders.items()
        },
        "about": model.about,
    }


def _classes(names: np.ndarray | None) -> dict[str, Any] | None:
    if names is None:
        return None
    kind = next(name for name, kinds in TYPES.items() if names.dtype.kind in kinds)
    values = [v.decode("latin-1") if kind == "bytes" else v for v in names.tolist()]
    return {"type": kind, "dtype": names.dtype.str, "names": values}


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / JSON
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"model: {folder} holds no {JSON}") from None
    except OSError as error:
        raise UserError(f"model: {path} cannot be read: {error.strerror or error}") from None
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"model: {path} is damaged: it is no JSON") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise UserError(f"model: {path} is no model of redalign")
    version = about.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise UserError(
            f"model: {path} has format version {version!r}; this redalign reads up to {VERSION}, "
            "update it"
        )
    if about.pop("sha256", None) != _seal(about):
        raise UserError(f"model: {path} is damaged: it is not as it was written")
    name = about.get("weights", {}).get("file")
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
        raise UserError(f"model: {path} is damaged: it names no file beside it")
    return about


def _held(folder: Path) -> str:
    """The file of the model that a folder holds, which is one of ours, whole or not.

    Raises:
      UserError: it is another program's.
    """
    try:
        about = json.loads((folder / JSON).read_bytes())
        if about["format"] == FORMAT:
            return Path(about["weights"]["file"]).name
    except OSError as error:
        raise UserError(f"model: {folder / JSON} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UserError(f"model: {folder / JSON} is no model of redalign; name another folder")


def _seal(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _model(about: dict[str, Any], tensors: dict[str, np.ndarray]) -> Parts:
    names = _class_names(about["classes"])
    mean, scale = (float(about["target"][part]) for part in ("mean", "scale"))
    _check(np.isfinite([mean, scale]).all(), "its target is not finite")
    left = dict(tensors)
    encoders = {}
    for name, described in about["modalities"].items():
        encoders[name] = _encoder(name, described, len(names) if names is not None else 1, left)
    _check(encoders, "it has no encoder")
    _check(not left, f"{next(iter(left), '')!r} belongs to no encoder")
    return Parts(encoders, names, mean, scale, about["about"])


def _class_names(held: dict[str, Any] | None) -> np.ndarray | None:
    if held is None:
        return None
    values, kind, dtype = held["names"], TYPES[held["type"]], np.dtype(held["dtype"])
    _check(dtype.kind in kind and len(values) > 1, "its classes are none")
    return np.array([v.encode("latin-1") if dtype.kind == "S" else v for v in values], dtype)


def _encoder(name: str, held: dict[str, Any], outputs: int, left: dict[str, np.ndarray]) -> Encoder:
    """An encoder; its tensors are taken out of `left`."""
    module = architecture.build(held["encoder"])
    input = _input(name, held["input"], left)
    _check(
        input.vocabulary == getattr(module, "vocabulary", 0), f"{name!r}: vocabularies do not fit"
    )
    try:
        wanted = architecture.shapes(module, MLP((), outputs), input)
    except Exception as error:  # whatever an impossible shape makes of flax and JAX
        said = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise _Wrong(f"{name!r}: no such encoder reads such rows ({said})") from None
    found = {part: _tensor(left, f"{name}/{part}", s, np.float32) for part, s in wanted.items()}
    return Encoder(input, module, outputs, architecture.nested(found))


def _input(name: str, held: dict[str, Any], left: dict[str, np.ndarray]) -> Input:
    kind, shape, dtype = held["kind"], tuple(held["shape"]), held["dtype"]
    _check(kind in KINDS and dtype in ("uint8", "int32", "float32"), f"{name!r} is of no kind")
    whole = all(type(n) is int and n > 0 for n in shape)
    _check(shape and whole and int(np.prod(shape, dtype=object)) < LARGEST, f"{name!r}: no shape")
    _check(kind != "sequence" or len(shape) == 2, f"{name!r}: no sequence is of shape {shape}")
    scale = None
    if held["standardised"]:
        width = int(np.prod(shape)) if kind == "vector" else shape[-1]
        scale = Scale(*(_tensor(left, f"{name}/{f}", (width,), np.float64) for f in Scale._fields))
        _check((scale.spread >= 0).all() and dtype == "float32", f"{name!r} has no such scale")
    transform = held["transform"]
    _check(transform == "" or transform in TRANSFORMS, f"{name!r}: no such transform")
    return Input(kind, shape, dtype, scale, int(held["vocabulary"]), transform)


def _tensor(left: dict[str, np.ndarray], name: str, shape: tuple, dtype: type) -> np.ndarray:
    value = left.pop(name, None)
    _check(value is not None, f"{name!r} is missing")
    fits = value.shape == shape and value.dtype == dtype
    _check(fits, f"{name!r} is {value.dtype} {value.shape}, not {np.dtype(dtype)} {shape}")
    _check(np.isfinite(value).all(), f"{name!r} is not finite")
    return value


def _check(fine: Any, wrong: str) -> None:
    if not fine:
        raise _Wrong(wrong)
