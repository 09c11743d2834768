// The summary after a session: its figures, who followed whom, guests without a name, and files to download.

import { $, clock, make, rows } from "./dom.js";
import { jsonLines, rttm, srt, vtt } from "./formats.js";
import { minutes } from "./minutes.js";
import { colour, display, isGuest } from "./people.js";
import { statistics } from "./statistics.js";
import { RATE } from "./talk.js";

const FILES = {
  vtt: ["text/vtt", ({ spans }) => vtt(spans)],
  srt: ["application/x-subrip", ({ spans }) => srt(spans)],
  rttm: ["text/plain", ({ spans, title }) => rttm(spans, title)],
  jsonl: ["application/jsonl", ({ talk }) => jsonLines(talk)],
  html: ["text/html", ({ spans, talk, title, began }) => minutes(spans, talk.decided, title, began, ({ turn }) => talk.seat(turn))],
};
const PAIRS = 12; // rows of who followed whom; the minutes list all turns

export class Summary {
  /** on: { choose(name): name a guest; absent if guests cannot be named }. */
  constructor(on) {
    this.on = on;
    for (const button of document.querySelectorAll("#files button")) {
      button.addEventListener("click", () => this.save(button.dataset.kind));
    }
  }

  /** title: of the session. began: its start, a Date. */
  show(talk, { title, began }) {
    const spans = talk.spans();
    Object.assign(this, { talk, title, began, spans });
    const found = statistics(spans);
    const voices = `${found.talks.length} ${found.talks.length === 1 ? "voice" : "voices"}`;
    const length = talk.decided / RATE;
    const parts = [`${clock(length)} long`, voices, `${clock(found.spoken)} of speech`, `${spans.length} ${spans.length === 1 ? "turn" : "turns"}`];
    $("summary-said").textContent = spans.length ? parts.join(" · ") : `${clock(length)} long. Nobody spoke.`;
    $("files").hidden = $("summary-more").hidden = !spans.length;
    const some = found.follows.slice(0, PAIRS);
    this.pairs($("follows"), some, "followed");
    $("follows-none").hidden = some.length > 0;
    this.pairs($("interruptions"), found.interruptions.slice(0, PAIRS), "interrupted");
    $("interruptions-none").textContent = found.interruptions.length
      ? ""
      : found.overlap > 0 || talk.seats.length > 1
        ? "Nobody, by the turns that were measured."
        : "Not measured: no two turns were heard at once. One microphone is heard as one voice at a time.";
    this.guests(found);
    const left = talk.forgotten ? `The first ${talk.forgotten.toLocaleString()} turns are only counted, and not in the files.` : "";
    $("summary-left").textContent = left;
  }

  pairs(list, pairs, word) {
    rows(list, pairs, ([who, whom]) => JSON.stringify([who, whom]), () => make("li", {}, make("b"), ` ${word} `, make("b"), make("span")), (item, [who, whom, times]) => {
      const [first, second, count] = item.children;
      first.textContent = display(who);
      second.textContent = display(whom);
      first.style.setProperty("--person", colour(who));
      second.style.setProperty("--person", colour(whom));
      count.textContent = `${times} ×`;
    });
  }

  guests({ talks }) {
    const strangers = talks.filter(({ speaker }) => isGuest(speaker));
    $("guests").hidden = !strangers.length || !this.on.choose;
    rows($("guests-list"), strangers, ({ speaker }) => speaker, ({ speaker }) => {
      const button = make("button", { type: "button", className: "small", textContent: "Who is this?" });
      button.addEventListener("click", () => this.on.choose(speaker));
      button.setAttribute("aria-label", `Who is ${display(speaker)}?`);
      return make("li", {}, make("b"), make("span"), button);
    }, (item, { speaker, seconds, turns }) => {
      item.children[0].textContent = display(speaker);
      item.children[0].style.setProperty("--person", colour(speaker));
      item.children[1].textContent = `${clock(seconds)} in ${turns} ${turns === 1 ? "turn" : "turns"}`;
    });
  }

  /** The text of a file of this kind. */
  text(kind) {
    return FILES[kind][1](this);
  }

  save(kind) {
    const url = URL.createObjectURL(new Blob([this.text(kind)], { type: FILES[kind][0] }));
    make("a", { href: url, download: `${this.title}.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}
