"""How runs of convolutional encoders are best mapped: vmap, one by one, or what the engine chooses.

python benchmarks/convolutions.py [--quick] [--json=FILE]

Training steps of `encoders.CNN` alone (cross-entropy and plain gradient descent) on images of
28×28, for a growing number of runs, every form in one process by turns:

  lax.conv, vmap    XLA's own convolution; vmap over kernels makes it a grouped one
  lax.conv, map     the same, run after run
  products, vmap    the engine's form, a product with shifted images, vmapped
  products, map     the same, run after run
  automatic         what `ModelSpec.one_by_one` and `linalg.batch_safe` make of it on this device

Inside a loop over steps, XLA's convolution is so slow on a CPU that it is measured at the smallest
count of runs alone.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed

from benchmarks.timing import Contestant, take_turns  # noqa: E402
from redalign_jax.encoders import CNN  # noqa: E402
from redalign_jax.runtime.lapack import batch_safe  # noqa: E402

WIDTHS, CLASSES = (16, 32), 10


class Convolutions(nn.Module):
    """`CNN` with XLA's convolutions."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x[..., None]
        for width in WIDTHS:
            x = nn.max_pool(nn.relu(nn.Conv(width, (3, 3))(x)), (2, 2), (2, 2))
        return nn.Dense(CLASSES)(x.reshape(len(x), -1))


def trainer(encoder: nn.Module, x: Array, y: Array) -> Callable:
    """One run: a key → its losses over the batches x (steps, n, 28, 28), y (steps, n)."""

    def loss(params: dict, x: Array, y: Array) -> Array:
        logits = encoder.apply(params, x)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))

    def step(params: dict, batch: tuple[Array, Array]) -> tuple[dict, Array]:
        value, gradient = jax.value_and_grad(loss)(params, *batch)
        return jax.tree.map(lambda p, g: p - 0.05 * g, params, gradient), value

    def train(key: Array) -> Array:
        return jax.lax.scan(step, encoder.init(jax.random.wrap_key_data(key), x[0]), (x, y))[1]

    return train


def forms(runs: int, batch: int, steps: int, convolutions: bool) -> dict[str, Contestant]:
    """Every form for so many runs."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((steps, batch, 28, 28), np.float32))
    y = jnp.asarray(rng.integers(0, CLASSES, (steps, batch)))
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), runs))
    products = trainer(CNN(WIDTHS, CLASSES), x, y)
    found = {
        "products, vmap": jax.vmap(products),
        "products, map": partial(jax.lax.map, products),
        "automatic": jax.vmap(batch_safe(products)),
    }
    if convolutions:
        own = trainer(Convolutions(), x, y)
        found |= {"lax.conv, vmap": jax.vmap(own), "lax.conv, map": partial(jax.lax.map, own)}

    def contestant(f: Callable) -> Contestant:
        compiled = jax.jit(f).lower(keys).compile()
        return Contestant(lambda: jax.block_until_ready(compiled(keys)), runs * steps)

    return {name: contestant(f) for name, f in found.items()}


def main() -> None:
    """Parses flags, measures, prints, and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    flags = parser.parse_args()
    cpu = jax.default_backend() == "cpu"
    counts = [1, 2] if flags.quick else [1, 2, 8, 32] if cpu else [1, 8, 64, 512]
    batches, rounds = ([64], 3) if flags.quick else ([64, 128], 5)
    rows = []
    print(
        "| batch | runs | form | run-steps/s | against the automatic choice |\n"
        + "| --- " * 5
        + "|"
    )
    for batch in batches:
        for runs in counts:
            steps = 2 if cpu else 10  # a loop, even on a CPU
            rates = take_turns(
                forms(runs, batch, steps, not cpu or runs == counts[-1 if flags.quick else 0]),
                rounds,
            )
            for name, rate in rates.items():
                ratio = rate.wall / rates["automatic"].wall
                rows.append(
                    {"batch": batch, "runs": runs, "form": name, "rate": rate.wall.tolist()}
                )
                print(
                    f"| {batch} | {runs} | {name} | {np.median(rate.wall):,.1f} "
                    f"({rate.wall.min():,.1f}–{rate.wall.max():,.1f}) | {np.median(ratio):.2f} "
                    f"({ratio.min():.2f}–{ratio.max():.2f}) |",
                    flush=True,
                )
    if flags.json:
        flags.json.write_text(json.dumps({"device": str(jax.devices()[0]), "rows": rows}) + "\n")


if __name__ == "__main__":
    main()
