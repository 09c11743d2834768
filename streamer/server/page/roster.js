// Who is enrolled: asked for before anybody listens, and again when that has changed.

import { $, make, rows } from "./dom.js";
import { colour } from "./people.js";

const PAGE = 200; // people asked for at once

export class Roster {
  /** on: { chosen(name), token(): the bearer token or null, changed() }. */
  constructor(on) {
    this.on = on;
    this.names = [];
    this.left = 0; // how many are not shown yet
    this.scopes = [];
    this.renaming = false; // whether somebody can be renamed now
    $("people-more").addEventListener("click", () => this.fetch(this.names.at(-1)));
  }

  may(scope) {
    return this.scopes.includes(scope);
  }

  /** Ask the server. after: for those behind this name only. Returns whether it answered. */
  async fetch(after) {
    const query = new URLSearchParams({ limit: PAGE, ...(after ? { after } : {}) });
    const token = this.on.token();
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    let answer;
    try {
      answer = await fetch(`/v1/speakers?${query}`, { headers, cache: "no-store" });
    } catch {
      return false; // Not there just now: listening will say so.
    }
    if (!answer.ok) {
      $("people-empty").textContent = "This server tells who is enrolled to those with a token. It asks for one when you listen.";
      return false;
    }
    const page = await answer.json();
    this.scopes = page.scopes;
    this.take(page, after !== undefined);
    return true;
  }

  /** A page of the list; further: it goes on where the last one ended. */
  take({ speakers, total = speakers.length, more }, further = false) {
    const names = speakers.map(({ name }) => name);
    this.names = further ? [...this.names, ...names.filter((name) => !this.names.includes(name))] : names;
    this.left = more ? total - this.names.length : 0;
    this.total = total;
    this.show();
    this.on.changed();
  }

  show() {
    $("people-empty").hidden = this.names.length > 0;
    $("people-empty").textContent = "Nobody yet. Voices that nobody enrolled are called Guest 1, Guest 2, and can be named at any time.";
    $("people-count").textContent = this.names.length ? this.total.toLocaleString() : "";
    $("enroll").hidden = !this.may("enroll");
    rows($("people"), this.names, String, (name) => this.row(name), (row, name) => {
      row.firstChild.style.setProperty("--person", colour(name));
      row.firstChild.disabled = !(this.may("admin") && this.renaming);
    });
    $("people-more").hidden = !this.left;
    $("people-more").textContent = `Show more (${this.left.toLocaleString()} left)`;
  }

  row(name) {
    const button = make("button", { type: "button", title: name }, make("span", { textContent: name }));
    button.addEventListener("click", () => this.on.chosen(name));
    return make("li", {}, button);
  }
}
