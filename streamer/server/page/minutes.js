// Writes the minutes of a session: one self-contained HTML file, with the same text as streamer.sinks.minutes.

import { fixed, round } from "./formats.js";
import { compare, statistics } from "./statistics.js";
import { RATE } from "./talk.js";

// Distinct on light and dark backgrounds, and for most people with colour blindness; strangers are grey.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f3c8d", "#3d8f3d"];
const STRANGER = "#8a8a8a";
const STYLE = `
:root { color-scheme: light dark; --line: #8884; --faint: #777; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin: 0; } h2 { margin: 2.2rem 0 .6rem; font-size: 1.15rem; } p { margin: .3rem 0; color: var(--faint); }
table { border-collapse: collapse; width: 100%; } th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th { text-align: left; font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .5em; }
.lane { display: flex; align-items: center; gap: .8rem; margin: .35rem 0; }
.who { flex: 0 0 8rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar { position: relative; flex: 1; height: 1.1rem; background: var(--line); border-radius: 3px; overflow: hidden; }
.bar i { position: absolute; top: 0; bottom: 0; min-width: 1px; }
.scale { position: relative; flex: 1; height: 1.2rem; font-size: .75rem; color: var(--faint); }
.scale span { position: absolute; transform: translateX(-50%); }
.share { background: var(--line); border-radius: 3px; height: .6rem; min-width: 6rem; } .share i { display: block;
height: 100%; border-radius: 3px; }
details { margin-top: 2.2rem; } summary { cursor: pointer; font-weight: 600; font-size: 1.15rem; }
@media print { details { display: none; } }
@media (max-width: 30rem) { .who { flex-basis: 5rem; } th, td { padding: .3rem; } }
`;

/** spans: { start, end, speaker } in samples, in order of time. began: a Date, or null. where(span): its microphone. */
export function minutes(spans, end, title, began = null, where = () => "") {
  const found = statistics(spans);
  const known = found.talks.map(({ speaker }) => speaker).filter((name) => !stranger(name)).sort(compare);
  const colours = new Map(found.talks.map(({ speaker }) => [speaker, STRANGER]));
  known.forEach((name, place) => colours.set(name, COLOURS[place % COLOURS.length]));
  const when = began ? `${day(began)}, ` : "";
  const people = `${found.talks.length} ${found.talks.length === 1 ? "voice" : "voices"}`;
  let said = `${when}${clock(end)} long, ${people}, ${clock(round(found.spoken * RATE))} of speech`;
  if (found.overlap >= 0.05) said += `, ${fixed(found.overlap, 1)} s of it with two or more at once`;
  const head = `<h1>${escape(title)}</h1><p>${escape(said)}</p>`;
  const parts = [
    head,
    "<h2>Time line</h2>",
    timeLine(spans, found, end, colours),
    "<h2>Talk time and turns</h2>",
    talkTable(found, colours),
    "<h2>Who interrupted whom</h2>",
    interruptions(found),
    turns(spans, colours, where),
  ];
  const body = spans.length ? parts.join("\n") : `${head}<p>Nobody spoke.</p>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>${STYLE}</style></head><body>
${body}
</body></html>
`;
}

const stranger = (name) => name === "unknown" || /^guest-\d+$/.test(name);

function escape(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;" };
  return text.replace(/[&<>"']/g, (character) => entities[character]);
}

const percent = (share, digits) => `${fixed(share * 100, digits)}%`;

function day(date) {
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** A position in samples as m:ss.s, or h:mm:ss.s from an hour on. */
export function clock(sample) {
  const seconds = fixed((sample / RATE) % 60, 1).padStart(4, "0");
  const whole = Math.floor(sample / RATE / 60);
  const [hours, minutes] = [Math.floor(whole / 60), whole % 60];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
}

const name = (speaker, colours) => `<span class="dot" style="background:${colours.get(speaker)}"></span>${escape(speaker)}`;

function timeLine(spans, found, end, colours) {
  const total = Math.max(end, 1);
  const lanes = found.talks.map(({ speaker }) => {
    const bars = spans
      .filter((span) => span.speaker === speaker)
      .map((span) => {
        const place = `left:${percent(span.start / total, 4)};width:${percent((span.end - span.start) / total, 4)}`;
        return `<i style="${place};background:${colours.get(speaker)}" title="${clock(span.start)} - ${clock(span.end)}"></i>`;
      });
    return `<div class="lane"><div class="who">${name(speaker, colours)}</div><div class="bar">${bars.join("")}</div></div>`;
  });
  const marks = [0, 1, 2, 3, 4, 5].map((part) => {
    const time = clock(round((total * part) / 5)).split(".")[0];
    return `<span style="left:${percent(part / 5, 0)}">${time}</span>`;
  });
  return [...lanes, `<div class="lane"><div class="who"></div><div class="scale">${marks.join("")}</div></div>`].join("\n");
}

function talkTable(found, colours) {
  const lines = found.talks.map((talk) => {
    const colour = colours.get(talk.speaker);
    const share = `<div class="share"><i style="width:${percent(talk.share, 1)};background:${colour}"></i></div>`;
    const numbers = [
      clock(round(talk.seconds * RATE)),
      percent(talk.share, 0),
      String(talk.turns),
      `${fixed(talk.mean, 1)} s`,
      `${fixed(talk.longest, 1)} s`,
    ];
    const cells = numbers.map((number) => `<td class="n">${number}</td>`).join("");
    return `<tr><td>${name(talk.speaker, colours)}</td><td>${share}</td>${cells}</tr>`;
  });
  const heads = ["talk time", "share", "turns", "mean turn", "longest"].map((head) => `<th class="n">${head}</th>`);
  return `<table><tr><th>speaker</th><th></th>${heads.join("")}</tr>\n${lines.join("\n")}</table>`;
}

function interruptions(found) {
  if (!found.interruptions.length) return "<p>Nobody.</p>";
  const lines = found.interruptions.map(
    ([who, whom, times]) => `<tr><td>${escape(who)}</td><td>${escape(whom)}</td><td class="n">${times}</td></tr>`,
  );
  return `<table><tr><th>who</th><th>whom</th><th class='n'>times</th></tr>\n${lines.join("\n")}</table>`;
}

function turns(spans, colours, where) {
  const lines = spans.map((span) => {
    const times = [span.start, span.end].map((sample) => `<td class="n">${clock(sample)}</td>`).join("");
    return `<tr>${times}<td>${name(span.speaker, colours)}</td><td>${escape(where(span))}</td></tr>`;
  });
  const head = '<tr><th class="n">from</th><th class="n">to</th><th>speaker</th><th>microphone</th></tr>';
  return `<details><summary>All ${spans.length} turns</summary><table>${head}\n${lines.join("\n")}</table></details>`;
}
