"""One encoder as StableHLO, for a process that has JAX and no redalign.

    from jax import export
    serve = export.deserialize(bytearray(open(PATH, "rb").read()))
    embedding, said = serve.call(rows)  # float32 rows in the user's units, any number of them

`said` are probabilities in the order of the classes, or targets in the user's units.
"""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, export

from redalign_jax.data.scaling import CLIP, NOT_PADDING
from redalign_jax.errors import UserError
from redalign_jax.fitted.encoder import Parts
from redalign_jax.fitted.inputs import Input
from redalign_jax.runtime import workdir
from redalign_jax.task import lengths

PLATFORMS = ("cpu", "cuda", "tpu")
JAX_TRANSFORMS = {"log1p": jnp.log1p}  # those of `data.transforms`


def write(model: Parts, path: Path, modality: str) -> Path:
    """Exports `(n, ...) rows → (embeddings, probabilities or targets)`, n symbolic.

    Standardisation is in the program, in float32: means are subtracted in two parts, so that an
    offset costs no digits beyond those that float32 rows have lost. Rows of levels are uint8, of
    tokens int32.
    """
    encoder = model.encoders[modality]

    def serve(x: Array) -> tuple[Array, Array]:
        h, outputs = encoder.apply(encoder.params, _standardised(encoder.input, x))
        if model.class_names is not None:
            return h, jax.nn.softmax(outputs)
        return h, outputs[:, 0] * np.float32(model.target_scale) + np.float32(model.target_mean)

    if importlib.util.find_spec("flatbuffers") is None:
        raise UserError("export: jax.export needs flatbuffers; pip install 'redalign-jax[export]'")
    (n,) = export.symbolic_shape("n")
    rows = jax.ShapeDtypeStruct((n, *encoder.input.shape), encoder.input.dtype)
    content = export.export(jax.jit(serve), platforms=PLATFORMS)(rows).serialize()
    try:
        workdir.write(path, lambda p: p.write_bytes(content))
    except UserError as error:
        raise UserError(str(error).replace("workdir:", f"export of {modality!r}:", 1)) from None
    return path


def _standardised(input: Input, x: Array) -> Array:
    """`scaling.apply` in float32."""
    if input.scale is None:
        return x
    x = JAX_TRANSFORMS[input.transform](x) if input.transform else x
    flat = x.reshape(x.shape[0], -1) if input.kind == "vector" else x
    along = (*(1,) * (flat.ndim - 1), -1)
    exact, spread = (part.reshape(along) for part in input.scale)
    mean = exact.astype(np.float32)
    rest = (exact - mean).astype(np.float32)
    known = spread > 0
    spread = np.where(known, spread, 1).astype(np.float32)
    z = jnp.clip(jnp.where(known, ((flat - mean) - rest) / spread, 0), -CLIP, CLIP)
    if input.kind != "sequence":
        return z.reshape(x.shape)
    ends = lengths(x)[:, None]
    steps = jnp.arange(x.shape[1])[None]
    z = jnp.where((steps < ends)[:, :, None], z, 0)
    # as in scaling: a last step that is zero by chance is not padding
    last = (steps == ends - 1) & ~jnp.any(z != 0, axis=2)
    return z.at[:, :, 0].set(jnp.where(last, NOT_PADDING, z[:, :, 0]))
