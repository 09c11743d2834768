// Draws the time line: a lane for each voice, gaps where audio was lost, and a strip with the whole session below.

import { clock } from "./dom.js";
import { colour, display, isGuest } from "./people.js";
import { RATE } from "./talk.js";

export const LANE = 40;
export const FOOT = 24;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
const GAP_PX = 84; // minimum distance of two time marks

/** Clear a canvas, and fit its size to the size on screen. Coordinates are in CSS pixels. */
export function prepare(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  const ink = (name) => style.getPropertyValue(name);
  return { context, width, height, ink, font: style.fontFamily };
}

/** view: { from, to } in samples. lanes: names, top to bottom. passes(name): whether to draw it in full colour. */
export function drawLanes(canvas, { view, lanes, spans, gaps, passes, playing, now }) {
  const sheet = prepare(canvas);
  const { context, width, ink } = sheet;
  const x = (sample) => ((sample - view.from) / (view.to - view.from)) * width;
  grid(sheet, x, view);
  drawGaps(sheet, x, gaps, view);
  for (const span of spans) {
    if (span.end < view.from || span.start > view.to) continue;
    context.globalAlpha = passes(span.speaker) ? 1 : 0.15;
    bar(context, Math.max(-8, x(span.start)), Math.min(width + 8, x(span.end)), lanes.indexOf(span.speaker), span);
  }
  context.globalAlpha = 1;
  labels(sheet, lanes, passes);
  for (const [sample, name] of [[now, "--line"], [playing, "--ink"]]) {
    if (sample === null || sample < view.from || sample > view.to) continue;
    context.fillStyle = ink(name);
    context.fillRect(x(sample) - 1, 0, 2, sheet.height - FOOT + 4);
  }
}

/** Draw the whole session, and mark the part in view. */
export function drawStrip(canvas, { view, lanes, spans, end, passes }) {
  const { context, width, height, ink } = prepare(canvas);
  const x = (sample) => (sample / end) * width;
  const thick = Math.max(2, Math.min(6, (height - 6) / Math.max(1, lanes.length)));
  for (const span of spans) {
    context.globalAlpha = passes(span.speaker) ? 1 : 0.15;
    context.fillStyle = colour(span.speaker);
    const top = 3 + (lanes.indexOf(span.speaker) / Math.max(1, lanes.length)) * (height - 6);
    context.fillRect(x(span.start), top, Math.max(1.5, x(span.end) - x(span.start)), thick);
  }
  context.globalAlpha = 1;
  if (view.from <= 0 && view.to >= end) return; // the whole session is in view
  context.globalAlpha = 0.14;
  context.fillStyle = ink("--ink");
  const [left, right] = [Math.max(0, x(view.from)), Math.min(width, x(view.to))];
  context.fillRect(left, 0, right - left, height);
  context.globalAlpha = 1;
  context.strokeStyle = ink("--edge");
  context.lineWidth = 1.5;
  context.strokeRect(left + 0.75, 0.75, Math.max(6, right - left - 1.5), height - 1.5);
}

function grid({ context, width, height, ink, font }, x, view) {
  const room = ((view.to - view.from) / RATE) * (GAP_PX / width);
  const every = (STEPS_S.find((step) => step >= room) ?? STEPS_S.at(-1)) * RATE;
  context.font = `500 12px ${font}`;
  context.strokeStyle = ink("--line");
  context.fillStyle = ink("--soft");
  context.lineWidth = 1;
  for (let at = Math.max(0, Math.ceil(view.from / every) * every); at <= view.to; at += every) {
    const place = Math.round(x(at)) + 0.5;
    context.beginPath();
    context.moveTo(place, 0);
    context.lineTo(place, height - FOOT + 4);
    context.stroke();
    const text = clock(at / RATE);
    const half = context.measureText(text).width / 2;
    context.fillText(text, Math.min(Math.max(place - half, 0), width - 2 * half), height - 6);
  }
}

function drawGaps({ context, height, ink }, x, gaps, view) {
  context.strokeStyle = ink("--soft");
  context.globalAlpha = 0.45;
  for (const gap of gaps) {
    if (gap.end < view.from || gap.start > view.to) continue;
    context.save();
    context.beginPath();
    context.rect(x(gap.start), 0, Math.max(2, x(gap.end) - x(gap.start)), height - FOOT + 4);
    context.clip();
    context.beginPath();
    for (let place = x(gap.start) - height; place < x(gap.end); place += 7) {
      context.moveTo(place, height);
      context.lineTo(place + height, 0);
    }
    context.stroke();
    context.restore();
  }
  context.globalAlpha = 1;
}

function bar(context, left, right, lane, { turn, speaker }) {
  const strength = context.globalAlpha;
  context.fillStyle = context.strokeStyle = colour(speaker);
  // Provisional names are paler; guests also have an outline.
  context.globalAlpha = strength * (turn.final ? 1 : 0.6);
  context.beginPath();
  context.roundRect(left, lane * LANE + 19, Math.max(3, right - left), 16, 5);
  if (!isGuest(speaker)) return context.fill();
  context.globalAlpha *= 0.45;
  context.fill();
  context.globalAlpha = strength;
  context.setLineDash([4, 3]);
  context.lineWidth = 1.5;
  context.stroke();
  context.setLineDash([]);
}

function labels({ context, ink, font }, lanes, passes) {
  context.font = `600 12.5px ${font}`;
  context.lineWidth = 4;
  context.strokeStyle = ink("--card");
  context.lineJoin = "round";
  context.fillStyle = ink("--ink");
  lanes.forEach((name, lane) => {
    context.globalAlpha = passes(name) ? 1 : 0.5;
    context.strokeText(display(name), 1, lane * LANE + 13);
    context.fillText(display(name), 1, lane * LANE + 13);
  });
  context.globalAlpha = 1;
}
