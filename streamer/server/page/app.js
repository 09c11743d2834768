// The page: sound goes to the server, what it says of it goes to the eye, and to the screen reader.

import { Memory, Player } from "./audio.js";
import { Capture } from "./capture.js";
import { Connection } from "./connection.js";
import { askToken, EnrollDialog } from "./dialogs.js";
import { $, clock } from "./dom.js";
import { whenDropped } from "./drop.js";
import { Lag } from "./lag.js";
import { learn } from "./learn.js";
import { explain, Microphones } from "./microphones.js";
import { NameDialog } from "./naming.js";
import { notice, showNow, showState } from "./now.js";
import { forgetGuests, moveColour } from "./people.js";
import { Roster } from "./roster.js";
import { Summary } from "./summary.js";
import { RATE, Talk } from "./talk.js";
import { showTalkTime } from "./talktime.js";
import { Timeline } from "./timeline.js";
import { Turns } from "./turns.js";

let capture = null;
let connection = null;
let talk = new Talk();
let memory = null;
let about = { title: "session", began: null }; // this session's name, and when it began
let token = null;
let level = 0;
let edge = 0;
let frames = 0;
let painting = false;

const tell = (message) => connection?.tell(message) ?? false;
const may = (scope) => Boolean(connection) && roster.may(scope);
const enrollDialog = new EnrollDialog({ tell, begin: () => ready() });
const nameDialog = new NameDialog({
  tell,
  may,
  heard: putRight,
  names: () => [...new Set([...talk.seen, ...roster.names])],
  teachable: (name) => !connection && roster.may("enroll") && audible(name).length > 0,
  teach: (name, to, force) => learn(to, audible(name), memory, { token, force }).then(() => roster.fetch()),
});
const roster = new Roster({ token: () => token, chosen: (name) => nameDialog.person(name), changed: () => show() });
const microphones = new Microphones({ problem: (error) => notice(explain(error)) });
const lag = new Lag();
const summary = new Summary({ choose: (name) => nameDialog.voice(name) });
const player = new Player(() => show());
const turns = new Turns({
  play,
  choose: (turn) => nameDialog.one(turn),
  playing: () => player.key,
  audible: (turn) => Boolean(memory?.has(turn.start, turn.end ?? now())),
  filtered: () => timeline.draw(talk, now()),
});
const timeline = new Timeline({
  passes: (name) => turns.passes(name),
  playing: () => player.position,
  chosen: (turn) => {
    turns.reveal(turn);
    play(turn);
  },
});

// Begin and end

const stage = () => document.body.dataset.stage;

async function begin(file) {
  notice("");
  $("listen").disabled = true;
  const chosen = microphones.chosen;
  microphones.stop();
  try {
    capture = new Capture(heard, () => finish());
    await (file ? capture.file(file) : capture.microphone(chosen));
  } catch (error) {
    await capture.stop();
    capture = null;
    notice(explain(error, file));
    return false;
  } finally {
    $("listen").disabled = false;
  }
  player.stop();
  lag.reset();
  talk = new Talk();
  memory = new Memory(capture.rate);
  about = { title: file ? file.name.replace(/\.[^.]*$/, "") : "session", began: new Date() };
  edge = 0;
  forgetGuests();
  turns.begin();
  connection = new Connection({ state: showState, message: take, refused, over, restarted }, token);
  connection.open({ sample_rate: capture.rate, encoding: "s16le", stats_interval: 2 });
  capture.start();
  enter("live");
  timeline.begin();
  animate();
  return true;
}

