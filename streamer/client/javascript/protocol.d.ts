// The messages of the protocol streamer.v1, made by docs/build_types.py from its schema.

/** A speaker's name. */
export type Name = string;

/** A speaker's name, in any spelling: white space around it, its Unicode normal form and its case do not matter. */
export type GivenName = string;

/** The first message of every connection: the format of the audio, and what the client wants. With `resume` it continues the session that lost its connection; that session keeps its settings, and those in this message are ignored. */
export interface Start {
  type: "start";
  /** Samples a second of each channel of the audio that will be sent. Opus always counts 48000. */
  sample_rate?: number;
  /** Encoding of a sample. `opus`: each binary message is one Opus packet. */
  encoding?: "s16le" | "s24le" | "s32le" | "f32le" | "mulaw" | "alaw" | "opus";
  /** Interleaved channels of the audio. */
  channels?: number;
  /** `downmix` makes one stream of the mean of the channels; `split` gives each channel a separate stream and tracker. */
  channel_mode?: "downmix" | "split";
  /** `sequenced`: each binary message begins with the 12-byte header, which shows lost and repeated messages. */
  framing?: "plain" | "sequenced";
  /** Seconds between two decisions. */
  step?: number;
  /** Seconds of audio in the longest window. A multiple of `step`. */
  duration?: number;
  /** What happens when the server falls behind. `every`: each step is computed, and the client is slowed down. `latest`: the latest step is computed, and an `overload` event counts the skipped steps. */
  policy?: "every" | "latest";
  /** The enrolled speakers to listen for, such as the people invited to a meeting. Absent or null: everybody enrolled. */
  roster?: Array<GivenName> | null;
  /** Send a `window` event for each window. */
  windows?: boolean;
  /** Put the embedding into `window` events. */
  embeddings?: boolean;
  /** Seconds between two `stats` messages; 0 for none. */
  stats_interval?: number;
  /** The bearer token, if it was not sent as a header or as a subprotocol. */
  token?: string;
  /** The resume token of `ready`. */
  resume?: string;
  /** With `resume`: the `id` of the last event that arrived, 0 for none. The events after it are sent again. */
  last_event?: number;
  /** With `resume`: the earliest sample, counted per channel at the client's rate, that the client can still send. The server answers with `ready.position`, the sample from which the client must continue; what is missing before it becomes a gap. Absent: the server counts the time without a connection as lost. */
  position?: number;
}

/** Every event up to `event` has arrived; the server need not keep these for a resume. */
export interface Ack {
  type: "ack";
  /** The `id` of the last event. */
  event: number;
}

