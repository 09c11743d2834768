"""The bundled conversation in a room with a microphone at each seat: other voices arrive weaker and later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.audio.files import read_audio
from streamer.demo import CONVERSATION, REFERENCE
from streamer.rttm import read_rttm

SEATS = ("angus", "brian", "carol", "dave")
#: The level of a voice at its own microphone, and the microphones' noise, dB below full scale.
VOICE_DB, NOISE_DB = -26.0, -62.0
#: A voice's reverberation after the end of its turn still belongs to it.
TAIL = SAMPLE_RATE // 5


def seats(
    order: Sequence[str] = SEATS, *, loss_db: float = 12.0, delay_ms: float = 3.0, seed: int = 0
) -> NDArray[np.float32]:
    """(seats, samples) at 16 kHz. loss_db, delay_ms: on the way to the next seat; a third more for each further seat.

    Deterministic in `seed`, which determines the microphones' noise.
    """
    conversation = read_audio(CONVERSATION).mono_16k()
    rng = np.random.default_rng(seed)
    shape = (len(order), len(conversation))
    heard = 10 ** (NOISE_DB / 20) * rng.standard_normal(shape, np.float32)
    for start, end, who in read_rttm(REFERENCE):
        said = conversation[start : end + TAIL]
        said = said * (10 ** (VOICE_DB / 20) / np.sqrt(np.mean(said**2)))
        for seat in range(len(order)):
            distance = abs(seat - order.index(who)) if who in order else len(order)
            loss = 0.0 if distance == 0 else loss_db * (2 + distance) / 3
            begin = start + round(distance * delay_ms / 1000 * SAMPLE_RATE)
            part = said[: shape[1] - begin]
            heard[seat, begin : begin + len(part)] += np.float32(10 ** (-loss / 20)) * part
    return heard.astype(np.float32)
