import type { Enrolment, Ready, ServerMessage, SpeakerList, Start } from "./protocol.js";

export type * from "./protocol.js";

/** The server has lost the session, and a new one starts: positions continue, guests are new, ids count from 1 again. */
export interface Restart {
  type: "restart";
  /** Where the new session begins, in samples at 16 kHz. */
  sample: number;
  /** The first undecided sample; from it up to `sample`, the audio is lost. */
  lost_from_sample: number;
  reason: string;
}

export type Message = ServerMessage | Restart;
export type State = "connecting" | "live" | "waiting" | "closed";
type Speaker = SpeakerList["speakers"][number];
type Settings = Omit<Start, "type" | "token" | "sample_rate" | "encoding" | "framing" | "resume" | "last_event" | "position">;

export interface Options extends Settings {
  /** A bearer token of the server. */
  token?: string | null;
  /** Samples a second of each channel; default: 16000. */
  sampleRate?: number;
  /** Called at each change of the connection. */
  onState?: (state: State) => void;
  /** The class, if this JavaScript has none. */
  WebSocket?: new (url: string, protocols?: string | string[]) => unknown;
}

/** The server refused, or can't be reached. */
export class ServerRefused extends Error {
  code: string;
  change: string;
  /** Seconds after which to try again, or null. */
  retryAfter: number | null;
  /** For an enrolment: the reasons against it. */
  advice: Enrolment["advice"];
}

/** One session with a server, over any number of connections. */
export class Client {
  constructor(url: string, options?: Options);
  /** Connect and start a session. */
  open(): Promise<Ready>;
  /** Send samples, channels interleaved; floats have full scale at 1. Waits for room. */
  send(samples: Int16Array | Float32Array): Promise<void>;
  /** End the audio; the last messages follow. */
  end(): void;
  /** Disconnect at once. */
  close(): void;
  [Symbol.asyncIterator](): AsyncGenerator<Message, void, void>;
  /** Any request that is answered: flush, ping, speakers, share. */
  ask(type: string, fields?: Record<string, unknown>): Promise<ServerMessage>;
  /** Send a message that has no answer, such as recognised words. */
  tell(type: string, fields?: Record<string, unknown>): Promise<void>;
  /** All enrolled speakers. */
  speakers(): Promise<Speaker[]>;
  /** Name a guest of this session, which enrols the voice. */
  name(guest: string, to: string, options?: { channel?: number }): Promise<Speaker[]>;
  /** Enrol the voice in the audio that `speak` sends. */
  enroll(
    name: string,
    speak: () => Promise<unknown>,
    options?: { force?: boolean; channel?: number; onProgress?: (message: Enrolment) => void },
  ): Promise<Enrolment>;
}

/** Convert float32 samples, full scale at 1, to 16 bits. */
export function toPcm(samples: Float32Array): Int16Array;
