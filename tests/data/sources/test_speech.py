"""Sound as levels, and the synthesiser: every digit by many voices, the same every time."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from redalign_jax.data import spectrogram
from redalign_jax.data.sources import espeak

pytestmark = pytest.mark.slow

RATE = 8000


def tone(hertz, seconds=0.5, before=0.0):
    t = np.arange(int(seconds * RATE)) / RATE
    return np.concatenate([np.zeros(int(before * RATE)), np.sin(2 * np.pi * hertz * t)])


def test_a_tone_is_loud_in_its_band_and_for_its_time():
    """Centres by the mel formula, in float64."""
    mel = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (60, 4000)), spectrogram.BANDS + 2)
    centres = 700 * (10 ** (mel[1:-1] / 2595) - 1)
    for band in (5, 16, 28):
        got = spectrogram.log_mel(tone(centres[band]), RATE)
        assert got.shape == (79, 32) and got.dtype == np.uint8 and got.max() == 255
        assert (got[:47].argmax(axis=1) == band).all()
        assert (got[:47, band] > 250).all() and not got[50:].any()  # 0.5 s are 50 steps of 10 ms


def test_loudness_silence_before_and_rate_do_not_matter():
    plain = spectrogram.log_mel(tone(700), RATE)
    assert np.array_equal(plain, spectrogram.log_mel(1000 * tone(700), RATE))
    late = spectrogram.log_mel(tone(700, before=0.3), RATE)
    assert np.abs(plain[:45].astype(int) - late[:45]).max() <= 3  # it begins at the first sound
    t = np.arange(int(0.5 * 22050)) / 22050
    finer = spectrogram.log_mel(np.sin(2 * np.pi * 700 * t), 22050)
    assert np.abs(plain[:45, 5:15].astype(int) - finer[:45, 5:15]).mean() < 12  # of 255


def test_decibels():
    power = np.full((2, 3, 4), 1e-3)
    power[:, 1, 2] = 5.0, 7.0
    power[0, 0, 0] = 0
    got = spectrogram.levels(power)
    for k, loudest in enumerate((5, 7)):
        assert got[k, 2, 2] == round(255 * (1 + 10 * np.log10(1e-3 / loudest) / 80))
        assert got[k, 1, 2] == 255
    assert got[0, 0, 0] == 0
    assert not spectrogram.levels(np.zeros((3, 4))).any()
    assert not spectrogram.log_mel(np.zeros(100), RATE).any()
    assert not spectrogram.log_mel(np.zeros(0), RATE).any()


def test_the_synthesiser():
    pytest.importorskip("espeakng_loader")
    clips = list(espeak.clips())
    said = {(digit, voice) for digit, voice, _, _ in clips}
    voices = {voice for _, voice in said}
    assert len(voices) >= 80 and len(said) == 10 * len(voices)
    assert len(clips) == espeak.TAKES * len(said)
    assert all(rate > 8000 and sound.dtype == np.int16 for _, _, sound, rate in clips)
    lengths = np.array([len(sound) / rate for _, _, sound, rate in clips])
    assert lengths.min() > 0.1 and np.mean(lengths <= 0.815) > 0.98  # what is cut off is rare
    sounds = {sound.tobytes() for _, _, sound, _ in clips}
    assert len(sounds) > 0.99 * len(clips)
    digest = hashlib.sha256(b"".join(sound.tobytes() for _, _, sound, _ in clips)).hexdigest()
    again = subprocess.run(
        [
            sys.executable,
            "-c",
            "import hashlib; from redalign_jax.data.sources import espeak as synthesis;"
            "h = hashlib.sha256(b''.join(c[2].tobytes() for c in synthesis.clips()));"
            "print(h.hexdigest())",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert again.stdout.strip() == digest
