// A connection that watches a shared room: it receives events and sends no audio. It reconnects while the page is open.

import { server } from "./dom.js";

const AGAIN_MS = 3000;

/** The token in the page's address (#token=...), or null. Browsers do not send this part of an address. It is removed from
 * the address at once, so that nobody can read it on the screen. */
export function givenToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) history.replaceState(null, "", location.pathname + location.search);
  return token;
}

export class Watcher {
  /**
   * on: { state(name), begin({ title, channels }): the room's events follow, from the first one that was kept,
   * message(message), over(goodbye), refused(error): final, does not reconnect }.
   * states: connecting, watching, absent (the room does not exist yet, or has ended), waiting (for the server).
   */
  constructor(room, on, token = null) {
    Object.assign(this, { room, on, token, ready: false, unsent: 0, reached: 0, done: false, state: "waiting" });
    this.settings = { step: 0.5, stats_interval: 60 }; // assumed: the session that shares the room chooses its own
    on.state("connecting");
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(`${server()}/v1/stream`, "streamer.v1");
    this.socket.onopen = () => {
      this.socket.send(JSON.stringify({ type: "watch", room: this.room, ...(this.token ? { token: this.token } : {}) }));
    };
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.socket.onclose = () => this.lost();
  }

  receive(message) {
    switch (message.type) {
      case "watching":
        this.ready = true;
        this.state = "waiting"; // after a loss without a further message
        this.on.state("watching");
        return this.on.begin(message);
      case "error":
        if (message.code === "unauthorized" || message.code === "forbidden" || message.code === "invalid_message") {
          this.close();
          return this.on.refused(message);
        }
        this.state = message.code === "unknown_session" ? "absent" : "waiting";
        return;
      case "goodbye":
        this.state = message.reason === "ended" || message.reason === "replaced" ? "absent" : "waiting";
        return this.on.over(message);
      default:
        return this.on.message(message);
    }
  }

  lost() {
    this.ready = false;
    if (this.done) return;
    this.on.state(this.state);
    setTimeout(() => this.done || this.connect(), AGAIN_MS * (0.8 + Math.random() * 0.4));
  }

  close() {
    this.done = true;
    this.socket.close(1000);
  }
}
