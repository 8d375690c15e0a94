"""A workdir: one experiment's files, each written whole or not at all."""

import contextlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from redalign_jax import renamed
from redalign_jax.errors import UserError
from redalign_jax.fields import FIELDS
from redalign_jax.runtime import locks, processes

LOCK, HOLDER = ".lock", ".holder"
BLOCKS, CHECKPOINTS = "blocks", "checkpoints"  # there while a sweep is unfinished
LATER = ("decompose", "log", "advise")  # sections that the first workdirs have not
MODELS = "models"  # a model per task and setting of a sweep that keeps them


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
        holder = processes.agree(lambda: _lock(workdir, stack))
        if not processes.all_of(_seen(workdir / HOLDER, holder)):
            raise UserError(f"workdir: {workdir} is not one folder that every host sees")
        yield


def _seen(path: Path, text: str, seconds: int = 60) -> bool:
    """Whether `path` holds `text`, within the time a network's file system may take to show it."""
    for _ in range(seconds):
        with contextlib.suppress(OSError):
            if path.read_text("utf-8") == text:
                return True
        time.sleep(1)
    return False


def _lock(workdir: Path, stack: contextlib.ExitStack) -> str:
    """Locks `workdir` until `stack` is left; returns who holds it."""
    path = workdir / HOLDER
    try:
        str(workdir).encode()
        workdir.mkdir(parents=True, exist_ok=True)
    except UnicodeEncodeError:
        raise UserError(f"workdir: {str(workdir)!r} is no name in UTF-8; take another") from None
    except OSError as error:
        raise UserError(f"workdir: {workdir} cannot be written: {error.strerror}") from None
    try:
        stack.enter_context(locks.holding(workdir / LOCK))
    except OSError as error:
        raise UserError(f"workdir: {workdir} cannot be locked: {error.strerror}") from None
    except locks.InUse as error:
        holder = path.read_text("utf-8") if path.exists() else "another process"
        raise UserError(f"workdir: {workdir} is in use by {holder}, {error}") from None
    # in a file of its own: other hosts may not see what is written before a file is closed
    holder = f"process {os.getpid()} on {platform.node()} since {time.ctime()}"
    write(path, lambda p: p.write_text(holder, "utf-8"))
    stack.callback(path.unlink, missing_ok=True)
    return holder


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=2) + "\n"
    write(path, lambda p: p.write_text(text))


def read_lines(path: Path) -> list[str]:
    """The texts of a JSON list; none where there is no such file."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return [str(line) for line in found] if isinstance(found, list) else []


def read_config(workdir: Path) -> dict[str, Any]:
    """The contents of `config.json`; a field that came later has its default.

    Raises:
      UserError: there is none, or it is not one.
    """
    path = workdir / "config.json"
    try:
        found = json.loads(path.read_text())
        found["config"] = _completed(renamed.config(found["config"]))
        if not all(isinstance(found.get(name, {}), dict) for name in ("data", "versions")):
            raise TypeError
    except FileNotFoundError:
        raise UserError(f"workdir: {workdir} holds no config.json") from None
    except OSError as error:
        raise UserError(f"workdir: {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"workdir: {path} is damaged, and says no more of what the results here are; put it "
            "back, or name another folder"
        ) from None
    return found


def _completed(held: dict[str, Any]) -> dict[str, Any]:
    """Its sections, with the defaults of those fields that they lack."""
    found: dict[str, Any] = {"data": {**held["data"]}}
    for section, rows in FIELDS.items():
        if "" in rows:
            found[section] = held.get(section, rows[""].default)
        else:
            defaults = {name: row.default for name, row in rows.items()}
            own = held.get(section, {}) if section in LATER else held[section]
            found[section] = json.loads(json.dumps(defaults)) | own
    return held | found


def plain(config: ConfigDict) -> dict[str, Any]:
    """`config` as JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(config.to_dict()))
