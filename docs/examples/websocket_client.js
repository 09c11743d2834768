// Who is speaking, from the microphone: streamer.v1 in plain JavaScript, for a page on localhost or https.
//
//   const stop = await listen("ws://localhost:8765/v1/stream", (event) => console.log(event.time, event.speaker));

const WORKLET = `
  registerProcessor("tap", class extends AudioWorkletProcessor {
    process([[samples]]) {
      if (samples) this.port.postMessage(samples.slice());
      return true;
    }
  });`;

export async function listen(url, onEvent, token) {
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
  const context = new AudioContext();
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" })));
  const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
  context.createMediaStreamSource(microphone).connect(tap);

  // A browser can set no headers: the token goes in as a second subprotocol.
  const socket = new WebSocket(url, token ? ["streamer.v1", `streamer.bearer.${token}`] : ["streamer.v1"]);
  socket.onopen = () => socket.send(JSON.stringify({ type: "start", sample_rate: context.sampleRate, encoding: "f32le" }));

  let lastEvent = 0;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "ready") tap.port.onmessage = ({ data: samples }) => send(samples);
    else if (message.type === "error") console.error(`${message.code}: ${message.message} ${message.change}`);
    else if (message.id) {
      lastEvent = message.id;
      onEvent(message);
    }
  };
  const acknowledging = setInterval(() => {
    if (lastEvent && socket.readyState === WebSocket.OPEN) {
      socket.send(JSON.stringify({ type: "ack", event: lastEvent }));
    }
  }, 5000);

  function send(samples) {
    if (socket.readyState === WebSocket.OPEN) socket.send(samples);
  }

  return async function stop() {
    tap.port.onmessage = null;
    clearInterval(acknowledging);
    microphone.getTracks().forEach((track) => track.stop());
    await context.close();
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "end" })); // the server says goodbye
  };
}
