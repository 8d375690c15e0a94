"""What an accelerator makes of many runs: rates from 2 to 16,384 of them, and how near its limits.

python benchmarks/accelerator.py [--quick] [--json=FILE]

The cell of `throughput.py`, one block of so many runs, against the same PyTorch loop on the same
device (CUDA, where PyTorch has it). Without an accelerator it says so and measures the CPU alone,
with fewer runs. A line says

  run-steps/s       median over the rounds (smallest–largest)
  / PyTorch loop    the ratio of the medians
  time / two runs   how much longer a block takes than a block of two runs, a GPU's fewest
  bandwidth         bytes that XLA counts in one step (`cost_analysis`, every kernel's inputs and
                    outputs, cached or not) per second, against copying a large array
  arithmetic        operations that XLA counts in one step per second, against a large product in
                    float32, at the default precision of the device

and then the same block is trained with encoders in float32 and in bfloat16 (`encoder.dtype`): rate,
and accuracy of all encoders of all runs on the test split.
"""

import argparse
import json
import os
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed

from benchmarks import roofline  # noqa: E402
from benchmarks.shapes import copying  # noqa: E402
from benchmarks.throughput import block, engine, train_block  # noqa: E402
from benchmarks.timing import Contestant, take_turns  # noqa: E402
from redalign_jax.config import base  # noqa: E402
from redalign_jax.data.sources import redundancy_bits  # noqa: E402
from redalign_jax.runtime import devices  # noqa: E402
from redalign_jax.sweep import grid  # noqa: E402
from redalign_jax.task import Split  # noqa: E402
from redalign_jax.training.data import Data  # noqa: E402
from redalign_jax.training.flat import layout  # noqa: E402
from redalign_jax.training.model import Hyper, ModelSpec  # noqa: E402
from redalign_jax.training.start import State, start  # noqa: E402
from redalign_jax.training.step import step  # noqa: E402

SETTINGS = 16  # strengths of a row of runs


