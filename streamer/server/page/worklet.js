// Runs in the audio thread: collects mono samples as 16-bit PCM, and posts them with their level every tenth of a second.

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate / 10);
    this.reset();
    // The file has ended: post the remaining samples.
    this.port.onmessage = () => this.hand(true);
  }

  reset() {
    this.samples = new Int16Array(this.size);
    this.filled = 0;
    this.energy = 0;
  }

  process([channels]) {
    if (!channels.length) return true;
    for (let i = 0; i < channels[0].length; i++) {
      let value = 0;
      for (const channel of channels) value += channel[i];
      value /= channels.length;
      this.energy += value * value;
      this.samples[this.filled++] = Math.max(-1, Math.min(1, value)) * 32767;
      if (this.filled === this.size) this.hand(false);
    }
    return true;
  }

  hand(last) {
    const pcm = this.samples.slice(0, this.filled).buffer;
    this.port.postMessage({ pcm, level: Math.sqrt(this.energy / this.size), last }, [pcm]);
    this.reset();
  }
}

registerProcessor("tap", Tap);
