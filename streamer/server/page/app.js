// The page: sound goes to the server, what it says of it goes to the eye, and to the screen reader.

import { Capture } from "./capture.js";
import { Connection } from "./connection.js";
import { askToken, EnrollDialog, NameDialog } from "./dialogs.js";
import { colour, display, forgetGuests, initials, isGuest, moveColour } from "./people.js";
import { RATE, Talk } from "./talk.js";
import { clock, Timeline } from "./timeline.js";

const PAGE = 200; // people asked for at once
const MORE = 2; // the request for the next of them
const $ = (id) => document.getElementById(id);
const STATES = {
  idle: ["idle", "Not connected"],
  connecting: ["waiting", "Connecting"],
  live: ["live", "Live"],
  waiting: ["waiting", "Lost, coming back"],
  closed: ["idle", "Not connected"],
  problem: ["problem", "Problem"],
};

let capture = null;
let connection = null;
let talk = new Talk();
let token = null;
let scopes = [];
let enrolled = [];
let moreEnrolled = 0; // how many people are not shown yet
let announced = "";
let level = 0;
let edge = 0;
let frames = 0;

const timeline = new Timeline($("timeline"));
const tell = (message) => connection?.tell(message) ?? false;
const enrollDialog = new EnrollDialog({ tell, begin: () => ready() });
const nameDialog = new NameDialog({ tell });

// Begin and end

