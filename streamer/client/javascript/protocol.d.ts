// The messages of the protocol streamer.v1, made by docs/build_types.py from its schema.

/** A speaker's name. */
export type Name = string;

/** A speaker's name, in any spelling: white space around it, Unicode's normal form and case do not matter. */
export type GivenName = string;

/** The first message of every connection: what audio comes, and what is wanted of it. With `resume` it goes on with the session that lost its connection; the settings of that session then stay as they were and those given here are not looked at. */
export interface Start {
  type: "start";
  /** Samples a second of each channel of the audio that will be sent. Opus always counts 48000. */
  sample_rate?: number;
  /** How a sample is written. `opus`: each binary message is one Opus packet. */
  encoding?: "s16le" | "s24le" | "s32le" | "f32le" | "mulaw" | "alaw" | "opus";
  /** Interleaved channels of the audio. */
  channels?: number;
  /** `downmix` hears the mean of the channels as one stream; `split` gives each channel a stream and a tracker of its own. */
  channel_mode?: "downmix" | "split";
  /** `sequenced`: each binary message begins with the 12-byte header, so that lost and repeated ones are seen. */
  framing?: "plain" | "sequenced";
  /** Seconds between two looks at the stream. */
  step?: number;
  /** Seconds of audio in a window: the longest that is looked at. A multiple of `step`. */
  duration?: number;
  /** What happens when the server falls behind: `every` step is computed and the client is slowed down, or the `latest` is computed and an `overload` event counts those left out. */
  policy?: "every" | "latest";
  /** The only enrolled speakers who can be meant, such as the people invited to a meeting. Absent or null: everybody enrolled. */
  roster?: Array<GivenName> | null;
  /** Send a `window` event for each window. */
  windows?: boolean;
  /** Put the embedding into `window` events. */
  embeddings?: boolean;
  /** Seconds between two `stats` messages; 0 for none. */
  stats_interval?: number;
  /** The bearer token, where it was sent neither as a header nor as a subprotocol. */
  token?: string;
  /** The resume token of `ready`. */
  resume?: string;
  /** With `resume`: the `id` of the last event that arrived, 0 for none. Those after it are sent again. */
  last_event?: number;
  /** With `resume`: the earliest sample, counted per channel at the client's rate, that the client can still send. The server answers with `ready.position`, from where audio must go on; what lies between what had arrived and there becomes a gap. Absent: the server takes the time that the connection was gone as lost. */
  position?: number;
}

/** Every event up to `event` has arrived; the server need not keep them for a resume. */
export interface Ack {
  type: "ack";
  /** The `id` of the last event. */
  event: number;
}

