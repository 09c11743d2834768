"""Writes fbank.npy: what kaldi-native-fbank hears in each 7th frame of a second of the seeded audio.

pip install kaldi-native-fbank; PYTHONPATH=tests/golden python tests/golden/make_fbank.py
"""

from __future__ import annotations

from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import seeded

options = knf.FbankOptions()
options.frame_opts.dither = 0.0
options.frame_opts.snip_edges = True
options.mel_opts.num_bins = 80
fbank = knf.OnlineFbank(options)
fbank.accept_waveform(16_000, seeded.seeded_audio(16_000)[0].tolist())
fbank.input_finished()
frames = [fbank.get_frame(number) for number in range(0, fbank.num_frames_ready, 7)]
np.save(Path(__file__).parent / "fbank.npy", np.stack(frames).astype(np.float32))
