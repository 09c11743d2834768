// Helpers for the document: find and create elements, and update lists.

/** The address for WebSockets: the server that the page came from. */
export const server = () => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;

export const $ = (id) => document.getElementById(id);

/** Create an element with properties and children (elements or text). data, aria: its data-* and aria-* attributes. */
export function make(tag, { data = {}, aria = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

/** An icon from the symbols in index.html. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Update a list with few changes to its rows, so that the focus is kept. key(item): what identifies an item. */
export function rows(list, items, key, create, update) {
  const there = new Map([...list.children].map((row) => [row.dataset.key, row]));
  items.forEach((item, index) => {
    const name = String(key(item));
    const row = there.get(name) ?? create(item);
    there.delete(name);
    row.dataset.key = name;
    update(row, item);
    if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
  });
  for (const row of there.values()) row.remove();
}

/** Seconds as 0:54, 12:05 or 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const padded = String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${padded}` : `${minutes}:${padded}`;
}

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