def experiment(runs: int, steps: int, dtype: str = "float32") -> ConfigDict:
    """A sweep of so many runs: up to 16 strengths, the rest seeds."""
    config = base(redundancy_bits.defaults())
    config.data.redundancy = (4,)
    config.encoder.dtype = dtype
    config.hyper.strength = tuple(0.25 * k for k in range(min(runs, SETTINGS)))
    config.sweep.seeds = -(-runs // SETTINGS)
    config.train.steps, config.train.evaluations = steps, 1
    return config


def cost(model: ModelSpec, example: Data, batch: int, runs: int) -> dict[str, float]:
    """XLA's count of operations and bytes in one step of so many runs on their own batches."""
    settings = min(runs, SETTINGS)
    rows = -(-runs // settings)

    def one(hyper: Hyper, state: State, labelled: Split) -> State:
        read = layout(model, example.train.x)
        return step(model, read, hyper, state, labelled, None, jnp.float32(0))[0]

    def shaped(leading: tuple, tree: object) -> object:
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct((*leading, *a.shape), a.dtype), tree)

    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    hyper = Hyper(*(scalar for _ in Hyper._fields))._replace(
        strength=jax.ShapeDtypeStruct((len(model.modalities),), jnp.float32)
    )
    state = jax.eval_shape(partial(start, model), hyper, jax.random.key(0), example)
    labelled = Split(tuple(x[:batch] for x in example.train.x), example.train.y[:batch])
    together = jax.vmap(jax.vmap(one, (0, 0, None)))
    many = (rows, settings)
    lowered = jax.jit(together).lower(
        shaped(many, hyper), shaped(many, state), shaped((rows,), labelled)
    )
    found = lowered.compile().cost_analysis()
    return {"flops": found["flops"] / runs, "bytes": found["bytes accessed"] / runs}


def peer(config: ConfigDict, group: grid.Group, steps: int) -> Contestant | None:
    """The PyTorch loop on the device that JAX uses, if PyTorch can."""
    if not find_spec("torch"):
        return None
    import torch

    from benchmarks import torch_peer

    cuda = jax.default_backend() != "cpu"
    if cuda and not torch.cuda.is_available():
        return None
    torch.set_num_threads(1)
    device = "cuda" if cuda else "cpu"
    layers = [(12, 32), (32, 8), (8, group.model.classes)]
    loop = torch_peer.Loop(torch_peer.Network(layers).to(device), 1.0, fused=True)
    split = tuple(t.to(device) for t in torch_peer.tensors(group.example.train))

    def work() -> None:
        loop.train(torch_peer.batches(split, config.train.batch, steps))
        if cuda:
            torch.cuda.synchronize()

    return Contestant(work, steps, "fused Adam")


def precisions(runs: int, steps: int, rounds: int) -> list[dict[str, float | str]]:
    """Rate and accuracy with encoders in float32 and in bfloat16."""
    contestants, accuracy = {}, {}
    for dtype in ("float32", "bfloat16"):
        config = experiment(runs, steps, dtype)
        (group,) = grid.groups(config)
        program, inputs = block(config, group, runs)
        state = train_block(config, program, inputs)
        measured = program.measure(*inputs, state)
        values = [np.ravel(v) for (_, metric), v in measured.items() if metric == "accuracy"]
        accuracy[dtype] = np.mean(values), np.std(values) / np.sqrt(np.size(values))
        work = partial(train_block, config, program, inputs)
        contestants[dtype] = Contestant(work, np.size(values) / 2 * steps)
    rates = take_turns(contestants, rounds)
    return [
        {
            "dtype": dtype,
            "rate": float(np.median(rate.wall)),
            "accuracy": float(accuracy[dtype][0]),
            "standard_error": float(accuracy[dtype][1]),
        }
        for dtype, rate in rates.items()
    ]


def main() -> None:
    """Parses flags, measures, prints, and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    flags = parser.parse_args()
    devices.prepare()
    cpu = jax.default_backend() == "cpu"
    counts = [2, 64, 512, 1024, 4096, 16384]
    steps, accurate, rounds = 200, 1024, 5
    if cpu:
        print("no accelerator is here: the CPU alone, with fewer runs")
        counts, accurate = [2, 16, 64, 256], 64
    if flags.quick:
        counts, steps, accurate, rounds = counts[:3], 50, counts[1], 3
    mesh = devices.mesh()
    print(f"{mesh.size} × {jax.devices()[0].device_kind}, load average {os.getloadavg()[0]:.1f}")
    contestants, costs = {}, {}
    for runs in counts:
        config = experiment(runs, steps)
        (group,) = grid.groups(config)
        name = f"{runs:,} runs"
        contestants[name], _ = engine(config, group, -(-runs // mesh.size))
        costs[name] = cost(group.model, group.example, config.train.batch, runs)
    found = peer(config, group, steps)
    if found:
        contestants["PyTorch loop"] = found
    contestants["products"] = Contestant(*roofline.large_products(mesh, 1024 if cpu else 8192))
    contestants["copy"] = Contestant(*copying(mesh, 2**25))
    rates = take_turns(contestants, rounds)
    products, copy = (np.median(rates.pop(name).wall) for name in ("products", "copy"))
    print(f"{products / 1e12:,.2f} Tflop/s in large products, {copy / 1e9:,.0f} GB/s in copies")
    print("| | run-steps/s | / PyTorch loop | time / two runs | bandwidth | arithmetic |")
    print("| --- " * 6 + "|")
    fewest, rows = None, []
    loop = np.median(rates["PyTorch loop"].wall) if found else np.nan
    for name, rate in rates.items():
        middle = np.median(rate.wall)
        row = {"name": name, "rate": rate.wall.tolist(), "ratio": float(middle / loop)}
        spread = f"{middle:,.0f} ({rate.wall.min():,.0f}–{rate.wall.max():,.0f})"
        if name in costs:
            seconds = contestants[name].units / middle
            fewest = fewest or seconds
            row["time"] = float(seconds / fewest)
            row["bandwidth"] = float(costs[name]["bytes"] * middle / copy)
            row["arithmetic"] = float(costs[name]["flops"] * middle / products)
            print(
                f"| {name} | {spread} | {row['ratio']:.1f} | {row['time']:.2f} | "
                f"{row['bandwidth']:.2f} | {row['arithmetic']:.3f} |"
            )
        else:
            print(f"| {name} | {spread} | 1 | | | |")
        rows.append(row)
    both = precisions(accurate, steps if flags.quick else 1000, rounds)
    print(f"\n{accurate:,} runs\n| encoders in | run-steps/s | accuracy |\n| --- | --- | --- |")
    for row in both:
        print(
            f"| {row['dtype']} | {row['rate']:,.0f} | {row['accuracy']:.4f} ± "
            f"{row['standard_error']:.4f} |"
        )
    if flags.json:
        device = str(jax.devices()[0].device_kind)
        text = json.dumps({"device": device, "rows": rows, "precisions": both}, allow_nan=True)
        flags.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