async function begin(file) {
  notice("");
  $("listen").disabled = true;
  try {
    capture = new Capture(heard, () => finish());
    await (file ? capture.file(file) : capture.microphone());
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
  listening(true);
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
  listening(false);
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
  if (goodbye.reason !== "ended") notice(goodbye.message);
  show();
}

async function refused(error) {
  connection = null;
  await finish();
  if (error.code === "unauthorized") {
    token = await askToken();
    if (token) return begin();
  }
  showState("problem");
  notice(`${error.message} ${error.change}`);
}

function explain(error, file) {
  if (file) return `${file.name} can't be played here: this browser doesn't know its format.`;
  if (error.name === "NotAllowedError") return "The microphone is blocked. Allow it in the address bar, and listen again.";
  if (error.name === "NotFoundError") return "No microphone was found. Plug one in, or open a file.";
  if (!navigator.mediaDevices) return "Browsers give the microphone to https and localhost pages only.";
  return `The microphone can't be used: ${error.message}`;
}

// What the server says

function take(message) {
  switch (message.type) {
    case "ready":
      scopes = message.scopes;
      $("enroll").hidden = !scopes.includes("enroll");
      return tell({ type: "speakers", action: "list", limit: PAGE });
    case "stats":
      $("lag").hidden = false;
      $("lag").textContent = `${Math.round(message.lag * 1000)} ms`;
      return;
    case "enrolment":
      return enrollDialog.report(message);
    case "speaker_list": {
      const names = message.speakers.map(({ name }) => name);
      enrolled = message.request === MORE ? [...enrolled, ...names.filter((name) => !enrolled.includes(name))] : names;
      moreEnrolled = message.more ? (message.total ?? 0) - enrolled.length : 0;
      const asked = nameDialog.done();
      if (asked) moveColour(asked.from, asked.to);
      return showPeople();
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

function showState(state) {
  const [kind, text] = STATES[state];
  $("status").dataset.state = kind;
  $("status-text").textContent = text;
  if (kind !== "live") $("lag").hidden = true;
}

function show() {
  const turn = talk.current;
  const name = turn?.speaker;
  const avatar = $("avatar");
  avatar.dataset.kind = name ? (isGuest(name) ? "guest" : "person") : "none";
  avatar.style.setProperty("--person", name ? colour(name) : "");
  $("initials").textContent = name ? initials(name) : "";
  $("now-label").textContent = !capture ? "Nobody is listening" : name ? "Speaking now" : "Listening";
  $("now-name").textContent = name ? display(name) : turn?.candidates ? "Hard to say" : talk.speaking ? "Somebody …" : capture ? "Silence" : "Who is speaking?";
  $("now-detail").textContent = describe(turn, name);
  announce(name);
  showTimes();
}

function describe(turn, name) {
  if (!capture) return "Start the microphone, or drop an audio file anywhere on this page.";
  if (turn?.candidates) return `One of ${turn.candidates.map(display).join(" and ")}`;
  if (!name) return "";
  const sure = `${Math.round(turn.confidence * 100)} % sure`;
  return isGuest(name) ? `${sure} it is the same voice; nobody enrolled it` : turn.final ? sure : `${sure}, still listening`;
}

/** The screen reader is told of a change of speaker, not of every second thought. */
function announce(name) {
  if (!name || name === announced) return;
  announced = name;
  $("announcer").textContent = `${display(name)} speaks`;
}

function showTimes() {
  const times = talk.times(now());
  const longest = Math.max(...times.map(([, seconds]) => seconds), 1);
  const total = times.reduce((sum, [, seconds]) => sum + seconds, 0) || 1;
  $("talk-empty").hidden = times.length > 0;
  rows($("talk"), times, talkRow, (row, [name, seconds]) => {
    const button = row.firstChild;
    const renameable = scopes.includes(isGuest(name) ? "enroll" : "admin") && Boolean(connection);
    button.disabled = !renameable;
    button.dataset.kind = isGuest(name) ? "guest" : "person";
    button.dataset.now = talk.current?.speaker === name;
    button.style.setProperty("--person", colour(name));
    button.style.setProperty("--share", `${(seconds / longest) * 100}%`);
    row.querySelector(".label").textContent = display(name);
    row.querySelector(".edit").textContent = isGuest(name) && renameable ? "Who is this?" : "";
    row.querySelector(".time").textContent = `${clock(seconds)} · ${Math.round((seconds / total) * 100)} %`;
  });
  const summary = times.map(([name, seconds]) => `${display(name)} ${Math.round(seconds)} seconds`).join(", ");
  $("timeline").setAttribute("aria-label", summary ? `Spoken so far: ${summary}.` : "Nobody has spoken yet.");
}

function talkRow([name]) {
  const row = document.createElement("li");
  row.innerHTML = `<button type="button"><span class="name"><span class="label"></span><span class="edit"></span></span>
    <span class="time"></span><span class="track" aria-hidden="true"><span class="fill"></span></span></button>`;
  row.replaceChildren(row.querySelector("button"));
  row.firstChild.addEventListener("click", () => nameDialog.open(name, 0, enrolled));
  return row;
}

function showPeople() {
  $("people-empty").hidden = enrolled.length > 0;
  $("people-empty").textContent = "Nobody is enrolled yet. Ten seconds of speech are enough.";
  const make = (name) => {
    const row = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.append(Object.assign(document.createElement("span"), { textContent: name }));
    button.addEventListener("click", () => nameDialog.open(name, 0, enrolled));
    row.append(button);
    return row;
  };
  rows($("people"), enrolled.map((name) => [name]), ([name]) => make(name), (row, [name]) => {
    row.firstChild.style.setProperty("--person", colour(name));
    row.firstChild.disabled = !scopes.includes("admin");
  });
  $("people-more").hidden = !moreEnrolled;
  $("people-more").textContent = `Show more (${moreEnrolled.toLocaleString()} left)`;
}

/** Bring a list up to date with as few changes as possible: what has the focus keeps it. */
function rows(list, items, make, update) {
  const there = new Map([...list.children].map((row) => [row.dataset.key, row]));
  items.forEach((item, index) => {
    const row = there.get(item[0]) ?? make(item);
    there.delete(item[0]);
    row.dataset.key = item[0];
    update(row, item);
    if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
  });
  for (const row of there.values()) row.remove();
}

function listTurn(turn) {
  if (!turn?.speaker) return;
  const item = document.createElement("li");
  const time = Object.assign(document.createElement("time"), { textContent: clock(turn.start / RATE) });
  const who = Object.assign(document.createElement("span"), {
    textContent: `${display(turn.speaker)}, ${Math.max(1, Math.round((turn.end - turn.start) / RATE))} s`,
  });
  item.append(time, who);
  $("turns").prepend(item);
  while ($("turns").children.length > 200) $("turns").lastChild.remove();
}

function listening(yes) {
  $("listen").setAttribute("aria-pressed", yes);
  $("listen-text").textContent = yes ? "Stop" : "Listen";
  show();
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
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
$("people-more").addEventListener("click", () => {
  tell({ type: "speakers", action: "list", limit: PAGE, after: enrolled.at(-1), request: MORE });
});
$("enroll").addEventListener("click", () => enrollDialog.open());

async function play(file) {
  if (capture) await finish();
  connection?.finish();
  connection = null;
  await begin(file);
}

let depth = 0;
addEventListener("dragenter", (event) => {
  if ([...event.dataTransfer.types].includes("Files")) $("drop").hidden = depth++ < 0;
});
addEventListener("dragleave", () => {
  if (--depth <= 0) $("drop").hidden = true;
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  $("drop").hidden = true;
  if (event.dataTransfer.files.length) play(event.dataTransfer.files[0]);
});
addEventListener("pagehide", () => connection?.socket?.close(1000));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (showPeople(), show()));

timeline.draw(talk, 0);
