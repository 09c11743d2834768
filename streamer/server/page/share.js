// Shares a session with others: the name of its room, and links to it. Audio is never shared.

import { $ } from "./dom.js";

const LETTERS = "abcdefghijkmnpqrstuvwxyz23456789";

export class Share {
  /** on: { tell(message): send it }. A page opened as /?share=NAME shares each of its sessions under that name. */
  constructor(on) {
    this.on = on;
    this.room = null; // name of the shared room
    this.always = new URLSearchParams(location.search).get("share");
    this.wanted = this.always;
    this.dialog = $("share-dialog");
    $("share").addEventListener("click", () => this.open());
    $("share-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask($("share-room").value.trim());
    });
    $("share-close").addEventListener("click", () => this.dialog.close());
    $("share-room").addEventListener("input", () => this.show());
    for (const button of document.querySelectorAll("#share-links button")) button.addEventListener("click", () => this.copy(button));
  }

  open() {
    $("share-room").value = this.room ?? this.wanted ?? random();
    $("share-problem").textContent = "";
    this.show();
    this.dialog.showModal();
    $("share-room").select();
  }

  ask(room) {
    this.wanted = room;
    this.on.tell({ type: "share", room });
  }

  /** The server is ready, for the first time or again. It may have lost the shared room: ask again. */
  ready() {
    $("share").hidden = false;
    if (this.wanted) this.ask(this.wanted);
  }

  shared({ room, watchers }) {
    this.room = room;
    this.watchers = watchers;
    this.show();
  }

  problem(error) {
    if (!this.dialog.open) return false;
    $("share-problem").textContent = `${error.message} ${error.change}`;
    return true;
  }

  show() {
    const on = this.room !== null && $("share-room").value.trim() === this.room;
    $("share-text").textContent = this.room ? `Shared: ${this.room}` : "Share";
    $("share-go").hidden = on;
    $("share-links").hidden = !on;
    if (!on) return;
    $("share-page").value = `${location.origin}/?room=${this.room}`;
    $("share-overlay").value = `${location.origin}/overlay?room=${this.room}`;
    const others = this.watchers ? ` ${this.watchers} ${this.watchers === 1 ? "watches" : "watch"} it now.` : "";
    $("share-state").textContent = `The room is open.${others}`;
  }

  /** The session is over, and so is its room. The next session is shared only on request, or by ?share=NAME. */
  over() {
    this.room = null;
    this.wanted = this.always;
    $("share").hidden = true;
    $("share-text").textContent = "Share";
    if (this.dialog.open) this.dialog.close();
  }

  async copy(button) {
    const field = $(button.dataset.of);
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    } catch {
      // The text is selected, so the keyboard can copy it.
    }
  }
}

function random() {
  return [...crypto.getRandomValues(new Uint8Array(10))].map((byte) => LETTERS[byte % LETTERS.length]).join("");
}
