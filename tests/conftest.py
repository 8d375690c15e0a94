"""What all tests share: several CPU devices, compiled programs, and a data folder.

Tests marked `slow` compile many programs or run whole commands; together they are the tier that
`launch/test.sh --all` adds, beside the simulations of `tests/calibration`.
"""

import os
from pathlib import Path

import pytest

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "2"
# Here and in every process a test starts: an array broadcast against one of fewer axes is an error.
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# Tests run side by side, one to a core: threads of NumPy's own only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Most of the time of the suite is compilation, and the programs are small: compile quickly, and one
# program once, whoever asks for it.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")


@pytest.fixture(scope="module", autouse=True)
def room_for_programs():
    """A process of tests compiles more programs than one may hold."""
    from redalign_jax.runtime import mappings

    yield
    mappings.make_room()


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory):
    """Prepared datasets go to a folder of the tests' own."""
    os.environ["TFDS_DATA_DIR"] = str(tmp_path_factory.mktemp("tfds"))
