// How far what is shown lies behind what is said, as a number and as a word.

import { $ } from "./dom.js";

const LIVE_S = 1; // Less than this is not felt as a delay.

/** Seconds from a voice to its name: what waits here, what waits on the server, and silence of the server's beyond what it
 * promised. stats: its last message, step: seconds between two looks, silent: seconds since it came, interval: its promise. */
export function behind({ lag, queue }, { unsent = 0, step = 0.5, silent = 0, interval = 2 } = {}) {
  // Up to a step of what has arrived always waits: that is no delay.
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
