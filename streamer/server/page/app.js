// The page: sound goes to the server, what it says of it goes to the eye, and to the screen reader.

import { Capture } from "./capture.js";
import { Connection } from "./connection.js";
import { askToken, EnrollDialog, NameDialog } from "./dialogs.js";
import { $, clock, make } from "./dom.js";
import { whenDropped } from "./drop.js";
import { explain, Microphones } from "./microphones.js";
import { notice, showNow, showState } from "./now.js";
import { display, forgetGuests, isGuest, moveColour } from "./people.js";
import { Roster } from "./roster.js";
import { RATE, Talk } from "./talk.js";
import { showTalkTime } from "./talktime.js";
import { Timeline } from "./timeline.js";

let capture = null;
let connection = null;
let talk = new Talk();
let token = null;
let level = 0;
let edge = 0;
let frames = 0;

const timeline = new Timeline($("timeline"));
const tell = (message) => connection?.tell(message) ?? false;
const enrollDialog = new EnrollDialog({ tell, begin: () => ready() });
const nameDialog = new NameDialog({ tell });
const roster = new Roster({ token: () => token, chosen: (name) => nameDialog.open(name, 0, roster.names), changed: () => show() });
const microphones = new Microphones({ problem: (error) => notice(explain(error)) });

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
  talk = new Talk();
  edge = 0;
  forgetGuests();
  $("turns").replaceChildren();
  connection = new Connection({ state: showState, message: take, refused, over, restarted }, token);
  connection.open({ sample_rate: capture.rate, encoding: "s16le", stats_interval: 2 });
  capture.start();
  enter("live");
  requestAnimationFrame(paint);
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
  connection?.audio(pcm);
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
      $("lag").hidden = false;
      $("lag").textContent = `${Math.round(message.lag * 1000)} ms`;
      return;
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
  const turn = talk.take(message);
  if (message.type === "turn_end") listTurn(turn);
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
  showTimes();
}

function showTimes() {
  const times = talk.times(now());
  const may = (name) => Boolean(connection) && roster.may(isGuest(name) ? "enroll" : "admin");
  showTalkTime(times, { current: talk.current?.speaker, may, chosen: (name) => nameDialog.open(name, 0, roster.names) });
  const summary = times.map(([name, seconds]) => `${display(name)} ${Math.round(seconds)} seconds`).join(", ");
  $("timeline").setAttribute("aria-label", summary ? `Spoken so far: ${summary}.` : "Nobody has spoken yet.");
}

function listTurn(turn) {
  if (!turn?.speaker) return;
  const time = make("time", { textContent: clock(turn.start / RATE) });
  const who = make("span", { textContent: `${display(turn.speaker)}, ${Math.max(1, Math.round((turn.end - turn.start) / RATE))} s` });
  $("turns").prepend(make("li", {}, time, who));
  while ($("turns").children.length > 200) $("turns").lastChild.remove();
}

function paint() {
  level *= 0.92;
  $("avatar").style.setProperty("--level", Math.min(1, level * 6).toFixed(3));
  timeline.draw(talk, now());
  $("clock").textContent = clock(now() / RATE);
  if (frames++ % 30 === 0) showTimes();
  if (capture || connection) requestAnimationFrame(paint);
}

// What people do

$("listen").addEventListener("click", () => (capture ? finish() : begin()));
$("open-file").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) play(target.files[0]);
  target.value = "";
});
$("enroll").addEventListener("click", () => enrollDialog.open());

async function play(file) {
  if (capture) await finish();
  connection?.finish();
  connection = null;
  await begin(file);
}

whenDropped(play);
addEventListener("pagehide", () => connection?.socket?.close(1000));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (roster.show(), show()));

roster.fetch();
timeline.draw(talk, 0);
