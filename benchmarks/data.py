"""Time and memory of a sweep against rows, columns and seeds of one file, shared and not.

python benchmarks/data.py [--quick] [--large] [--json=FILE]

Every sweep is a process of its own: three strengths, 200 steps, 1,000 labels, two modalities of
float32 vectors that share 16 latent numbers. *shared*: one copy of the file for all seeds, see
`redalign_jax.data.rows`. *own*: a standardised copy per seed, as small data have. *streamed*: the
file stays on the host, see `redalign_jax.sweep.stream`, as it does where it is too large for an
accelerator. Each is run once to fill XLA's cache, which is not counted, and once to be measured, by
turns. Memory is the process's peak resident size, mapped files included. --large: one seed of
1,000,000 rows in float16, memory-mapped.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MIDDLE = (20_000, 640, 4)  # rows, columns of both modalities together, seeds
FACTORS = (0.5, 1, 2)
CASE = (50_000, 1280, 8)
LARGE = (1_000_000, 896, 1)
WAYS = ("shared", "own", "streamed")
BLOCK = 20_000  # rows that are drawn at a time


def write(folder: Path, rows: int, columns: int, dtype: type) -> None:
    """A folder of .npy files: 3/5 of the columns are one modality, the rest the other."""
    rng, wide = np.random.default_rng(0), round(0.6 * columns)
    widths = {"a": wide, "b": columns - wide}
    maps = {
        name: (
            rng.standard_normal((16, width)).astype(np.float32),
            np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (rows, width)),
        )
        for name, width in widths.items()
    }
    labels = np.empty(rows, np.int64)
    for start in range(0, rows, BLOCK):
        part = slice(start, min(start + BLOCK, rows))
        z = rng.standard_normal((part.stop - start, 16)).astype(np.float32)
        labels[part] = z[:, :10].argmax(axis=1)
        for mixing, into in maps.values():
            noise = rng.standard_normal((len(z), mixing.shape[1]), np.float32)
            into[part] = z @ mixing + noise
    np.save(folder / "labels.npy", labels)


def sweep(folder: str, seeds: int, way: str) -> None:
    """One sweep in this process; prints its seconds and its peak in bytes."""
    from redalign_jax import sweep
    from redalign_jax.config import base
    from redalign_jax.data import rows
    from redalign_jax.data.sources import arrays
    from redalign_jax.sweep import stream

    rows.SHARED = 2**62 if way == "own" else 0
    stream.wanted = lambda *_: way == "streamed"
    config = base(arrays.defaults())
    config.data.path, config.data.labels = folder, (1_000,)
    config.encoder.hidden_sizes, config.encoder.embed_dim = (64,), (64,)
    config.hyper.strength, config.sweep.seeds = (0.0, 0.3, 1.0), seeds
    config.train.steps, config.train.evaluations = 200, 10
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        sweep.run(config, out, progress=False)
        seconds = time.perf_counter() - began
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "bytes": peak}))


def measured(
    size: tuple[int, int, int], cache: str, ways: tuple[str, ...], dtype: type = np.float32
) -> dict[str, dict[str, float]]:
    """Every way, each once warm."""
    rows, columns, seeds = size
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), rows, columns, dtype)
        for _ in ("to fill the cache", "to measure"):
            for way in ways:
                command = [sys.executable, __file__, "--child", folder, str(seeds), way]
                env = {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONPATH": str(ROOT)}
                done = subprocess.run(
                    command, env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
                found[way] = json.loads(done.stdout.splitlines()[-1])
    return found


def line(size: tuple[int, int, int], found: dict[str, dict[str, float]]) -> str:
    """A row of the table."""
    cells = [f"{size[0]:,} × {size[1]:,}", str(size[2])]
    for way in WAYS:
        one = found.get(way)
        cells += [f"{one['seconds']:.1f} s", f"{one['bytes'] / 1e9:.2f} GB"] if one else ["", ""]
    for way in WAYS[1:]:
        for what in ("seconds", "bytes"):
            ratio = f"{found[way][what] / found['shared'][what]:.2f}" if way in found else ""
            cells.append(ratio)
    return f"| {' | '.join(cells)} |"


def exponent(sizes: list[float], values: list[float]) -> float:
    """Slope of log value against log size."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def main() -> None:
    """Parses flags, measures, prints, and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--large", action="store_true", help="1,000,000 rows in float16 alone")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        folder, seeds, way = args.child
        sweep(folder, int(seeds), way)
        return
    print(f"load average {os.getloadavg()[0]:.1f}")
    heads = [f"{way} | " for way in WAYS] + [f"{way} / shared: time | memory" for way in WAYS[1:]]
    print(f"| rows × columns | seeds | {' | '.join(heads)} |")
    print("| --- " * (2 + 2 * len(WAYS) + 2 * len(WAYS[1:])) + "|")
    every = []
    with tempfile.TemporaryDirectory() as cache:
        if args.large:
            every.append((LARGE, measured(LARGE, cache, ("shared", "streamed"), np.float16)))
            print(line(*every[-1]))
        else:
            middle = (2_000, 64, 2) if args.quick else MIDDLE
            sizes = [middle] if args.quick else [CASE]
            for axis in range(3):
                sizes += [
                    tuple(round(f * v) if i == axis else v for i, v in enumerate(middle))
                    for f in FACTORS
                ]
            for size in dict.fromkeys(sizes):
                ways = WAYS if size in (CASE, middle) else WAYS[:2]
                every.append((size, measured(size, cache, ways)))
                print(line(*every[-1]), flush=True)
            known = dict(every)
            for axis, name in enumerate(("rows", "columns", "seeds")):
                along = [s for s in known if all(s[i] == middle[i] for i in range(3) if i != axis)]
                for way in ("shared", "own"):
                    slopes = [
                        exponent([s[axis] for s in along], [known[s][way][what] for s in along])
                        for what in ("seconds", "bytes")
                    ]
                    print(f"{way}, in {name}: seconds^{slopes[0]:.2f}, bytes^{slopes[1]:.2f}")
    if args.json:
        args.json.write_text(json.dumps(every, indent=1))


if __name__ == "__main__":
    main()
