"""`python -m redalign_jax.data` prepares and says what there is, or in one line what is missing."""

import pytest
from helpers import forked
from helpers.commands import refused
from helpers.forked import ROOT

from redalign_jax.data import SOURCES
from redalign_jax.data.__main__ import NAMES
from redalign_jax.data.sources import multibench

pytestmark = pytest.mark.slow

MODULE = "redalign_jax.data"


def test_prepares_once_and_says_what_there_is(tmp_path):
    for _ in range(2):
        done = forked.run(MODULE, "mfeat", f"--data_dir={tmp_path}")
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0] == "mfeat: 1400 train, 200 valid, 400 test; 10 classes"
        assert len(lines) == 7 and "  kar: float32 (64,)" in lines
    assert (tmp_path / "mfeat" / "1.0.0" / "dataset_info.json").exists()


def test_what_is_missing_is_one_line(tmp_path):
    command = (MODULE, "avmnist", f"--data_dir={tmp_path}")
    place = tmp_path / "downloads" / "manual" / "avmnist" / "image" / "train_data.npy"
    refused(
        forked.run(*command), f"{place} is missing: put MultiBench's file there, or name another"
    )
    refused(forked.run(*command, f"--manual_dir={tmp_path}"), tmp_path / "image" / "train_data.npy")


@pytest.mark.parametrize("arguments", [["tfds"], ["mfeat", "--manual_dir=x"], []])
def test_wrong_arguments(arguments):
    done = forked.run(MODULE, *arguments)
    assert done.returncode == 2 and "redalign_jax.data: error: " in done.stderr.splitlines()[-1]


def test_every_dataset_can_be_prepared_and_has_an_experiment():
    assert {"mfeat", "av_digits", "avmnist", "mosei", "mosi", "mustard", "ur_funny"} == {*NAMES}
    for name in SOURCES:
        known = {"redundancy_bits": "redundancy"} | dict.fromkeys(multibench.DATASETS, "affect")
        assert (ROOT / "configs" / f"{known.get(name, name)}.py").exists()
