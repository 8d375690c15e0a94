"""InfoNCE of large batches: the whole similarity matrix against blocks of its rows.

python benchmarks/large_batch.py [--quick] [--json=FILE]

One loss and its gradients for both modalities and the temperature, at 64 dimensions, in both forms
of `alignment.info_nce`. Memory is what the compiled program says it needs besides its arguments.
The contestants of one batch size take turns in one process.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from timing import Contestant, take_turns

from redalign_jax import alignment

DIMENSIONS, BLOCK = 64, 1024


def contestant(n: int, block: int, bounded: bool) -> tuple[Contestant, int]:
    """One way to compute the loss of a batch of n, and its memory in bytes."""

    def loss(a: jax.Array, b: jax.Array, t: jax.Array) -> jax.Array:
        a, b = alignment.normalise(a), alignment.normalise(b)
        return alignment.info_nce(a, b, t, bounded=bounded, block=block)

    rng = np.random.default_rng(0)
    a, b = jnp.asarray(rng.standard_normal((2, n, DIMENSIONS)), jnp.float32)
    arguments = (a, a + b, jnp.float32(0.2))
    compiled = jax.jit(jax.value_and_grad(loss, (0, 1, 2))).lower(*arguments).compile()
    memory = compiled.memory_analysis().temp_size_in_bytes
    work = partial(lambda: jax.block_until_ready(compiled(*arguments)))
    return Contestant(work, 1, ""), memory


def main() -> None:
    """Parses flags, measures, prints, and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small batches only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here")
    flags = parser.parse_args()
    rows = []
    print(f"{'batch':>7} {'form':>8} {'whole ms':>9} {'MB':>7} {'blocks ms':>10} {'MB':>6}   cost")
    for n in [512, 1024] if flags.quick else [2048, 4096, 8192, 16384]:
        for bounded in (True, False):
            block = min(BLOCK, n // 4)
            (whole, large), (parts, small) = (contestant(n, size, bounded) for size in (0, block))
            rates = take_turns({"whole": whole, "blocks": parts}, 2 if flags.quick else 5)
            ms = {name: 1e3 / np.median(rate.wall) for name, rate in rates.items()}
            cost = rates["whole"].wall / rates["blocks"].wall
            row = {
                "batch": n,
                "block": block,
                "bounded": bounded,
                "whole_ms": ms["whole"],
                "blocks_ms": ms["blocks"],
                "whole_bytes": large,
                "blocks_bytes": small,
                "cost": cost.tolist(),
            }
            rows.append(row)
            form = "one exp" if bounded else "two exps"
            print(
                f"{n:7,} {form:>8} {ms['whole']:9.1f} {large / 1e6:7,.0f} {ms['blocks']:10.1f} "
                f"{small / 1e6:6,.0f}   {np.median(cost):.2f} ({cost.min():.2f}–{cost.max():.2f})",
                flush=True,
            )
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
