"""How many run-steps per second the engine trains, against PyTorch and against a roofline.

python benchmarks/throughput.py [--quick] [--json=FILE]

The cell is the default experiment, `redundancy_bits`: 1,000 labels, MLP 12→32→8 per modality,
alignment on the embedding, InfoNCE at τ = 0.2, Adam at 3e-3, batch 128. A run-step is one optimiser
step of one run: both encoders and heads, task loss and λ · alignment loss. Contestants:

  engine            `program.fit` and its compiled start and segments, as a sweep calls them
  PyTorch loop      the same step, eager, one run after another; also with Adam's fused form
  PyTorch vmap      the same step for many runs, `torch.func.vmap` and stacked Adam
  roofline          matrix products and exponentials alone: `benchmarks/roofline.py` defines both

All of it happens in one process on the same cores. Everything is compiled and warm before the first
round, and the contestants take turns, in alternating order, so that a drift of the machine's speed
meets all alike. Ratios are taken within a round; the table shows medians and the smallest and
largest round. Beside the rate per second of wall time stands the rate per second of processor
time, summed over cores: when other programs compete for the cores the former falls, the latter
hardly.

Then sweeps of 1 to 4,096 runs, each in a process of its own: `benchmarks/scaling.py`.
"""

import argparse
import json
import os
import platform
import sys
import time
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout need not be installed

from benchmarks import jax_peer, roofline, scaling  # noqa: E402
from benchmarks.timing import Contestant, Rates, take_turns  # noqa: E402
from redalign_jax import config as configs  # noqa: E402
from redalign_jax.data.sources import redundancy_bits  # noqa: E402
from redalign_jax.measures.evaluate import EvalSpec  # noqa: E402
from redalign_jax.runtime import devices  # noqa: E402
from redalign_jax.sweep import grid  # noqa: E402
from redalign_jax.sweep.program import Program, fit  # noqa: E402
from redalign_jax.training.data import Data  # noqa: E402
from redalign_jax.training.loop import TrainSpec  # noqa: E402
from redalign_jax.training.model import Hyper  # noqa: E402
from redalign_jax.training.start import State  # noqa: E402


def block(
    config: ConfigDict, group: grid.Group, runs_per_device: int = 0
) -> tuple[Program, tuple[Hyper, jax.Array, Data]]:
    """The first block of the sweep that `config` describes: its program and its inputs."""
    train, mesh = config.train, devices.mesh()
    settings = configs.settings(config)
    program = fit(
        group.model,
        TrainSpec(train.steps, train.batch, train.evaluations, precision=train.precision),
        EvalSpec(config.measure.examples, config.measure.neighbours, config.measure.probe_examples),
        mesh,
        (len(group.cells), len(settings)),
        group.example,
        runs_per_device,
    )
    units = grid.units(len(group.cells), len(settings), program.shape)
    chunk = next(grid.chunks(units, program.shape))
    columns = np.array([block for _, block in chunk])
    tasks = [grid.arrays(group.cells[number].load()) for number, _ in chunk]
    hypers = grid.hyper_arrays(settings, len(group.model.modalities))
    inputs = (
        Hyper(*(a[columns] for a in hypers)),
        np.array([group.cells[number].seed for number, _ in chunk], np.uint32),
        jax.tree.map(lambda *a: np.stack(a), *tasks),
    )
    return program, jax.device_put(inputs, NamedSharding(mesh, P(devices.RUNS)))


