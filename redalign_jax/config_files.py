"""The experiments that come with the package: `configs/` of a checkout, or of the wheel."""

import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

from redalign_jax.errors import UserError

PACKAGE = Path(__file__).parent
# the wheel carries the folder as `redalign_jax.configs`, see setup.py
FOLDER = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"


def paths() -> list[Path]:
    """All of them, by name."""
    return [p for p in sorted(FOLDER.glob("*.py")) if p.stem != "__init__"]


def path(name: str) -> str:
    """The file that `--config=NAME` or `--config=NAME:arg` means, with its `:arg`.

    What has a slash or ends in `.py` is a path already, and so is a file of that name.

    Raises:
      UserError: no experiment is called so.
    """
    stem, colon, argument = name.partition(":")
    if not stem or "/" in stem or stem.endswith(".py") or Path(stem).is_file():
        return name
    found = {p.stem: p for p in paths()}
    if stem not in found:
        raise UserError(f"config: no experiment is called {stem!r}; there are {', '.join(found)}")
    return f"{found[stem]}{colon}{argument}"


def load(name: str) -> ConfigDict:
    """The experiment `get_config()` of a file, by its name or path, with `:arg` as its argument.

    Raises:
      UserError: there is none, or it cannot be loaded.
    """
    file, colon, argument = path(name).partition(":")
    try:
        spec = importlib.util.spec_from_file_location("experiment", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.get_config(*([argument] if colon else []))
    except (OSError, ImportError, SyntaxError, TypeError, AttributeError) as error:
        raise UserError(f"config: {name} cannot be loaded: {error}") from None
