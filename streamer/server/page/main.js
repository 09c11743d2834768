// One page for two uses: listening, and watching a room by a link (/?room=NAME).

import { App } from "./app.js";
import { watch } from "./viewer.js";

const room = new URLSearchParams(location.search).get("room");
if (room === null) new App();
else watch(room);
