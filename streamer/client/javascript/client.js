// The client of a streamer server, which says who is speaking: for browsers and Node, without dependencies.
//
//   const client = new Client("ws://localhost:8765", { sampleRate: 48000 });
//   await client.open();
//   for await (const message of client) if (message.type === "speaker") console.log(message.time, message.speaker);

import { Connection } from "./connection.js";

const UNSENT_S = 5; // Seconds that may wait to be sent; then `send` waits.
const UNREAD = 10_000; // Messages that may wait to be read.

/** The server refused, or can't be reached. code, change: as in the protocol's `error`; retryAfter: seconds, or null. */
export class ServerRefused extends Error {
  constructor({ code, message, change = "", retry_after: retryAfter = null, advice = [] }) {
    super(change ? `${message} ${change}` : message);
    Object.assign(this, { name: "ServerRefused", code, change, retryAfter, advice });
  }
}

export class Client {
  #connection;
  #settings;
  #messages = []; // unread
  #waiting = null; // resolves the reader's wait for the next message
  #requests = new Map(); // number to { resolve, reject }
  #number = 0;
  #enrolling = null;
  #opening = null;
  #failure = null;
  #state = null;

  /**
   * url: ws:// or wss://, with or without the path. settings: further fields of `start` (step, duration, roster, windows,
   * channels, ...). onState: called with "connecting", "live", "waiting" (the connection is lost, and retried), "closed".
   * WebSocket: the class, if this JavaScript has none (Node before 22: that of the package `ws`).
   */
  constructor(url, { token = null, sampleRate = 16000, WebSocket = globalThis.WebSocket, onState = () => {}, ...settings } = {}) {
    if (!WebSocket) throw new TypeError("This JavaScript has no WebSocket: use Node 22, node --experimental-websocket, or give { WebSocket } of the package ws.");
    this.#settings = { sample_rate: sampleRate, ...settings };
    this.#connection = new Connection(
      {
        state: (state) => state !== this.#state && onState((this.#state = state)),
        message: (message) => this.#take(message),
        refused: (error) => this.#close(new ServerRefused(error)),
        over: (goodbye) => {
          this.#put(goodbye);
          this.#close(null);
        },
        restarted: ({ sample, lostFrom, reason }) => {
          this.#fail(new ServerRefused({ code: "lost", message: `The session was lost: ${reason}` }));
          this.#put({ type: "restart", sample, lost_from_sample: lostFrom, reason });
        },
      },
      { url, token, WebSocket },
    );
  }

  /** Connect and start a session; resolves to the server's `ready`: settings, model, scopes. Rejects with ServerRefused. */
  open() {
    if (!this.#opening) {
      this.#opening = promised();
      this.#connection.open(this.#settings);
    }
    return this.#opening.promise;
  }

  /** Send samples, channels interleaved: an Int16Array, or a Float32Array with full scale at 1. Waits for room. */
  async send(samples) {
    const pcm = samples instanceof Int16Array ? samples : toPcm(samples);
    const chunk = Math.max(1, Math.floor(this.#settings.sample_rate / 10)) * (this.#settings.channels ?? 1);
    for (let at = 0; at < pcm.length; at += chunk) {
      while (!this.#over && this.#connection.unsent > UNSENT_S) await pause();
      if (this.#over) throw this.#failure ?? new ServerRefused({ code: "over", message: "The session is over." });
      this.#connection.audio(pcm.slice(at, at + chunk).buffer);
    }
  }

  /** End the audio; the last messages follow, and the iteration ends. */
  end() {
    this.#connection.end();
  }

  /** Disconnect at once; the session is over. */
  close() {
    this.#connection.finish();
    this.#connection.socket?.close(1000);
    this.#close(null);
  }

  /** Every message except answers to requests, in order, each event once. Throws ServerRefused. */
  async *[Symbol.asyncIterator]() {
    while (true) {
      if (this.#messages.length) yield this.#messages.shift();
      else if (this.#over) break;
      else await new Promise((resolve) => (this.#waiting = resolve));
    }
    if (this.#failure) throw this.#failure;
  }

  /** Send a request and resolve to its answer: "flush", "ping", "speakers", "share", with fields as in the protocol. */
  async ask(type, fields = {}) {
    await this.#sent();
    const request = ++this.#number;
    const waiting = promised();
    this.#requests.set(request, waiting);
    if (!this.#connection.tell({ type, request, ...fields })) {
      this.#requests.delete(request);
      throw new ServerRefused({ code: "lost", message: "Nobody is connected just now.", change: "Try again in a moment." });
    }
    return waiting.promise;
  }

  /** Send a message that has no answer, such as "words", with fields as in the protocol. */
  async tell(type, fields = {}) {
    await this.#sent();
    if (!this.#connection.tell({ type, ...fields })) {
      throw new ServerRefused({ code: "lost", message: "Nobody is connected just now.", change: "Try again in a moment." });
    }
  }

  /** All enrolled speakers: { name, exemplars, speech }. */
  async speakers() {
    const found = [];
    for (let more = {}; ; more = { after: found.at(-1).name }) {
      const page = await this.ask("speakers", { action: "list", ...more });
      found.push(...page.speakers);
      if (!page.more || !page.speakers.length) return found;
    }
  }

  /** Name a guest of this session, which enrols the voice. */
  async name(guest, to, { channel = 0 } = {}) {
    return (await this.ask("speakers", { action: "name", speaker: guest, to, channel })).speakers;
  }

  /**
   * Enrol the voice in the audio that `speak` sends. force: even if the check advises against it.
   * onProgress: called with each `enrolment` message. Rejects with ServerRefused; its `advice` says why.
   */
  async enroll(name, speak, { force = false, channel = 0, onProgress = () => {} } = {}) {
    if (this.#enrolling) throw new ServerRefused({ code: "conflict", message: "Somebody is being enrolled." });
    const done = promised();
    const gone = promised(); // the enrolment is over on the server
    this.#enrolling = { ...done, gone, onProgress };
    try {
      await this.#sent();
      this.#connection.tell({ type: "enroll", action: "start", name, channel });
      await Promise.race([speak(), done.promise]);
      await Promise.race([this.ask("flush"), done.promise]);
      this.#connection.tell({ type: "enroll", action: "commit", force });
      return await done.promise;
    } finally {
      if (!this.#enrolling.committed && !this.#over && this.#connection.tell({ type: "enroll", action: "cancel" })) await gone.promise;
      this.#enrolling = null;
    }
  }

  get #over() {
    return this.#connection.done;
  }

  /** Send a message after the audio that was given before it. */
  async #sent() {
    while (!this.#over && (!this.#connection.ready || this.#connection.next < this.#connection.chunks.length)) await pause();
    if (this.#over) throw this.#failure ?? new ServerRefused({ code: "over", message: "The session is over." });
  }

  #take(message) {
    const waiting = this.#requests.get(message.request);
    if (waiting) {
      this.#requests.delete(message.request);
      return message.type === "error" ? waiting.reject(new ServerRefused(message)) : waiting.resolve(message);
    }
    if (message.type === "ready") this.#opening.resolve(message);
    if (this.#enrolling && (message.type === "enrolment" || message.type === "error")) return this.#coach(message);
    this.#put(message);
  }

  #coach(message) {
    const enrolling = this.#enrolling;
    if (message.type === "enrolment" && message.state === "listening") return enrolling.onProgress(message);
    if (message.type === "enrolment" && message.state === "committed") {
      enrolling.committed = true;
      return enrolling.resolve(message);
    }
    if (message.state === "cancelled" || message.code === "wrong_order") enrolling.gone.resolve();
    const advice = message.advice ?? [];
    const said = advice.map((one) => one.message).join(" ");
    enrolling.reject(new ServerRefused({ code: "enrolment_refused", message: said || "It was refused.", ...message, advice }));
  }

  #put(message) {
    this.#messages.push(message);
    if (this.#messages.length > UNREAD) this.#messages.shift();
    this.#waiting?.();
    this.#waiting = null;
  }

  #fail(error) {
    for (const { reject } of this.#requests.values()) reject(error);
    this.#requests.clear();
    this.#enrolling?.reject(error);
    this.#enrolling?.gone.resolve();
  }

  #close(error) {
    this.#failure ??= error;
    this.#opening?.reject(error ?? new ServerRefused({ code: "over", message: "The session is over." }));
    this.#fail(error ?? new ServerRefused({ code: "over", message: "The session is over." }));
    this.#waiting?.();
    this.#waiting = null;
  }
}

/** Convert float32 samples, full scale at 1, to 16 bits. */
export function toPcm(samples) {
  return Int16Array.from(samples, (value) => Math.max(-32768, Math.min(32767, Math.round(value * 32767))));
}

function promised() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  made.promise.catch(() => {}); // there may be no listener
  return made;
}

function pause() {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
