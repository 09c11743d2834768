// A voice named after the session: what the page still has of it is enrolled, by the protocol's own messages.

const LONGEST_S = 20; // of speech; more makes a profile little better
const PIECE = 32000; // bytes in one message
const PATIENCE_MS = 60000;

/** Enrol `name` from these spans ({ start, end } in samples at 16 kHz) of a Memory, the longest first.
 * force: although the coach advises against it. Throws an Error with what stands against it. */
export async function learn(name, spans, memory, { token = null, force = false } = {}) {
  const pieces = [];
  let left = LONGEST_S * memory.rate;
  for (const { start, end } of [...spans].sort((a, b) => b.end - b.start - (a.end - a.start))) {
    if (left <= 0) break;
    const samples = memory.slice(start, end).slice(0, left);
    left -= samples.length;
    pieces.push(samples);
  }
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`, "streamer.v1");
  const tell = (message) => socket.send(JSON.stringify(message));
  const timer = setTimeout(() => socket.close(1000), PATIENCE_MS);
  try {
    await new Promise((resolve, reject) => {
      socket.onopen = () => tell({ type: "start", sample_rate: Math.round(memory.rate), stats_interval: 0, ...(token ? { token } : {}) });
      socket.onclose = () => reject(new Error("The server did not answer. Try again in a moment."));
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "ready") {
          tell({ type: "enroll", action: "start", name });
          for (const samples of pieces) {
            for (let at = 0; at < samples.length; at += PIECE / 2) socket.send(samples.slice(at, at + PIECE / 2));
          }
          tell({ type: "flush" });
        } else if (message.type === "flushed") {
          tell({ type: "enroll", action: "commit", force });
        } else if (message.type === "enrolment" && message.state === "committed") {
          resolve();
        } else if (message.type === "enrolment" && message.state === "refused") {
          reject(new Error(message.advice.map(({ message: advice }) => advice).join(" ")));
        } else if (message.type === "error") {
          reject(new Error(`${message.message} ${message.change}`));
        }
      };
    });
  } finally {
    clearTimeout(timer);
    socket.onclose = socket.onmessage = null;
    socket.close(1000);
  }
}
