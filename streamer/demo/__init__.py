"""Bundled speech, to try streamer without a microphone: three voices to enrol, and a conversation of four.

Synthetic voices of CMU Flite (see NOTICE); `make_audio.py` beside this file made them.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

#: The enrolled voices and their files. The fourth voice of the conversation, dave, is not enrolled.
ENROLMENT: dict[str, Path] = {name: FOLDER / f"{name}.ogg" for name in ("angus", "brian", "carol")}
CONVERSATION = FOLDER / "conversation.ogg"
REFERENCE = FOLDER / "conversation.rttm"
