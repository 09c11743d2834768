// streamer.v1: one session over any number of connections. See docs/protocol.md.

const KEEP_S = 20; // Sent audio is kept this long: a short loss of the connection costs nothing.
const PATIENCE_S = 30; // How long the server keeps a session for its client.
const HEADER_BYTES = 12;
const BUFFERED = 400_000; // With more bytes than this in the socket, the network is slower than the audio.

export class Connection {
  /**
   * url: of the server, ws:// or wss://. WebSocket: the class, if this JavaScript has none.
   *
   * on: { state(name, detail), message(message), refused(error), over(goodbye), restarted({ sample, lostFrom, reason }) }.
   * states: connecting, live, waiting (to reconnect), closed.
   */
  constructor(on, { url, token = null, WebSocket = globalThis.WebSocket }) {
    this.on = on;
    this.token = token;
    this.url = url.replace(/\/*$/, "").replace(/(\/v1\/stream)?$/, "/v1/stream");
    this.WebSocket = WebSocket;
    this.chunks = []; // { position, data } in order: those sent recently, and those that wait
    this.next = 0; // index of the first chunk to send
    this.position = 0; // samples received so far
    this.sequence = 0;
    this.lastEvent = 0;
    this.acknowledged = 0;
    this.attempt = 0;
    this.pause = 0; // seconds that the server asks to wait
    this.ended = this.done = this.begun = false;
    this.origin = 0; // start of the current session in the stream, in samples at the sent rate
    this.decided = 0; // the sample up to which the stream was decided, at 16 kHz
  }

  open(settings) {
    this.settings = { type: "start", ...settings, framing: "sequenced", encoding: "s16le" };
    this.width = 2 * (settings.channels ?? 1); // bytes of one sample of every channel
    this.connect();
    this.timer = setInterval(() => this.acknowledge(), 2000);
  }

  connect() {
    this.on.state(this.begun ? "waiting" : "connecting");
    this.socket = new this.WebSocket(this.url, "streamer.v1");
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.hello();
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.socket.onclose = ({ code }) => this.lost(code);
    this.ready = false;
  }

  hello() {
    const start = { ...this.settings };
    if (this.token) start.token = this.token;
    if (this.resume) {
      Object.assign(start, { resume: this.resume, last_event: this.lastEvent, position: Math.max(0, (this.chunks[0]?.position ?? this.position) - this.origin) });
    }
    this.socket.send(JSON.stringify(start));
  }

  receive(message) {
    if (message.type === "ready") return this.started(message);
    if (message.type === "error" && message.fatal) {
      // It stops, or is full for a moment: the session is kept until it has capacity again.
      if (message.code === "busy" && this.resume) {
        this.pause = message.retry_after ?? 5;
        return;
      }
      if (this.resume && (message.code === "unknown_session" || (message.code === "internal" && message.retry_after))) {
        return this.beginAnew(message.message, message.retry_after ?? 0);
      }
      this.finish();
      return this.on.refused(message);
    }
    if (message.type === "goodbye" && !message.resume) {
      if (message.reason === "draining") return this.beginAnew(message.message, message.retry_after ?? 0);
      this.finish();
      return this.on.over(message);
    }
    if (message.id) {
      if (message.id <= this.lastEvent) return;
      this.lastEvent = message.id;
    }
    if (this.origin) this.move(message);
    this.decided = Math.max(this.decided, message.decided_sample ?? 0);
    this.on.message(message);
  }

  /** The server has lost the session: the next connection starts a new one after the decided audio. */
  beginAnew(reason, pause) {
    this.resume = null;
    this.lastEvent = this.acknowledged = this.sequence = 0;
    this.ready = false;
    const wanted = Math.max(Math.floor((this.decided * this.rate) / 16000), this.chunks[0]?.position ?? this.position);
    this.rewind(wanted);
    this.origin = Math.min(wanted, this.chunks[this.next]?.position ?? this.position);
    this.pause = pause;
    const sample = this.moved(0);
    this.on.restarted({ sample, lostFrom: Math.min(this.decided, sample), reason });
  }

  /** Convert a position of the current session, at 16 kHz, to one of the stream. */
  moved(sample) {
    return sample + Math.floor((this.origin * 16000) / this.rate);
  }

  move(message) {
    for (const name of ["sample", "decided_sample", "start_sample", "end_sample"]) {
      if (name in message) message[name] = this.moved(message[name]);
    }
    if ("time" in message) message.time = message.sample / 16000;
  }

  started(message) {
    this.resume = message.resume;
    this.ready = this.begun = true;
    this.attempt = 0;
    this.lostAt = null;
    this.rate = message.settings.sample_rate;
    this.settings.step = message.settings.step;
    this.rewind(message.position + this.origin);
    this.on.state("live");
    this.on.message(message);
    this.pump();
  }

  /** Send again from this position on, as far as the audio is kept. */
  rewind(position) {
    this.next = this.chunks.findIndex((chunk) => chunk.position + chunk.data.byteLength / this.width > position);
    if (this.next < 0) this.next = this.chunks.length;
  }

  /** Take the stream's next samples: s16le (an ArrayBuffer, channels interleaved). */
  audio(data) {
    if (this.done || this.ended || !data.byteLength) return;
    this.chunks.push({ position: this.position, data });
    this.position += data.byteLength / this.width;
    this.pump();
    const keep = KEEP_S * (this.rate ?? 48000);
    while (this.chunks.length && this.chunks[0].position < this.position - keep) {
      this.chunks.shift();
      this.next = Math.max(0, this.next - 1);
    }
  }

  /** The end of the received audio, in samples at 16 kHz. */
  get reached() {
    return this.rate ? (this.position / this.rate) * 16000 : 0;
  }

  /** Seconds of audio that are not yet sent. */
  get unsent() {
    const waiting = this.position - (this.chunks[this.next]?.position ?? this.position);
    return (waiting + this.socket.bufferedAmount / this.width) / (this.rate ?? this.settings.sample_rate ?? 16000);
  }

  pump() {
    clearTimeout(this.pumping);
    if (!this.ready) return;
    while (this.next < this.chunks.length && this.socket.bufferedAmount < BUFFERED) {
      const { position, data } = this.chunks[this.next++];
      const frame = new Uint8Array(HEADER_BYTES + data.byteLength);
      const view = new DataView(frame.buffer);
      view.setUint32(0, this.sequence, true);
      view.setBigUint64(4, BigInt(position - this.origin), true);
      frame.set(new Uint8Array(data), HEADER_BYTES);
      this.sequence = (this.sequence + 1) >>> 0;
      this.socket.send(frame);
    }
    // The rest waits and is kept; the end is sent after it.
    if (this.next < this.chunks.length) this.pumping = setTimeout(() => this.pump(), 20);
    else if (this.ended) this.tell({ type: "end" });
  }

  tell(message) {
    if (!this.ready) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  end() {
    this.ended = true;
    if (this.ready) this.pump();
    else if (!this.begun) this.finish();
  }

  acknowledge() {
    if (this.lastEvent > this.acknowledged && this.tell({ type: "ack", event: this.lastEvent })) {
      this.acknowledged = this.lastEvent;
    }
  }

  lost(code) {
    this.ready = false;
    if (this.done) return;
    const now = Date.now();
    this.lostAt ??= now;
    // Refused before the first `ready`, or away for too long: there is no session to resume.
    if (!this.begun || now - this.lostAt > PATIENCE_S * 1000) {
      this.finish();
      return this.on.refused({ code: "lost", message: `The server can't be reached (${code}).`, change: "Try again in a moment." });
    }
    this.on.state("waiting");
    const wait = this.attempt ? Math.min(5000, 200 * 2 ** this.attempt) * (0.5 + Math.random() / 2) : 0;
    this.attempt++;
    setTimeout(() => this.done || this.connect(), Math.max(wait, this.pause * 1000));
    this.pause = 0;
  }

  finish() {
    this.done = true;
    this.ready = false;
    clearInterval(this.timer);
    clearTimeout(this.pumping);
    this.on.state("closed");
  }
}