/** Sound flows and the server is ready: now, or in a moment. */
async function ready() {
  if (!capture && !(await begin())) return false;
  for (let tries = 0; tries < 100 && connection && !connection.ready; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return connection?.ready ?? false;
}

async function finish() {
  enter("over");
  const sound = capture;
  capture = null;
  connection?.end();
  level = 0;
  await sound?.stop();
}

function heard(pcm, loud) {
  level = Math.max(loud, level * 0.7);
  if (!connection) return;
  memory.add(pcm);
  connection.audio(pcm);
}

/** The server has lost the session, and another one has begun: say what that means. */
function restarted({ sample, lostFrom }) {
  talk.restart(sample, lostFrom);
  forgetGuests();
  enrollDialog.restarted();
  const lost = (sample - lostFrom) / RATE;
  notice(`The server lost the session; listening goes on from ${clock(sample / RATE)}, with new guests.${lost >= 0.1 ? ` ${lost.toFixed(1)} s were not heard.` : ""}`);
  show();
}

function over(goodbye) {
  connection = null;
  if (capture) finish();
  timeline.all();
  roster.renaming = false;
  roster.show();
  if (goodbye.reason !== "ended") notice(goodbye.message);
  show();
}

async function refused(error) {
  connection = null;
  await finish();
  if (!talk.turns.size) enter("before");
  if (error.code === "unauthorized") {
    token = await askToken();
    if (token) {
      roster.fetch();
      return begin();
    }
  }
  showState("problem");
  notice(`${error.message} ${error.change}`);
}

// What the server says

function take(message) {
  switch (message.type) {
    case "ready":
      roster.scopes = message.scopes;
      roster.renaming = true;
      return roster.fetch().then((answered) => answered || roster.show());
    case "stats":
      lag.take(message);
      return lag.show(connection);
    case "enrolment":
      return enrollDialog.report(message);
    case "speaker_list": {
      const asked = nameDialog.done();
      if (asked) moveColour(asked.from, asked.to);
      return roster.take(message);
    }
    case "error":
      if (!enrollDialog.problem(message) && !nameDialog.problem(message)) notice(`${message.message} ${message.change}`);
      return;
    case "renamed":
      moveColour(message.previous, message.speaker);
  }
  talk.take(message);
  show();
}

// What people see

/** The sample at the right edge: what was sent, or decided; it stays when the connection is over. */
function now() {
  const sent = connection?.rate ? (connection.position / connection.rate) * RATE : 0;
  edge = Math.max(edge, sent, talk.decided);
  return edge;
}

function enter(next) {
  document.body.dataset.stage = next;
  $("listen").setAttribute("aria-pressed", next === "live");
  $("listen-text").textContent = { before: "Start listening", live: "Stop", over: "Listen again" }[next];
  show();
}

function show() {
  showNow(talk, stage());
  turns.show(talk);
  showTimes();
  if (stage() === "over") summary.show(talk, about);
}

/** What a voice said, as far as its sound is still there. */
function audible(name) {
  return talk.spans().filter(({ speaker, start, end }) => speaker === name && memory?.has(start, end));
}

function showTimes() {
  showTalkTime(talk.times(now()), { current: talk.current?.speaker, chosen: (name) => nameDialog.voice(name) });
}

function paint() {
  level *= 0.92;
  $("avatar").style.setProperty("--level", Math.min(1, level * 6).toFixed(3));
  timeline.draw(talk, now());
  $("clock").textContent = clock(now() / RATE);
  if (frames++ % 30 === 0) {
    showTimes();
    lag.show(connection);
  }
  if (capture || connection || player.key) requestAnimationFrame(paint);
  else painting = false;
}

/** Draw on as long as something moves. */
function animate() {
  if (painting) return;
  painting = true;
  requestAnimationFrame(paint);
}

// What people do

/** Hear a turn again, or stop hearing it. */
function play(turn) {
  if (player.key === turn.key) return player.stop();
  if (!memory?.has(turn.start, turn.end ?? now())) return;
  if (capture?.live) notice("The microphone hears what is played: use headphones while it listens.");
  player.play(turn.key, memory, turn.start, turn.end ?? now());
  timeline.reveal(turn);
  animate();
}

/** By hand: one turn, or all that a voice said. */
function putRight(turn, from, to) {
  if (turn) talk.putRight(turn, to);
  else {
    moveColour(from, to);
    talk.call(from, to);
  }
  show();
  timeline.draw(talk, now());
}

$("listen").addEventListener("click", () => (capture ? finish() : begin()));
$("open-file").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files[0]);
  target.value = "";
});
$("enroll").addEventListener("click", () => enrollDialog.open());

async function open(file) {
  if (capture) await finish();
  connection?.finish();
  connection = null;
  await begin(file);
}

whenDropped(open);
addEventListener("pagehide", () => connection?.socket?.close(1000));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (roster.show(), show()));

roster.fetch();
timeline.draw(talk, 0);
