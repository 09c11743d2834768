// The last minute as lanes, one for each speaker, scrolling to the left.

import { clock } from "./dom.js";
import { colour, display, isGuest } from "./people.js";
import { RATE } from "./talk.js";

const LANE = 42; // at least; few lanes take more of the height
const TALLEST = 76;
const FOOT = 26;

export class Timeline {
  constructor(canvas) {
    this.canvas = canvas;
    this.lanes = [];
    new ResizeObserver(() => this.draw(this.talk, this.now)).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(this.talk, this.now));
  }

  /** now: the sample at the right edge. */
  draw(talk, now) {
    Object.assign(this, { talk, now });
    const { canvas } = this;
    const width = canvas.clientWidth;
    const style = getComputedStyle(canvas);
    const shown = (width < 520 ? 30 : 60) * RATE;
    const turns = talk ? [...talk.turns.values()].filter((turn) => (turn.end ?? now) > now - shown) : [];
    this.order(turns);
    canvas.parentElement.style.minHeight = `${Math.max(230, this.lanes.length * LANE + FOOT)}px`;
    const height = canvas.clientHeight;
    this.lane = Math.min(TALLEST, (height - FOOT) / Math.max(1, this.lanes.length));
    const scale = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = `500 12px ${style.fontFamily}`;
    const x = (sample) => width - ((now - sample) / shown) * width;
    this.grid(context, style, x, now, shown, width, height);
    if (!talk?.turns.size) return this.empty(context, style, width, height);
    this.holes(context, style, x, now - shown, height);
    for (const turn of turns) this.bar(context, x, turn, now, width);
    this.labels(context, style);
  }

  empty(context, style, width, height) {
    context.fillStyle = style.getPropertyValue("--soft");
    context.font = `15px ${style.fontFamily}`;
    const text = "Whoever speaks gets a lane here.";
    context.fillText(text, (width - context.measureText(text).width) / 2, height / 2 - 6);
  }

  /** Lanes in the order of first sight; those who were silent for the whole span leave. */
  order(turns) {
    const there = new Set(turns.map((turn) => turn.speaker).filter(Boolean));
    this.lanes = this.lanes.filter((name) => there.has(name));
    for (const name of there) if (!this.lanes.includes(name)) this.lanes.push(name);
  }

  grid(context, style, x, now, shown, width, height) {
    context.strokeStyle = style.getPropertyValue("--line");
    context.fillStyle = style.getPropertyValue("--soft");
    context.lineWidth = 1;
    const every = 10 * RATE;
    for (let at = Math.ceil((now - shown) / every) * every; at <= now; at += every) {
      if (at < 0 || !now) continue;
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

  holes(context, style, x, from, height) {
    context.strokeStyle = style.getPropertyValue("--soft");
    context.globalAlpha = 0.45;
    for (const gap of this.talk.gaps) {
      if (gap.end < from) continue;
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

  bar(context, x, turn, now, width) {
    if (!turn.speaker) return;
    const lane = this.lanes.indexOf(turn.speaker);
    const left = Math.max(-8, x(turn.start));
    const right = Math.min(width, x(turn.end ?? now));
    const thick = Math.max(14, Math.min(26, this.lane * 0.36));
    const top = lane * this.lane + 22;
    context.fillStyle = context.strokeStyle = colour(turn.speaker);
    // Provisional names are paler; guests are outlined as well.
    context.globalAlpha = turn.final || turn.end ? 1 : 0.6;
    context.beginPath();
    context.roundRect(left, top, Math.max(3, right - left), thick, 6);
    if (isGuest(turn.speaker)) {
      context.globalAlpha *= 0.45;
      context.fill();
      context.globalAlpha = 1;
      context.setLineDash([4, 3]);
      context.lineWidth = 1.5;
      context.stroke();
      context.setLineDash([]);
    } else {
      context.fill();
    }
    context.globalAlpha = 1;
  }

  labels(context, style) {
    context.font = `600 13px ${style.fontFamily}`;
    context.fillStyle = style.getPropertyValue("--ink");
    this.lanes.forEach((name, lane) => context.fillText(display(name), 1, lane * this.lane + 14));
  }
}
