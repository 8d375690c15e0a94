"""Prepares a dataset ahead of a sweep: `python -m redalign_jax.data NAME [--manual_dir=DIR]`."""

import argparse
import sys

from ml_collections import ConfigDict

from redalign_jax import data
from redalign_jax.errors import UserError

NAMES = [name for name in data.SOURCES if "data_dir" in data.defaults(name)]
NAMES.remove("tfds")  # which somebody else prepares


def main(argv: list[str] | None = None) -> int:
    """Prepares one dataset with all its modalities and says what it holds; 0, or 2 if it cannot."""
    parser = argparse.ArgumentParser(
        prog="redalign_jax.data", description="Prepares a dataset ahead of a sweep."
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--data_dir", default="", help="where to keep it, as data.data_dir")
    parser.add_argument("--manual_dir", help="its files, where these are got by hand")
    given = parser.parse_args(argv)
    defaults = data.defaults(given.name)
    if given.manual_dir is not None and "manual_dir" not in defaults:
        parser.error(f"--manual_dir: the files of {given.name} are not got by hand")
    fields = {f: v[0] if isinstance(v, tuple) else v for f, v in defaults.items()}
    fields |= {"modalities": "", "labels": 0, "data_dir": given.data_dir}
    fields |= {"manual_dir": given.manual_dir} if given.manual_dir is not None else {}
    try:
        task = data.load(ConfigDict(fields), seed=0)
    except UserError as error:
        print(f"redalign_jax: {error}", file=sys.stderr)
        return 2
    parts = {"train": task.train, "valid": task.valid, "test": task.test}
    sizes = ", ".join(f"{len(part.y)} {name}" for name, part in parts.items())
    print(f"{given.name}: {sizes}; {task.classes or 'no'} classes")
    for name, x in zip(task.modalities, task.train.x, strict=True):
        print(f"  {name}: {x.dtype} {x.shape[1:]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
