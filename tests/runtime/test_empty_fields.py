"""An empty text of `data` says nothing, whoever wrote `config.json`; any other value does."""

import json

import pytest
from helpers.small import experiment

from redalign_jax.data.sources import arrays, tfds_source
from redalign_jax.errors import UserError
from redalign_jax.runtime import claim

CONTENT = {"mine.npz": "00"}


def config(source, **changes):
    found = experiment()
    found.data = source.defaults()
    found.data.update(changes)
    return found


def texts(source):
    empty = [name for name, value in source.defaults().items() if value == ""]
    return [name for name in empty if name not in claim.PLACES]


@pytest.fixture
def advised(tmp_path):
    """Writes a workdir that holds the advice on a config, with or without its empty texts."""

    def write(held, keep=True):
        claim.claim(tmp_path, held, CONTENT, "advise")
        (tmp_path / "advice.json").write_text("{}")
        path = tmp_path / "config.json"
        about = json.loads(path.read_text())
        if not keep:
            data = about["config"]["data"]
            about["config"]["data"] = {n: v for n, v in data.items() if v != ""}
            assert len(about["config"]["data"]) < len(data)
            path.write_text(json.dumps(about))
        return tmp_path

    return write


@pytest.mark.parametrize("source", [arrays, tfds_source])
@pytest.mark.parametrize("job", ["advise", "decompose", "sweep"])
def test_a_workdir_that_lacks_them_is_of_the_same_experiment(advised, source, job):
    folder = advised(config(source), keep=False)
    about = claim.admit(folder, config(source), CONTENT, job)
    assert all(about["config"]["data"][name] == "" for name in texts(source))


@pytest.mark.parametrize("source", [arrays, tfds_source])
@pytest.mark.parametrize("keep", [True, False])
def test_one_that_now_says_something_is_another(advised, source, keep):
    folder = advised(config(source), keep)
    assert len(texts(source)) > 1
    for name in texts(source):
        with pytest.raises(UserError, match=f'data.{name} was .*, now "else"'):
            claim.admit(folder, config(source, **{name: "else"}), CONTENT, "advise")


def test_one_that_said_something_is_not_lost(advised):
    folder = advised(config(arrays, split="fold"))
    with pytest.raises(UserError, match='data.split was "fold", now null'):
        claim.admit(folder, config(arrays), CONTENT, "advise")


@pytest.mark.parametrize("value", [0, False, ()])
def test_what_is_no_text_is_never_nothing(advised, value):
    held = config(arrays)
    with held.data.ignore_type():
        held.data.valid = value
    folder = advised(held)
    with pytest.raises(UserError, match="data.valid was"):
        claim.admit(folder, config(arrays), CONTENT, "advise")
