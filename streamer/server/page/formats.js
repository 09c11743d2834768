// Writes a session as files, with the same text as streamer.sinks; tests/server/test_page_after.py compares them.

import { isGuest } from "./people.js";
import { RATE } from "./talk.js";

const REASON = "put right by hand";

/** Round half to even, as Python does. */
export function round(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** A number with `digits` decimals, rounded half to even, as Python does. */
export function fixed(value, digits) {
  const exact = value.toFixed(Math.min(100, digits + 60));
  const place = exact.indexOf(".") + digits + 1;
  const tie = /^50*$/.test(exact.slice(place));
  const even = Number(exact[place - 1] === "." ? exact[place - 2] : exact[place - 1]) % 2 === 0;
  if (tie && even) return digits ? exact.slice(0, place) : exact.slice(0, place - 1);
  return value.toFixed(digits);
}

/** Split at white space like Python's str.split(). Names contain only blanks, but file names may contain others. */
const words = (text) => text.split(/[\s\x1c-\x1f\x85]+/u).filter(Boolean);

/** A position in samples as hh:mm:ss.mmm. */
function time(sample) {
  const whole = round((sample * 1000) / RATE);
  const parts = [Math.floor(whole / 3600000), Math.floor(whole / 60000) % 60, Math.floor(whole / 1000) % 60];
  return `${parts.map((part) => String(part).padStart(2, "0")).join(":")}.${String(whole % 1000).padStart(3, "0")}`;
}

/** spans: { start, end, speaker } in samples at 16 kHz, in order of time. */
export function vtt(spans) {
  const cue = ({ start, end, speaker }) => {
    const name = words(speaker).join(" ").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
    return `${time(start)} --> ${time(end)}\n<v ${name}>${name}\n\n`;
  };
  return `WEBVTT\n\n${spans.map(cue).join("")}`;
}

export function srt(spans) {
  const cue = ({ start, end, speaker }, place) => {
    const [from, to] = [start, end].map((sample) => time(sample).replace(".", ","));
    return `${place + 1}\n${from} --> ${to}\n${words(speaker).join(" ").replaceAll("-->", "->")}\n\n`;
  };
  return spans.map(cue).join("");
}

export function rttm(spans, recording) {
  const uri = words(recording).join("_");
  const line = ({ start, end, speaker }) =>
    `SPEAKER ${uri} 1 ${fixed(start / RATE, 3)} ${fixed((end - start) / RATE, 3)} <NA> <NA> ${words(speaker).join("_")} <NA> <NA>\n`;
  return spans.map(line).join("");
}

/** The events as JSON lines. Turns that were renamed on this page are corrected as `streamer relabel` does. */
export function jsonLines(talk) {
  let session = 0;
  const lines = [];
  for (const event of talk.events) {
    if (event.type === "restart") session++;
    const turn = "turn" in event ? talk.turns.get(talk.key(event, session)) : undefined;
    const said = turn && turn.said !== turn.speaker ? putRight(event, turn.speaker) : event;
    if (said) lines.push(`${JSON.stringify(said)}\n`);
  }
  return lines.join("");
}

function putRight(event, speaker) {
  if (event.type === "turn_end") return { ...event, speaker, confidence: 1, reason: REASON };
  // The corrected name is certain from the start, so `ambiguous` and `correction` events are left out.
  if (event.type !== "speaker" && event.type !== "unknown") return null;
  const certain = { ...event, speaker, confidence: 1, final: true, reason: REASON, runner_up: null };
  if (isGuest(speaker)) return { ...certain, type: "unknown" };
  return { ...certain, type: "speaker", margin: null, score: event.score ?? 0 };
}
