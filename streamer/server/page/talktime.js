// Talk time: a bar for each voice, most talk time first.

import { $, clock, make, rows } from "./dom.js";
import { colour, display, isGuest } from "./people.js";

/** times: [name, seconds]. current: who speaks now. chosen(name): correct it; absent if impossible. */
export function showTalkTime(times, { current, chosen }) {
  const longest = Math.max(...times.map(([, seconds]) => seconds), 1);
  const total = times.reduce((sum, [, seconds]) => sum + seconds, 0) || 1;
  $("talk-empty").hidden = times.length > 0;
  rows($("talk"), times, ([name]) => name, ([name]) => row(name, chosen), (item, [name, seconds]) => {
    const button = item.firstChild;
    button.disabled = !chosen;
    button.dataset.kind = isGuest(name) ? "guest" : "person";
    button.dataset.now = current.includes(name);
    button.style.setProperty("--person", colour(name));
    button.style.setProperty("--share", `${(seconds / longest) * 100}%`);
    item.querySelector(".label").textContent = display(name);
    item.querySelector(".edit").textContent = isGuest(name) && chosen ? "Who is this?" : "";
    item.querySelector(".time").textContent = `${clock(seconds)} · ${Math.round((seconds / total) * 100)} %`;
  });
}

function row(name, chosen) {
  const called = make("span", { className: "name" }, make("span", { className: "label" }), make("span", { className: "edit" }));
  const track = make("span", { className: "track", aria: { hidden: true } }, make("span", { className: "fill" }));
  const button = make("button", { type: "button" }, called, make("span", { className: "time" }), track);
  button.addEventListener("click", () => chosen(name));
  return make("li", {}, button);
}
