// This session's sound, in this tab's memory and nowhere else: the last hour of it, so that a turn can be heard again.

const KEEP_S = 3600; // At 16 kHz and two bytes a sample: up to 115 MB.
const RATE = 16000;
const BLOCK = 10 * RATE;
const TAPS = 12; // on either side, for each sample that is kept

/** Gathers s16le samples at any rate, and keeps them at 16 to 32 kHz. */
export class Memory {
  constructor(rate, keepS = KEEP_S) {
    this.factor = Math.max(1, Math.floor(rate / RATE));
    this.rate = rate / this.factor;
    this.keep = keepS * this.rate;
    this.blocks = []; // Int16Array each, all of them full but the last one
    this.dropped = 0; // samples that are no longer kept
    this.length = 0; // samples taken, the dropped ones as well
    this.filter = lowpass(this.factor);
    // The filter looks back and ahead: begin with silence before the first sample.
    this.tail = new Float32Array((this.filter.length - 1) / 2);
  }

  /** pcm: an ArrayBuffer of the samples that come next. */
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

  /** The earliest position that is kept, in samples at 16 kHz. */
  get begin() {
    return Math.ceil((this.dropped / this.rate) * RATE);
  }

  /** Whether some of [start, end), in samples at 16 kHz, is there. */
  has(start, end) {
    return start >= this.begin && end > start && (start / RATE) * this.rate < this.length;
  }

  /** The samples of [start, end), in samples at 16 kHz, as far as they are kept: an Int16Array at `rate`. */
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

/** A windowed sinc (Blackman) that leaves what the lower rate can hold; its gain at 0 Hz is 1. */
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

/** Plays one recording at a time. changed(): called when it begins and ends. */
export class Player {
  constructor(changed) {
    this.changed = changed;
    this.key = null; // what is being played
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

  /** Where it plays, in samples at 16 kHz; null where nothing does. */
  get position() {
    return this.source ? this.start + (this.context.currentTime - this.begun) * RATE : null;
  }
}
