"""Batches by blocks and over devices: the same losses and gradients as in one piece."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.references import info_nce64, predictions, projections
from helpers.small import experiment
from jax.sharding import PartitionSpec as P

from redalign_jax import alignment, sweep
from redalign_jax.errors import UserError
from redalign_jax.runtime import devices
from redalign_jax.sweep import grid
from redalign_jax.task import Split
from redalign_jax.training.flat import layout
from redalign_jax.training.start import start
from redalign_jax.training.step import losses

pytestmark = pytest.mark.slow


def over_devices(loss):
    """`loss` of two devices' parts and its gradients, summed as training does."""
    mesh = devices.mesh(2)
    split, whole = P(devices.BATCH), P()

    def parts(a, b, log_t, negatives):
        value, (g_a, g_b, g_t) = jax.value_and_grad(loss, (0, 1, 2))(a, b, log_t, negatives)
        value, g_t = jax.lax.psum((value, g_t), devices.BATCH)
        return value, g_a, g_b, g_t

    def run(a, b, log_t, negatives):
        specs = negatives and alignment.Negatives(split, split, whole)
        mapped = jax.shard_map(
            parts,
            mesh=mesh,
            in_specs=(split, split, whole, specs),
            out_specs=(whole, split, split, whole),
            check_vma=False,
        )
        return jax.jit(mapped)(a, b, log_t, negatives)

    return run


def in_one_place(loss):
    def run(a, b, log_t, negatives):
        value, gradients = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(a, b, log_t, negatives)
        return value, *gradients

    return run


FORMS = {
    "block": (in_one_place, {"block": 5}),  # 16 rows: the last block has one
    "devices": (over_devices, {"axis": devices.BATCH}),
    "both": (over_devices, {"axis": devices.BATCH, "block": 3}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bounded", [False, True])
def test_info_nce_in_parts_matches_float64(form, weighted, bounded):
    a, b = (z.astype(np.float32) for z in projections(16, 6, 3))
    log_t = np.log(np.float32(0.15))
    negatives, weights = None, None
    if weighted:
        negatives = alignment.Negatives(*predictions(16, 4, 1), np.float32(0.7))
        weights = np.asarray(alignment.negative_weights(negatives), float)
    place, how = FORMS[form]

    def loss(a, b, log_t, negatives):
        return alignment.info_nce(a, b, jnp.exp(log_t), negatives, bounded=bounded, **how)

    expected = info_nce64(a.astype(float), b.astype(float), np.exp(float(log_t)), weights)
    for got, want in zip(place(loss)(a, b, log_t, negatives), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("objective", ["siglip", "vicreg"])
def test_other_objectives_in_parts_are_the_whole(form, objective):
    a, b = (z.astype(np.float32) for z in projections(16, 6, 3))
    log_t = np.log(np.float32(0.15))
    negatives = alignment.Negatives(*predictions(16, 4, 1), np.float32(0.7))
    place, how = FORMS[form]

    def loss(a, b, log_t, negatives, how):
        if objective == "siglip":
            return alignment.siglip(a, b, jnp.exp(log_t), -2.0, negatives, **how)
        how = {name: value for name, value in how.items() if name == "axis"}
        return alignment.vicreg(a, b * jnp.exp(log_t), **how)

    whole = in_one_place(partial(loss, how={}))(a, b, log_t, negatives)
    parts = place(partial(loss, how=how))(a, b, log_t, negatives)
    for got, want in zip(parts, whole, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("objective", "pairs", "holes"),  # all labelled, or more pairs; rows that miss a modality
    [
        *(("info_nce", pairs, holes) for pairs in (64, 128) for holes in (False, True)),
        *((name, 64, False) for name in ("siglip", "posterior")),
        *((name, 128, True) for name in ("siglip", "posterior")),
    ],
)
def test_a_step_over_two_devices_is_the_step_of_one(pairs, objective, holes):
    config = experiment(data__pairs=(pairs,), alignment__learned_temperature=True)
    config.alignment.objective = objective
    config.hyper.false_negative_weight = (0.0 if objective == "posterior" else 0.5,)
    (group,) = grid.groups(config)
    model, data = group.model, group.example
    hyper = jax.tree.map(lambda v: jnp.asarray(v[1]), grid.hyper_arrays(_settings(config), 2))
    state = start(model, hyper, jax.random.key(0), data)
    params, evidence = state.params, state.evidence
    if evidence is not None:
        half = jnp.full(2, 0.5)
        evidence = evidence._replace(gate=half, weight=half[:, None])
    read = layout(model, data.train.x)
    labelled = Split(tuple(x[:32] for x in data.train.x), data.train.y[:32])
    paired = tuple(x[32:64] for x in data.train.x) if pairs > 64 else None
    present = None
    if holes:
        own, present = np.random.default_rng(0).random((2, 2, 32)) < 0.7
        labelled = labelled._replace(present=own)
        present = None if paired is None else present

    def gradient(params, labelled, paired, present, axis=None):
        def loss(params):
            return losses(
                model,
                read.unravel(params),
                hyper,
                labelled,
                paired,
                jnp.float32(1),
                axis,
                evidence=evidence,
                present=present,
            )

        (total, parts), g = jax.value_and_grad(loss, has_aux=True)(params)
        return total, parts, g

    def summed(*args):
        return jax.lax.psum(gradient(*args, axis=devices.BATCH), devices.BATCH)

    split, columns = P(devices.BATCH), P(None, devices.BATCH)
    of_labelled = Split((split, split), split, columns if holes else None)
    two = jax.shard_map(
        summed,
        mesh=devices.mesh(2),
        in_specs=(P(), of_labelled, split, columns),
        out_specs=P(),
        check_vma=False,
    )
    given = params, labelled, paired, present
    both = jax.tree.leaves(jax.jit(two)(*given)), jax.tree.leaves(jax.jit(gradient)(*given))
    for got, want in zip(*both, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


def _settings(config):
    return [{n: v[-1] for n, v in config.hyper.items()} | {"strength": s} for s in (0.0, 2.0)]


def test_a_sweep_with_split_batches_is_the_sweep(tmp_path):
    import pandas as pd

    for name, how in {
        "whole": {},
        "split": {"sweep__batch_shards": 2, "alignment__block": 5},
    }.items():
        sweep.run(experiment(**how), tmp_path / name)
    split, whole = (pd.read_parquet(tmp_path / n / "curves.parquet") for n in ("split", "whole"))
    assert split.drop(columns="value").equals(whole.drop(columns="value"))
    loss = whole["metric"].str.endswith("loss")
    np.testing.assert_allclose(split[loss]["value"], whole[loss]["value"], rtol=1e-4)


def test_batches_that_cannot_be_split_are_named(tmp_path):
    with pytest.raises(UserError, match=r"sweep\.batch_shards: 3 does not divide the 2 devices"):
        sweep.run(experiment(sweep__batch_shards=3), tmp_path)
    with pytest.raises(UserError, match=r"train\.batch: 33 examples .* evenly"):
        sweep.run(experiment(sweep__batch_shards=2, train__batch=33), tmp_path)
