"""Event files hold what the tables hold. Read back with the protocol buffers alone."""

import struct
import sys

import numpy as np
import pandas as pd
import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

import redalign_jax
from redalign_jax.errors import UserError
from redalign_jax.report import tensorboard


def events(folder):
    """Every event of a run's one file, lengths and checksums checked."""
    (file,) = folder.iterdir()
    data, found = file.read_bytes(), []
    while data:
        (length,), (check,) = struct.unpack("<Q", data[:8]), struct.unpack("<I", data[8:12])
        body, data = data[12 : 12 + length], data[16 + length :]
        crc = crc32c(struct.pack("<Q", length))
        assert check == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
        found.append(Event.FromString(body))
    assert found[0].file_version == "brain.Event:2"
    return found[1:]


def scalars(found):
    return {
        (value.tag, event.step): value.simple_value
        for event in found
        for value in event.summary.value
        if value.HasField("simple_value")
    }


def settings(found):
    for event in found:
        for value in event.summary.value:
            if value.tag == "_hparams_/session_start_info":
                data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                given = data.session_start_info.hparams
                return {k: v.number_value or v.string_value or 0.0 for k, v in given.items()}
    return None


def tables(seeds, diverged=()):
    """A sweep over two pairs, seeds and strengths, the second setting one λ per encoder."""
    rng = np.random.default_rng(seeds)
    runs = pd.DataFrame(
        [
            (pair, seed, strength, own, (seed, own) in diverged)
            for pair in ("a,b", "a,c/d=e")
            for seed in range(seeds)
            for strength, own in ((0.0, 0.0), (np.nan, 2.5))
        ],
        columns=["modalities", "seed", "strength", "strength_a", "diverged"],
    )
    runs.insert(2, "pid_redundancy", rng.random(len(runs)))  # a fact, not a setting

    def long(keys, names):
        parts = [
            runs.assign(**dict(zip(names, key, strict=True)), value=rng.random(len(runs)))
            for key in keys
        ]
        table = pd.concat(parts, ignore_index=True)
        last = ["value", "diverged"]
        return table[[c for c in table.columns if c not in last] + last]

    steps = [(step, "a", "task_loss") for step in (10, 20)] + [(20, "a|b", "alignment_loss")]
    curves = long(steps, ("step", "subject", "metric")).drop(columns="pid_redundancy")
    return long([("a", "accuracy"), ("fusion", "probe_accuracy")], ("subject", "metric")), curves


def test_every_run_of_a_small_sweep_is_there(tmp_path):
    results, curves = tables(seeds=3)
    (tmp_path / "tensorboard" / "of an earlier sweep").mkdir(parents=True)
    assert tensorboard.write(tmp_path, results, curves) == 12
    folders = {p.name: p for p in (tmp_path / "tensorboard").iterdir()}
    assert len(folders) == 12
    assert [p.name for p in tmp_path.iterdir()] == ["tensorboard"]
    found = events(folders["modalities=a,c%2Fd%3De,seed=2,strength_a=2.5"])
    assert settings(found) == {"modalities": "a,c/d=e", "seed": 2, "strength_a": 2.5}

    def value(table, **where):
        for name, wanted in where.items():
            table = table[table[name] == wanted]
        return table["value"].item()

    run = {"modalities": "a,c/d=e", "seed": 2, "strength_a": 2.5}
    assert scalars(found) == {
        ("a/task_loss", 10): pytest.approx(value(curves, step=10, **run)),
        ("a/task_loss", 20): pytest.approx(value(curves, step=20, metric="task_loss", **run)),
        ("a|b/alignment_loss", 20): pytest.approx(value(curves, subject="a|b", **run)),
        ("final/a/accuracy", 20): pytest.approx(value(results, subject="a", **run)),
        ("final/fusion/probe_accuracy", 20): pytest.approx(value(results, subject="fusion", **run)),
    }


def test_a_large_sweep_is_averaged_over_seeds_that_did_not_diverge(tmp_path):
    results, curves = tables(seeds=50, diverged={(7, 2.5)} | {(s, 0.0) for s in range(50)})
    assert tensorboard.write(tmp_path, results, curves) == 2  # at λ = 0 every run diverged
    found = events(tmp_path / "tensorboard" / "modalities=a,b,strength_a=2.5")
    kept = results[(results["modalities"] == "a,b") & (results["strength_a"] == 2.5)]
    kept = kept[(kept["seed"] != 7) & (kept["subject"] == "a")]
    assert len(kept) == 49
    assert scalars(found)["final/a/accuracy", 20] == pytest.approx(kept["value"].mean())
    assert "seed" not in settings(found)


def test_names_fit_the_file_system_and_stay_apart():
    long = {f"field_{i}": 1 / (i + 3) for i in range(20)}
    names = {tensorboard.folder_name(long | {"field_19": last}) for last in (1.0, 2.0)}
    assert len(names) == 2
    assert all(len(name) <= 255 and "/" not in name for name in names)


def test_without_the_extra_one_line_names_it_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "redalign_jax.report.tensorboard")
    monkeypatch.delattr("redalign_jax.report.tensorboard")
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    with pytest.raises(UserError, match=r"log\.tensorboard: .*redalign-jax\[tensorboard\]"):
        redalign_jax.sweep("redundancy", workdir=tmp_path / "w", log__tensorboard=True)
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_a_sweep_leaves_event_files_where_they_are_asked_for(tmp_path):
    small = {"train__steps": 4, "train__evaluations": 2, "encoder__embed_dim": 4}
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    data = redalign_jax.arrays({m: y[:, None] + rng.normal(size=(200, 3)) for m in "ab"}, y)
    redalign_jax.sweep(
        data, strength=[0, 1], seeds=2, workdir=tmp_path, log__tensorboard=True, **small
    )
    assert len(list(tmp_path.glob("tensorboard/*/*tfevents*"))) == 2 * 2  # seeds × strengths
