"""Old names of fields: one line that names the new one, and what was written by them is read."""

import json

import pandas as pd
import pytest
from helpers import tables
from helpers.commands import command, refused
from helpers.small import experiment
from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax import fields, renamed, report
from redalign_jax.errors import UserError
from redalign_jax.runtime import results, workdir


def test_every_new_name_is_a_field_and_no_old_one_is():
    for old, new in renamed.FIELDS.items():
        section, _, name = old.partition(".")
        if section != "data":
            assert new in fields.FIELDS[section] and name not in fields.FIELDS[section]


@pytest.mark.parametrize("old", [f for f in renamed.FIELDS if not f.startswith("data.")])
def test_an_old_field_is_one_line_that_names_the_new_one(old):
    section, _, name = old.partition(".")
    held = ConfigDict(experiment().to_dict())
    held[section][name] = 1
    with pytest.raises(UserError, match=f"it is called {section}.{renamed.FIELDS[old]} now$"):
        configs.check(held)


@pytest.mark.slow
def test_an_old_flag_is_one_line_that_names_the_new_one(tmp_path):
    flags = ("--config=mfeat", "--config.hyper.debias=1", f"--workdir={tmp_path / 'w'}")
    refused(command(*flags), "hyper.debias; it is called hyper.false_negative_weight now")
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_a_workdir_written_by_old_names_is_reported(tmp_path):
    settings = [s for f in (0.5, 1.0) for s in tables.symmetric(0, 1, align_fraction=f)]
    new = tables.table([{"embed_dim": size} for size in (2, 4)], settings=settings)
    back = {new: old for old, new in renamed.COLUMNS.items()}
    old = [each.rename(columns=back) for each in (new, tables.learning(new))]
    assert len(set(back.values()) & set(old[0])) == len(set(back.values()) & set(old[1])) == 2
    folder = tables.write(tmp_path / "old", *old)
    about = json.loads((folder / "config.json").read_text())
    about["config"] = experiment().to_dict()
    for name, now in renamed.FIELDS.items():
        section, _, name = name.partition(".")
        if now in about["config"][section]:
            about["config"][section][name] = about["config"][section].pop(now)
    del about["config"]["train"]["precision"], about["config"]["sweep"]["keep"]
    (folder / "config.json").write_text(json.dumps(about))
    report.make(folder)
    assert "align_until" not in (folder / "report.html").read_text()
    pd.testing.assert_frame_equal(results.read(folder), new)
    assert workdir.read_config(folder)["config"] == json.loads(json.dumps(experiment().to_dict()))
    assert {"embed_dim", "align_fraction"} <= set(results.read(folder, results.CURVES))
