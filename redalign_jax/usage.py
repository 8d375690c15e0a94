"""The page of `--help`: jobs, flags, configs, and where fields are."""

import ast
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from redalign_jax import config_files, data
from redalign_jax.fields import FIELDS

HELP = {"-h", "-?", "-help", "--help", "--helpshort", "-helpfull", "--helpfull"}

TOP = """\
redalign: should these modalities be aligned, and how strongly?

    python -m redalign_jax --job=JOB --config=FILE --workdir=DIR --config.SECTION.FIELD=VALUE ...

Ctrl-C or SIGTERM saves; the same command goes on. Status 0: done; 2: input that cannot be used, one
line says what; 75: stopped, and saved.
"""


def wanted(argv: Sequence[str]) -> bool:
    """Whether nothing was asked for but help, or nothing at all."""
    return len(argv) < 2 or bool(HELP & set(argv[1:]))


def page(jobs: Mapping[str, Callable], flags: Mapping[str, str], full: bool = False) -> str:
    """The text.

    Args:
      jobs: the function of every job, whose docstring says what it does.
      flags: what every flag is.
      full: with all fields, their defaults, and what they are.
    """
    parts = [TOP, _rows("jobs", {f"--job={n}": _first_line(f.__doc__) for n, f in jobs.items()})]
    parts.append(_rows("flags", {f"--{name}": said for name, said in flags.items()}))
    found = {_shown_path(path): _about(path) for path in config_files.paths()}
    parts.append(_rows("experiments, --config=NAME of these, or a file", found))
    return "\n".join([*parts, *(_fields() if full else [_sections()])]).rstrip()


def _sections() -> str:
    names = ", ".join(["data", *FIELDS])
    return (
        f"fields\n  Sections: {names}.\n"
        "  --helpfull lists every field with its default. A tuple in data or hyper, or in\n"
        "  encoder.embed_dim, is swept: --config.hyper.strength=0,1\n"
    )


def _fields() -> list[str]:
    parts = []
    for section, rows in FIELDS.items():
        found = {}
        for name, row in rows.items():
            dotted = f"{section}.{name}" if name else section
            choices = f": {', '.join(row.choices)}" if row.choices else ""
            found[f"--config.{dotted}={_shown(row.default)}"] = row.words + choices
        parts.append(_rows(section, found))
    for source in data.SOURCES:
        fields = data.defaults(source)
        found = {f"--config.data.{name}={_shown(fields[name])}": "" for name in fields}
        where = f"data of {source}, see redalign_jax/data/sources/{data.SOURCES[source]}.py"
        parts.append(_rows(where, found))
    return parts


def _shown(value: Any) -> str:
    if isinstance(value, tuple) and any("," in str(v) for v in value):
        return repr(value).replace(" ", "")
    if isinstance(value, tuple):
        return ",".join(map(_shown, value)) if value else "()"
    return str(value)


def _shown_path(path: Path) -> str:
    """A file as seen from a checkout where the user stands, else the experiment's name."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.stem


def _about(path: Path) -> str:
    return _first_line(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))))


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def _rows(title: str, rows: Mapping[str, str]) -> str:
    width = min(max(map(len, rows)), 44)
    lines = [f"  {name:{width}}  {words}".rstrip() for name, words in rows.items()]
    return "\n".join([title, *lines, ""])
