"""What an experiment may say: types, bounds, float32, locked fields, and no value twice."""

import ast
import json
import re

import numpy as np
import pytest
from helpers.small import experiment
from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax import fields
from redalign_jax.data.sources import arrays, mfeat, redundancy_bits
from redalign_jax.errors import UserError
from redalign_jax.sweep import grid


def changed(field, value):
    """The small experiment with any value at all in one field."""
    plain = experiment().to_dict()
    *section, name = field.split(".")
    held = plain[section[0]] if section else plain
    held[name] = value
    return ConfigDict(plain, type_safe=False)


def refused(message, field, value):
    with pytest.raises(UserError, match=message) as caught:
        configs.check(changed(field, value))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith((field, f"unknown config field: config.{field}"))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("encoder.hidden_sizes", (8.5,), "8.5 is not a whole number"),
        ("encoder.embed_dim", (4, 6.5), "6.5 is not a whole number"),
        ("train.steps", 20.5, "20.5 is not a whole number"),
        ("train.steps", "20", "'20' is not a number"),
        ("train.steps", (20,), r"\(20,\) is not a number"),
        ("train.batch", True, "True is not a number"),
        ("train.batch", 1, "1 must be at least 2"),
        ("train.steps", 2**40, "must be at least 1 and at most 2,147,483,647"),
        ("sweep.seeds", 10**500, "must be at least 1 and at most"),
        ("sweep.seeds", None, "None is not a number"),
        ("sweep.balanced", 1, "1 is not true or false"),
        ("sweep.balanced", "yes", "'yes' is not true or false"),
        ("advice", 3, "3 is not a text"),
        ("encoder.kind", ("mlp", "cnn"), "is not a text"),
        ("encoder.kind", "mlp,", "'' is not one of auto, mlp"),
        ("hyper.strength", (0.0, "a"), "'a' is not a number"),
        ("hyper.strength", (0.0, ()), r"no value in \(\)"),
        ("hyper.strength", (0.0, (1, (2, 3))), r"\(2, 3\) is not a number"),
        ("hyper.temperature", ((0.1, 0.2),), "only strength can be several"),
        ("hyper.strength", (0.0, 1e39), "1e.39 is beyond float32"),
        ("hyper.strength", (0.0, 10**400), "inf must be finite"),
        ("hyper.learning_rate", (1e-50,), "1e-50 is 0 in float32"),
        ("hyper.weight_decay", (1e-40,), "1e-40 is 0 in float32"),  # subnormal: flushed by XLA
        (
            "hyper.false_negative_weight",
            (float("inf"),),
            "inf must be finite, at least 0 and at most 1",
        ),
        ("decompose.learning_rate", 1e-46, "is 0 in float32"),
        ("data.labels", (64.5,), "64.5 is not a whole number"),
        ("data.labels", "all", "'all' is not a number"),
        ("data.test", 0.2, "0.2 is not a whole number"),
        ("data.label_temperature", ("hot",), "'hot' is not a number"),
        ("data.source", 3, "3 is not a text"),
        ("advise.minutes", True, "True is not a number"),
        ("advise.minutes", 10**400, "must be finite"),
        ("data", 5, "5 is no section of fields"),
        ("train", None, "None is no section of fields"),
        ("data.lables", (3,), "unknown config field"),
        ("hyper.strenght", (0, 2), "unknown config field"),
    ],
)
def test_wrong_types_and_numbers_that_float32_cannot_hold(field, value, message):
    refused(message, field, value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hyper.strength", (0, (0, 0))),
        ("hyper.strength", ((1, 2), (1.0, 2.00000000001))),
        ("hyper.strength", (0, 0.1, 0.10000000001)),
        ("hyper.strength", (0.0, -0.0)),
        ("hyper.temperature", (1, True + 0.0)),
        ("encoder.embed_dim", (8, 8.0)),
        ("data.labels", (50, 50)),
        ("data.redundancy", (0, 8, 0)),
        ("data.label_temperature", (0.1, 0.10000000001)),
    ],
)
def test_a_value_in_two_spellings_is_refused_naming_both(field, value):
    refused(r"a value stands twice, .* and .* are the same", field, value)


