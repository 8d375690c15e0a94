"""What accelerators' own compilers say of a sweep's programs, on a machine that has none of them.

python benchmarks/compile_for.py --topology=v5e:2x2 --config=redundancy --runs=256,2048

Lowers `start`, `segment` and `measure` with the sweep's own code onto devices that are only
described, and compiles them ahead of time. Nothing is run. A line says, per function,

  compile        seconds of the compiler, on this machine
  arguments, outputs, temporary
                 MB per device; peak is what a device must hold at once
  per run        peak divided by the runs of one device, kB
  flops, bytes   as the compiler counts them in one call, per run; a loop's body is counted once
  cycles         the compiler's own estimate for one call, where it gives one
  collectives    how many of each kind, and MB per device
  products       how many matrix products of each precision

Topologies: v4:2x2x1, v5e:2x2, v5e:4x8 (several hosts), v5p:2x2x1, v6e:2x2, h100; any other name
that libtpu knows. --json=FILE keeps the numbers. The wheels, on Linux:

  pip install -e ".[compile]"
  pip install --no-deps "jax-cuda12-plugin==VERSION" "jax-cuda12-pjrt==VERSION"

the latter for h100, with jax's version, without the libraries that only running needs.
"""

import argparse
import json
import math
import os
import re
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# asked before jax is imported: the machine has no such device, and no metadata server
os.environ.update(JAX_PLATFORMS="cpu", TPU_SKIP_MDS_QUERY="1", TPU_WORKER_HOSTNAMES="localhost")

import jax
from jax.experimental import topologies

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed

from redalign_jax import config as configs  # noqa: E402
from redalign_jax import config_files  # noqa: E402
from redalign_jax.measures.evaluate import EvalSpec  # noqa: E402
from redalign_jax.runtime import devices  # noqa: E402
from redalign_jax.sweep import grid  # noqa: E402
from redalign_jax.sweep.lower import lower  # noqa: E402
from redalign_jax.sweep.shape import Shape  # noqa: E402
from redalign_jax.training.loop import TrainSpec  # noqa: E402

H100 = Path(__file__).with_name("h100_sxm.txtpb")
KINDS = {"v4": "v4-8", "v5e": "v5litepod-4", "v5p": "v5p-8", "v6e": "v6e-4"}
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-permute")
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "f64": 8}


def described(topology: str) -> jax.sharding.Mesh:
    """The sweep's mesh over devices that are only described.

    Raises:
      SystemExit: one line that names the missing wheel or the unknown name.
    """
    if topology == "h100":
        if not find_spec("jax_cuda12_plugin"):
            raise SystemExit("h100 needs jax-cuda12-plugin and jax-cuda12-pjrt, see --help")
        jax.devices()  # registers the plugins there are
        found = topologies.get_topology_desc(
            "", "cuda", target_config=H100.read_text(), topology="1x1x1"
        )
    else:
        if not find_spec("libtpu"):
            raise SystemExit(f'{topology} needs libtpu: pip install -e ".[compile]"')
        kind = topology.partition(":")[0]
        os.environ.setdefault("TPU_ACCELERATOR_TYPE", KINDS.get(kind, kind))
        try:
            found = topologies.get_topology_desc(topology, "tpu")
        except jax.errors.JaxRuntimeError as error:
            raise SystemExit(f"--topology={topology}: {str(error).splitlines()[0]}") from None
    return devices.mesh(found=found.devices)


def _size(shape: str) -> int:
    """Bytes of the arrays named in an HLO type, "(f32[2,3]{1,0}, s32[])"."""
    found = re.findall(r"(\w+)\[([\d,]*)\]", shape)
    return sum(BYTES.get(t, 4) * math.prod(int(n) for n in d.split(",") if n) for t, d in found)


def collectives(text: str) -> dict[str, dict[str, float]]:
    """How many collectives of each kind a compiled module holds, and MB that leave them."""
    found: dict[str, dict[str, float]] = {}
    for kind in COLLECTIVES:
        shapes = re.findall(rf"= (.*?) {kind}(?:-start)?\(", text)
        if shapes:
            found[kind] = {"count": len(shapes), "MB": sum(map(_size, shapes)) / 1e6}
    return found


def products(lowered: jax.stages.Lowered) -> dict[str, int]:
    """How many matrix products and convolutions of each precision were asked for."""
    found: Counter[str] = Counter()
    for line in lowered.as_text().splitlines():
        if "stablehlo.dot_general" in line or "stablehlo.convolution" in line:
            named = re.search(r"precision(?:_config)? = \[([^\]]*)\]", line)
            found[(named[1] if named else "DEFAULT").split(",")[0].split()[-1].lower()] += 1
    return dict(found)


