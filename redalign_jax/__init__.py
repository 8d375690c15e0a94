"""redalign: should these modalities be aligned, and how strongly?

import redalign_jax as ra

data = ra.arrays({"vision": vision, "text": text}, labels)
print(ra.advise(data, minutes=2))
results = ra.sweep(data, strength=[0, 0.3, 1, 3], seeds=8)
results.best()
model = ra.fit(data, strength={"vision": 1, "text": 0})
model.embed("vision", vision)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from redalign_jax.api import (
        advise,
        arrays,
        decompose,
        fit,
        inspect,
        load,
        predict_gain,
        report,
        sweep,
    )
    from redalign_jax.api.answers import Advice, Results
    from redalign_jax.data.memory import Dataset
    from redalign_jax.errors import UserError
    from redalign_jax.fitted.model import Model

__all__ = [
    "Advice",
    "Dataset",
    "Model",
    "Results",
    "UserError",
    "advise",
    "arrays",
    "decompose",
    "fit",
    "inspect",
    "load",
    "predict_gain",
    "report",
    "sweep",
]

_FROM = {
    "Advice": "api.answers",
    "Dataset": "data.memory",
    "Model": "fitted.model",
    "Results": "api.answers",
    "UserError": "errors",
}
_ROOMS = ("advise", "report", "sweep", "sklearn")  # the first three are functions too, see `rooms`


def __getattr__(name: str) -> Any:
    """The API, imported when it is first asked for."""
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_FROM.get(name, 'api')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
