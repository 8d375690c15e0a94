"""Learning curves and final metrics as event files, for TensorBoard.

One folder per run, named by what tells it apart: `redundancy=0,seed=1,strength=0.3`. TensorBoard
lists every folder and gets slow and hard to read with hundreds, and seeds are repetitions of one
thing: sweeps of more than `MOST` runs get one folder per setting, with means over seeds.
"""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import hparams

from redalign_jax.analysis import differences

FOLDER = "tensorboard"
MOST = 128
FINAL = "final"  # before the tag of what was measured at the end


def write(folder: Path, results: pd.DataFrame, curves: pd.DataFrame) -> int:
    """Writes `<folder>/tensorboard/`, anew if it is there.

    Scalars are tagged `subject/metric` per step, and `final/subject/metric` for what was measured
    at the end, on the test split; the columns of a run are its hyperparameters. Means over seeds
    leave diverged runs out.

    Args:
      folder: the workdir.
      results: the tidy table; finished runs alone will do.
      curves: the learning curves of the same runs.

    Returns:
      The number of runs, or of settings, that were written.
    """
    role = differences.columns(results)
    names = [*role.tasks, "seed", *role.strengths, *role.others]
    if len(results[names].drop_duplicates()) > MOST:
        results, curves = results[~results["diverged"]], curves[~curves["diverged"]]
        names.remove("seed")
    last = curves["step"].max() if len(curves) else 0
    final = results.assign(step=last, subject=f"{FINAL}/" + results["subject"])
    target = folder / FOLDER
    fresh = Path(tempfile.mkdtemp(dir=folder, prefix=f".{FOLDER}."))
    try:
        count = 0
        for run, scalars in _runs(pd.concat([curves, final], ignore_index=True), names):
            _write_run(fresh / folder_name(run), run, scalars)
            count += 1
        fresh.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return count


def folder_name(run: dict[str, Any]) -> str:
    """The columns of a run as the name of a folder, cut to what file systems take."""
    parts = (f"{name}={quote(format(value), safe='+,. ()')}" for name, value in run.items())
    name = ",".join(parts)
    if len(name) > 200:
        name = f"{name[:180]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name


def _runs(
    rows: pd.DataFrame, names: list[str]
) -> Iterator[tuple[dict[str, Any], list[tuple[int, str, float]]]]:
    """What identifies each run, and its scalars in order: (step, tag, value)."""
    rows = rows.assign(tag=rows["subject"] + "/" + rows["metric"])
    rows = rows[np.isfinite(rows["value"])]
    means = rows.groupby([*names, "step", "tag"], sort=True, dropna=False)["value"].mean()
    for key, run in means.reset_index().groupby(names, sort=False, dropna=False):
        identity = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in zip(names, key, strict=True)
            if not pd.isna(value)  # `strength`, where encoders have their own
        }
        yield identity, list(run[["step", "tag", "value"]].itertuples(index=False, name=None))


def _write_run(folder: Path, run: dict[str, Any], scalars: list[tuple[int, str, float]]) -> None:
    folder.mkdir(parents=True)
    writer = EventsWriter(str(folder / "events"))
    now = time.time()
    metrics = {tag: value for _, tag, value in scalars if tag.startswith(f"{FINAL}/")}
    for summary in hparams(run, metrics):
        writer.write_event(Event(wall_time=now, summary=summary))
    for step, tag, value in scalars:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        writer.write_event(Event(wall_time=now, step=step, summary=summary))
    writer.close()
