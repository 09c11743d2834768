// Enrols a voice that was named after the session, from the audio that the page still has, by the protocol's messages.

import { Client } from "./client.js";
import { server } from "./dom.js";

const LONGEST_S = 20; // of speech; more hardly improves a profile
const PATIENCE_MS = 60000;

/** Enrol `name` from spans ({ start, end } in samples at 16 kHz) of a Memory, the longest first.
 * force: enrol even if the coach advises against it. Throws an Error with the reason if it was refused. */
export async function learn(name, spans, memory, { token = null, force = false } = {}) {
  const chunks = [];
  let left = LONGEST_S * memory.rate;
  for (const { start, end } of [...spans].sort((a, b) => b.end - b.start - (a.end - a.start))) {
    if (left <= 0) break;
    const samples = memory.slice(start, end).slice(0, left);
    left -= samples.length;
    chunks.push(samples);
  }
  const client = new Client(server(), { token, sampleRate: Math.round(memory.rate), stats_interval: 0 });
  const timer = setTimeout(() => client.close(), PATIENCE_MS);
  try {
    await client.open();
    await client.enroll(name, async () => {
      for (const samples of chunks) await client.send(samples);
    }, { force });
  } finally {
    clearTimeout(timer);
    client.close();
  }
}
