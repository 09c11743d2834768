"""Every error that streamer raises on purpose, in one tree.

    StreamerError
    ├── ConfigurationError (ValueError)      a setting that cannot work
    │   └── UnsupportedFormat                a PCM encoding or number of channels that is not known
    ├── MissingDependency (ImportError)      an optional package or system library is not installed
    ├── AudioError                           something is wrong with the audio given
    │   ├── AudioNotFound (FileNotFoundError)
    │   ├── AudioUnreadable                  not audio, damaged, or no permission
    │   ├── AudioEmpty
    │   ├── AudioTooShort
    │   │   └── SpeechTooShort               too little speech to say whose voice it is; `heard_s`, `needed_s`
    │   ├── AudioTooLong                     more of it than is heard of one recording
    │   ├── AudioNotFinite                   NaN or infinite samples
    │   ├── MicrophoneUnavailable            no such device, or it cannot be opened
    │   ├── SourceUnreachable                an address that cannot be opened, or was lost for good
    │   └── SegmentOutOfRange (ValueError)
    ├── BufferOverflow                       a ring buffer that may not drop samples is full
    ├── BufferClosed                         a ring buffer was closed, or its reader has left
    ├── CheckpointError                      a model that cannot be loaded
    │   ├── CheckpointUnreadable             not a checkpoint, damaged, too large, or not safe to read
    │   ├── CheckpointMismatch               a missing, left-over, misshapen or non-finite tensor
    │   ├── WrongArchitecture                a model, but not a speaker embedding model of ours
    │   └── HubError                         the model could not be fetched
    │       ├── GatedModel
    │       ├── ModelNotFound
    │       ├── RevisionNotFound
    │       └── HubUnreachable
    ├── StoreError                           the speaker store cannot be used
    │   ├── StoreUnreadable                  not a store of ours, or damaged
    │   ├── StoreNotFound                    no such file, where one was named
    │   ├── StoreTooNew                      written by a newer version
    │   ├── StoreReadOnly
    │   ├── StoreFull                        no space left on the device
    │   ├── StoreBusy                        another process held it for too long
    │   ├── StoreUnreachable                 the database server does not answer
    │   └── StoreNotErased                   what was deleted is still in a file of the store
    ├── TranscriptUnreadable                 not a transcript, or not a file of turns
    ├── SpeakerNotFound (LookupError)        nobody of that name is enrolled
    ├── SpeakerExists (ValueError)           the name is taken
    ├── EnrolmentRefused                     what was said would poison the profile; `findings` say why
    ├── StateMismatch                        a snapshot that is damaged, or of another model, mode or setting
    ├── StreamClosed                         the stream, or the engine it belongs to, was closed
    ├── EngineFailed                         the engine is dead, stands still, or fails at everything
    ├── StreamFailed                         the state of one stream is broken; the others go on
    ├── ProtocolError                        a message or an address that the protocol streamer.v1 doesn't have
    ├── ServerRefused                        the server answered with an error; `code` and `change` say more
    │   └── ServerBusy                       no room now; `retry_after` seconds
    └── ConnectionLost (ConnectionError)     the server could not be reached, or not again in time to resume

Each message names the value, the limit and the way out.
"""

from __future__ import annotations


class StreamerError(Exception):
    """The root of the tree: `except StreamerError` catches what a user can act on."""


class ConfigurationError(StreamerError, ValueError):
    """A setting is out of range or two settings contradict each other."""


class UnsupportedFormat(ConfigurationError):
    """A PCM encoding, or a number of channels, that is not known here."""


class MissingDependency(StreamerError, ImportError):
    """An optional package or a system library is needed for this and is not installed."""


class AudioError(StreamerError):
    """Something is wrong with the audio."""


class AudioNotFound(AudioError, FileNotFoundError):
    """There is no such file."""


class AudioUnreadable(AudioError):
    """The file is not audio, is damaged, or may not be read."""


class AudioEmpty(AudioError):
    """The audio has no samples."""


class AudioTooShort(AudioError):
    """The audio is shorter than the network needs for one embedding."""


class SpeechTooShort(AudioTooShort):
    """There is too little speech to say whose voice it is.

    heard_s: seconds of speech in each recording. needed_s: how many are needed in each.
    """

    def __init__(self, message: str, heard_s: tuple[float, ...] = (), needed_s: float = 0.0) -> None:
        super().__init__(message)
        self.heard_s = heard_s
        self.needed_s = needed_s


