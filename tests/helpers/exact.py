"""The exact columns of a task of `redundancy_bits`."""

from redalign_jax import pid
from redalign_jax.data.sources import redundancy_bits as bits


def exact(redundancy, temperature, seed):
    """As in the results, of this redundancy, label temperature and seed."""
    process = bits.process(redundancy, temperature, seed)
    return pid.columns(bits.MODALITIES, lambda: bits.joint(process))
