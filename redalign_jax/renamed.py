"""Fields and columns that have changed: what was written by the old names is still read."""

from typing import Any

# section.old → new
FIELDS = {
    "data.cell": "downsample",
    "decompose.members": "ensemble_size",
    "decompose.resamples": "n_resamples",
    "decompose.widths": "hidden_sizes",
    "encoder.embedding": "embed_dim",
    "encoder.patch": "patch_size",
    "encoder.width": "d_model",
    "encoder.widths": "hidden_sizes",
    "hyper.align_until": "align_fraction",
    "hyper.debias": "false_negative_weight",
    "sweep.batch_devices": "batch_shards",
    "sweep.chunk": "runs_per_device",
    "sweep.save_every": "checkpoint_seconds",
}
_AXES = ("data.", "encoder.embedding", "hyper.")  # fields that are columns of the results
COLUMNS = {old.partition(".")[2]: new for old, new in FIELDS.items() if old.startswith(_AXES)} | {
    f"redundant_share{end}": f"redundancy_fraction{end}" for end in ("", "_low", "_high")
}


def hint(field: str) -> str:
    """What an error adds about a field that is not known, "" where nothing was called so.

    >>> hint("hyper.debias")
    '; it is called hyper.false_negative_weight now'
    """
    section, _, _ = field.partition(".")
    return f"; it is called {section}.{FIELDS[field]} now" if field in FIELDS else ""


def config(held: dict[str, Any]) -> dict[str, Any]:
    """The sections of a `config.json` with the names of today; one of today stays as it is."""
    return {
        section: {FIELDS.get(f"{section}.{name}", name): value for name, value in values.items()}
        if isinstance(values, dict)
        else values
        for section, values in held.items()
    }
