"""One speaker's turn as it is heard: its pieces, and all of them pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from streamer.audio.chunks import SAMPLE_RATE
from streamer.engine.window import Step, Window
from streamer.models.pooling import Moments
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
        """A step as a piece; its new frames stand for sound that lies back by what they look ahead."""
        return cls(
            start_sample=step.grid.sound_start(step.first_frame),
            end_sample=step.grid.sound_start(step.first_frame + len(speech)),
            speech_s=step.grid.seconds(float(speech.sum())),
            block=step.block,
            windows=step.windows,
        )

    @property
    def middle(self) -> int:
        return (self.start_sample + self.end_sample) // 2

    def inside(self, start_sample: int) -> tuple[Window, ...]:
        """The windows that hold nothing from before `start_sample`, give or take the slack; shortest first."""
        return tuple(window for window in self.windows if window.start_sample >= start_sample - SLACK)


@dataclass(slots=True)
class Pool:
    """Pieces pooled into one as they come, at a cost that does not grow with their number.

    pooled: the moments of their frames, or in `exact` mode the sum of their windows' directions, each times its seconds
        of speech; None before there was any speech.
    speech_s: seconds of speech in all of them.
    """

    pooled: Moments[Vector] | Vector | None = None
    speech_s: float = 0.0

    @classmethod
    def of(cls, pieces: Iterable[Piece], start_sample: int) -> Pool:
        """All these pieces of a turn that began at `start_sample`."""
        pool = cls()
        for piece in pieces:
            pool.add(piece, start_sample)
        return pool

    def add(self, piece: Piece, start_sample: int) -> None:
        """One more piece of a turn that began at `start_sample`."""
        self.speech_s += piece.speech_s
        if piece.speech_s <= 0:
            return
        if piece.block is not None:
            if float(piece.block.weight[0]) > 0:
                self.pooled = self.pooled.joined(piece.block) if isinstance(self.pooled, Moments) else piece.block
        elif inside := piece.inside(start_sample):
            direction = unit(inside[-1].embedding) * np.float32(piece.speech_s)
            self.pooled = self.pooled + direction if isinstance(self.pooled, np.ndarray) else direction

    def embedding(self, embed: Embed | None) -> tuple[Vector, float] | None:
        """The embedding of all pieces, with their seconds of speech; None without any."""
        if isinstance(self.pooled, Moments):
            if embed is None:
                raise TypeError("pieces with blocks need the model's embed() to become an embedding")
            return embed(self.pooled), self.speech_s
        return None if self.pooled is None else (self.pooled, self.speech_s)


@dataclass(slots=True)
class Turn:
    """The state of a turn. Its last pieces are kept apart, so that it can still be cut where another voice began.

    log_prior: (states,), what was believed before anything of the turn was heard.
    label: the name given to it so far. final: the label will not change any more.
    whole: all pieces, pooled. older: those before the kept ones.
    """

    number: int
    start_sample: int
    log_prior: NDArray[np.float64]
    pieces: list[Piece] = field(default_factory=list)
    label: str | None = None
    confidence: float = 0.0
    final: bool = False
    ambiguous: bool = False
    whole: Pool = field(default_factory=Pool)
    older: Pool = field(default_factory=Pool)

    @property
    def speech_s(self) -> float:
        return self.whole.speech_s

    def add(self, piece: Piece, kept: int) -> None:
        """One more piece; of more than `kept`, the oldest can no longer be cut off."""
        self.pieces.append(piece)
        self.whole.add(piece, self.start_sample)
        while len(self.pieces) > kept:
            self.older.add(self.pieces.pop(0), self.start_sample)

    def keep(self, pieces: list[Piece], *, older: bool) -> None:
        """Go on with these pieces alone, and with or without the older ones."""
        self.pieces = pieces
        if not older:
            self.older = Pool()
        self.whole = replace(self.older)
        for piece in pieces:
            self.whole.add(piece, self.start_sample)


def frame_speech(step: Step, silence_db: float) -> NDArray[np.float32]:
    """Speech probability of each new frame of a step; by its level, where no speech detector runs."""
    if step.speech is not None:
        return step.speech
    return np.full(step.num_frames, float(step.level_db > silence_db), np.float32)


def change_point(turn: Turn, candidates: Candidates, old: int, new: int) -> int:
    """Where a turn most likely changed from one state to another: the short windows before it sound like the old voice,
    those after it like the new one."""
    windows = [window for piece in turn.pieces for window in piece.inside(turn.start_sample)[:1]]
    if not windows:
        return turn.start_sample
    embeddings = np.stack([window.embedding for window in windows])
    llr = candidates.between(embeddings, np.array([window.speech_s for window in windows]), (old, new))
    before = np.cumsum(llr[:, 0] - llr[:, 1])
    first = int(np.argmax(np.concatenate([[0.0], before[:-1]])))
    # The change lies between the middle of the last window that sounds old and that of the first that sounds new.
    around = windows[max(first - 1, 0) : first + 1]
    middle = sum(window.start_sample + window.end_sample for window in around) // (2 * len(around))
    return max(middle, turn.start_sample)