def compiled(lowered: jax.stages.Lowered, runs: int) -> dict[str, Any]:
    """Compiles one function; what its compiler says of it.

    Args:
      lowered: the function.
      runs: of one device.
    """
    began = time.perf_counter()
    try:
        made = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        return {"failed": str(error).splitlines()[0][:300], "compile": time.perf_counter() - began}
    seconds = time.perf_counter() - began
    memory, cost, text = made.memory_analysis(), made.cost_analysis() or {}, made.as_text()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    peak = held + memory.temp_size_in_bytes
    cycles = [int(n) for n in re.findall(r'"estimated_cycles":"(\d+)"', text)]
    return {
        "compile": seconds,
        "arguments": memory.argument_size_in_bytes / 1e6,
        "outputs": memory.output_size_in_bytes / 1e6,
        "temporary": memory.temp_size_in_bytes / 1e6,
        "peak": peak / 1e6,
        "per_run": peak / runs / 1e3,
        "flops": cost.get("flops", math.nan) / runs,
        "bytes": cost.get("bytes accessed", math.nan) / runs,
        "cycles": sum(cycles) or None,
        "collectives": collectives(text),
        "products": products(lowered),
    }


def of(config: Any, topology: str, runs: int, turn: int = 0) -> list[dict[str, Any]]:
    """The three functions of the first group of a sweep, `runs` of them per device.

    `turn`: rows of a device that are trained at a time, 0 for all, see `Shape`.
    """
    mesh = described(topology)
    group = grid.groups(config)[0]
    train, measure = config.train, config.measure
    count = len(configs.settings(config))
    share = mesh.shape[devices.RUNS]
    rows = -(-runs // count)
    lowered = lower(
        group.model,
        TrainSpec(train.steps, train.batch, train.evaluations, precision=train.precision),
        EvalSpec(measure.examples, measure.neighbours, measure.probe_examples),
        mesh,
        Shape(rows * share, min(count, runs), turn),
        group.example,
    )
    here = rows * min(count, runs)
    return [
        {"topology": topology, "runs": here, "function": name, **compiled(one, here)}
        for name, one in zip(("start", "segment", "measure"), lowered, strict=False)
    ]


def _line(row: dict[str, Any]) -> str:
    head = f"| {row['topology']} | {row['runs']:,} | {row['function']} | {row['compile']:.1f} |"
    if "failed" in row:
        return f"{head} {row['failed']} |"
    numbers = (row[k] for k in ("arguments", "outputs", "temporary", "peak", "per_run"))
    cells = [f"{n:,.1f}" for n in numbers]
    cells += [f"{row[k]:,.0f}" for k in ("flops", "bytes")]
    cells.append(f"{row['cycles']:,}" if row["cycles"] else "")
    cells.append(
        ", ".join(f"{v['count']} {k} {v['MB']:.2f} MB" for k, v in row["collectives"].items())
    )
    cells.append(", ".join(f"{n} {k}" for k, n in row["products"].items()))
    return f"{head} {' | '.join(cells)} |"


def main() -> None:
    """Parses flags, compiles, prints, and writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--topology", required=True)
    parser.add_argument("--config", default="redundancy", help="a name or a file")
    parser.add_argument("--runs", default="256", help="runs per device, by commas")
    parser.add_argument("--turn", type=int, default=0, help="rows (tasks) at a time; 0: all")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    flags = parser.parse_args()
    config = config_files.load(flags.config)
    heads = ["", "runs", "function", "compile, s", "arguments, MB", "outputs, MB", "temporary, MB"]
    heads += ["peak, MB", "per run, kB", "flops", "bytes", "cycles", "collectives", "products"]
    print(f"jax {jax.__version__}, compiled, not run\n| {' | '.join(heads)} |")
    print("| --- " * len(heads) + "|")
    rows = []
    for runs in map(int, flags.runs.split(",")):
        for row in of(config, flags.topology, runs, flags.turn):
            print(_line(row), flush=True)
            rows.append(row)
    if flags.json:
        text = json.dumps({"jax": jax.__version__, "config": flags.config, "rows": rows})
        flags.json.write_text(text.replace("NaN", "null") + "\n")


if __name__ == "__main__":
    main()