/** Asks for a `flushed` when all audio sent before it has been processed, as far as whole steps allow. It does not cut a step short. */
export interface Flush {
  type: "flush";
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** No more audio will come. The server processes the rest, sends the last events and says `goodbye`. */
export interface End {
  type: "end";
}

/** Answered by `pong` at once, for clients that cannot send WebSocket pings (browsers). */
export interface Ping {
  type: "ping";
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** Enrol a voice from the audio of the stream. Needs the scope `enroll`. `start`: the audio from now on also goes to the enrolment, and `enrolment` messages report its progress. `commit`: store the profile. `cancel`: discard the audio. */
export interface Enroll {
  type: "enroll";
  /** What to do. */
  action: "start" | "commit" | "cancel";
  /** The name of the speaker; needed with `start`. If the name is already enrolled, its profile is extended. */
  name?: GivenName;
  /** The channel to listen to, if channels are split. */
  channel?: number;
  /** With `commit`: store the profile even if the advice is against it. */
  force?: boolean;
}

/** List or change the enrolled speakers. `list` needs the scope `stream`, `name` (a guest of this session becomes a profile) needs `enroll`, `rename` and `remove` need `admin`. Answered by `speaker_list`. */
export interface Speakers {
  type: "speakers";
  /** What to do. */
  action: "list" | "name" | "rename" | "remove";
  /** The enrolled name, or the guest (`guest-1`) for `name`. */
  speaker?: GivenName;
  /** The new name, for `name` and `rename`. */
  to?: GivenName;
  /** List the names after this one; absent: from the first on. */
  after?: GivenName;
  /** Most names in the answer; it has fewer if the names are long. */
  limit?: number;
  /** The guest's channel, if channels are split. */
  channel?: number;
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** The name of a shared room. */
export type RoomName = string;

/** Let others watch this session: its events from now on, and none of its sound. Answered by `shared`. A second `share` with another name closes the first room. If another session of the same client has this name, the room moves to this session. A restart of the server ends sharing: send it again after each `ready`. */
export interface Share {
  type: "share";
  /** The room's name, chosen by the client: 1 to 64 letters A to Z, digits, - and _. */
  room: RoomName;
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** Words that the client's speech recognition found in a part of the session. They become the event `said`, which those who watch see beside the turns; the server does not use them otherwise. */
export interface Words {
  type: "words";
  /** One word or more. */
  text: string;
  /** Start of the words, at 16 kHz from the session's start. */
  start_sample: number;
  /** End of the words. */
  end_sample: number;
  /** The channel, if channels are split. */
  channel?: number;
}

/** The first message of a connection that watches a shared room, in place of `start`. Needs the scope `watch` or `admin`, or the token that shares the room. Answered by `watching`, the events so far (as many as are kept), and then each new event, with the `stats` of the session. Such a connection may send `ping`, and nothing else. */
export interface Watch {
  type: "watch";
  /** The room's name. */
  room: RoomName;
  /** The bearer token, if it was not sent as a header or as a subprotocol. */
  token?: string;
}

/** Answers `share`: the room can be watched. */
export interface Shared {
  type: "shared";
  /** The room's name. */
  room: RoomName;
  /** Number of viewers now. */
  watchers: number;
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** Answers `watch`: events follow. */
export interface Watching {
  type: "watching";
  version: 1;
  /** The room's name. */
  room: RoomName;
  /** Number of earlier events that follow at once. */
  events: number;
  /** The room's title for people, if it differs from its name. */
  title?: string;
  /** The names of a room's microphones, by the `channel` of its events, if it is one room with several. Its turns are then numbered through the room, and a turn may move to the microphone that hears it better. Absent: each channel is a separate stream. */
  channels?: Array<string>;
}

/** The settings of the session, with the server's defaults and limits applied. */
export interface Settings {
  /** Samples a second of each channel of the audio that will be sent. Opus always counts 48000. */
  sample_rate: number;
  /** Encoding of a sample. `opus`: each binary message is one Opus packet. */
  encoding: "s16le" | "s24le" | "s32le" | "f32le" | "mulaw" | "alaw" | "opus";
  /** Interleaved channels of the audio. */
  channels: number;
  /** `downmix` makes one stream of the mean of the channels; `split` gives each channel a separate stream and tracker. */
  channel_mode: "downmix" | "split";
  /** `sequenced`: each binary message begins with the 12-byte header, which shows lost and repeated messages. */
  framing: "plain" | "sequenced";
  /** Seconds between two decisions. */
  step: number;
  /** Seconds of audio in the longest window. A multiple of `step`. */
  duration: number;
  /** What happens when the server falls behind. `every`: each step is computed, and the client is slowed down. `latest`: the latest step is computed, and an `overload` event counts the skipped steps. */
  policy: "every" | "latest";
  /** The enrolled speakers to listen for, such as the people invited to a meeting. Absent or null: everybody enrolled. */
  roster: Array<Name> | null;
  /** Send a `window` event for each window. */
  windows: boolean;
  /** Put the embedding into `window` events. */
  embeddings: boolean;
  /** Seconds between two `stats` messages; 0 for none. */
  stats_interval: number;
}

/** Answers `start`: the client may send audio. */
export interface Ready {
  type: "ready";
  version: 1;
  /** Public name of the session, as in the server's log. */
  session: string;
  /** A secret: a client with it and the same bearer token can resume the session. */
  resume: string;
  /** Seconds that the session is kept after its connection is lost. */
  resume_within: number;
  /** The requested session continues. */
  resumed: boolean;
  /** Samples per channel, at the client's rate, that have arrived or count as a gap: the client continues from here. */
  position: number;
  /** The `id` of the last event so far. */
  last_event: number;
  /** Events that the client did not receive and that are no longer kept. */
  lost_events: number;
  settings: Settings;
  /** The model of the server. */
  model: {
    /** For people. */
    name: string;
    /** For comparison: embeddings of models with different fingerprints cannot be compared. */
    fingerprint: string;
  };
  /** What this client may do. */
  scopes: Array<"stream" | "enroll" | "admin" | "watch">;
}

/** A request or the session failed. */
export interface Error {
  type: "error";
  /** For programs. */
  code: "invalid_message" | "wrong_order" | "unsupported" | "bad_audio" | "gap_too_long" | "unauthorized" | "forbidden" | "busy" | "unknown_session" | "unknown_speaker" | "conflict" | "timeout" | "slow_reader" | "internal";
  /** What went wrong, with the value and the limit. */
  message: string;
  /** What to change. */
  change: string;
  /** The server closes the connection. */
  fatal: boolean;
  /** With `busy` and `internal`: try again after this many seconds. */
  retry_after?: number;
  /** The `request` of the message that failed, if it had one. */
  request?: number;
}

/** The state of the session, every `stats_interval` seconds. */
export interface Stats {
  type: "stats";
  /** Seconds from the arrival of the last step's last sample to its events. */
  lag: number;
  /** Seconds of audio that have arrived and are not yet processed. */
  queue: number;
  /** Samples at 16 kHz that have arrived, without gaps. */
  received: number;
  /** Gaps so far. */
  gaps: number;
  /** Samples at 16 kHz in these gaps. */
  gap_samples: number;
  /** Binary messages that were dropped because their sequence number, or all of their samples, had arrived before. */
  duplicates: number;
  /** Steps skipped under `policy: latest`. */
  skipped: number;
  /** Events so far. */
  events: number;
  /** Level of the last step, dB below full scale; absent before the first step and for digital silence. */
  level?: number;
}

/** Answers `flush`. */
export interface Flushed {
  type: "flushed";
  /** Chosen by the client and returned in the answer. */
  request?: number;
  /** The sample up to which the stream has been processed. */
  sample: number;
}

/** Answers `ping`. */
export interface Pong {
  type: "pong";
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** The progress of an enrolment. It is `listening` until `commit` or `cancel`. After `refused` it goes on listening: send more audio, or `force`. */
export interface Enrolment {
  type: "enrolment";
  /** State of the enrolment. */
  state: "listening" | "committed" | "refused" | "cancelled";
  name: Name;
  /** 0 to 1; 1 is enough. */
  progress: number;
  /** Seconds of speech heard. */
  speech: number;
  /** Seconds of speech needed. */
  needed: number;
  /** Advice, most important first. */
  advice: Array<{
    /** too_short, too_quiet, clipped, noisy, two_voices, inconsistent_with_profile, same_as_other. */
    code: string;
    /** What to do about it. */
    message: string;
  }>;
}

/** Answers `speakers`: a page of the enrolled speakers, after the change. If there are `more`, ask again `after` the last name. */
export interface SpeakerList {
  type: "speaker_list";
  /** Chosen by the client and returned in the answer. */
  request?: number;
  /** Sorted by name. */
  speakers: Array<{
    name: Name;
    /** Embeddings kept. */
    exemplars: number;
    /** Seconds of speech that they were made from. */
    speech: number;
  }>;
  /** Number of all enrolled speakers. */
  total?: number;
  /** More names follow these. */
  more?: boolean;
  /** Absent or false. False: all sessions have forgotten what was removed or renamed, but it could not be erased from the store's files yet, because another process reads them; the server keeps trying. */
  erased?: boolean;
}

/** The last message; the connection closes after it. */
export interface Goodbye {
  type: "goodbye";
  /** `ended`: everything was processed. `draining`: the server stops. `idle`: no audio came. `slow_reader`: the client did not read its events. `replaced`: another connection resumed the session, or another session took over the room. */
  reason: "ended" | "draining" | "idle" | "slow_reader" | "replaced";
  /** The session can be resumed. */
  resume: boolean;
  /** For people. */
  message: string;
  /** Seconds after which to connect again. */
  retry_after?: number;
}

/** Somebody starts to speak. */
export interface SpeechStart {
  type: "speech_start";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
}

/** Speech ends. */
export interface SpeechEnd {
  type: "speech_end";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Start of the speech. */
  start_sample: number;
}

/** From `sample` on, an enrolled speaker speaks. */
export interface Speaker {
  type: "speaker";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Number of the turn in the stream. */
  turn: number;
  speaker: Name;
  /** Posterior probability. */
  confidence: number;
  /** Cosine similarity of the best evidence. */
  score: number;
  /** The next best enrolled speaker. */
  runner_up: string | null;
  /** Difference of their score to the speaker's. */
  margin: number | null;
  /** No correction will come. */
  final: boolean;
}

/** A provisional label of this turn was wrong. */
export interface Correction {
  type: "correction";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Number of the turn in the stream. */
  turn: number;
  speaker: Name;
  /** Posterior probability. */
  confidence: number;
  /** Cosine similarity of the best evidence. */
  score: number;
  /** The next best enrolled speaker. */
  runner_up: string | null;
  /** Difference of their score to the speaker's. */
  margin: number | null;
  /** No correction will come. */
  final: boolean;
  /** The previous label. */
  previous: Name;
}

/** From `sample` on, a person speaks who is not enrolled. */
export interface Unknown {
  type: "unknown";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Number of the turn in the stream. */
  turn: number;
  /** Their stable name: guest-1, guest-2, ... */
  speaker: Name;
  /** Posterior probability. */
  confidence: number;
  /** Cosine similarity to this guest. */
  score: number | null;
  /** The next best enrolled speaker. */
  runner_up: string | null;
  /** No correction will come. */
  final: boolean;
}

/** The evidence does not decide between `candidates`. */
export interface Ambiguous {
  type: "ambiguous";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Number of the turn in the stream. */
  turn: number;
  /** The possible speakers. */
  candidates: Array<Name>;
  /** Posterior probability. */
  confidence: number;
}

/** A turn ended at `sample`; its label is final. */
export interface TurnEnd {
  type: "turn_end";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Number of the turn in the stream. */
  turn: number;
  /** Start of the turn. */
  start_sample: number;
  speaker: Name;
  /** Posterior probability. */
  confidence: number;
}

/** From `sample` on, more than one person speaks. The event may be updated until it is final; the part of the other speaker is then also sent as a turn. */
export interface Overlap {
  type: "overlap";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Number of the overlap in the stream. */
  overlap: number;
  /** End of the overlap; null while it lasts. */
  end_sample: number | null;
  speaker: Name;
  /** The other speaker; null if nothing is known about them. */
  other: string | null;
  /** Probability that more than one person speaks. */
  confidence: number;
  /** No later event about it will come. */
  final: boolean;
}

/** The samples [sample, end_sample) never arrived. */
export interface Gap {
  type: "gap";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Where audio continues. */
  end_sample: number;
}

/** The words that the client sent for [sample, end_sample). They are no decision about the sound, so `decided_sample` is 0. */
export interface Said {
  type: "said";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** End of the words. */
  end_sample: number;
  /** The words. */
  text: string;
}

/** Something about the sound that people should know, sent once. */
export interface Notice {
  type: "notice";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** For programs: `inverted_channels` if the channels cancel each other and one is used alone. */
  code: string;
  /** For people. */
  message: string;
}

/** The server fell behind and skipped steps before `sample`. */
export interface Overload {
  type: "overload";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Number of skipped steps. */
  skipped: number;
}

/** All earlier events about the guest `previous` were about `speaker`: somebody named the guest, or both were found to be one voice. */
export interface Renamed {
  type: "renamed";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  speaker: Name;
  /** The guest. */
  previous: Name;
}

/** The embedding of one window, if requested. */
export interface Window {
  type: "window";
  /** Number of the event in the session, from 1; used in `ack` and when resuming. */
  id: number;
  /** 0, or the channel if channels are split. */
  channel: number;
  /** The position that the event is about, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How much of the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** First sample used; up to 269 after the window's nominal start. */
  start_sample: number;
  /** One past the last sample used. */
  end_sample: number;
  /** The requested length in seconds, which tells windows of several lengths apart. */
  duration: number;
  /** Seconds of speech in the window. */
  speech: number;
  /** The window holds less than `duration`. */
  partial: boolean;
  /** float32, little endian, in base64; if requested. */
  embedding?: string;
}

export type ClientMessage =
  | Ack
  | End
  | Enroll
  | Flush
  | Ping
  | Share
  | Speakers
  | Start
  | Watch
  | Words;

export type ServerMessage =
  | Ambiguous
  | Correction
  | Enrolment
  | Error
  | Flushed
  | Gap
  | Goodbye
  | Notice
  | Overlap
  | Overload
  | Pong
  | Ready
  | Renamed
  | Said
  | Shared
  | Speaker
  | SpeakerList
  | SpeechEnd
  | SpeechStart
  | Stats
  | TurnEnd
  | Unknown
  | Watching
  | Window;

export type EventMessage =
  | Ambiguous
  | Correction
  | Gap
  | Notice
  | Overlap
  | Overload
  | Renamed
  | Said
  | Speaker
  | SpeechEnd
  | SpeechStart
  | TurnEnd
  | Unknown
  | Window;
