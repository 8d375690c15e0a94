"""Sound as a picture: log-mel spectrograms of one size, in levels."""

import numpy as np

FRAMES, BANDS = 79, 32
WINDOW, HOP = 0.025, 0.010  # seconds
LOWEST = 60.0  # Hz; the highest band ends at `HIGHEST`, or at half the sampling rate
HIGHEST = 4000.0
RANGE = 80.0  # decibels from level 0 to 255, the loudest of a clip


def log_mel(sound: np.ndarray, rate: int) -> np.ndarray:
    """A clip's first 0.8 seconds after the silence it begins with.

    Power of Hann windows of 25 ms every 10 ms, in triangular bands of equal width in mel =
    2595 log₁₀(1 + f / 700), in decibels below the loudest value of the clip.

    Args:
      sound: (samples,) of any scale.
      rate: samples per second.

    Returns:
      (FRAMES, BANDS) uint8: 255 is the loudest, 0 is RANGE below or less.
    """
    sound = sound.astype(np.float64)
    loud = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max(initial=0))
    sound = sound[loud[0] :] if len(loud) else sound
    window, hop = round(WINDOW * rate), round(HOP * rate)
    whole = np.zeros(window + (FRAMES - 1) * hop)
    kept = sound[: len(whole)]
    whole[: len(kept)] = kept
    frames = np.lib.stride_tricks.sliding_window_view(whole, window)[::hop]
    size = 1 << (window - 1).bit_length()
    power = np.abs(np.fft.rfft(frames * np.hanning(window), size)) ** 2
    return levels(power @ _bands(size, rate).T)


def levels(power: np.ndarray, decibels: float = RANGE) -> np.ndarray:
    """Powers (…, frames, bands) as levels: 255 is the largest of a clip, 0 `decibels` below it."""
    loudest = power.max(axis=(-2, -1), keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = 10 * np.log10(power / loudest)
    parts = np.clip(1 + np.nan_to_num(below, nan=-decibels) / decibels, 0, 1)
    return np.rint(255 * parts).astype(np.uint8)


def add_noise(level: np.ndarray, decibels: float, rng: np.random.Generator) -> np.ndarray:
    """Clips in white noise.

    Args:
      level: (n, FRAMES, BANDS) uint8, from `levels`.
      decibels: mean power of the noise in every band, relative to the clip's loudest value.
      rng: draws it: the power of Gaussian noise is exponentially distributed.

    Returns:
      Levels of speech and noise together. They begin 10 decibels below the noise, if that is above
      what they began at: there is nothing to see below.
    """
    powers = np.float32(10) ** (RANGE * (np.arange(256, dtype=np.float32) / 255 - 1) / 10)
    powers[0] = 0
    noise = rng.standard_exponential(level.shape, np.float32) * np.float32(10 ** (decibels / 10))
    return levels(powers[level] + noise, min(RANGE, 10 - decibels))


def _bands(size: int, rate: int) -> np.ndarray:
    """(BANDS, size / 2 + 1) triangles."""
    top = min(HIGHEST, rate / 2)
    low, high = (2595 * np.log10(1 + f / 700) for f in (LOWEST, top))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    f = np.arange(size // 2 + 1) * rate / size
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.clip(np.minimum((f - left) / (middle - left), (right - f) / (right - middle)), 0, 1)
