"""Changes from strength 0 whose truth is known, as (pages, encoders, seeds, strengths) arrays."""

import numpy as np

from redalign_jax.analysis.strengths import Response


def fresh(rng, shape, truth=0.0, rho=0.5, noise="normal", rows=0):
    """Seeds that are draws of their own; strengths share a run at 0 and correlate by `rho`.

    `noise` is "normal" or "heavy" (t with four degrees of freedom); `rows` rounds changes to those
    of a test split of so many rows, where the s.d. of a change is four of them.
    """
    heavy = noise == "heavy"
    both = rng.standard_t(4, (2, *shape)) if heavy else rng.standard_normal((2, *shape))
    changes = np.sqrt(rho) * both[0][..., :1] + np.sqrt(1 - rho) * both[1] + truth
    return np.round(4 * changes) / rows if rows else 0.02 * changes


def resplit(rng, shape, rows=160, test=0.25, fixed=False):
    """Seeds that split the same rows again: real classifiers, trained and tested on real splits.

    Every strength of every encoder is a least-squares classifier on features of its own, all
    equally good, so that the true change is 0 for rows not seen; which is better on *these* rows is
    luck that splits share. `fixed` keeps one split; seeds then differ in what they train on: every
    run leaves out a fifth of its training rows.
    """
    pages, encoders, seeds, strengths = shape
    groups, width = encoders * (strengths + 1), 3
    y = rng.choice([-1.0, 1.0], (pages, rows))
    x = rng.standard_normal((pages, groups, rows, width)) + 0.35 * y[:, None, :, None]
    held = round(test * rows)
    right = np.empty((pages, seeds, groups))
    order = rng.permuted(np.tile(np.arange(rows), (pages, 1)), axis=1)
    for seed in range(seeds):
        if not fixed:
            order = rng.permuted(order, axis=1)
        tested = order < held
        used = ~tested[:, None] & (rng.random((pages, groups, rows)) < 0.8)
        masked = x * used[..., None]
        square = np.swapaxes(masked, -1, -2) @ x
        weights = np.linalg.solve(square, np.swapaxes(masked, -1, -2) @ y[:, None, :, None])
        hit = ((x @ weights)[..., 0] > 0) == (y[:, None] > 0)
        right[:, seed] = (hit & tested[:, None]).sum(axis=-1) / held
    right = right.reshape(pages, seeds, encoders, strengths + 1).swapaxes(1, 2)
    return right[..., 1:] - right[..., :1]


def responses(page, share=0.0):
    """The encoders of one page, (encoders, seeds, strengths), with strength 0 before the others."""
    strengths = np.arange(page.shape[-1] + 1.0)
    seeds = np.arange(page.shape[1])
    return [
        Response(
            {"subject": str(k)},
            strengths,
            len(strengths) - 1,
            seeds,
            np.column_stack([np.zeros(len(seeds)), changes]),
            np.full(len(seeds), 0.7),
            share,
        )
        for k, changes in enumerate(page)
    ]
