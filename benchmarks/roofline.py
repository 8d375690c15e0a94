"""What the step's matrix products and exponentials alone would cost on this machine.

One run-step of the cell, for two modalities, batch B, layers (i, o) of encoder and head, embedding
d, is counted as

    products   2B Σ_(i,o) i·o      forward
             + 2B Σ_(i,o) i·o      gradient of the weights
             + 2B Σ_(i,o) i·o      gradient of the layer's input, the first layer excepted
               each of them twice, once per modality,
             + 3 · 2B²d            similarity: z₁z₂ᵀ and both of its gradients
    exponentials   B²              of the similarities

Two bounds follow. Neither counts biases, activations, normalisation, the losses, Adam, fetching
batches, or anything else that training also has to do.

*At peak rates* (`peak`): the products at the rate of a large square product, and the exponentials
at the rate of a large array that stays in the cache, every device at work. This is what the
hardware could do if products with an inner dimension of 8 ran as fast as those of 1,024.

*At the step's own shapes* (`stripped`): a program that does exactly these products and
exponentials, chained like forward and backward, each in the form that XLA runs fastest, for as many
runs at a time as the engine takes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from redalign_jax.runtime import devices

Layers = list[tuple[int, int]]


def flops(layers: Layers, batch: int) -> int:
    """Floating-point operations in the products of a run-step."""
    sizes = [i * o for i, o in layers]
    dense = 2 * batch * (2 * sum(sizes) + sum(sizes[1:]))
    return 2 * dense + 3 * 2 * batch**2 * layers[-1][0]


def peak(sgemm: np.ndarray, exp: np.ndarray, layers: Layers, batch: int) -> np.ndarray:
    """Run-steps per second at measured rates of products (operations/s) and exp (elements/s)."""
    return 1 / (flops(layers, batch) / sgemm + batch**2 / exp)


def everywhere(f: Callable, mesh: Mesh, *args: np.ndarray) -> Callable[[], None]:
    """`f` on every device, on its own share of `args`; compiled, and waited for."""
    spec = P(devices.RUNS)
    args = jax.device_put(args, NamedSharding(mesh, spec))
    compiled = jax.jit(jax.shard_map(f, mesh=mesh, in_specs=spec, out_specs=spec))
    compiled = compiled.lower(*args).compile()
    return lambda: jax.block_until_ready(compiled(*args))


def large_products(mesh: Mesh, size: int = 1024, times: int = 8) -> tuple[Callable, float]:
    """Products of (size, size) matrices in float32: the work, and its operations."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, mesh.size, size, size), np.float32) / np.float32(size) ** 0.5

    def products(x: Array, w: Array) -> Array:
        return jax.lax.fori_loop(0, times, lambda _, x: x @ w, x)

    return everywhere(products, mesh, x, w), mesh.size * times * 2.0 * size**3


def large_exp(mesh: Mesh, size: int = 2**18, times: int = 512) -> tuple[Callable, float]:
    """exp of an array of 1 MB per device, again and again: the work, and its elements."""
    x = np.zeros((mesh.size, size), np.float32)

    def exponentials(x: Array) -> Array:
        return jax.lax.fori_loop(0, times, lambda _, x: jnp.exp(-x), x)

    return everywhere(exponentials, mesh, x), float(mesh.size * times * size)


def _down(x: Array, g: Array) -> Array:
    """x gᵀ, summed over the batch, with the wider operand on the left, where XLA wants it; the
    factor, besides keeping weights in place, keeps a transpose out of the product."""
    both = (((1,), (1,)), ((), ()))
    if x.shape[0] > g.shape[0]:
        return 1e-9 * jax.lax.dot_general(x, g, both)
    return (1e-9 * jax.lax.dot_general(g, x, both)).T


def _chain(weights: list[list[Array]], inputs: list[Array]) -> list[list[Array]]:
    """The products of one run-step and nothing else, batch last. Results move the weights by almost
    nothing, only so that none of them can be left out."""
    apart = jax.lax.optimization_barrier
    seen = []
    for x, own in zip(inputs, weights, strict=True):
        layers = [x]
        for w in own:
            layers.append(apart(w.T) @ layers[-1])
        seen.append(layers)
    a, b = (layers[-2] for layers in seen)
    e = jnp.exp(apart(a.T) @ b)
    gradients = []
    over_b = apart(jax.lax.dot_general(e, b, (((1,), (1,)), ((), ())))).T
    for layers, own, pulled in zip(seen, weights, (over_b, 1e-9 * (a @ e)), strict=True):
        g, found = layers[-1], []
        for depth in reversed(range(len(own))):
            found.append(_down(layers[depth], g))
            if depth:
                g = own[depth] @ g
            if depth == len(own) - 1:
                g = g + pulled
        gradients.append(found[::-1])
    return jax.tree.map(jnp.subtract, weights, gradients)


def stripped(
    mesh: Mesh, layers: Layers, batch: int, runs: int, steps: int = 200
) -> tuple[Callable, float]:
    """The step stripped to its products and exponentials: the work, and its run-steps.

    Args:
      mesh: the devices.
      layers: sizes of encoder and head.
      batch: B.
      runs: runs per device at a time.
      steps: of training.
    """
    rng = np.random.default_rng(0)
    many = mesh.size * runs

    def small(*shape: int) -> np.ndarray:
        return 0.1 * rng.standard_normal((many, *shape), np.float32)

    weights = [[small(*size) for size in layers] for _ in range(2)]
    inputs = [small(layers[0][0], batch) for _ in range(2)]

    def train(weights: list, inputs: list) -> list:
        return jax.lax.fori_loop(0, steps, lambda _, w: jax.vmap(_chain)(w, inputs), weights)

    return everywhere(train, mesh, weights, inputs), float(many * steps)
