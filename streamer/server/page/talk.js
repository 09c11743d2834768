// Who spoke when: turns made from the server's events, with corrections by hand. Independent of the page.

import { display, isGuest } from "./people.js";

export const RATE = 16000;
const TURNS = 5000; // older turns are only counted, to limit memory over a day
const WORDS = 20000;
const EVENTS = 20000; // kept for the download as JSON lines

/** The index of the first entry whose middle is at or after `sample`. */
function firstFrom(said, sample) {
  let [low, high] = [0, said.length];
  while (low < high) {
    const place = (low + high) >> 1;
    if (said[place].middle < sample) low = place + 1;
    else high = place;
  }
  return low;
}

export class Talk {
  /** seats: for a room with several microphones, their names by channel. Empty: each channel is a separate stream. */
  constructor(seats = []) {
    this.seats = seats;
    this.turns = new Map(); // `key` of the events -> turn, see `turn`
    this.gaps = [];
    this.said = []; // recognised words: { channel, middle, text }, sorted by middle
    this.events = [];
    this.forgotten = 0; // number of turns that are only counted
    this.past = new Map(); // speaker -> samples of those turns
    this.called = new Map(); // the server's name of a voice -> its name on this page
    this.speaking = false;
    this.current = null;
    this.beside = new Map(); // session/channel -> the second turn of a current overlap, see `together`
    this.decided = 0;
    this.session = 0;
    this.seen = []; // names in order of appearance
  }

  /** A new session continues at this sample: it numbers its turns from the start, and its guests are other people. */
  restart(sample, lostFrom) {
    this.session++;
    this.speaking = false;
    this.current = null;
    this.beside.clear();
    for (const turn of this.turns.values()) turn.end ??= Math.max(turn.start, Math.min(lostFrom, sample));
    for (const name of this.seen.filter(isGuest)) this.rename(name, `${display(name)} (before ${this.session})`);
    for (const name of [...this.called.keys()]) if (isGuest(name)) this.called.delete(name);
    if (sample > lostFrom) this.gaps.push({ start: lostFrom, end: sample });
    this.events.push({ type: "restart", sample, lost_from_sample: lostFrom });
  }

