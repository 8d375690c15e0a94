"""What a workdir is the home of: an experiment and its data, told apart by content.

A workdir belongs to what it holds results of. `config.json` says what that is; where no result is,
it may be taken for something else.
"""

import json
import logging
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from redalign_jax.data.identity import Digests
from redalign_jax.errors import UserError
from redalign_jax.runtime import results, workdir
from redalign_jax.sweep import shards

PACKAGES = ("redalign-jax", "jax", "jaxlib", "flax", "optax", "numpy", "tensorflow-datasets")
CONFIG = "config.json"
PLACES = ("path", "data_dir", "manual_dir")  # fields of `data` that say where, not what


def admit(folder: Path, config: ConfigDict, content: Digests, job: str = "sweep") -> dict[str, Any]:
    """What `config.json` has to say once this experiment has a result here; nothing is written.

    Pointing at the workdir of the same experiment again is fine, as is the same data elsewhere. A
    decomposition and a sweep of the same data and first seed share a workdir; neither minds the
    fields that only the other reads, and `config.json` keeps those that each was run with. A field
    of `data` that is "" says nothing: to have it and to lack it are the same experiment, but "" and
    any other value are not, nor are 0, False or an empty list nothing.

    Args:
      folder: the workdir.
      config: the experiment.
      content: of its data, see `identity.recorded`.
      job: "decompose", "advise", or "sweep".

    Raises:
      UserError: the workdir holds results of another experiment or of other data, or no word of
        what they are.
    """
    own = workdir.plain(config)
    about = {
        "config": own,
        "jobs": [job],
        "data": content,
        "command": shlex.join(["python", "-m", "redalign_jax", *sys.argv[1:]]),
        "versions": _versions(),
        "devices": [f"{d.platform}: {d.device_kind}" for d in jax.devices()],
        "git": _git_revision(),
    }
    jobs = held_jobs(folder)
    if not jobs:
        return about
    if not (folder / CONFIG).exists():
        raise UserError(
            f"workdir: {folder} holds results but no {CONFIG}, which says of what; put it back, or "
            "name another folder"
        )
    held = workdir.read_config(folder)
    both = job == "decompose" or "sweep" not in jobs
    read = _of_decompose if both else _of_sweep
    changed = _differences(read(held["config"]), read(own))
    if changed:
        raise UserError(f"workdir: {folder} holds another experiment: {'; '.join(changed)}")
    _check_content(folder, held.get("data"), content)
    if "sweep" in jobs and job == "sweep" and not results.there(folder):
        _check_unfinished(folder, held, about)
    elif "sweep" in jobs:
        if job == "decompose":
            held["config"]["decompose"] = own["decompose"]
        about = held
    if job == "sweep" and "decompose" in jobs:
        own["decompose"] = held["config"]["decompose"]
    return about | {"jobs": sorted({*jobs, job})}


def claim(folder: Path, config: ConfigDict, content: Digests, job: str = "sweep") -> None:
    """`admit`, and `config.json` is written.

    Raises:
      UserError: see `admit`; or it cannot be written.
    """
    about = admit(folder, config, content, job)
    if job == "sweep" and "sweep" not in held_jobs(folder):
        shards.forget_plan(folder)  # of a sweep that ended before it had a result
    write(folder, about)


def write(folder: Path, about: dict[str, Any]) -> None:
    """Writes what `admit` returned."""
    workdir.write_json(folder / CONFIG, about)


def held_jobs(folder: Path) -> list[str]:
    """The jobs of whose results or checkpoints something is there."""
    saved = (folder / workdir.CHECKPOINTS).glob("[0-9]*")
    there = {
        "advise": (folder / "advice.json").exists(),
        "decompose": results.there(folder, results.DECOMPOSITION),
        "sweep": shards.any_of(folder) or any(path.name.isdigit() for path in saved),
    }
    return [job for job, held in there.items() if held]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def _git_revision() -> str | None:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = list(old) + [k for k in new if k not in old]
        return [
            line
            for k in keys
            for line in _differences(old.get(k), new.get(k), f"{path}.{k}" if path else k)
        ]
    return [] if old == new else [f"{path} was {json.dumps(old)}, now {json.dumps(new)}"]


def _check_content(folder: Path, held: Digests | None, content: Digests) -> None:
    if held is None:
        logging.warning("%s does not say what its data were; they are taken for the same", folder)
        return
    words = [f"{n!r} has changed" for n in held if n in content and held[n] != content[n]]
    words += [f"{n!r} is gone" for n in held if n not in content]
    words += [f"{n!r} is new" for n in content if n not in held]
    if words:
        more = f" and {len(words) - 5} more" * (len(words) > 5)
        raise UserError(
            f"workdir: {folder} holds results of other data: {', '.join(words[:5])}{more}; name "
            "another folder for these"
        )


def _where_left_out(data: dict[str, Any]) -> dict[str, Any]:
    """Without where the data are, nor fields that are "": an older version may lack them."""
    told = {n: v for n, v in data.items() if v != ""}
    return {n: v for n, v in told.items() if n not in PLACES or isinstance(v, list)}


def _of_decompose(config: dict[str, Any]) -> dict[str, Any]:
    """What a decomposition depends on, beside its own section."""
    first_seed = config["sweep"]["first_seed"]
    return {"data": _where_left_out(config["data"]), "sweep": {"first_seed": first_seed}}


def _of_sweep(config: dict[str, Any]) -> dict[str, Any]:
    """What the results of a sweep depend on; not how its work is cut, kept and watched.

    Nor where an advice was: what it advised is in `hyper`.
    """
    others = ("decompose", "advise", "log", "advice")
    found = {name: section for name, section in config.items() if name not in others}
    found["data"] = _where_left_out(config["data"])
    for section, how in (
        ("sweep", ("keep", "runs_per_device", "batch_shards", "checkpoint_seconds")),
        ("alignment", ("block",)),
    ):
        found[section] = {n: v for n, v in config[section].items() if n not in how}
    return found


def _check_unfinished(folder: Path, held: dict[str, Any], about: dict[str, Any]) -> None:
    """Refuses to finish what other versions began."""
    changed = _differences(held["versions"], about["versions"])
    if changed:
        raise UserError(
            f"workdir: {folder} holds a part of a sweep by other versions: {'; '.join(changed)}"
        )
    if held.get("git") != about["git"]:
        logging.warning(
            "%s was begun at revision %s, goes on at %s", folder, held.get("git"), about["git"]
        )
    blocks = [one["config"]["alignment"]["block"] for one in (held, about)]
    if blocks[0] != blocks[1]:
        logging.warning(
            "begun with alignment.block=%d, goes on with %d: the results will not be "
            "bit-identical to those of a sweep that was not interrupted",
            *blocks,
        )
