import type { Enrolment, Ready, ServerMessage, SpeakerList, Start } from "./protocol.js";

export type * from "./protocol.js";

/** The server has lost the session, and another one begins: positions go on, guests are others, ids count from 1 again. */
export interface Restart {
  type: "restart";
  /** Where the new session begins, in samples at 16 kHz. */
  sample: number;
  /** From where on nothing had been decided; up to `sample` it is lost. */
  lost_from_sample: number;
  reason: string;
}

export type Message = ServerMessage | Restart;
export type State = "connecting" | "live" | "waiting" | "closed";
type Speaker = SpeakerList["speakers"][number];
type Settings = Omit<Start, "type" | "token" | "sample_rate" | "encoding" | "framing" | "resume" | "last_event" | "position">;

export interface Options extends Settings {
  /** A bearer token of the server's. */
  token?: string | null;
  /** Samples a second of each channel; 16000 if it is not given. */
  sampleRate?: number;
  /** Told of each change of the connection. */
  onState?: (state: State) => void;
  /** The class, where this JavaScript has none. */
  WebSocket?: new (url: string, protocols?: string | string[]) => unknown;
}

/** The server, or the way to it, said no. */
export class ServerRefused extends Error {
  code: string;
  change: string;
  /** Seconds after which to try again, or null. */
  retryAfter: number | null;
  /** Of an enrolment: what speaks against it. */
  advice: Enrolment["advice"];
}

/** One session with a server, over as many connections as it takes. */
export class Client {
  constructor(url: string, options?: Options);
  /** Connect and begin. */
  open(): Promise<Ready>;
  /** The next samples, channels interleaved; floats have full scale at 1. Waits for room. */
  send(samples: Int16Array | Float32Array): Promise<void>;
  /** No more will come; the last messages follow. */
  end(): void;
  /** Leave at once. */
  close(): void;
  [Symbol.asyncIterator](): AsyncGenerator<Message, void, void>;
  /** Any request that is answered: flush, ping, speakers, share. */
  ask(type: string, fields?: Record<string, unknown>): Promise<ServerMessage>;
  /** Say what is not answered, such as words that were recognised. */
  tell(type: string, fields?: Record<string, unknown>): Promise<void>;
  /** Everybody who is enrolled. */
  speakers(): Promise<Speaker[]>;
  /** Give a guest of this session a name, under which the voice is enrolled. */
  name(guest: string, to: string, options?: { channel?: number }): Promise<Speaker[]>;
  /** Enrol the voice of the audio that `speak` sends meanwhile. */
  enroll(
    name: string,
    speak: () => Promise<unknown>,
    options?: { force?: boolean; channel?: number; onProgress?: (message: Enrolment) => void },
  ): Promise<Enrolment>;
}

/** Float32 samples, full scale at 1, as 16-bit ones. */
export function toPcm(samples: Float32Array): Int16Array;
