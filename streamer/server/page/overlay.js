// The overlay for video (OBS and similar): the name of the speaker in a shared room, on a transparent background.
// /overlay?room=NAME, or /overlay?room=NAME#token=... if a token is needed: browsers never send the part after #.

import { $ } from "./dom.js";
import { colour, display, moveColour } from "./people.js";
import { Talk } from "./talk.js";
import { givenToken, Watcher } from "./watcher.js";

const LINGER_MS = 1500; // How long a name stays after the voice ends: a breath must not hide it.

const room = new URLSearchParams(location.search).get("room");
const token = givenToken();

let talk = new Talk();
let hiding = null;

function show() {
  const speaker = talk.current?.speaker;
  if (!speaker) {
    hiding ??= setTimeout(() => ($("name").dataset.shown = false), LINGER_MS);
    return;
  }
  clearTimeout(hiding);
  hiding = null;
  const other = talk.other?.speaker;
  $("name").replaceChildren(document.createTextNode(display(speaker)), ...(other ? [" ", beside(other)] : []));
  $("name").style.setProperty("--person", colour(speaker, "dark"));
  $("name").dataset.shown = true;
}

/** The second name when two speak at once. */
function beside(other) {
  const name = document.createElement("span");
  name.textContent = display(other);
  name.style.setProperty("--person", colour(other, "dark"));
  return name;
}

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

function begin({ channels } = {}) {
  problem("");
  talk = new Talk(channels);
  show();
}

if (room === null) problem("Name the room: /overlay?room=NAME");
else {
  new Watcher(
    room,
    {
      state: (state) => (document.body.dataset.state = state),
      begin,
      message(message) {
        if (message.type === "stats") return;
        if (message.type === "renamed") moveColour(message.previous, message.speaker);
        talk.take(message);
        show();
      },
      over: () => begin(),
      refused: (error) => problem(`${error.message} Add #token=... to the address.`),
    },
    token,
  );
}
