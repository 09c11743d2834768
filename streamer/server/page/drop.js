// Accepts a file that is dropped anywhere on the page.

import { $ } from "./dom.js";

/** take(file): called with the file. */
export function whenDropped(take) {
  let depth = 0;
  addEventListener("dragenter", (event) => {
    if ([...event.dataTransfer.types].includes("Files")) $("drop").hidden = depth++ < 0;
  });
  addEventListener("dragleave", () => {
    if (--depth <= 0) $("drop").hidden = true;
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    $("drop").hidden = true;
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}
