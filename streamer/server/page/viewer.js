// Watches a shared room: the same screen, without controls that would change anything.

import { askToken } from "./dialogs.js";
import { $ } from "./dom.js";
import { notice, showState } from "./now.js";
import { moveColour } from "./people.js";
import { Screen } from "./screen.js";
import { givenToken, Watcher } from "./watcher.js";

export function watch(room) {
  document.body.dataset.viewer = "true";
  $("now-name").textContent = "Waiting for the room";
  call(room);
  $("room-name").hidden = false;
  $("now-detail").textContent = "This page shows who speaks as soon as somebody shares this room.";
  let watcher = null;
  const screen = new Screen({ connection: () => watcher, moving: () => watcher.ready, played: () => {} });

  function take(message) {
    if (message.type === "stats") {
      screen.lag.take(message);
      return screen.lag.show(watcher);
    }
    if (message.type === "renamed") moveColour(message.previous, message.speaker);
    screen.talk.take(message);
    screen.show();
  }

  const on = {
    state: showState,
    begin({ title = room, channels }) {
      call(title);
      screen.begin({ title, seats: channels });
    },
    message: take,
    over: (goodbye) => screen.stage === "live" && (screen.enter("over"), goodbye.reason === "ended" || notice(goodbye.message)),
    refused: async (error) => {
      const token = error.code === "unauthorized" ? await askToken() : null;
      if (token) return (watcher = new Watcher(room, on, token));
      showState("problem");
      notice(`${error.message} ${error.change}`);
    },
  };
  watcher = new Watcher(room, on, givenToken());
}

function call(title) {
  document.title = `${title} · streamer`;
  $("room-name").textContent = title;
}
