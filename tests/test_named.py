"""Fields of NAME=VALUE are read alike, whatever the values are."""

import pytest

from redalign_jax import kinds
from redalign_jax.data import transforms
from redalign_jax.errors import UserError

NAMES = ("rna", "protein")


@pytest.mark.parametrize(
    ("read", "field", "value"),
    [(kinds.stated, "data.kinds", "tokens"), (transforms.stated, "data.transform", "log1p")],
)
def test_lists_by_name(read, field, value):
    assert read("", NAMES) == {}
    assert read(f" protein = {value} ,, rna={value},", NAMES) == {"protein": value, "rna": value}
    for text, message in (
        (f"dna={value}", f"'dna={value}' is not NAME="),
        ("rna=sqrt", "'rna=sqrt' is not NAME="),
        (value, f"'{value}' is not NAME="),
        ("rna=", "'rna=' is not NAME="),
        (f"rna={value}={value}", f"'rna={value}={value}' is not NAME="),
        (f"rna={value},rna={value}", "'rna' is there twice"),
    ):
        with pytest.raises(UserError) as error:
            read(text, NAMES)
        said = str(error.value)
        assert said.startswith(f"{field}={text!r}: {message}") and "\n" not in said
