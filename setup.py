"""What pyproject.toml cannot say: the wheel carries `configs/` as `redalign_jax.configs`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["redalign_jax*"]), "redalign_jax.configs"],
    package_dir={"redalign_jax.configs": "configs"},
)
