// The list of turns in order of time: who, when and how sure. Turns can be played and corrected.

import { $, clock, icon, make, rows } from "./dom.js";
import { colour, display, isGuest } from "./people.js";
import { RATE } from "./talk.js";

const SHOWN = 150; // at first, and for each "earlier": a list of thousands would slow down the page

export class Turns {
  /** on: { play(turn), choose(turn): correct it, absent if impossible, playing(): key or null, audible(turn), filtered() }. */
  constructor(on) {
    this.on = on;
    this.list = $("turns");
    this.only = new Set(); // names to show; empty: all
    this.shown = SHOWN;
    $("turns-earlier").addEventListener("click", () => {
      this.shown += SHOWN;
      this.show(this.talk);
    });
    $("turns-now").addEventListener("click", () => this.toEnd());
    this.list.addEventListener("scroll", () => this.showNow());
  }

  begin() {
    this.only.clear();
    this.shown = SHOWN;
    this.list.replaceChildren();
  }

  /** Whether this speaker's turns are shown. */
  passes(speaker) {
    return !this.only.size || this.only.has(speaker);
  }

  show(talk) {
    this.talk = talk;
    for (const name of this.only) if (!talk.seen.includes(name)) this.only.delete(name);
    const all = talk.spans().filter(({ speaker }) => this.passes(speaker));
    const atEnd = this.atEnd;
    this.list.dataset.seats = talk.seats.length > 0;
    $("turns-empty").hidden = all.length > 0;
    $("turns-earlier").hidden = all.length <= this.shown;
    rows(this.list, all.slice(-this.shown), ({ turn }) => turn.key, ({ turn }) => this.row(turn), (item, span) => this.update(item, span));
    if (atEnd) this.toEnd();
    this.showNow();
    this.showFilter(talk);
  }

  row(turn) {
    const play = make("button", { type: "button", className: "play" }, icon("play"));
    const name = make("button", { type: "button", className: "name" });
    play.addEventListener("click", () => this.on.play(turn));
    name.addEventListener("click", () => this.on.choose(turn));
    const about = make("p", { className: "about" }, make("time"), make("span", { className: "seat" }), make("span", { className: "length" }), make("span", { className: "sure" }));
    return make("li", {}, play, make("div", {}, name, about, make("p", { className: "said", hidden: true })));
  }

  update(item, { turn, start, end, speaker }) {
    const [play, text] = item.children;
    const [name, about, said] = text.children;
    const [time, seat, length, sure] = about.children;
    const called = display(speaker);
    item.style.setProperty("--person", colour(speaker));
    item.dataset.kind = isGuest(speaker) ? "guest" : "person";
    item.dataset.lasting = turn.end === null;
    set(name, called);
    name.disabled = !this.on.choose;
    name.title = this.on.choose ? `Not ${called}? Put it right` : "";
    set(time, clock(start / RATE));
    seat.hidden = !this.talk.seats.length;
    set(seat, this.talk.seat(turn));
    set(length, turn.end === null ? "still speaking" : `${Math.max(1, Math.round((end - start) / RATE))} s`);
    set(sure, turn.byHand ? "put right by hand" : `${Math.round(turn.confidence * 100)} % sure`);
    set(said, this.talk.wordsOf(turn, start, end));
    said.hidden = !said.textContent;
    sure.dataset.doubt = !turn.byHand && turn.confidence < 0.7;
    const playing = this.on.playing() === turn.key;
    const audible = this.on.audible(turn);
    play.disabled = !audible;
    play.title = audible ? "Hear it again" : "No longer kept: the page keeps the last hour";
    play.setAttribute("aria-pressed", playing);
    play.setAttribute("aria-label", `Hear ${called} at ${clock(start / RATE)}`);
    play.querySelector("use").setAttribute("href", playing ? "#icon-pause" : "#icon-play");
  }

  /** Show the filter: a button for everybody, and one for each name. */
  showFilter(talk) {
    $("filter").hidden = talk.seen.length < 2;
    rows($("filter"), ["", ...talk.seen], (name) => name || "(all)", (name) => {
      const button = make("button", { type: "button" }, make("span"));
      button.addEventListener("click", () => this.toggle(name));
      return make("li", {}, button);
    }, (item, name) => {
      item.firstChild.setAttribute("aria-pressed", name ? this.only.has(name) : !this.only.size);
      item.firstChild.dataset.all = !name;
      item.firstChild.style.setProperty("--person", name ? colour(name) : "");
      set(item.firstChild.firstChild, name ? display(name) : "Everyone");
    });
  }

  toggle(name) {
    if (!name) this.only.clear();
    else if (!this.only.delete(name)) this.only.add(name);
    this.show(this.talk);
    this.toEnd();
    this.on.filtered();
  }

  /** Scroll to a turn, and highlight it for a moment. */
  reveal(turn) {
    const item = [...this.list.children].find((row) => row.dataset.key === turn.key);
    if (!item) return;
    this.list.scrollTop = item.offsetTop - this.list.clientHeight / 2;
    item.classList.remove("found");
    requestAnimationFrame(() => item.classList.add("found"));
  }

  get atEnd() {
    return this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
  }

  toEnd() {
    this.list.scrollTop = this.list.scrollHeight;
  }

  showNow() {
    $("turns-now").hidden = this.atEnd;
  }
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
