// What tests/client/test_javascript.py has Node do: node driver.mjs TASK URL [JSON of options]. Prints one JSON value.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { Client, ServerRefused } = await import(pathToFileURL(process.env.STREAMER_CLIENT));
const [task, url, text] = process.argv.slice(2);
const { audio, token, floats, ...settings } = JSON.parse(text ?? "{}");
const bytes = audio ? readFileSync(audio) : Buffer.alloc(0);
const samples = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
const states = [];
const client = new Client(url, { token, onState: (state) => states.push(state), ...settings });
const tell = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

async function talk() {
  const ready = await client.open();
  const said = [];
  const reading = (async () => {
    for await (const message of client) {
      said.push(message);
      if (message.id && process.env.STREAMER_TELL) tell({ heard: message.id });
    }
  })();
  const values = floats ? Float32Array.from(samples, (value) => value / 32767) : samples;
  for (let at = 0; at < values.length; at += 4800) await client.send(values.slice(at, at + 4800));
  client.end();
  await reading;
  return { ready, said, states };
}

const tasks = {
  talk,
  async people() {
    await client.open();
    const progress = [];
    let refused = null;
    try {
      await client.enroll("Ada", () => client.send(samples));
    } catch (error) {
      refused = { ours: error instanceof ServerRefused, code: error.code, advice: error.advice.length };
    }
    const enrolled = await client.enroll("Ada", () => client.send(samples), { force: true, onProgress: (one) => progress.push(one.speech) });
    const people = await client.speakers();
    let unknown = null;
    try {
      await client.name("guest-9", "Eve");
    } catch (error) {
      unknown = error.code;
    }
    await client.tell("words", { text: "Hello.", start_sample: 0, end_sample: 8000 });
    const ping = await client.ask("ping");
    const words = [];
    for await (const message of client) {
      if (message.type !== "said") continue;
      words.push(message.text);
      break;
    }
    client.close();
    return { words, refused, enrolled, progress, people, unknown, ping };
  },
  async name() {
    await client.open();
    await client.send(samples);
    await client.ask("flush");
    let guest = null;
    for await (const message of client) {
      if (message.speaker?.startsWith("guest-")) {
        guest = message.speaker;
        break;
      }
    }
    const named = await client.name(guest, "Grace");
    client.close();
    return { guest, named };
  },
  async refused() {
    try {
      await client.open();
    } catch (error) {
      return { ours: error instanceof ServerRefused, code: error.code, change: error.change };
    }
    return null;
  },
};
tell(await tasks[task]());
