// A session on the screen, for listening and for watching: the speaker, the time line, turns, talk time and summary.

import { Player } from "./audio.js";
import { $, clock } from "./dom.js";
import { Lag } from "./lag.js";
import { showNow } from "./now.js";
import { forgetGuests } from "./people.js";
import { Summary } from "./summary.js";
import { RATE, Talk } from "./talk.js";
import { showTalkTime } from "./talktime.js";
import { Timeline } from "./timeline.js";
import { Turns } from "./turns.js";

const PAINT_MS = 48;

export class Screen {
  /**
   * on: { connection(): { ready, unsent, settings, reached } or null, moving(): whether audio arrives, played(turn),
   * one(turn), voice(name) }. one and voice open the dialog that corrects names; absent if names cannot be corrected.
   */
  constructor(on) {
    this.on = on;
    this.talk = new Talk();
    this.memory = null; // the audio, if this page has it
    this.about = { title: "session", began: null };
    this.level = 0; // of the audio, for display
    this.edge = 0;
    this.frames = 0;
    this.lag = new Lag();
    this.player = new Player(() => this.show());
    this.summary = new Summary({ choose: on.voice });
    this.turns = new Turns({
      play: (turn) => this.play(turn),
      choose: on.one,
      playing: () => this.player.key,
      audible: (turn) => this.audible(turn),
      filtered: () => this.draw(),
    });
    this.timeline = new Timeline({
      passes: (name) => this.turns.passes(name),
      playing: () => this.player.position,
      chosen: (turn) => {
        this.turns.reveal(turn);
        this.play(turn);
      },
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show());
  }

  /** Begin a new session. memory: the Memory of its audio, or null. seats: see `Talk`. */
  begin({ title = "session", memory = null, seats = [] } = {}) {
    this.player.stop();
    this.lag.reset();
    this.talk = new Talk(seats);
    this.memory = memory;
    this.about = { title, began: new Date() };
    this.edge = 0;
    forgetGuests();
    this.turns.begin();
    this.enter("live");
    this.timeline.begin();
    this.animate();
  }

  get stage() {
    return document.body.dataset.stage;
  }

  /** stage: before, live or over. */
  enter(stage) {
    document.body.dataset.stage = stage;
    this.level = stage === "live" ? this.level : 0;
    if (stage === "over") this.timeline.all(this.talk, this.now());
    this.show();
  }

  /** The sample at the right edge: the last one sent or decided. It stays there after the connection ends. */
  now() {
    this.edge = Math.max(this.edge, this.on.connection()?.reached ?? 0, this.talk.decided);
    return this.edge;
  }

  show() {
    showNow(this.talk, this.stage);
    this.turns.show(this.talk);
    this.showTimes();
    if (this.stage === "over") this.summary.show(this.talk, this.about);
  }

  showTimes() {
    const times = this.talk.times(this.now());
    this.timeline.describe(times);
    showTalkTime(times, { current: [this.talk.current?.speaker, this.talk.other?.speaker], chosen: this.on.voice });
  }

  draw() {
    this.timeline.draw(this.talk, this.now());
    $("clock").textContent = clock(this.now() / RATE);
  }

  /** Draw at most about twenty times a second: that looks smooth, and the page stays open for hours. */
  paint(time) {
    if (time - this.painted >= PAINT_MS) {
      this.painted = time;
      this.level *= 0.78;
      $("avatar").style.setProperty("--level", Math.min(1, this.level * 6).toFixed(3));
      this.draw();
      if (this.frames++ % 10 === 0) {
        this.showTimes();
        this.lag.show(this.on.connection());
      }
    }
    this.painting = this.on.moving() || this.player.key !== null;
    if (this.painting) requestAnimationFrame((next) => this.paint(next));
    else this.draw();
  }

  /** Keep drawing while something moves. */
  animate() {
    if (this.painting) return;
    this.painting = true;
    this.painted = 0;
    requestAnimationFrame((time) => this.paint(time));
  }

  audible(turn) {
    return Boolean(this.memory?.has(turn.start, turn.end ?? this.now()));
  }

  /** The spans of a voice whose audio is still kept. */
  heardOf(name) {
    return this.talk.spans().filter(({ speaker, start, end }) => speaker === name && this.memory?.has(start, end));
  }

  /** Play a turn; stop it if it is playing. */
  play(turn) {
    if (this.player.key === turn.key) return this.player.stop();
    this.timeline.reveal(turn);
    if (!this.audible(turn)) return;
    this.on.played();
    this.player.play(turn.key, this.memory, turn.start, turn.end ?? this.now());
    this.animate();
  }
}