def train_block(config: ConfigDict, program: Program, inputs: tuple) -> State:
    """Trains a block from init to its last step, and waits for it."""
    train = config.train
    state = program.start(*inputs)
    for first in range(0, train.steps, train.steps // train.evaluations):
        state, _ = program.segment(*inputs, state, np.int32(first))
    return jax.block_until_ready(state)


def engine(
    config: ConfigDict, group: grid.Group, runs_per_device: int = 0
) -> tuple[Contestant, Program]:
    """One block of the sweep that `config` describes, from init to its last step."""
    program, inputs = block(config, group, runs_per_device)
    runs = program.shape.rows * program.shape.settings
    note = f"{runs} runs at a time on {devices.mesh().size} devices"
    work = partial(train_block, config, program, inputs)
    return Contestant(work, runs * config.train.steps, note), program


def _spread(values: np.ndarray, form: str) -> str:
    middle, low, high = (format(f(values), form) for f in (np.median, np.min, np.max))
    return f"{middle} ({low}–{high})"


def report(rates: dict[str, Rates], contestants: dict[str, Contestant]) -> None:
    """The table of rates."""
    print(f"\n{'':26} {'run-steps/s':>24} {'per processor s':>15} {'engine / this':>20}")
    for name, rate in rates.items():
        times = _spread(rates["engine"].wall / rate.wall, ".3g")
        processor = f"{np.median(rate.processor):,.0f}"
        note = contestants[name].note if name in contestants else ""
        print(f"{name:26} {_spread(rate.wall, ',.0f'):>24} {processor:>15} {times:>20}  {note}")


def _machine() -> dict[str, Any]:
    packages = ["jax", "jaxlib", "numpy"] + ["torch"] * (find_spec("torch") is not None)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def main() -> None:
    """Parses flags, measures, prints, and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run of under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here")
    flags = parser.parse_args()
    if flags.json and not flags.json.resolve().parent.is_dir():
        parser.error(f"--json: no folder {flags.json.resolve().parent}")
    rounds, run_steps, counts = 7, 2000, [1, 8, 64, 512, 4096]
    config = configs.base(redundancy_bits.defaults())
    if flags.quick:
        rounds, run_steps, counts = 2, 100, [1, 64]
        config.train.steps, config.train.evaluations = 100, 1

    devices.prepare()
    machine = _machine()
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    (group,) = grid.groups(config)
    train, mesh = config.train, devices.mesh()
    sizes = (
        group.example.train.x[0].shape[1],
        *config.encoder.hidden_sizes,
        *config.encoder.embed_dim,
    )
    layers = list(zip(sizes, (*sizes[1:], group.model.classes), strict=True))
    contestants = {}
    contestants["engine"], program = engine(config, group)
    contestants |= jax_peer.contestants(config, group, layers, run_steps)
    if find_spec("torch"):
        from benchmarks import torch_peer

        contestants |= torch_peer.contestants(config, group, layers, run_steps)
    else:
        print("PyTorch is not installed: its rows are left out (pip install -e '.[benchmark]')")
    runs = program.shape.rows * program.shape.settings // mesh.size
    contestants["large products"] = Contestant(*roofline.large_products(mesh))
    contestants["large exp"] = Contestant(*roofline.large_exp(mesh))
    contestants["roofline"] = Contestant(
        *roofline.stripped(mesh, layers, train.batch, runs), "the products at their own shapes"
    )
    rates = take_turns(contestants, rounds)

    products, exponentials = rates.pop("large products"), rates.pop("large exp")
    peak = [
        roofline.peak(*both, layers, train.batch)
        for both in zip(products, exponentials, strict=True)
    ]
    rates["peak rates"] = Rates(*peak)
    report(rates, contestants)
    print(
        f"peak rates: {np.median(products.wall) / 1e9:,.0f} Gflop/s in large products, "
        f"{np.median(exponentials.wall) / 1e9:.2f} G/s of exp; "
        f"a run-step has {roofline.flops(layers, train.batch) / 1e6:.2f} Mflop "
        f"and {train.batch**2:,} exp"
    )
    rows = [scaling.process("runs", count) for count in counts]
    scaling.report(rows, "runs")
    if flags.json:
        flags.json.write_text(json.dumps(_summary(rates, rows, machine), indent=2) + "\n")


def _summary(
    rates: dict[str, Rates], rows: list[dict[str, float]], machine: dict[str, Any]
) -> dict[str, Any]:
    def ratio(name: str) -> float | None:
        if name not in rates:
            return None
        return float(np.median(rates["engine"].wall / rates[name].wall))

    return {
        "ratio_torch_loop": ratio("PyTorch loop"),
        "ratio_torch_vmap": ratio("PyTorch vmap"),
        "roofline_fraction": ratio("roofline"),
        "runs": [{key: r[key] for key in ("runs", "seconds", "peak_bytes")} for r in rows],
        "ratio_torch_loop_fused": ratio("PyTorch loop, fused Adam"),
        "peak_fraction": ratio("peak rates"),
        "scaling_exponent": scaling.exponent(rows, "runs"),
        "run_steps_per_second": {name: rate.wall.tolist() for name, rate in rates.items()},
        "run_steps_per_processor_second": {n: rate.processor.tolist() for n, rate in rates.items()},
        "scaling": rows,
        "machine": machine,
    }


if __name__ == "__main__":
    main()
