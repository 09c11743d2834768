// Shows who speaks now: the large name, its confidence, and the state of the connection above.

import { $ } from "./dom.js";
import { colour, display, initials, isGuest } from "./people.js";

const STATES = {
  idle: ["idle", "Not connected"],
  connecting: ["waiting", "Connecting"],
  live: ["live", "Live"],
  waiting: ["waiting", "Lost, coming back"],
  watching: ["live", "Watching"],
  absent: ["waiting", "Waiting for the room"],
  closed: ["idle", "Not connected"],
  problem: ["problem", "Problem"],
};

let announced = "";

export function showState(state) {
  const [kind, text] = STATES[state];
  $("status").dataset.state = kind;
  $("status-text").textContent = text;
  if (kind !== "live") $("lag").hidden = true;
}

export function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

/** talk: the session so far, a Talk. stage: before, live or over. */
export function showNow(talk, stage) {
  const turn = stage === "live" ? talk.current : null;
  const name = turn?.speaker;
  const beside = name ? talk.other : null;
  const other = beside?.speaker;
  const avatar = $("avatar");
  avatar.dataset.kind = name ? (isGuest(name) ? "guest" : "person") : "none";
  avatar.style.setProperty("--person", name ? colour(name) : "");
  avatar.style.setProperty("--beside", other ? colour(other) : "");
  avatar.dataset.two = Boolean(other);
  $("initials").textContent = [name, other].filter(Boolean).map(initials).join(" ");
  if (stage === "before") return;
  $("now-label").textContent = stage === "over" ? "Nobody is listening" : beside ? "Speaking at once" : name ? "Speaking now" : "Listening";
  $("now-name").textContent = stage === "over" ? "That was it." : name ? both(name, beside) : turn?.candidates ? "Hard to say" : talk.speaking ? "Somebody …" : "Silence";
  $("now-detail").textContent = stage === "over" ? stays() : beside ? describeTwo(talk, turn, beside) : describe(talk, turn, name);
  announce(name, other);
}

function both(name, beside) {
  if (!beside) return display(name);
  return `${display(name)} and ${beside.speaker ? display(beside.speaker) : "somebody else"}`;
}

const percent = ({ confidence }) => `${Math.round(confidence * 100)} %`;

function describe(talk, turn, name) {
  if (turn?.candidates) return `One of ${turn.candidates.map(display).join(" and ")}`;
  if (!name) return "";
  const sure = `${percent(turn)} sure`;
  const how = isGuest(name) ? `${sure} it is the same voice; nobody enrolled it` : turn.final ? sure : `${sure}, still listening`;
  return [talk.seat(turn), how].filter(Boolean).join(" · ");
}

/** Two who speak at once: at one microphone, which has overlap, or each at their own. */
function describeTwo(talk, turn, beside) {
  const seats = [talk.seat(turn), talk.seat(beside)];
  return beside.overlap ? `${percent(beside)} sure that two speak` : seats.filter(Boolean).join(" · ");
}

function stays() {
  if (document.body.dataset.viewer) return "It stays on this page until you close it, or the room is shared again.";
  return "Everything stays on this page until you close it or listen again.";
}

/** Tell screen readers who speaks, only when the names change. */
function announce(name, other) {
  const said = other ? `${display(name)} and ${display(other)} speak` : name ? `${display(name)} speaks` : announced;
  if (said === announced) return;
  $("announcer").textContent = announced = said;
}
