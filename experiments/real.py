"""Real data: where does alignment help, and does the advice know?

python experiments/real.py --runs=runs/real                      # everything, hours on 2 cores
python experiments/real.py --runs=runs/real --only=av_mlp        # one experiment
python experiments/real.py --runs=runs/real --manual_dir=DIR     # with the files got by hand in DIR
python experiments/real.py --runs=runs/real --collect            # tables of what is finished

For every experiment: the sweep with the balanced mechanism and the decomposition in one workdir,
then per task advice (RUNS/NAME.advice.TASK) and a sweep of what it says (RUNS/NAME.advised.TASK).
What is finished is not run again. Prints the tables of docs/real.md, draws docs/real.png.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from experiments import real_figure, real_table  # noqa: E402


class Experiment(NamedTuple):
    """A config, its flags, and the values of a task axis that are advised on, "" for none."""

    config: str
    flags: tuple[str, ...] = ()
    axis: str = ""
    tasks: tuple[str, ...] = ("",)
    advised: bool = True


LONG = "train.steps=1600"  # as long as it takes for what is unique to be lost
MLP = ("encoder.kind=mlp", "encoder.hidden_sizes=64,", "sweep.seeds=10", LONG)
# the embedding itself is aligned, and small: no room beside what is shared
NARROW = (*MLP, "encoder.embed_dim=8,", "alignment.projection=()")
PAIRINGS = ("same", "noise", "sum", "unique")
TRANSFORMERS = (
    "encoder.kind=vit,transformer",
    "encoder.d_model=32",
    "encoder.patch_size=8",
    "data.pieces=600",
    "hyper.learning_rate=1e-3,",
    "sweep.seeds=3",
)
EXPERIMENTS = {
    "redundancy": Experiment("redundancy", ("sweep.balanced=True",), advised=False),
    "mfeat": Experiment("mfeat", advised=False),
    "av_cnn": Experiment("av_digits", ("hyper.strength=0,0.1,0.3,1,3",), "pairing", PAIRINGS),
    "av_cnn_long": Experiment(
        "av_digits",
        ("data.pairing=('same','unique')", "hyper.strength=0,0.3,1,3,10", "sweep.seeds=4", LONG),
        advised=False,
    ),
    "av_mlp": Experiment("av_digits", MLP, "pairing", PAIRINGS),
    "av_fresh": Experiment("av_digits", (*MLP, "sweep.first_seed=100"), advised=False),
    "av_narrow": Experiment("av_digits", NARROW, advised=False),
    "av_three": Experiment(
        "av_digits",
        ("data.modalities=image,speech,name", "data.pairing=('same','unique')", "sweep.seeds=4"),
        "pairing",
        ("same", "unique"),
        advised=False,
    ),
}
PAIRS = ("vision,audio", "vision,text", "audio,text")
MANUAL = {"avmnist": Experiment("avmnist")} | {
    name: Experiment(f"affect:{name}", (), "modalities", PAIRS)
    for name in ("mosei", "mosi", "mustard", "ur_funny")
}
ALWAYS = ("decompose.n_resamples=6", "advise.minutes=4")


def job(kind: str, workdir: Path, one: Experiment, flags: list[str]) -> None:
    """One command; its output goes to WORKDIR.KIND.log."""
    fields = [f"--config.{f}" for f in (*ALWAYS, *one.flags, *flags)]
    command = [sys.executable, "-m", "redalign_jax", f"--job={kind}"]
    command += [f"--config={one.config}", f"--workdir={workdir}", *fields]
    print(f"{kind} {workdir.name}", flush=True)
    with workdir.with_name(f"{workdir.name}.{kind}.log").open("w") as log:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        environment = os.environ | {"PYTHONPATH": path}
        subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)


def run(name: str, one: Experiment, runs: Path, flags: list[str]) -> None:
    """The sweep, the decomposition, the advice and what it brings."""
    job("sweep", runs / name, one, flags)
    job("decompose", runs / name, one, flags)
    for task in one.tasks if one.advised else ():
        only = [*flags, f"data.{one.axis}={task}"] if one.axis else flags
        advice, advised = (runs / f"{name}.{w}.{task or 'all'}" for w in ("advice", "advised"))
        if not (advice / "advice.json").exists():
            job("advise", advice, one, only)
        job("sweep", advised, one, [*only, f"advice={advice / 'advice.json'}"])


def main() -> None:
    """Runs, prints, draws."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", default="", metavar="NAME,…")
    parser.add_argument("--data_dir", default="")
    parser.add_argument("--manual_dir", default="")
    parser.add_argument("--collect", action="store_true", help="train nothing")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "real.png")
    flags = parser.parse_args()
    experiments = EXPERIMENTS | MANUAL
    everything = experiments if flags.manual_dir else EXPERIMENTS
    wanted = flags.only.split(",") if flags.only else list(everything)
    if unknown := set(wanted) - set(experiments):
        parser.error(f"--only: {unknown.pop()!r} is not one of {', '.join(experiments)}")
    flags.runs.mkdir(parents=True, exist_ok=True)
    for name in () if flags.collect else wanted:
        places = {"data_dir": name != "redundancy", "manual_dir": name in MANUAL}
        given = {field: getattr(flags, field) for field, has in places.items() if has}
        fields = [f"data.{field}={value}" for field, value in given.items() if value]
        run(name, experiments[name], flags.runs, fields)
    rows = real_table.collect(flags.runs, wanted)
    print(real_table.markdown(rows), end="\n\n")
    print(real_table.information_table(flags.runs, wanted))
    real_figure.draw(rows, flags.figure)


if __name__ == "__main__":
    main()
