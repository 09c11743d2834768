"""One speaker's turn as it is heard: its pieces, and all of them pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.engine.window import Step, Window
from streamer.models.architecture import FRAME_GRID
from streamer.models.pooling import Moments
from streamer.speakers.boundaries import frame_sample
from streamer.speakers.candidates import Candidates
from streamer.speakers.profiles import Vector, unit

Embed = Callable[[Moments[Vector]], Vector]

#: A window that begins this little before a turn still counts as the turn's own.
SLACK = SAMPLE_RATE // 4


@dataclass(frozen=True, slots=True)
class Piece:
    """One step's share of a turn: where its new sound lies, how much speech it holds, and what was computed of it.

    block: moments of the new frames, or None where frames cannot be pooled piece by piece (`exact` mode).
    windows: those that end here, shortest first.
    """

    start_sample: int
    end_sample: int
    speech_s: float
    block: Moments[Vector] | None
    windows: tuple[Window, ...]

    @classmethod
    def of(cls, step: Step, speech: NDArray[np.float32]) -> Piece:
        """A step as a piece; its new frames stand for sound that lies half their receptive field back."""
        return cls(
            start_sample=frame_sample(step.first_frame),
            end_sample=frame_sample(step.first_frame + len(speech)),
            speech_s=float(speech.sum()) * FRAME_GRID.stride / SAMPLE_RATE,
            block=step.block,
            windows=step.windows,
        )

    @property
    def middle(self) -> int:
        return (self.start_sample + self.end_sample) // 2

    def inside(self, start_sample: int) -> Window | None:
        """The longest of the windows that hold nothing from before `start_sample`, give or take the slack."""
        inside = [window for window in self.windows if window.start_sample >= start_sample - SLACK]
        return inside[-1] if inside else None

    def short(self, start_sample: int) -> Window | None:
        """The shortest of the windows, if it holds nothing from before `start_sample`, give or take the slack."""
        return self.windows[0] if self.windows and self.windows[0].start_sample >= start_sample - SLACK else None


def merged(blocks: Sequence[Moments[Vector]]) -> Moments[Vector]:
    """The moments of several blocks together."""
    if len(blocks) == 1:
        return blocks[0]
    return Moments(
        *(np.stack([getattr(block, name) for block in blocks], axis=-2) for name in ("weight", "weight2", "mean", "m2"))
    ).merged()


@dataclass(slots=True)
class Turn:
    """The state of a turn. Its last pieces are kept apart, so that it can still be cut where another voice began.

    log_prior: (states,), what was believed before anything of the turn was heard.
    label: the name given to it so far. final: the label will not change any more.
    older, older_s: the pieces before the kept ones, pooled: moments, or a sum of directions in `exact` mode.
    """

    number: int
    start_sample: int
    log_prior: NDArray[np.float64]
    pieces: list[Piece] = field(default_factory=list)
    label: str | None = None
    confidence: float = 0.0
    final: bool = False
    ambiguous: bool = False
    older: Moments[Vector] | Vector | None = None
    older_s: float = 0.0

    @property
    def speech_s(self) -> float:
        return self.older_s + sum(piece.speech_s for piece in self.pieces)

    def add(self, piece: Piece, kept: int) -> None:
        """One more piece; beyond `kept` the oldest is pooled away."""
        self.pieces.append(piece)
        while len(self.pieces) > kept:
            oldest = self.pieces.pop(0)
            if (pooled := self._pool([oldest], self.older)) is not None:
                self.older = pooled
                self.older_s += oldest.speech_s

    def embedding(self, embed: Embed | None, last_s: float | None = None) -> tuple[Vector, float] | None:
        """The whole turn's embedding, or that of its last seconds of speech, with its seconds; None without any."""
        pieces: list[Piece] = []
        seconds = 0.0
        for piece in reversed(self.pieces):
            if last_s is not None and seconds >= last_s:
                break
            pieces.append(piece)
            seconds += piece.speech_s
        whole = last_s is None or seconds < last_s
        pooled = self._pool(pieces, self.older if whole else None)
        if pooled is None:
            return None
        if isinstance(pooled, Moments):
            if embed is None:
                raise TypeError("pieces with blocks need the model's embed() to become an embedding")
            pooled = embed(pooled)
        return pooled, seconds + (self.older_s if whole else 0.0)

    def _pool(self, pieces: Iterable[Piece], older: Moments[Vector] | Vector | None) -> Moments[Vector] | Vector | None:
        spoken = [piece for piece in pieces if piece.speech_s > 0]
        if isinstance(older, Moments) or any(piece.block is not None for piece in spoken):
            blocks = [
                piece.block for piece in spoken if piece.block is not None and float(piece.block.weight.sum()) > 0
            ]
            blocks += [older] if isinstance(older, Moments) else []
            return merged(blocks) if blocks else None
        found = [(piece.inside(self.start_sample), piece.speech_s) for piece in spoken]
        directions = [unit(window.embedding) * np.float32(speech_s) for window, speech_s in found if window is not None]
        directions += [older] if older is not None else []
        return np.sum(directions, axis=0, dtype=np.float32) if directions else None


def frame_speech(step: Step, silence_db: float) -> NDArray[np.float32]:
    """Speech probability of each new frame of a step; by its level, where no speech detector runs."""
    if step.speech is not None:
        return step.speech
    frames = max(0, FRAME_GRID.end_frame(step.end_sample) - step.first_frame)
    return np.full(frames, float(step.level_db > silence_db), np.float32)


def change_point(turn: Turn, candidates: Candidates, old: int, new: int) -> int:
    """Where a turn most likely changed from one state to another: the short windows before it sound like the old voice,
    those after it like the new one."""
    windows = [window for piece in turn.pieces if (window := piece.short(turn.start_sample)) is not None]
    if not windows:
        return turn.start_sample
    embeddings = np.stack([window.embedding for window in windows])
    _, llr = candidates.evidence(embeddings, np.array([window.speech_s for window in windows]))
    before = np.cumsum(llr[:, old] - llr[:, new])
    first = int(np.argmax(np.concatenate([[0.0], before[:-1]])))
    # The change lies between the middle of the last window that sounds old and that of the first that sounds new.
    around = windows[max(first - 1, 0) : first + 1]
    middle = sum(window.start_sample + window.end_sample for window in around) // (2 * len(around))
    return max(middle, turn.start_sample)
