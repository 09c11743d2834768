// The source of the audio: the microphone, or a file that is played. Both pass through the same tap.

import { constraints } from "./microphones.js";

export class Capture {
  /** onPcm(buffer, level): called ten times a second. onEnd(): called at the end of a file. */
  constructor(onPcm, onEnd) {
    this.onPcm = onPcm;
    this.onEnd = onEnd;
  }

  get rate() {
    return this.context.sampleRate;
  }

  /** deviceId: the microphone to use; undefined for the browser's choice. */
  async microphone(deviceId) {
    const media = await navigator.mediaDevices.getUserMedia({ audio: constraints(deviceId) });
    this.live = true;
    this.tracks = media.getTracks();
    await this.open();
    this.context.createMediaStreamSource(media).connect(this.tap);
  }

  async file(file) {
    await this.open();
    const buffer = await this.context.decodeAudioData(await file.arrayBuffer());
    this.player = this.context.createBufferSource();
    this.player.buffer = buffer;
    this.player.connect(this.tap);
    this.player.connect(this.context.destination);
    this.player.onended = () => this.tap.port.postMessage("over");
  }

  async open() {
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule("worklet.js");
    this.tap = new AudioWorkletNode(this.context, "tap", { numberOfOutputs: 0 });
    this.tap.port.onmessage = ({ data }) => {
      this.onPcm(data.pcm, data.level);
      if (data.last) this.onEnd();
    };
    await this.context.resume();
  }

  /** Start playing the file; a microphone has already started. */
  start() {
    this.player?.start();
  }

  async stop() {
    if (this.player) this.player.onended = null;
    this.tracks?.forEach((track) => track.stop());
    if (this.tap) this.tap.port.onmessage = null;
    if (this.context && this.context.state !== "closed") await this.context.close();
  }
}
