// The page for listening: sends audio to the server, and shows its events on the screen.

import { Memory } from "./audio.js";
import { Capture } from "./capture.js";
import { Connection } from "./connection.js";
import { askToken, EnrollDialog } from "./dialogs.js";
import { $, clock, server } from "./dom.js";
import { whenDropped } from "./drop.js";
import { learn } from "./learn.js";
import { explain, Microphones } from "./microphones.js";
import { NameDialog } from "./naming.js";
import { notice, showState } from "./now.js";
import { forgetGuests, moveColour } from "./people.js";
import { Roster } from "./roster.js";
import { Screen } from "./screen.js";
import { Share } from "./share.js";
import { RATE } from "./talk.js";

export class App {
  constructor() {
    this.capture = null;
    this.connection = null;
    this.token = null;
    const tell = (message) => this.connection?.tell(message) ?? false;
    this.screen = new Screen({
      connection: () => this.connection,
      moving: () => Boolean(this.capture || this.connection),
      one: (turn) => this.naming.one(turn),
      voice: (name) => this.naming.voice(name),
      played: () => this.capture?.live && notice("The microphone hears what is played: use headphones while it listens."),
    });
    this.enrolment = new EnrollDialog({ tell, begin: () => this.ready() });
    this.naming = new NameDialog({
      tell,
      may: (scope) => Boolean(this.connection) && this.roster.may(scope),
      heard: (turn, from, to) => this.putRight(turn, from, to),
      names: () => [...new Set([...this.screen.talk.seen, ...this.roster.names])],
      teachable: (name) => !this.connection && this.roster.may("enroll") && this.screen.heardOf(name).length > 0,
      teach: (name, to, force) => this.teach(name, to, force),
    });
    this.roster = new Roster({
      token: () => this.token,
      chosen: (name) => this.naming.person(name),
      changed: () => this.screen.show(),
    });
    this.microphones = new Microphones({ problem: (error) => notice(explain(error)) });
    this.share = new Share({ tell });
    this.obey();
    this.roster.fetch();
  }

  /** Connect the buttons and the other inputs. */
  obey() {
    $("listen").addEventListener("click", () => (this.capture ? this.finish() : this.begin()));
    $("open-file").addEventListener("click", () => $("file").click());
    $("file").addEventListener("change", ({ target }) => {
      if (target.files.length) this.open(target.files[0]);
      target.value = "";
    });
    $("enroll").addEventListener("click", () => this.enrolment.open());
    whenDropped((file) => this.open(file));
    addEventListener("pagehide", () => this.connection?.socket?.close(1000));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.roster.show());
  }

  // Starting and stopping

  async open(file) {
    if (this.capture) await this.finish();
    this.connection?.finish();
    this.connection = null;
    await this.begin(file);
  }

  async begin(file) {
    notice("");
    $("listen").disabled = true;
    const chosen = this.microphones.chosen;
    this.microphones.stop();
    const capture = (this.capture = new Capture((pcm, loud) => this.heard(pcm, loud), () => this.finish()));
    try {
      await (file ? capture.file(file) : capture.microphone(chosen));
    } catch (error) {
      await capture.stop();
      this.capture = null;
      notice(explain(error, file));
      return false;
    } finally {
      $("listen").disabled = false;
    }
    const title = file ? file.name.replace(/\.[^.]*$/, "") : "session";
    this.connection = new Connection(
      {
        state: showState,
        message: (message) => this.take(message),
        refused: (error) => this.refused(error),
        over: (goodbye) => this.over(goodbye),
        restarted: (where) => this.restarted(where),
      },
      { url: server(), token: this.token },
    );
    this.connection.open({ sample_rate: capture.rate, stats_interval: 2 });
    this.screen.begin({ title, memory: new Memory(capture.rate) });
    this.enter("live");
    capture.start();
    return true;
  }

  /** Start listening if needed, and wait up to 10 s for the server. Returns whether it is ready. */
  async ready() {
    if (!this.capture && !(await this.begin())) return false;
    for (let tries = 0; tries < 100 && this.connection && !this.connection.ready; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return this.connection?.ready ?? false;
  }

  async finish() {
    this.enter("over");
    const { capture } = this;
    this.capture = null;
    this.connection?.end();
    await capture?.stop();
  }

  heard(pcm, loud) {
    this.screen.level = Math.max(loud, this.screen.level * 0.7);
    if (!this.connection) return;
    this.screen.memory.add(pcm);
    this.connection.audio(pcm);
  }

  enter(stage) {
    $("listen").setAttribute("aria-pressed", stage === "live");
    $("listen-text").textContent = { before: "Start listening", live: "Stop", over: "Listen again" }[stage];
    this.screen.enter(stage);
  }

  /** The server lost the session and began a new one: tell the user what that means. */
  restarted({ sample, lostFrom }) {
    this.screen.talk.restart(sample, lostFrom);
    forgetGuests();
    this.enrolment.restarted();
    const lost = (sample - lostFrom) / RATE;
    const heard = lost >= 0.1 ? ` ${lost.toFixed(1)} s were not heard.` : "";
    notice(`The server lost the session; listening goes on from ${clock(sample / RATE)}, with new guests.${heard}`);
    this.screen.show();
  }

  over(goodbye) {
    this.connection = null;
    if (this.capture) this.finish();
    this.share.over();
    this.roster.renaming = false;
    this.roster.show();
    if (goodbye.reason !== "ended") notice(goodbye.message);
    this.enter("over");
  }

  async refused(error) {
    this.connection = null;
    await this.finish();
    this.share.over();
    if (!this.screen.talk.turns.size) this.enter("before");
    if (error.code === "unauthorized") {
      this.token = await askToken();
      if (this.token) {
        this.roster.fetch();
        return this.begin();
      }
    }
    showState("problem");
    notice(`${error.message} ${error.change}`);
  }

  // Messages from the server

  take(message) {
    switch (message.type) {
      case "ready":
        this.roster.scopes = message.scopes;
        this.roster.renaming = true;
        this.share.ready();
        return this.roster.fetch().then((answered) => answered || this.roster.show());
      case "stats":
        this.screen.lag.take(message);
        return this.screen.lag.show(this.connection);
      case "shared":
        return this.share.shared(message);
      case "enrolment":
        return this.enrolment.report(message);
      case "speaker_list": {
        const asked = this.naming.done();
        if (asked) moveColour(asked.from, asked.to);
        return this.roster.take(message);
      }
      case "error":
        if ([this.enrolment, this.naming, this.share].some((dialog) => dialog.problem(message))) return;
        return notice(`${message.message} ${message.change}`);
      case "renamed":
        moveColour(message.previous, message.speaker);
    }
    this.screen.talk.take(message);
    this.screen.show();
  }

  // Names corrected by hand

  /** Change the speaker of one turn, or of all turns of a voice if `turn` is null. */
  putRight(turn, from, to) {
    if (turn) this.screen.talk.putRight(turn, to);
    else {
      moveColour(from, to);
      this.screen.talk.call(from, to);
    }
    this.screen.show();
    this.screen.draw();
  }

  /** Enrol a voice on the server, from the audio that this page still has of it. */
  async teach(name, to, force) {
    await learn(to, this.screen.heardOf(name), this.screen.memory, { token: this.token, force });
    await this.roster.fetch();
  }
}