class AudioTooLong(AudioError):
    """The recording is longer than what is heard of one."""


class AudioNotFinite(AudioError):
    """The audio holds NaN or infinite samples."""


class MicrophoneUnavailable(AudioError):
    """There is no such input device, or it cannot be opened as asked, or it was lost for good."""


class SourceUnreachable(AudioError):
    """An address cannot be opened, or was lost and is not to be opened again."""


class SegmentOutOfRange(AudioError, ValueError):
    """A segment is empty or lies outside of the file."""


class BufferOverflow(StreamerError):
    """A ring buffer with overflow="error" has no room for what was written."""


class BufferClosed(StreamerError):
    """A ring buffer takes no more samples: its writer closed it, or its reader has left."""


class CheckpointError(StreamerError):
    """A model cannot be loaded."""


class CheckpointUnreadable(CheckpointError):
    """Not a checkpoint, damaged, larger than allowed, or not safe to read."""


class CheckpointMismatch(CheckpointError):
    """The tensors are not those of the network: missing, left over, of another shape or type, or not finite."""


class WrongArchitecture(CheckpointError):
    """The checkpoint holds another kind of model."""


class HubError(CheckpointError):
    """The model could not be fetched from the Hugging Face hub."""


class GatedModel(HubError):
    """The model's conditions must be accepted, or the token is missing or has no access."""


class ModelNotFound(HubError):
    """There is no such model repository, or no such file in it."""


class RevisionNotFound(HubError):
    """The repository has no such revision."""


class HubUnreachable(HubError):
    """The network or the hub did not answer, and the model is not in the cache."""


class ProtocolError(StreamerError):
    """A message or an address is not as the protocol streamer.v1 has it."""


class ServerRefused(StreamerError):
    """The server answered with an error.

    code: for programs, such as "unauthorized" (the protocol's documentation lists them). change: what to change.
    """

    def __init__(self, code: str, message: str, change: str) -> None:
        super().__init__(f"{message} {change}".strip())
        self.code = code
        self.change = change


class ServerBusy(ServerRefused):
    """The server has no room for another stream; try again after `retry_after` seconds."""

    def __init__(self, message: str, change: str, retry_after: float) -> None:
        super().__init__("busy", message, change)
        self.retry_after = retry_after


class ConnectionLost(StreamerError, ConnectionError):
    """The server could not be reached, or not again in time to go on with the session."""


class StoreError(StreamerError):
    """The speaker store cannot be used."""


class StoreUnreadable(StoreError):
    """The file is not a speaker store, or it is damaged."""


class StoreNotFound(StoreError, FileNotFoundError):
    """A store was named by its file, which is not there."""


class StoreTooNew(StoreError):
    """A newer version of streamer wrote the store."""


class StoreReadOnly(StoreError):
    """The store, or the folder it should be in, may not be written."""


class StoreFull(StoreError):
    """There is no space left for the store."""


class StoreBusy(StoreError):
    """Another process held the store for longer than we wait."""


class StoreUnreachable(StoreError):
    """The database server that holds the store does not answer. Whether the last change was made is not known."""


class StoreNotErased(StoreError):
    """The change was made, but what was deleted by it could not be erased from the store's files yet."""


class TranscriptUnreadable(StreamerError):
    """A file is not a transcript with times, or does not say who speaks when."""


class SpeakerNotFound(StreamerError, LookupError):
    """Nobody of that name is enrolled."""


class SpeakerExists(StreamerError, ValueError):
    """Somebody of that name is enrolled already."""


class EnrolmentRefused(StreamerError):
    """The coach advises against this enrolment; `findings` are its reasons."""

    def __init__(self, message: str, findings: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings


class StateMismatch(StreamerError):
    """A snapshot is damaged, or was taken of another model, mode or setting."""


class StreamClosed(StreamerError):
    """The stream, or the engine it belongs to, was closed."""


class EngineFailed(StreamerError):
    """The engine of a server has ended, stands still, or fails at everything: the process has to begin again."""


class StreamFailed(StreamerError):
    """The state of one stream is broken; the others go on."""
