"""A workdir: one experiment's files, each written whole or not at all."""

import contextlib
import json
import logging
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from redalign_jax import hosts, locks
from redalign_jax.errors import UserError

LOCK, HOLDER = ".lock", ".holder"
BLOCKS = "blocks"  # there while a sweep is unfinished
PACKAGES = ("redalign-jax", "jax", "jaxlib", "flax", "optax", "numpy", "tensorflow-datasets")


def write(path: Path, save: Callable[[Path], None]) -> None:
    """Lets `save` fill a temporary file beside `path`, then renames it: readers see old or new.

    Raises:
      UserError: it cannot be written; what was there before still is.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix
        )
        os.close(handle)
        temporary = Path(name)
        save(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # a renamed file must not be empty after a power cut
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise UserError(f"workdir: {path} cannot be written: {reason}") from None
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def held(workdir: Path) -> Iterator[None]:
    """Inside, no other job can hold `workdir`, which is made if need be.

    The lock is the file system's: it goes with the process, however that ends. Where there are no
    locks it is a file that a killed process leaves behind, see `locks.holding`.

    Raises:
      UserError: another job holds it, it cannot be written, or the processes of this job do not all
        see the same folder.
    """
    with contextlib.ExitStack() as stack:
        holder = hosts.agree(lambda: _lock(workdir, stack))
        if not hosts.all_of(_seen(workdir / HOLDER, holder)):
            raise UserError(f"workdir: {workdir} is not one folder that every host sees")
        yield


def _seen(path: Path, text: str, seconds: int = 60) -> bool:
    """Whether `path` holds `text`, within the time a network's file system may take to show it."""
    for _ in range(seconds):
        with contextlib.suppress(OSError):
            if path.read_text() == text:
                return True
        time.sleep(1)
    return False


def _lock(workdir: Path, stack: contextlib.ExitStack) -> str:
    """Locks `workdir` until `stack` is left; returns who holds it."""
    path = workdir / HOLDER
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locks.holding(workdir / LOCK))
    except OSError as error:
        raise UserError(f"workdir: {workdir} cannot be locked: {error.strerror}") from None
    except locks.InUse as error:
        holder = path.read_text() if path.exists() else "another process"
        raise UserError(f"workdir: {workdir} is in use by {holder}, {error}") from None
    # in a file of its own: other hosts may not see what is written before a file is closed
    holder = f"process {os.getpid()} on {platform.node()} since {time.ctime()}"
    write(path, lambda p: p.write_text(holder))
    stack.callback(path.unlink, missing_ok=True)
    return holder


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=2) + "\n"
    write(path, lambda p: p.write_text(text))


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


def read_config(workdir: Path) -> dict[str, Any]:
    """The contents of `config.json`.

    Raises:
      UserError: there is none, or it is not one.
    """
    path = workdir / "config.json"
    try:
        found = json.loads(path.read_text())
        found["config"]["data"], found["config"]["hyper"]  # noqa: B018
    except FileNotFoundError:
        raise UserError(f"workdir: {workdir} holds no config.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"workdir: {path} cannot be read: {error!r}") from None
    return found


def plain(config: ConfigDict) -> dict[str, Any]:
    """`config` as JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(config.to_dict()))


def _of_decompose(config: dict[str, Any]) -> dict[str, Any]:
    """What a decomposition depends on, beside its own section."""
    return {"data": config["data"], "sweep": {"first_seed": config["sweep"]["first_seed"]}}


def _of_sweep(config: dict[str, Any]) -> dict[str, Any]:
    """What the results of a sweep depend on; not how its work is cut, kept and watched."""
    others = ("decompose", "advise", "log")
    found = {name: section for name, section in config.items() if name not in others}
    how = ("chunk", "batch_devices", "save_every")
    found["sweep"] = {name: v for name, v in found["sweep"].items() if name not in how}
    return found


def _check_versions(workdir: Path, held: dict[str, Any], about: dict[str, Any]) -> None:
    """Refuses to finish what other versions began."""
    changed = _differences(held["versions"], about["versions"])
    if changed:
        raise UserError(
            f"workdir: {workdir} holds a part of a sweep by other versions: {'; '.join(changed)}"
        )
    if held.get("git") != about["git"]:
        logging.warning(
            "%s was begun at revision %s, goes on at %s", workdir, held.get("git"), about["git"]
        )


def claim(workdir: Path, config: ConfigDict, job: str = "sweep") -> None:
    """Makes `workdir` the home of this experiment and writes `config.json`.

    Pointing at the workdir of the same experiment again is fine. A decomposition and a sweep of the
    same data and first seed share a workdir; neither minds the fields that only the other reads,
    and `config.json` keeps those that each was run with.

    Args:
      workdir: made if need be.
      config: the experiment.
      job: "decompose", or "sweep" for all that trains encoders.

    Raises:
      UserError: it cannot be written, or holds another experiment.
    """
    resolved = plain(config)
    about = {
        "config": resolved,
        "jobs": [job],
        "command": shlex.join(["python", "-m", "redalign_jax", *sys.argv[1:]]),
        "versions": _versions(),
        "devices": [f"{d.platform}: {d.device_kind}" for d in jax.devices()],
        "git": _git_revision(),
    }
    unfinished = job == "sweep" and (workdir / BLOCKS).exists()
    if (workdir / "config.json").exists():
        held = read_config(workdir)
        jobs = held.get("jobs", ["sweep"])
        both = job == "decompose" or "sweep" not in jobs
        read = _of_decompose if both else _of_sweep
        changed = _differences(read(held["config"]), read(resolved))
        if changed:
            raise UserError(f"workdir: {workdir} holds another experiment: {'; '.join(changed)}")
        if unfinished:
            _check_versions(workdir, held, about)
        if job == "decompose" and "sweep" in jobs:
            held["config"]["decompose"] = resolved["decompose"]
            about = held
        elif job == "sweep" and "decompose" in jobs:
            resolved["decompose"] = held["config"]["decompose"]
        about["jobs"] = sorted({*jobs, job})
    write_json(workdir / "config.json", about)
