// Navigation in the time line: the view follows the end of the session, or stays where the user moved it.

import { $ } from "./dom.js";
import { display } from "./people.js";
import { drawLanes, drawStrip, FOOT, LANE } from "./lanes.js";
import { RATE } from "./talk.js";

const SHORTEST = 5 * RATE; // the least samples in view
const USUAL = 60 * RATE;
const NARROW = 30 * RATE;

export class Timeline {
  /** on: { chosen(turn): called on a click, passes(name): see `drawLanes`, playing(): sample or null }. */
  constructor(on) {
    this.on = on;
    this.canvas = $("timeline");
    this.strip = $("strip");
    this.box = $("lanes");
    this.pointers = new Map();
    const redraw = () => this.talk && this.draw(this.talk, this.now);
    new ResizeObserver(redraw).observe(this.box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    $("zoom-in").addEventListener("click", () => this.zoom(0.5));
    $("zoom-out").addEventListener("click", () => this.zoom(2));
    $("zoom-all").addEventListener("click", () => this.all());
    $("follow").addEventListener("click", () => this.follow());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      this.canvas.addEventListener(kind, (event) => this[kind](event));
    }
    for (const kind of ["pointerdown", "pointermove"]) {
      this.strip.addEventListener(kind, (event) => event.buttons && this.jump(event));
    }
    this.begin();
  }

  /** Begin a new session. */
  begin() {
    this.length = this.canvas.clientWidth < 520 ? NARROW : USUAL; // number of samples in view
    this.from = null; // the sample at the left edge; null: the view follows the end
  }

  get view() {
    const from = this.from ?? Math.max(0, this.now - this.length);
    return { from, to: from + this.length };
  }

  /** now: the sample at which the audio ends. */
  draw(talk, now) {
    Object.assign(this, { talk, now });
    const lanes = talk.seen;
    this.spans = talk.spans(now);
    this.box.style.setProperty("--lanes", `${Math.max(3, lanes.length) * LANE + FOOT}px`);
    const passes = (name) => this.on.passes(name);
    const { view, spans } = this;
    drawLanes(this.canvas, { view, lanes, spans, gaps: talk.gaps, passes, playing: this.on.playing(), now });
    drawStrip(this.strip, { view, lanes, spans, end: Math.max(now, view.to - view.from), passes });
    $("follow").setAttribute("aria-pressed", this.from === null);
    Object.assign(this.box.dataset, { from: view.from / RATE, to: view.to / RATE, lanes: lanes.join(", ") });
  }

  /** Describe the time line for screen readers. times: [name, seconds]. */
  describe(times) {
    const said = times.map(([name, seconds]) => `${display(name)} ${Math.round(seconds)} seconds`).join(", ");
    this.canvas.setAttribute("aria-label", said ? `Spoken so far: ${said}.` : "Nobody has spoken yet.");
  }

  // Navigation

  follow() {
    this.from = null;
    this.draw(this.talk, this.now);
  }

  all(talk = this.talk, now = this.now) {
    Object.assign(this, { talk, now });
    this.length = Math.max(SHORTEST, this.now);
    this.from = 0;
    this.draw(this.talk, this.now);
  }

  /** Multiply the samples in view by `times`, around a place (0 to 1 of the width). A view that follows keeps following. */
  zoom(times, place = 0.5) {
    const { from } = this.view;
    const longest = Math.max(USUAL, this.now);
    const length = Math.min(longest, Math.max(SHORTEST, this.length * times));
    const middle = from + this.length * place;
    this.length = length;
    if (this.from !== null) this.from = this.within(middle - length * place);
    this.draw(this.talk, this.now);
  }

  /** Move the view by this many samples. */
  move(samples) {
    this.from = this.within(this.view.from + samples);
    this.draw(this.talk, this.now);
  }

  /** Bring a turn into view. */
  reveal({ start, end }) {
    const { from, to } = this.view;
    if (start < from || (end ?? start) > to) this.from = this.within((start + (end ?? start) - this.length) / 2);
    this.draw(this.talk, this.now);
  }

  within(from) {
    return Math.min(Math.max(0, from), Math.max(0, this.now - this.length));
  }

  key(event) {
    const act = {
      ArrowLeft: () => this.move(-this.length / 5),
      ArrowRight: () => this.move(this.length / 5),
      Home: () => this.move(-Infinity),
      End: () => this.follow(),
      "+": () => this.zoom(0.5),
      "=": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      0: () => this.all(),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  /** Horizontal scrolling moves; with Ctrl (or a pinch on a touchpad) it zooms. Vertical scrolling is left to the page. */
  wheel(event) {
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.ctrlKey || event.metaKey) this.zoom(Math.exp(event.deltaY * 0.01), this.place(event));
    else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) this.move((sideways / this.canvas.clientWidth) * this.length);
    else return;
    event.preventDefault();
  }

  place(event) {
    return (event.clientX - this.canvas.getBoundingClientRect().left) / this.canvas.clientWidth;
  }

  pointerdown(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event.clientX);
    this.moved = 0;
  }

  pointermove(event) {
    const before = this.pointers.get(event.pointerId);
    if (before === undefined) return;
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, x]) => x);
    this.pointers.set(event.pointerId, event.clientX);
    this.moved += Math.abs(event.clientX - before);
    if (others.length) {
      const [was, is] = [before, event.clientX].map((x) => Math.max(20, Math.abs(x - others[0])));
      this.zoom(was / is, this.place(event));
    } else if (this.moved > 4) {
      this.move(((before - event.clientX) / this.canvas.clientWidth) * this.length);
    }
  }

  pointerup(event) {
    if (!this.pointers.delete(event.pointerId) || this.moved > 4) return;
    const turn = this.at(event);
    if (turn) this.on.chosen(turn);
  }

  pointercancel(event) {
    this.pointers.delete(event.pointerId);
  }

  /** The turn under a pointer: in its lane, at most 8 pixels from it. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const name = this.talk.seen[Math.floor((event.clientY - box.top) / LANE)];
    const { from } = this.view;
    const sample = from + this.place(event) * this.length;
    const near = (8 / this.canvas.clientWidth) * this.length;
    return this.spans.find(({ speaker, start, end }) => speaker === name && sample >= start - near && sample <= end + near)?.turn;
  }

  /** Move the view to the place that was pressed on the strip. */
  jump(event) {
    const end = Math.max(this.now, this.length);
    const place = (event.clientX - this.strip.getBoundingClientRect().left) / this.strip.clientWidth;
    this.from = this.within(place * end - this.length / 2);
    this.draw(this.talk, this.now);
  }
}
