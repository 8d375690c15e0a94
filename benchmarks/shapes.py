"""Embedding sizes and batches: how near the roofline each is, and what bounds it.

python benchmarks/shapes.py [--quick] [--json=FILE]

The cell of `throughput.py` with 2,048 labels, embeddings of 8 to 256 and batches of 128 to 2,048.
On every line the engine takes turns with the roofline (the step's products and exponentials at
their own shapes) and with the machine's rates: large products, exp in cache, and reading and
writing an array as large as a block's similarities. From these rates and the step's own counts
follows how long each of three parts would take alone; the longest is named, with its share of the
engine's time:

    products      flops / rate of large products
    exp           batch² / rate of exp
    batch² passes 6 · 4 · batch² bytes / bandwidth: similarities, exponentials, their weights, each
                  written and read once, which is the least
    small shapes  what none of these explains: products too narrow for peak rates, many short passes
"""

import argparse
import json
import os
import sys
from pathlib import Path

import jax
import numpy as np
from jax import Array

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed

from benchmarks import roofline  # noqa: E402
from benchmarks.throughput import engine  # noqa: E402
from benchmarks.timing import Contestant, take_turns  # noqa: E402
from redalign_jax.config import base  # noqa: E402
from redalign_jax.data.sources import redundancy_bits  # noqa: E402
from redalign_jax.runtime import devices  # noqa: E402
from redalign_jax.sweep import grid  # noqa: E402

LABELS = 2048


def copying(mesh: jax.sharding.Mesh, size: int) -> tuple:
    """Reading and writing an array of so many floats per device, again and again: the work, and
    its bytes."""
    times = max(1, 2**27 // size)

    def copies(x: Array) -> Array:
        return jax.lax.fori_loop(0, times, lambda _, x: 1 - x, x)

    x = np.zeros((mesh.size, size), np.float32)
    return roofline.everywhere(copies, mesh, x), mesh.size * times * size * 8.0


def line(embedding: int, batch: int, rounds: int, work: float) -> dict[str, float | str]:
    """Measures one shape."""
    config = base(redundancy_bits.defaults())
    config.data.redundancy, config.data.labels = (4,), (LABELS,)
    config.encoder.embed_dim, config.train.batch = (embedding,), batch
    layers = [(12, 32), (32, embedding), (embedding, 4)]
    cost = roofline.flops(layers, batch) + 60 * batch**2  # roughly, to make lines equally long
    config.train.steps = max(10, int(work / cost) // 10 * 10)
    config.train.evaluations = 1
    (group,) = grid.groups(config)
    mesh = devices.mesh()
    ours, program = engine(config, group)
    runs = program.shape.rows * program.shape.settings // mesh.size
    rates = take_turns(
        {
            "engine": ours,
            "roofline": Contestant(
                *roofline.stripped(mesh, layers, batch, runs, config.train.steps)
            ),
            "products": Contestant(*roofline.large_products(mesh)),
            "exp": Contestant(*roofline.large_exp(mesh)),
            "copy": Contestant(*copying(mesh, runs * batch**2)),
        },
        rounds,
    )
    seconds = 1 / np.median(rates["engine"].processor)
    parts = {
        "products": roofline.flops(layers, batch) / np.median(rates["products"].processor),
        "exp": batch**2 / np.median(rates["exp"].processor),
        "batch² passes": 6 * 4 * batch**2 / np.median(rates["copy"].processor),
    }
    shares = {name: part / seconds for name, part in parts.items()}
    shares["small shapes"] = max(0.0, 1 - sum(shares.values()))
    bound = max(shares, key=shares.get)
    fraction = rates["engine"].processor / rates["roofline"].processor
    return {
        "embedding": embedding,
        "batch": batch,
        "runs": runs,
        "rate": float(np.median(rates["engine"].wall)),
        "processor_rate": float(np.median(rates["engine"].processor)),
        "fraction": float(np.median(fraction)),
        "fraction_low": float(fraction.min()),
        "fraction_high": float(fraction.max()),
        "bound": bound,
        "share": shares[bound],
    }


def main() -> None:
    """Parses flags, measures, prints, and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    flags = parser.parse_args()
    devices.prepare()
    sizes, batches, rounds, work = (8, 16, 32, 64, 128, 256), (128, 512, 2048), 5, 4e8
    if flags.quick:
        sizes, batches, rounds, work = (8, 64), (128, 512), 3, 1e8
    print(f"load average {os.getloadavg()[0]:.1f}")
    print(
        "| embedding | batch | run-steps/s | per processor s | of the roofline | bound by |\n"
        + "| --- " * 6
        + "|"
    )
    rows = []
    for embedding in sizes:
        for batch in batches:
            rows.append(line(embedding, batch, rounds, work))
            r = rows[-1]
            print(
                f"| {embedding} | {batch:,} | {r['rate']:,.0f} | {r['processor_rate']:,.0f} | "
                f"{r['fraction']:.2f} ({r['fraction_low']:.2f}–{r['fraction_high']:.2f}) | "
                f"{r['bound']}, {r['share']:.0%} |",
                flush=True,
            )
    if flags.json:
        flags.json.write_text(json.dumps({"load": os.getloadavg()[0], "rows": rows}) + "\n")


if __name__ == "__main__":
    main()
