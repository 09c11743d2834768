// The lag of the display behind the speech, as a number and as a word.

import { $ } from "./dom.js";

const LIVE_S = 1; // A shorter lag is not felt as a delay.

/** Seconds from a voice to its name: audio that waits here and on the server, or how overdue the server's message is.
 * The first argument is the server's last `stats` message. unsent: seconds of audio that wait here. step: seconds of one
 * step. silent: seconds since that message. interval: seconds between messages that the server promised. */
export function behind({ lag, queue }, { unsent = 0, step = 0.5, silent = 0, interval = 2 } = {}) {
  // Up to one step of audio always waits on the server: that is not a delay.
  return Math.max(unsent + Math.max(lag, queue - step), silent - interval - LIVE_S);
}

export class Lag {
  take(stats) {
    this.stats = stats;
    this.at = performance.now();
  }

  reset() {
    this.stats = null;
    $("lag").hidden = true;
  }

  /** connection: { ready, unsent, settings }. */
  show(connection) {
    $("lag").hidden = !this.stats || !connection?.ready;
    if ($("lag").hidden) return;
    const { step, stats_interval: interval } = connection.settings;
    const silent = (performance.now() - this.at) / 1000;
    const late = behind(this.stats, { unsent: connection.unsent, step, silent, interval });
    const live = late < LIVE_S;
    $("lag").dataset.live = live;
    $("lag-number").textContent = live ? `${Math.round(late * 1000)} ms` : "";
    $("lag-word").textContent = live ? "live" : `${Math.round(late)} s behind`;
  }
}