  /** Process an event. Returns the turn that it changed, or null. */
  take(event) {
    this.decided = Math.max(this.decided, event.decided_sample ?? 0);
    this.events.push(event);
    if (this.events.length > EVENTS) this.events.shift();
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
      case "ambiguous":
        return this.name(event);
      case "turn_end":
        return this.end(event);
      case "overlap":
        this.together(event);
        return null;
      case "renamed":
        for (const turn of this.turns.values()) if (turn.said === event.previous) turn.said = event.speaker;
        this.rename(event.previous, event.speaker);
        return null;
      case "said":
        this.hearWords(event);
        return null;
      case "gap":
        this.gaps.push({ start: event.sample, end: event.end_sample });
        this.gaps = this.gaps.slice(-1000);
        return null;
      default:
        return null;
    }
  }

  /** Process an overlap: until it is final, its second speaker has a turn beside the current one; then one of its own. */
  together({ channel, overlap, sample, end_sample: end, other, confidence, final }) {
    const key = `${this.session}/${channel}`;
    if (final) return this.beside.delete(key);
    const speaker = other && (this.called.get(other) ?? other);
    if (speaker) this.see(speaker);
    const turn = { key: `${key}/beside/${overlap}`, overlap, number: Infinity, session: this.session, channel, start: sample, end, speaker, said: other, confidence, final: false };
    this.beside.set(key, turn);
  }

  /** The turn of a second speaker beside the current turn, or null. Its speaker is null if unknown. */
  get other() {
    if (!this.current) return null;
    const another = ({ end, speaker }) => end === null && speaker !== this.current.speaker;
    const seated = this.seats.length ? this.open(this.current, another) : null;
    const turn = this.beside.get(`${this.current.session}/${this.current.channel}`);
    return seated ?? (turn && another(turn) ? turn : null);
  }

  /** The name of the microphone that hears a turn best; empty unless the room has several. */
  seat({ channel }) {
    return this.seats[channel] ?? "";
  }

  /** The second turns of current overlaps, without voices that have a turn at another microphone at that time. */
  besides() {
    const from = ({ start }, { end }) => end === null || start < end;
    const seated = (one) => [...this.turns.values()].some((turn) => turn.speaker === one.speaker && from(one, turn) && from(turn, one));
    return [...this.beside.values()].filter((turn) => !this.seats.length || !seated(turn));
  }

  hearWords({ channel, sample, end_sample: end, text }) {
    const middle = (sample + end) / 2;
    this.said.splice(firstFrom(this.said, middle), 0, { channel, middle, text });
    if (this.said.length > WORDS) this.said.shift();
  }

  /** The text of a turn: the words whose middle lies in it. */
  wordsOf(turn, start, end) {
    const found = [];
    for (let i = firstFrom(this.said, start); i < this.said.length && this.said[i].middle < end; i++) {
      if (this.said[i].channel === turn.channel) found.push(this.said[i].text);
    }
    return found.join(" ");
  }

  /** The turn of an event: { key, number, session, channel, start, end, speaker, said, confidence, final, candidates,
   * byHand }. said: the server's name for the speaker. end: null until the turn ends. */
  turn(event) {
    const key = this.key(event);
    if (!this.turns.has(key)) {
      const { session } = this;
      this.turns.set(key, { key, number: event.turn, session, channel: event.channel, start: event.sample, end: null, speaker: null, said: null });
      this.forget();
    }
    const turn = this.turns.get(key);
    turn.channel = event.channel;
    return turn;
  }

  /** The key of an event's turn. In a room, turns are numbered across microphones, and may move between them. */
  key({ channel, turn }, session = this.session) {
    return this.seats.length ? `${session}/${turn}` : `${session}/${channel}/${turn}`;
  }

  name(event) {
    const fresh = !this.turns.has(this.key(event));
    const turn = this.turn(event);
    // If several speak, each at a microphone, the current turn is the one that began last; other events do not change it.
    if (fresh || !this.seats.length || !this.current) this.current = turn;
    turn.candidates = event.candidates?.map((name) => this.called.get(name) ?? name);
    if (event.type !== "ambiguous") turn.start = event.sample;
    this.label(turn, event);
    return turn;
  }

  end(event) {
    const turn = this.turn(event);
    turn.start = event.start_sample;
    turn.end = event.sample;
    turn.candidates = undefined;
    this.label(turn, event, true);
    if (this.current === turn) this.current = this.open(turn);
    return turn;
  }

  /** The latest unfinished turn besides this one: a second voice may come and go within a turn, and in a room there may be
   * one at each microphone. which(turn): an extra condition. */
  open(beside, which = () => true) {
    const near = ({ channel, speaker }) => (this.seats.length ? Boolean(speaker) : channel === beside.channel);
    const lasting = (turn) => turn !== beside && turn.end === null && turn.session === beside.session && near(turn) && which(turn);
    return [...this.turns.values()].findLast(lasting) ?? null;
  }

  label(turn, { speaker, confidence, final = false }, over = false) {
    turn.final = final || over;
    if (speaker) turn.said = speaker;
    if (turn.byHand) return;
    turn.confidence = confidence;
    if (speaker) this.see((turn.speaker = this.called.get(speaker) ?? speaker));
  }

  see(name) {
    if (!this.seen.includes(name)) this.seen.push(name);
  }

  /** Rename a speaker in all turns. In `seen`, a new name takes the place of the old one. */
  rename(from, to) {
    for (const turn of [...this.turns.values(), ...this.beside.values()]) {
      if (turn.speaker === from) turn.speaker = to;
      turn.candidates = turn.candidates?.map((name) => (name === from ? to : name));
    }
    if (this.past.has(from)) this.past.set(to, (this.past.get(to) ?? 0) + this.past.get(from));
    this.past.delete(from);
    const place = this.seen.indexOf(from);
    if (place >= 0) this.seen.splice(place, 1, ...(this.seen.includes(to) ? [] : [to]));
  }

  /** Rename by hand: the server keeps using the old name, so later events are renamed too. */
  call(from, to) {
    for (const [name, now] of this.called) if (now === from) this.called.set(name, to);
    this.called.set(from, to);
    this.rename(from, to);
  }

  /** Correct the speaker of one turn by hand. */
  putRight(turn, speaker) {
    const before = turn.speaker;
    Object.assign(turn, { speaker, byHand: true, confidence: 1, candidates: undefined });
    this.see(speaker);
    if (before && ![...this.turns.values()].some((other) => other.speaker === before) && !this.past.has(before)) {
      this.seen = this.seen.filter((name) => name !== before);
    }
  }

  forget() {
    if (this.turns.size <= TURNS) return;
    const [key, turn] = this.turns.entries().next().value;
    if (turn.speaker) this.past.set(turn.speaker, (this.past.get(turn.speaker) ?? 0) + (turn.end ?? turn.start) - turn.start);
    this.turns.delete(key);
    this.forgotten++;
  }

  /** Turns that have a name and a length, sorted by start. An unfinished turn ends at `now` (a sample). */
  spans(now = this.decided) {
    const found = [];
    for (const turn of [...this.turns.values(), ...this.besides()]) {
      const end = turn.end ?? now;
      if (turn.speaker && end > turn.start) found.push({ turn, start: turn.start, end, speaker: turn.speaker });
    }
    // They are almost sorted already, so that the sort is about one pass.
    return found.sort((a, b) => a.start - b.start || a.turn.number - b.turn.number);
  }

  /** Talk time: [name, seconds], most first. An unfinished turn counts up to `now` (a sample). */
  times(now) {
    const samples = new Map(this.past);
    for (const { speaker, start, end } of this.spans(now)) samples.set(speaker, (samples.get(speaker) ?? 0) + end - start);
    return [...samples].map(([name, count]) => [name, count / RATE]).sort((a, b) => b[1] - a[1]);
  }
}