/** Asks to be told (`flushed`) when all audio sent before it has been looked at as far as whole steps allow. It cuts no step short. */
export interface Flush {
  type: "flush";
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** No more audio will come. The server looks at what is left, sends the last events and says `goodbye`. */
export interface End {
  type: "end";
}

/** Answered by `pong` at once, for those who cannot send WebSocket pings (browsers). */
export interface Ping {
  type: "ping";
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** Enrol a voice from the stream's own audio. Needs the scope `enroll`. `start`: the audio from now on also goes to the enrolment coach, whose `enrolment` messages report progress. `commit`: store the profile. `cancel`: forget the audio. */
export interface Enroll {
  type: "enroll";
  /** What to do. */
  action: "start" | "commit" | "cancel";
  /** Whom the voice belongs to; needed to start. A name that is already enrolled is refined. */
  name?: GivenName;
  /** The channel to listen to, where the channels are split. */
  channel?: number;
  /** With `commit`: store it although the coach advises against it. */
  force?: boolean;
}

/** Look at or change the enrolled speakers. `list` needs the scope `stream`, `name` (a guest of this session becomes a profile) needs `enroll`, `rename` and `remove` need `admin`. Answered by `speaker_list`. */
export interface Speakers {
  type: "speakers";
  /** What to do. */
  action: "list" | "name" | "rename" | "remove";
  /** Whom: the enrolled name, or the guest (`guest-1`) for `name`. */
  speaker?: GivenName;
  /** The new name, for `name` and `rename`. */
  to?: GivenName;
  /** Answer with those whose names come after this one; absent: from the first on. */
  after?: GivenName;
  /** Answer with this many at most; fewer if their names are long. */
  limit?: number;
  /** The guest's channel, where the channels are split. */
  channel?: number;
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** What a shared room is called. */
export type RoomName = string;

/** Let others watch this session: its events from now on, and nothing of its sound. Answered by `shared`. A second one under another name closes the first room; one that the same client still shares under this name gives way. Not kept over a resume that the server was restarted for: send it again after each `ready`. */
export interface Share {
  type: "share";
  /** Its name, chosen by the client: 1 to 64 letters of A to Z, digits, - and _. */
  room: RoomName;
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** What was said in a stretch of the session, by a recogniser of the client's. It becomes the event `said`, so that whoever watches sees it beside the turns; the server makes nothing else of it. */
export interface Words {
  type: "words";
  /** A word or several. */
  text: string;
  /** Where they begin, at 16 kHz from the session's start. */
  start_sample: number;
  /** Where they end. */
  end_sample: number;
  /** The channel, where they are split. */
  channel?: number;
}

/** Instead of `start`, the first message of a connection that watches a shared room. Needs the scope `watch` or `admin`, or the token that shares the room. Answered by `watching`, the events so far (as many as are kept), and then all that come, with the `stats` of whoever shares it. Such a connection may send `ping`, and nothing else. */
export interface Watch {
  type: "watch";
  /** Its name. */
  room: RoomName;
  /** The bearer token, where it was sent neither as a header nor as a subprotocol. */
  token?: string;
}

/** Answers `share`: the room can be watched. */
export interface Shared {
  type: "shared";
  /** Its name. */
  room: RoomName;
  /** How many watch it now. */
  watchers: number;
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** Answers `watch`: events may come. */
export interface Watching {
  type: "watching";
  version: 1;
  /** Its name. */
  room: RoomName;
  /** How many events of before follow at once. */
  events: number;
  /** What the room is called for people, where that is more than its name. */
  title?: string;
  /** The names of a room's microphones, by the `channel` of its events, where it is one room with several: its turns are then numbered through the room, and a turn may move to the microphone that hears it better. Absent: each channel is a stream of its own. */
  channels?: Array<string>;
}

/** What the server will do, after its own defaults and limits. */
export interface Settings {
  /** Samples a second of each channel of the audio that will be sent. Opus always counts 48000. */
  sample_rate: number;
  /** How a sample is written. `opus`: each binary message is one Opus packet. */
  encoding: "s16le" | "s24le" | "s32le" | "f32le" | "mulaw" | "alaw" | "opus";
  /** Interleaved channels of the audio. */
  channels: number;
  /** `downmix` hears the mean of the channels as one stream; `split` gives each channel a stream and a tracker of its own. */
  channel_mode: "downmix" | "split";
  /** `sequenced`: each binary message begins with the 12-byte header, so that lost and repeated ones are seen. */
  framing: "plain" | "sequenced";
  /** Seconds between two looks at the stream. */
  step: number;
  /** Seconds of audio in a window: the longest that is looked at. A multiple of `step`. */
  duration: number;
  /** What happens when the server falls behind: `every` step is computed and the client is slowed down, or the `latest` is computed and an `overload` event counts those left out. */
  policy: "every" | "latest";
  /** The only enrolled speakers who can be meant, such as the people invited to a meeting. Absent or null: everybody enrolled. */
  roster: Array<Name> | null;
  /** Send a `window` event for each window. */
  windows: boolean;
  /** Put the embedding into `window` events. */
  embeddings: boolean;
  /** Seconds between two `stats` messages; 0 for none. */
  stats_interval: number;
}

/** Answers `start`: audio may come. */
export interface Ready {
  type: "ready";
  version: 1;
  /** Public name of the session, as in the server's log. */
  session: string;
  /** A secret: whoever has it, and the same bearer token, can resume the session. */
  resume: string;
  /** Seconds that the session outlives its connection. */
  resume_within: number;
  /** The session that was asked for goes on. */
  resumed: boolean;
  /** Samples per channel, at the client's rate, that have arrived or count as a gap: audio goes on from here. */
  position: number;
  /** The `id` of the last event so far. */
  last_event: number;
  /** Events that the client has not seen and that are no longer kept. */
  lost_events: number;
  settings: Settings;
  /** Which model speaks. */
  model: {
    /** For people. */
    name: string;
    /** For comparing: embeddings of different fingerprints never are. */
    fingerprint: string;
  };
  /** What this client may do. */
  scopes: Array<"stream" | "enroll" | "admin" | "watch">;
}

/** Something could not be done. */
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
  /** The `request` of the message that failed, where it had one. */
  request?: number;
}

/** How the session does, every `stats_interval` seconds. */
export interface Stats {
  type: "stats";
  /** Seconds from the arrival of the last step's last sample to its events. */
  lag: number;
  /** Seconds of audio that have arrived and are not yet looked at. */
  queue: number;
  /** Samples at 16 kHz that have arrived, without gaps. */
  received: number;
  /** Gaps so far. */
  gaps: number;
  /** Samples at 16 kHz in them. */
  gap_samples: number;
  /** Binary messages that were dropped because their sequence number, or all of their samples, had come before. */
  duplicates: number;
  /** Steps left out under `policy: latest`. */
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
  /** How far the stream has been looked at. */
  sample: number;
}

/** Answers `ping`. */
export interface Pong {
  type: "pong";
  /** Chosen by the client and returned in the answer. */
  request?: number;
}

/** How an enrolment does. It is `listening` until `commit` or `cancel`; `refused` leaves it listening, so that more audio or `force` can mend it. */
export interface Enrolment {
  type: "enrolment";
  /** Where it stands. */
  state: "listening" | "committed" | "refused" | "cancelled";
  name: Name;
  /** 0 to 1: 1 is enough. */
  progress: number;
  /** Seconds of speech heard. */
  speech: number;
  /** Seconds of speech wanted. */
  needed: number;
  /** What the coach says, most important first. */
  advice: Array<{
    /** too_short, too_quiet, clipped, noisy, two_voices, inconsistent_with_profile, same_as_other. */
    code: string;
    /** What to do about it. */
    message: string;
  }>;
}

/** Answers `speakers`: those who are enrolled, after the change, a page of them at a time. Where there are `more`, ask again `after` the last name. */
export interface SpeakerList {
  type: "speaker_list";
  /** Chosen by the client and returned in the answer. */
  request?: number;
  /** In the order of names. */
  speakers: Array<{
    name: Name;
    /** Embeddings kept. */
    exemplars: number;
    /** Seconds of speech they were made from. */
    speech: number;
  }>;
  /** How many are enrolled in all. */
  total?: number;
  /** There are others after these. */
  more?: boolean;
  /** Absent, or false: what was removed or renamed is gone for everybody who listens, but could not be erased from the store's files yet, since another process reads them; the server goes on trying. */
  erased?: boolean;
}

/** The last message; the connection closes after it. */
export interface Goodbye {
  type: "goodbye";
  /** `ended`: all was looked at. `draining`: the server stops. `idle`: no audio came. `slow_reader`: events were not read. `replaced`: another connection resumed the session, or another session goes on in the room. */
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
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
}

/** Speech ends. */
export interface SpeechEnd {
  type: "speech_end";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Where it began. */
  start_sample: number;
}

/** From `sample` on an enrolled speaker speaks. */
export interface Speaker {
  type: "speaker";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
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
  /** By how much of the score they lost. */
  margin: number | null;
  /** No correction will come. */
  final: boolean;
}

/** A provisional label of this turn was wrong. */
export interface Correction {
  type: "correction";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
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
  /** By how much of the score they lost. */
  margin: number | null;
  /** No correction will come. */
  final: boolean;
  /** What it was. */
  previous: Name;
}

/** From `sample` on somebody speaks whom nobody enrolled. */
export interface Unknown {
  type: "unknown";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
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
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Number of the turn in the stream. */
  turn: number;
  /** Who it could be. */
  candidates: Array<Name>;
  /** Posterior probability. */
  confidence: number;
}

/** A turn ended at `sample`; its label is final. */
export interface TurnEnd {
  type: "turn_end";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Number of the turn in the stream. */
  turn: number;
  /** Where it began. */
  start_sample: number;
  speaker: Name;
  /** Posterior probability. */
  confidence: number;
}

/** More than one speaks, from `sample` on. What is said of it may change until it is final; then the other's share of it comes as a turn, too. */
export interface Overlap {
  type: "overlap";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Number of the stretch in the stream. */
  overlap: number;
  /** Where it ended; null while it lasts. */
  end_sample: number | null;
  speaker: Name;
  /** Who else speaks; null for somebody of whom nothing is known. */
  other: string | null;
  /** How likely it is that more than one speaks. */
  confidence: number;
  /** No later word of it will come. */
  final: boolean;
}

/** The samples [sample, end_sample) never arrived. */
export interface Gap {
  type: "gap";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Where audio goes on. */
  end_sample: number;
}

/** The client's words: what was said in [sample, end_sample). They decide nothing of the sound, so `decided_sample` is 0. */
export interface Said {
  type: "said";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** Where the words end. */
  end_sample: number;
  /** The words. */
  text: string;
}

/** Something about the sound itself that whoever listens should know of, once. */
export interface Notice {
  type: "notice";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** For programs: `inverted_channels`, where channels cancel each other and one is used alone. */
  code: string;
  /** For people. */
  message: string;
}

/** The server fell behind and left out steps before `sample`. */
export interface Overload {
  type: "overload";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** How many. */
  skipped: number;
}

/** All that was said so far of `previous`, a guest, was `speaker`: named by somebody, or found to be one voice. */
export interface Renamed {
  type: "renamed";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  speaker: Name;
  /** The guest. */
  previous: Name;
}

/** The embedding of one window, where asked for. */
export interface Window {
  type: "window";
  /** Number of the event in the session, from 1 on; to acknowledge, and to resume after. */
  id: number;
  /** 0, or the channel where the channels are split. */
  channel: number;
  /** The position it speaks of, at 16 kHz from the stream's start. */
  sample: number;
  /** `sample` in seconds. */
  time: number;
  /** How far the stream had been heard when this was decided. */
  decided_sample: number;
  /** Why, in a few words. */
  reason: string;
  /** First sample used; up to 269 after the window's nominal start. */
  start_sample: number;
  /** One past the last sample used. */
  end_sample: number;
  /** Seconds asked for, by which windows of several lengths are told apart. */
  duration: number;
  /** Seconds of speech in it. */
  speech: number;
  /** It holds less than `duration`. */
  partial: boolean;
  /** float32, little endian, in base64; where asked for. */
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
