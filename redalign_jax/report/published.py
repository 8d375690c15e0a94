"""What is published about the same data, to stand beside what was found."""

# Fang, Zhang and Chan, AAAI 2026 (arXiv 2511.12121); encoders and training differ from these.
EXPECTED = {
    "avmnist": "aligned with audio, the image encoder loses slightly",
    "mosei": "vision gains beside text, and text is best near λ = 0.75",
    "mustard": "aligned with the others, vision rises from 54 to 62 % accuracy and audio from 58 "
    "to 66 %",
}


def sentences(source: str) -> list[str]:
    """The expectation as "Name: sentence", if there is one."""
    if source not in EXPECTED:
        return []
    return [f"Published (arXiv 2511.12121), other encoders: {EXPECTED[source]}."]
