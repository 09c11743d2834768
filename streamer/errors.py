"""Every error that streamer raises on purpose, in one tree.

    StreamerError
    ├── ConfigurationError (ValueError)      a setting that cannot work
    │   └── UnsupportedFormat                an unknown PCM encoding or number of channels
    ├── MissingDependency (ImportError)      an optional package or system library is not installed
    ├── AudioError                           a problem with the given audio
    │   ├── AudioNotFound (FileNotFoundError)
    │   ├── AudioUnreadable                  not audio, damaged, or no permission
    │   ├── AudioEmpty
    │   ├── AudioTooShort
    │   │   └── SpeechTooShort               too little speech to identify a speaker; `heard_s`, `needed_s`
    │   ├── AudioTooLong                     longer than the limit of one recording
    │   ├── AudioNotFinite                   NaN or infinite samples
    │   ├── MicrophoneUnavailable            no such device, or it cannot be opened
    │   ├── SourceUnreachable                an address that cannot be opened, or was lost for good
    │   └── SegmentOutOfRange (ValueError)
    ├── BufferOverflow                       a ring buffer that may not drop samples is full
    ├── BufferClosed                         a ring buffer was closed, or its reader has left
    ├── CheckpointError                      a model that cannot be loaded
    │   ├── CheckpointUnreadable             not a checkpoint, damaged, too large, or not safe to read
    │   ├── CheckpointMismatch               a missing, left-over, misshapen or non-finite tensor
    │   ├── WrongArchitecture                a model, but not a supported speaker embedding model
    │   └── HubError                         the model could not be fetched
    │       ├── GatedModel
    │       ├── ModelNotFound
    │       ├── RevisionNotFound
    │       └── HubUnreachable
    ├── StoreError                           the speaker store cannot be used
    │   ├── StoreUnreadable                  not a speaker store, or damaged
    │   ├── StoreNotFound                    the named file does not exist
    │   ├── StoreTooNew                      written by a newer version
    │   ├── StoreReadOnly
    │   ├── StoreFull                        no space left on the device
    │   ├── StoreBusy                        another process held it for too long
    │   ├── StoreUnreachable                 the database server does not answer
    │   └── StoreNotErased                   what was deleted is still in a file of the store
    ├── TranscriptUnreadable                 not a transcript, or not a file of turns
    ├── SpeakerNotFound (LookupError)        nobody with this name is enrolled
    ├── SpeakerExists (ValueError)           the name is taken
    ├── EnrolmentRefused                     the recording would damage the profile; `findings` say why
    ├── StateMismatch                        a snapshot that is damaged, or of another model, mode or setting
    ├── StreamClosed                         the stream, or the engine it belongs to, was closed
    ├── EngineFailed                         the engine is dead, hangs, or fails at everything
    ├── StreamFailed                         the state of one stream is broken; other streams continue
    ├── ProtocolError                        a message or an address that is not part of the protocol streamer.v1
    ├── ServerRefused                        the server answered with an error; `code` and `change` say more
    │   └── ServerBusy                       no capacity at the moment; `retry_after` seconds
    └── ConnectionLost (ConnectionError)     the server could not be reached, or not again in time to resume

Each message names the value, the limit and the way out.
"""

from __future__ import annotations


class StreamerError(Exception):
    """The root of the tree: `except StreamerError` catches all errors that a user can act on."""


class ConfigurationError(StreamerError, ValueError):
    """A setting is out of range or two settings contradict each other."""


class UnsupportedFormat(ConfigurationError):
    """A PCM encoding, or a number of channels, that is not supported."""


class MissingDependency(StreamerError, ImportError):
    """An optional package or a system library is needed and not installed."""


class AudioError(StreamerError):
    """There is a problem with the audio."""


class AudioNotFound(AudioError, FileNotFoundError):
    """The file does not exist."""


class AudioUnreadable(AudioError):
    """The file is not audio, is damaged, or may not be read."""


class AudioEmpty(AudioError):
    """The audio has no samples."""


class AudioTooShort(AudioError):
    """The audio is shorter than the network needs for one embedding."""


class SpeechTooShort(AudioTooShort):
    """There is too little speech to identify a speaker.

    heard_s: seconds of speech in each recording. needed_s: how many are needed in each.
    """

    def __init__(self, message: str, heard_s: tuple[float, ...] = (), needed_s: float = 0.0) -> None:
        super().__init__(message)
        self.heard_s = heard_s
        self.needed_s = needed_s


class AudioTooLong(AudioError):
    """The recording is longer than the limit of one recording."""


class AudioNotFinite(AudioError):
    """The audio contains NaN or infinite samples."""


class MicrophoneUnavailable(AudioError):
    """There is no such input device, it cannot be opened with these settings, or it was lost for good."""


class SourceUnreachable(AudioError):
    """An address cannot be opened, or was lost and must not be opened again."""


class SegmentOutOfRange(AudioError, ValueError):
    """A segment is empty or lies outside the file."""


class BufferOverflow(StreamerError):
    """A ring buffer with overflow="error" has no room for the samples."""


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
    """A message or an address is not valid in the protocol streamer.v1."""


class ServerRefused(StreamerError):
    """The server answered with an error.

    code: for programs, such as "unauthorized" (the protocol's documentation lists them). change: what to change.
    """

    def __init__(self, code: str, message: str, change: str) -> None:
        super().__init__(f"{message} {change}".strip())
        self.code = code
        self.change = change


class ServerBusy(ServerRefused):
    """The server has no capacity for another stream; try again after `retry_after` seconds."""

    def __init__(self, message: str, change: str, retry_after: float) -> None:
        super().__init__("busy", message, change)
        self.retry_after = retry_after


class ConnectionLost(StreamerError, ConnectionError):
    """The server could not be reached, or not again in time to resume the session."""


class StoreError(StreamerError):
    """The speaker store cannot be used."""


class StoreUnreadable(StoreError):
    """The file is not a speaker store, or it is damaged."""


class StoreNotFound(StoreError, FileNotFoundError):
    """The named store file does not exist."""


class StoreTooNew(StoreError):
    """A newer version of streamer wrote the store."""


class StoreReadOnly(StoreError):
    """The store, or the folder it should be in, may not be written."""


class StoreFull(StoreError):
    """There is no space left for the store."""


class StoreBusy(StoreError):
    """Another process held the store for longer than the timeout."""


class StoreUnreachable(StoreError):
    """The database server that holds the store does not answer. Whether the last change was made is not known."""


class StoreNotErased(StoreError):
    """The change was made, but the deleted data could not be erased from the store's files yet."""


class TranscriptUnreadable(StreamerError):
    """A file is not a transcript with times, or not a file of turns."""


class SpeakerNotFound(StreamerError, LookupError):
    """Nobody with this name is enrolled."""


class SpeakerExists(StreamerError, ValueError):
    """Somebody with this name is enrolled already."""


class EnrolmentRefused(StreamerError):
    """The check advises against this enrolment; `findings` are its reasons."""

    def __init__(self, message: str, findings: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings


class StateMismatch(StreamerError):
    """A snapshot is damaged, or belongs to another model, mode or setting."""


class StreamClosed(StreamerError):
    """The stream, or the engine it belongs to, was closed."""


class EngineFailed(StreamerError):
    """The engine of a server has ended, hangs, or fails at everything: the process has to restart."""


class StreamFailed(StreamerError):
    """The state of one stream is broken; other streams continue."""
