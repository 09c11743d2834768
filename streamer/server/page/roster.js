// The list of enrolled people: fetched before listening begins, and again after changes.

import { $, make, rows } from "./dom.js";
import { colour } from "./people.js";

const PAGE = 200; // people per request

export class Roster {
  /** on: { chosen(name): called on a click, token(): the bearer token or null, changed(): called after updates }. */
  constructor(on) {
    this.on = on;
    this.names = [];
    this.left = 0; // number of people not shown yet
    this.scopes = [];
    this.renaming = false; // whether people can be renamed now
    $("people-more").addEventListener("click", () => this.fetch(this.names.at(-1)));
  }

  may(scope) {
    return this.scopes.includes(scope);
  }

  /** Fetch the list from the server. after: only the names after this one. Returns whether the server sent it. */
  async fetch(after) {
    const query = new URLSearchParams({ limit: PAGE, ...(after ? { after } : {}) });
    const token = this.on.token();
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    let answer;
    try {
      answer = await fetch(`/v1/speakers?${query}`, { headers, cache: "no-store" });
    } catch {
      return false; // The server cannot be reached; listening will report that.
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

  /** Show a page of the list. further: whether it continues the previous page. */
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
