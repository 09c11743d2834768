// The dialog that corrects names: of a guest, of an enrolled person, of one turn or of all turns of a voice.

import { $, clock, make } from "./dom.js";
import { colour, display, isGuest } from "./people.js";
import { RATE } from "./talk.js";

export class NameDialog {
  /**
   * on: { tell(message): send it, may(scope): whether the server allows this now, heard(turn or null, from, to): correct
   * on this page only, names(): known names, teachable(speaker): whether the voice can be enrolled now,
   * teach(speaker, name, force): enrol it }.
   */
  constructor(on) {
    this.on = on;
    this.dialog = $("name-dialog");
    $("name-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
    $("name-cancel").addEventListener("click", () => this.dialog.close());
    $("name-remove").addEventListener("click", () => this.remove());
    $("name-learn").addEventListener("change", () => this.explain());
    for (const input of document.querySelectorAll("input[name=name-scope]")) input.addEventListener("change", () => this.explain());
  }

  /** Rename or remove an enrolled person. */
  person(speaker) {
    this.open({ speaker, turn: null, title: speaker, value: speaker });
  }

  /** Name a voice of the session, for all its turns. */
  voice(speaker) {
    this.open({ speaker, turn: null, title: `Who is ${display(speaker)}?`, value: "", heard: true });
  }

  /** Name the speaker of one turn, or of all turns of the same voice. */
  one(turn) {
    const at = clock(turn.start / RATE);
    this.open({ speaker: turn.speaker, turn, title: `Who spoke at ${at}?`, value: "", heard: true });
  }

  open({ speaker, turn, title, value, heard = false }) {
    Object.assign(this, { speaker, turn, heard, sure: false, asked: null, force: false });
    this.busy(false);
    $("name-learn").checked = true;
    const guest = isGuest(speaker);
    $("name-title").textContent = title;
    $("name-input").value = value;
    $("name-scope").hidden = !turn;
    $("name-scope-one").checked = !guest;
    $("name-scope-all").checked = guest || !turn;
    $("name-scope-all-text").textContent = `All that ${display(speaker)} said`;
    $("name-problem").textContent = "";
    $("name-remove").hidden = heard;
    $("name-remove").textContent = "Remove";
    const names = this.on.names().filter((name) => name !== speaker);
    $("known-names").replaceChildren(...names.map((name) => make("option", { value: display(name) })));
    $("name-choices").replaceChildren(...(heard ? names.slice(0, 8) : []).map((name) => this.choice(name)));
    this.explain();
    this.dialog.showModal();
    $("name-input").select();
  }

  choice(name) {
    const button = make("button", { type: "button", className: "small" }, make("span", { textContent: display(name) }));
    button.style.setProperty("--person", colour(name));
    button.addEventListener("click", () => ($("name-input").value = display(name)));
    return make("li", {}, button);
  }

  get all() {
    return !this.turn || $("name-scope-all").checked;
  }

  /** Whether the server makes the change: for an enrolled person, or for all turns of a guest. */
  get asks() {
    if (!this.heard) return true;
    return this.all && isGuest(this.speaker) && this.on.may("enroll");
  }

  /** Whether to enrol the voice from the audio that the page still has. */
  get learns() {
    return this.learnable && $("name-learn").checked;
  }

  get learnable() {
    return this.heard && this.all && !this.asks && isGuest(this.speaker) && this.on.teachable(this.speaker);
  }

  busy(yes) {
    $("name-save").disabled = yes;
    $("name-save").textContent = yes ? "The server listens …" : this.force ? "Save anyway" : "Save";
  }

  explain() {
    $("name-learn-row").hidden = !this.learnable;
    $("name-hint").textContent = !this.heard
      ? "Everything that was said stays with the person under the new name."
      : this.asks || this.learns
        ? "What was heard of this voice becomes a profile on the server; an enrolled name takes it in."
        : "It is put right on this page and in what you download from it. The server learns nothing of it.";
  }

  async save() {
    const given = $("name-input").value.trim();
    const to = this.on.names().find((name) => display(name) === given) ?? given;
    if (!to) return;
    if (to === this.speaker) return this.dialog.close();
    if (!this.asks || isGuest(to)) {
      if (this.learns && !isGuest(to) && !(await this.teach(to))) return;
      this.dialog.close();
      return this.on.heard(this.all ? null : this.turn, this.speaker, to);
    }
    const action = isGuest(this.speaker) ? "name" : "rename";
    this.asked = { from: this.speaker, to };
    const channel = this.turn?.channel ?? 0;
    if (this.on.tell({ type: "speakers", action, speaker: this.speaker, to, channel, request: 1, limit: 200 })) return;
    $("name-problem").textContent = "The server is not there just now. Try again in a moment.";
  }

  /** Enrol the voice. Returns whether that worked; if not, the next try is forced. */
  async teach(to) {
    this.busy(true);
    $("name-problem").textContent = "";
    try {
      await this.on.teach(this.speaker, to, this.force);
      return true;
    } catch (error) {
      this.force = true;
      $("name-problem").textContent = error.message;
      return false;
    } finally {
      this.busy(false);
    }
  }

  remove() {
    if (!this.sure) {
      this.sure = true;
      $("name-remove").textContent = "Really remove?";
      return;
    }
    this.on.tell({ type: "speakers", action: "remove", speaker: this.speaker, request: 1, limit: 200 });
  }

  /** The server made the change. Returns { from, to } if it was a new name. */
  done() {
    const { asked } = this;
    this.asked = null;
    if (this.dialog.open) this.dialog.close();
    return asked;
  }

  problem(error) {
    if (!this.dialog.open) return false;
    $("name-problem").textContent = `${error.message} ${error.change}`;
    return true;
  }
}
