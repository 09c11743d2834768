// The list of microphones, and the level meter beside it.

import { $, make } from "./dom.js";

const QUIETEST_DB = -60;
const CHECK_S = 60; // A check must not leave the microphone open for ever.

export class Microphones {
  /** problem(error): called if a microphone cannot be opened. */
  constructor({ problem }) {
    this.problem = problem;
    this.select = $("microphone");
    this.level = 0;
    const devices = navigator.mediaDevices;
    if (!devices) {
      $("source").hidden = true;
      return;
    }
    $("check").addEventListener("click", () => (this.media ? this.stop() : this.check()));
    this.select.addEventListener("change", () => this.media && this.check());
    devices.addEventListener("devicechange", () => this.list());
    this.list();
  }

  /** The id of the chosen microphone; undefined for the browser's choice. */
  get chosen() {
    return this.select.value || undefined;
  }

  /** Fill the list. Browsers tell the names of microphones only after the page was allowed to use one. */
  async list() {
    const found = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "audioinput");
    const named = found.filter((device) => device.deviceId && device.label);
    const chosen = this.select.value;
    const options = named.map((device) => make("option", { value: device.deviceId, textContent: device.label }));
    if (!named.some((device) => device.deviceId === "default")) {
      options.unshift(make("option", { value: "", textContent: "The browser's microphone" }));
    }
    this.select.replaceChildren(...options);
    if (named.some((device) => device.deviceId === chosen)) this.select.value = chosen;
  }

  /** Open the chosen microphone and show its level, until `stop` or for a minute. No audio leaves the page. */
  async check() {
    this.stop();
    try {
      this.media = await navigator.mediaDevices.getUserMedia({ audio: constraints(this.chosen) });
    } catch (error) {
      return this.problem(error);
    }
    await this.list();
    this.context = new AudioContext();
    const analyser = this.context.createAnalyser();
    analyser.fftSize = 2048;
    this.context.createMediaStreamSource(this.media).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const until = performance.now() + CHECK_S * 1000;
    $("check").textContent = "Stop the check";
    $("level").hidden = false;
    const look = () => {
      if (!this.media) return;
      if (performance.now() > until) return this.stop();
      analyser.getFloatTimeDomainData(samples);
      const peak = samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      this.show(Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length), peak);
      requestAnimationFrame(look);
    };
    look();
  }

  /** Show a level. rms, peak: 0 to 1. The bar falls slowly, so that the eye can follow it. */
  show(rms, peak = rms) {
    const db = 20 * Math.log10(Math.max(rms, 1e-6));
    this.level = Math.max((db - QUIETEST_DB) / -QUIETEST_DB, this.level * 0.93, 0);
    const percent = Math.round(Math.min(1, this.level) * 100);
    if (percent > 40) this.heard = performance.now();
    const word = peak > 0.99 ? "Too loud" : performance.now() - (this.heard ?? -1e9) < 1500 ? "Good" : "Nothing to hear";
    $("meter").style.setProperty("--level", `${percent}%`);
    $("meter").setAttribute("aria-valuenow", percent);
    $("meter").setAttribute("aria-valuetext", word);
    $("meter").dataset.word = word;
    $("meter-word").textContent = word;
  }

  stop() {
    this.media?.getTracks().forEach((track) => track.stop());
    this.context?.close();
    this.media = this.context = null;
    this.level = 0;
    $("meter").style.setProperty("--level", "0%");
    $("meter").setAttribute("aria-valuenow", 0);
    $("level").hidden = true;
    $("check").textContent = "Check the level";
  }
}

/** The browser's processing for calls is off: it removes details of a voice that tell people apart. */
export function constraints(deviceId) {
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  return deviceId ? { ...plain, deviceId: { exact: deviceId } } : plain;
}

export function explain(error, file) {
  if (file) return `${file.name} can't be played here: this browser doesn't know its format.`;
  if (error.name === "NotAllowedError") return "The microphone is blocked. Allow it in the address bar, and listen again.";
  if (error.name === "NotFoundError") return "No microphone was found. Plug one in, or open a file.";
  if (error.name === "OverconstrainedError") return "This microphone is gone. Choose another one.";
  if (!navigator.mediaDevices) return "Browsers give the microphone to https and localhost pages only.";
  return `The microphone can't be used: ${error.message}`;
}
