"""What all tests share: several CPU devices, as a user's machine has cores, and a data folder."""

import os

import pytest

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "2"


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory):
    """Prepared datasets go to a folder of the tests' own."""
    os.environ["TFDS_DATA_DIR"] = str(tmp_path_factory.mktemp("tfds"))
