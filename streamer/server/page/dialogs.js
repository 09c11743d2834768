// Two dialogs: one enrols a voice, one asks for a token.

import { $, make, sentence } from "./dom.js";

const ARC = 2 * Math.PI * 52;

/** Asks for a name, shows the coach's advice, stores the profile. tell(message): send it. begin(): start the audio. */
export class EnrollDialog {
  constructor({ tell, begin }) {
    this.tell = tell;
    this.begin = begin;
    this.dialog = $("enroll-dialog");
    $("enroll-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.go();
    });
    $("enroll-cancel").addEventListener("click", () => this.cancel());
    $("enroll-force").addEventListener("click", () => this.tell({ type: "enroll", action: "commit", force: true }));
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.cancel();
    });
  }

  open(name = "") {
    this.phase = "ask";
    $("enroll-ask").hidden = false;
    $("enroll-listen").hidden = true;
    $("enroll-force").hidden = true;
    $("enroll-problem").textContent = "";
    $("enroll-seconds").textContent = "0.0";
    $("enroll-arc").style.strokeDashoffset = ARC;
    $("enroll-title").textContent = "Enrol a voice";
    $("enroll-name").value = name;
    this.button("Begin", false);
    if (!this.dialog.open) this.dialog.showModal();
    $("enroll-name").focus();
  }

  async go() {
    if (this.phase === "ask") {
      const name = $("enroll-name").value.trim();
      if (!name) return;
      this.button("Begin", true);
      if (!(await this.begin())) return this.close();
      this.refusedAt = null;
      this.phase = "listen";
      this.tell({ type: "enroll", action: "start", name });
    } else {
      this.button("Save", true);
      this.tell({ type: "enroll", action: "commit" });
    }
  }

  /** Show an `enrolment` message. */
  report(message) {
    if (!this.dialog.open) return;
    if (message.state === "cancelled") return this.close();
    if (message.state === "committed") {
      this.close();
      return this.tell({ type: "speakers", action: "list", limit: 200 });
    }
    $("enroll-ask").hidden = true;
    $("enroll-listen").hidden = false;
    $("enroll-title").textContent = message.name;
    const done = message.progress >= 1;
    $("enroll-arc").style.strokeDashoffset = ARC * (1 - message.progress);
    $("enroll-ring").dataset.done = done;
    $("enroll-ring").setAttribute("aria-valuenow", Math.round(message.progress * 100));
    $("enroll-seconds").textContent = message.speech.toFixed(1);
    $("enroll-needed").textContent = message.needed.toFixed(0);
    this.button("Save", false);
    if (message.state === "refused") {
      this.refusedAt = message.speech;
      $("enroll-force").hidden = false;
    } else if (this.refusedAt !== null && message.speech < this.refusedAt + 2) {
      return; // Keep the reasons for the refusal on screen until there are 2 s more of speech.
    }
    $("enroll-state").textContent =
      message.state === "refused" ? "This would not make a good profile yet." : done ? "That is enough." : "Listening. Speak freely, or read this aloud:";
    const advice = message.advice.map(({ message: text }) => make("li", { textContent: sentence(text) }));
    $("enroll-advice").replaceChildren(...advice);
  }

  /** Show the server's error in the dialog. Returns whether it belongs here. */
  problem(error) {
    if (!this.dialog.open || this.phase !== "listen") return false;
    // The enrolment has not begun: the name is invalid, so ask for another one.
    if (error.code === "invalid_message" && $("enroll-listen").hidden) {
      this.phase = "ask";
      $("enroll-problem").textContent = `${error.message} ${error.change}`;
      this.button("Begin", false);
      return true;
    }
    $("enroll-state").textContent = `${error.message} ${error.change}`;
    this.button("Save", false);
    return true;
  }

  /** The server began a new session: the audio of this enrolment is lost. */
  restarted() {
    if (!this.dialog.open || this.phase !== "listen") return;
    this.open($("enroll-title").textContent);
    $("enroll-problem").textContent = "The server lost what it had heard; please begin again.";
  }

  cancel() {
    if (this.phase === "listen") this.tell({ type: "enroll", action: "cancel" });
    this.close();
  }

  close() {
    this.phase = "closed";
    if (this.dialog.open) this.dialog.close();
  }

  button(text, disabled) {
    $("enroll-go").textContent = text;
    $("enroll-go").disabled = disabled;
  }
}

/** Ask for a token. Resolves to the token, or to null if there is none. */
export function askToken() {
  const dialog = $("token-dialog");
  $("token-input").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const form = $("token-form");
    const finish = (value) => {
      form.onsubmit = $("token-cancel").onclick = dialog.oncancel = null;
      dialog.close();
      resolve(value);
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      finish($("token-input").value.trim() || null);
    };
    $("token-cancel").onclick = () => finish(null);
    dialog.oncancel = () => finish(null);
  });
}
