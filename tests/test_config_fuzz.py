"""Whatever stands in a config, it is one line, or a grid that can be built."""

import numpy as np
from helpers.small import experiment
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax.errors import UserError
from redalign_jax.fields import FIELDS
from redalign_jax.sweep import grid

NAMES = [f"{s}.{n}" if n else s for s, rows in FIELDS.items() for n in rows]
NAMES += [f"data.{name}" for name in experiment().data]
ODD = [None, True, "", "x", "mlp,cnn", b"x", {}, {"a": 1}, object(), np.nan, np.inf, -np.inf]
ODD += [0, 1, 2, 3, -1, 8.5, 1e39, 1e-50, 1e-40, 0.1, 0.10000000001, 2**31, 2**32, 10**400]
ODD += [np.float32(0.5), np.int64(4), np.arange(3), np.zeros((2, 2)), np.array("x"), 1j, range(3)]
SCALARS = st.sampled_from(ODD) | st.integers(-5, 5000) | st.floats() | st.text(max_size=4)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.lists(SCALARS, max_size=3).map(tuple)
VALUES |= st.lists(st.tuples(SCALARS, SCALARS), max_size=3).map(tuple)


def outcome(changes):
    """ "refused", or "accepted" after the grid of the config was built."""
    plain = experiment(data__redundancy=(8,)).to_dict()
    for name, value in changes.items():
        section, _, field = name.partition(".")
        if field:
            plain[section][field] = value
        else:
            plain[section] = value
    try:
        config = configs.check(ConfigDict(plain, type_safe=False, convert_dict=False))
        groups = grid.groups(config)
        hypers = grid.hyper_arrays(configs.settings(config), len(groups[0].model.modalities))
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
        return "refused"
    for values in hypers:
        assert values.dtype == np.float32 and np.isfinite(values).all()
    assert len({values.tobytes() for values in np.hstack(_flat(hypers))}) == len(hypers.strength)
    cells = [cell for group in groups for cell in group.cells]
    assert len(cells) * len(hypers.strength) <= configs.MOST
    np.array([cell.seed for cell in cells], np.uint32)
    return "accepted"


def _flat(hypers):
    return [np.reshape(values, (len(values), -1)) for values in hypers]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@example({"hyper.strength": (0, (0, 0))})
@example({"sweep.seeds": 2**31 - 1})
@example({"hyper.temperature": (1e-46,)})
@example({"encoder.hidden_sizes": 8.5})
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=2))
def test_no_value_of_any_type_is_a_traceback(changes):
    outcome(changes)


def test_the_fuzz_reaches_both_outcomes():
    assert outcome({"hyper.strength": 0.5, "train.batch": np.int64(4)}) == "accepted"
    assert outcome({"hyper.strength": [0, (1, 2)], "encoder.embed_dim": range(3, 5)}) == "accepted"
    assert outcome({"hyper.strength": b"x"}) == "refused"
