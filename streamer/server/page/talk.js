// What was said by whom: the server's events as turns on a time line. No page in here.

import { display, isGuest } from "./people.js";

export const RATE = 16000;

export class Talk {
  constructor() {
    this.turns = new Map(); // number of the turn (with its channel) -> { start, end, speaker, confidence, final }
    this.gaps = [];
    this.speaking = false;
    this.current = null;
    this.decided = 0;
    this.session = 0;
  }

  /** Another session goes on at this sample: its turns are numbered anew, and its guests are others. */
  restart(sample, lostFrom) {
    this.session++;
    this.speaking = false;
    this.current = null;
    for (const turn of this.turns.values()) {
      turn.end ??= Math.max(turn.start, Math.min(lostFrom, sample));
      if (isGuest(turn.speaker ?? "")) turn.speaker = `${display(turn.speaker)} (before ${this.session})`;
    }
    for (const name of [...(this.past?.keys() ?? [])].filter(isGuest)) {
      this.past.set(`${display(name)} (before ${this.session})`, this.past.get(name));
      this.past.delete(name);
    }
    if (sample > lostFrom) this.gaps.push({ start: lostFrom, end: sample });
  }

  /** Take an event. Returns the turn that it changed, if any. */
  take(event) {
    this.decided = Math.max(this.decided, event.decided_sample ?? 0);
    const key = `${this.session}/${event.channel}/${event.turn}`;
    switch (event.type) {
      case "speech_start":
        this.speaking = true;
        return null;
      case "speech_end":
        this.speaking = false;
        this.current = null;
        return null;
      case "speaker":
      case "unknown":
      case "correction":
      case "ambiguous": {
        const turn = this.turns.get(key) ?? { start: event.sample, end: null };
        turn.speaker = event.speaker ?? null;
        turn.candidates = event.candidates;
        turn.confidence = event.confidence;
        turn.final = event.final ?? false;
        this.turns.set(key, turn);
        this.current = turn;
        return turn;
      }
      case "turn_end": {
        const turn = this.turns.get(key) ?? {};
        Object.assign(turn, { start: event.start_sample, end: event.sample, speaker: event.speaker, final: true });
        this.turns.set(key, turn);
        if (this.current === turn) this.current = null;
        this.forget();
        return turn;
      }
      case "renamed":
        for (const turn of this.turns.values()) if (turn.speaker === event.previous) turn.speaker = event.speaker;
        return null;
      case "gap":
        this.gaps.push({ start: event.sample, end: event.end_sample });
        this.gaps = this.gaps.slice(-100);
        return null;
      default:
        return null;
    }
  }

  /** Turns of long ago are only counted, so that a day of talk stays small. */
  forget() {
    if (this.turns.size <= 2000) return;
    const [key, turn] = this.turns.entries().next().value;
    this.past ??= new Map();
    if (turn.speaker) this.past.set(turn.speaker, (this.past.get(turn.speaker) ?? 0) + (turn.end ?? turn.start) - turn.start);
    this.turns.delete(key);
  }

  /** Seconds by speaker, the most talkative first; a turn that goes on counts up to `now` (a sample). */
  times(now) {
    const samples = new Map(this.past ?? []);
    for (const turn of this.turns.values()) {
      if (turn.speaker) samples.set(turn.speaker, (samples.get(turn.speaker) ?? 0) + Math.max(0, (turn.end ?? now) - turn.start));
    }
    return [...samples].map(([name, count]) => [name, count / RATE]).sort((a, b) => b[1] - a[1]);
  }
}
