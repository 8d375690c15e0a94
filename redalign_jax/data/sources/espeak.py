"""Spoken digits from the speech synthesiser eSpeak NG: clips of many voices, not recorded speech.

The synthesiser is a shared library that the optional package `espeakng-loader` brings along
(`pip install redalign-jax[speech]`). eSpeak NG is GPL-3.0 and is only called, none of it is here.
"""

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from redalign_jax.errors import UserError

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LANGUAGE = "en-us"
TAKES = 2  # of every word by every voice, each at a speed and a pitch of its own

# From speak_lib.h
_SYNCHRONOUS, _NO_EXIT, _UTF8 = 2, 0x8000, 1
_RATE, _PITCH = 1, 3
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def clips() -> Iterator[tuple[int, str, np.ndarray, int]]:
    """Every digit by every voice, TAKES times; the same clips on every machine with this version.

    Voices that sound exactly like an earlier one are left out.

    Yields:
      The digit, the voice, (samples,) int16, and samples per second.

    Raises:
      UserError: the optional package is not installed, or does not run here.
    """
    library, voices = _library()
    sounds: list[int] = []
    heard: set[bytes] = set()

    def receive(samples: ctypes.Array, count: int, _: None) -> int:
        if samples and count > 0:
            sounds.extend(samples[:count])
        return 0

    callback = _CALLBACK(receive)  # kept alive here, the library only has its address
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(voices.parents[1]).encode(), _NO_EXIT)
    if rate <= 0:
        raise UserError("speech synthesis: eSpeak NG does not start")

    def say(word: str, speed: int, pitch: int) -> np.ndarray:
        sounds.clear()
        library.espeak_ng_SetRandSeed(ctypes.c_long(0))  # of voices that breathe
        library.espeak_SetParameter(_RATE, speed, 0)
        library.espeak_SetParameter(_PITCH, pitch, 0)
        text = word.encode() + b"\0"
        library.espeak_Synth(text, len(text), 0, 0, 0, _UTF8, None, None)
        return np.array(sounds, np.int16)

    try:
        library.espeak_SetSynthCallback(callback)
        for number, voice in enumerate(sorted(path.name for path in voices.iterdir())):
            if library.espeak_SetVoiceByName(f"{LANGUAGE}+{voice}".encode()):
                continue
            sample = say("one two three", 160, 50)
            if not np.any(sample) or sample.tobytes() in heard:
                continue
            heard.add(sample.tobytes())
            rng = np.random.default_rng(number)
            for digit, word in enumerate(WORDS):
                for speed, pitch in rng.integers((140, 35), (200, 66), (TAKES, 2)):
                    yield digit, voice, say(word, int(speed), int(pitch)), rate
    finally:
        library.espeak_Terminate()


def _library() -> tuple[ctypes.CDLL, Path]:
    """The synthesiser, and the folder of its voices."""
    try:
        import espeakng_loader
    except ImportError:
        raise UserError(
            "data.source='av_digits' needs spoken digits: pip install espeakng-loader, or prepare "
            "the TFDS dataset spoken_digit"
        ) from None
    try:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        voices = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
        voices.stat()
    except (OSError, RuntimeError) as error:
        raise UserError(f"speech synthesis: eSpeak NG cannot be loaded ({error})") from None
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    return library, voices
