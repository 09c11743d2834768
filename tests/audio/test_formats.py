"""Raw PCM: the reference is libsndfile, which reads and writes the same encodings."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamer.audio.formats import BYTES_PER_SAMPLE, ENCODINGS, Encoding, PcmDecoder, decode_pcm, encode_pcm
from streamer.errors import ConfigurationError, UnsupportedFormat

SUBTYPES = {"s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT", "mulaw": "ULAW", "alaw": "ALAW"}

#: Half the distance between neighbouring values, at full scale: the bound of rounding to the nearest.
HALF_STEP = {"s16le": 2**-16, "s24le": 2**-24, "s32le": 2**-24, "f32le": 2**-24, "mulaw": 2**-6, "alaw": 2**-6}


def libsndfile(data: bytes, encoding: Encoding) -> np.ndarray:
    return soundfile.read(
        io.BytesIO(data),
        dtype="float32",
        samplerate=8000,
        channels=1,
        format="RAW",
        subtype=SUBTYPES[encoding],
        endian="LITTLE",
    )[0]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bytes_decode_as_libsndfile_decodes_them(encoding):
    if encoding == "f32le":  # random bytes would be NaN now and then
        data = np.random.default_rng(0).standard_normal(1000).astype("<f4").tobytes()
    elif encoding in ("mulaw", "alaw"):
        data = bytes(range(256))
    else:
        data = np.random.default_rng(0).bytes(1200 * BYTES_PER_SAMPLE[encoding])
    np.testing.assert_array_equal(decode_pcm(data, encoding), libsndfile(data, encoding))


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(values=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50))
def test_encoding_rounds_to_the_nearest_value(encoding, values):
    # The largest positive value of integers is one step short of full scale, that of the laws about 2 %.
    top = 0.98 if encoding in ("mulaw", "alaw") else 1 - 2**-15
    samples = np.clip(np.array(values, np.float32), -top, top)
    decoded = decode_pcm(encode_pcm(samples, encoding), encoding)
    np.testing.assert_allclose(decoded, samples, rtol=0, atol=HALF_STEP[encoding] * 1.0001)


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_every_code_of_a_law_survives_a_round_trip(encoding):
    samples = decode_pcm(bytes(range(256)), encoding)
    np.testing.assert_array_equal(decode_pcm(encode_pcm(samples, encoding), encoding), samples)


@pytest.mark.parametrize("encoding", ["s16le", "s24le", "s32le"])
def test_what_is_over_full_scale_is_clipped(encoding):
    decoded = decode_pcm(encode_pcm(np.array([-1.5, 1.5]), encoding), encoding)
    np.testing.assert_allclose(decoded, [-1, 1], atol=2**-15)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(data=st.data(), channels=st.integers(1, 3), frames=st.integers(0, 20))
def test_any_cut_of_the_bytes_gives_the_same_samples(encoding, data, channels, frames):
    samples = np.random.default_rng(frames).uniform(-0.9, 0.9, (channels, frames))
    content = encode_pcm(samples, encoding) + b"x" * data.draw(
        st.integers(0, channels * BYTES_PER_SAMPLE[encoding] - 1)
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=10)))
    decoder = PcmDecoder(encoding, channels)
    chunks = [decoder.decode(content[a:b]) for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    whole = np.concatenate(chunks, axis=1)
    assert whole.shape == (channels, frames)
    np.testing.assert_array_equal(whole, PcmDecoder(encoding, channels).decode(content))
    np.testing.assert_allclose(whole, samples, atol=HALF_STEP[encoding] * 1.0001)
    assert decoder.flush() == len(content) - frames * channels * BYTES_PER_SAMPLE[encoding]
    assert decoder.flush() == 0


def test_an_unknown_encoding_lists_the_known_ones():
    with pytest.raises(UnsupportedFormat, match=r"'s16be' is not known; use one of s16le.*alaw"):
        PcmDecoder("s16be")
    with pytest.raises(ConfigurationError):
        encode_pcm(np.zeros(1), "opus")


@pytest.mark.parametrize("channels", [0, -1, 65, 1.5, True])
def test_a_number_of_channels_that_cannot_be_is_refused(channels):
    with pytest.raises(UnsupportedFormat, match="1 to 64"):
        PcmDecoder("s16le", channels)