def test_modalities_in_another_order_are_the_same_ones():
    data = mfeat.defaults()
    data.modalities = ("kar,pix", "fac,fou", "pix, kar")
    with pytest.raises(UserError, match="data.modalities: .*'kar,pix' and 'pix, kar'"):
        configs.check(configs.base(data))


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("labels", (0, 84), "labels=0 and labels=84 are the same task"),
        ("modalities", ("", "b,a"), "modalities='' and modalities='b,a' are the same task"),
        ("labels", (0, 60), None),
        ("modalities", ("a,b", "a,c"), None),
    ],
)
def test_a_task_in_two_spellings_is_refused_naming_both(tmp_path, field, values, message):
    rng = np.random.default_rng(0)
    names = "abc" if values == ("a,b", "a,c") else "ab"
    x = {name: rng.standard_normal((120, 2)) for name in names}
    np.savez(tmp_path / "mine.npz", **x, labels=np.arange(120) % 2)
    config = experiment(hyper__strength=(0.0,))
    config.data = arrays.defaults()
    config.data.path, config.data[field] = str(tmp_path / "mine.npz"), values
    config.measure.neighbours = 3
    if message is None:
        assert len(grid.cells(configs.check(config))) == 4
        grid.groups(config)
        return
    with pytest.raises(UserError, match=f"data.{field}: {message}"):
        grid.groups(config)


def test_a_python_config_is_locked():
    config = configs.base(redundancy_bits.defaults())
    with pytest.raises(AttributeError, match="step"):
        config.train.step = 20
    with pytest.raises(AttributeError, match="strenght"):
        config.hyper.strenght = (0, 2)
    with pytest.raises(AttributeError, match="label"):
        config.data.label = (5,)
    with pytest.raises(AttributeError, match="trian"):
        config.trian = {}


def test_one_value_is_a_tuple_of_one_and_numpy_is_python():
    config = configs.base(redundancy_bits.defaults())
    config.hyper.strength = 0
    config.data.labels = np.int64(500)
    config.encoder.hidden_sizes = [16, 8]
    config.hyper.temperature = np.float32(0.5)
    config.train.steps = np.int32(40)
    checked = configs.check(config)
    assert checked.hyper.strength == (0.0,) and checked.data.labels == (500,)
    assert checked.encoder.hidden_sizes == (16, 8) and checked.hyper.temperature == (0.5,)
    assert type(checked.train.steps) is int
    json.dumps(checked.to_dict())
    whole = changed("hyper", changed("hyper.strength", 2).hyper)  # past every setter
    assert configs.check(whole).hyper.strength == (2.0,)


def test_seeds_stay_below_two_to_the_32():
    config = experiment(sweep__seeds=3, sweep__first_seed=2**32 - 3)
    assert configs.check(config).sweep.first_seed == 2**32 - 3
    config.sweep.seeds = 4
    with pytest.raises(UserError, match="sweep.first_seed: .* at most 4294967292"):
        configs.check(config)


def test_a_grid_that_no_memory_holds_is_refused():
    with pytest.raises(UserError, match="sweep.seeds: the grid has 12,000,000,000 runs"):
        configs.check(experiment(sweep__seeds=2_000_000_000))


def test_the_table_is_what_the_defaults_and_the_checks_are_made_of():
    config = configs.base(redundancy_bits.defaults())
    assert set(config) == {"data", *fields.FIELDS}
    assert configs.check(config).to_dict() == config.to_dict()  # defaults pass, unchanged
    for section, rows in fields.FIELDS.items():
        for name, row in rows.items():
            assert row.words and not re.search(r"[.;]$", row.words), (section, name)


def test_patterns_of_columns_are_one_text_on_the_command_line():
    """Not a tuple, and not a literal of Python, in both spellings of a flag."""
    from redalign_jax import __main__

    patterns = "rna=rna_*,prot=prot_*+cd4"
    for flags in ([f"--config.data.modalities={patterns}"], ["--config.data.modalities", patterns]):
        read = __main__._with_paths(["redalign", "--config=arrays", *flags])
        assert ast.literal_eval(read[-1].removeprefix("--config.data.modalities=")) == (patterns,)
    plain = ["redalign", "--config.data.modalities=kar,mor"]
    assert __main__._with_paths(plain) == plain
