// The last hour of this session's audio, so that a turn can be played again. It is only in the memory of this tab.

const KEEP_S = 3600; // At 16 kHz and two bytes a sample: up to 115 MB.
const RATE = 16000;
const BLOCK = 10 * RATE;
const TAPS = 12; // of the low-pass filter on either side, per kept sample

/** Gathers s16le samples at any rate, and keeps them at 16 to 32 kHz. */
export class Memory {
  constructor(rate, keepS = KEEP_S) {
    this.factor = Math.max(1, Math.floor(rate / RATE));
    this.rate = rate / this.factor;
    this.keep = keepS * this.rate;
    this.blocks = []; // of Int16Array, all full except the last
    this.dropped = 0; // number of samples no longer kept
    this.length = 0; // number of samples added, including dropped ones
    this.filter = lowpass(this.factor);
    // The filter needs samples before and after each one: begin with silence before the first.
    this.tail = new Float32Array((this.filter.length - 1) / 2);
  }

  /** pcm: an ArrayBuffer of the next samples, s16le. */
  add(pcm) {
    const samples = new Int16Array(pcm);
    if (this.factor === 1) return samples.forEach((sample) => this.push(sample));
    const { filter, factor } = this;
    const line = new Float32Array(this.tail.length + samples.length);
    line.set(this.tail);
    line.set(samples, this.tail.length);
    let start = 0;
    for (; start + filter.length <= line.length; start += factor) {
      let sum = 0;
      for (let i = 0; i < filter.length; i++) sum += filter[i] * line[start + i];
      this.push(Math.max(-32768, Math.min(32767, Math.round(sum))));
    }
    this.tail = line.slice(start);
  }

  push(sample) {
    const place = this.length % BLOCK;
    if (place === 0) {
      this.blocks.push(new Int16Array(BLOCK));
      while ((this.blocks.length - 1) * BLOCK > this.keep) {
        this.blocks.shift();
        this.dropped += BLOCK;
      }
    }
    this.blocks.at(-1)[place] = sample;
    this.length++;
  }

  /** The first position that is still kept, in samples at 16 kHz. */
  get begin() {
    return Math.ceil((this.dropped / this.rate) * RATE);
  }

  /** Whether the start of [start, end), in samples at 16 kHz, is kept; its end may be missing. */
  has(start, end) {
    return start >= this.begin && end > start && (start / RATE) * this.rate < this.length;
  }

  /** The kept part of [start, end), in samples at 16 kHz: an Int16Array at `rate`. */
  slice(start, end) {
    const from = Math.max(this.dropped, Math.round((start / RATE) * this.rate));
    const to = Math.min(this.length, Math.round((end / RATE) * this.rate));
    const found = new Int16Array(Math.max(0, to - from));
    for (let at = from; at < to; ) {
      const block = this.blocks[Math.floor((at - this.dropped) / BLOCK)];
      const part = block.subarray(at % BLOCK, Math.min(BLOCK, (at % BLOCK) + to - at));
      found.set(part, at - from);
      at += part.length;
    }
    return found;
  }
}

/** A low-pass filter for the lower rate: a windowed sinc (Blackman) whose gain at 0 Hz is 1. */
function lowpass(factor) {
  if (factor === 1) return new Float32Array([1]);
  const half = TAPS * factor;
  const taps = Float32Array.from({ length: 2 * half + 1 }, (_, i) => {
    const x = ((i - half) / factor) * 0.92;
    const turn = (Math.PI * i) / half;
    const window = 0.42 - 0.5 * Math.cos(turn) + 0.08 * Math.cos(2 * turn);
    return window * (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
  });
  const sum = taps.reduce((total, tap) => total + tap, 0);
  return taps.map((tap) => tap / sum);
}

/** Plays one turn at a time. changed(): called when playing starts and ends. */
export class Player {
  constructor(changed) {
    this.changed = changed;
    this.key = null; // key of the turn being played
  }

  play(key, memory, start, end) {
    this.stop();
    const samples = memory.slice(start, end);
    if (!samples.length) return;
    this.context ??= new AudioContext();
    const buffer = this.context.createBuffer(1, samples.length, memory.rate);
    buffer.getChannelData(0).set(Float32Array.from(samples, (sample) => sample / 32768));
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.context.destination);
    source.onended = () => this.source === source && this.stop();
    Object.assign(this, { key, source, start, begun: this.context.currentTime });
    this.context.resume();
    source.start();
    this.changed();
  }

  stop() {
    const { source } = this;
    this.key = this.source = null;
    source?.stop();
    if (source) this.changed();
  }

  /** The position being played, in samples at 16 kHz; null if nothing is played. */
  get position() {
    return this.source ? this.start + (this.context.currentTime - this.begun) * RATE : null;
  }
}
