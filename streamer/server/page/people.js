// Names and their colours. A colour is given at the first sight of a name and stays with it, also over a reload.

const HUES = [222, 12, 158, 42, 282, 188, 336, 96, 252, 28, 130, 305];
const KEY = "streamer.colours";
const GUEST = /^guest-\d+$/;

const given = new Map(load());

function load() {
  try {
    return Object.entries(JSON.parse(localStorage.getItem(KEY) ?? "{}"));
  } catch {
    return [];
  }
}

function save() {
  const lasting = [...given].filter(([name]) => !GUEST.test(name)).slice(-200);
  try {
    localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(lasting)));
  } catch {
    // Without storage colours last as long as the page.
  }
}

export const isGuest = (name) => GUEST.test(name);

/** What people see: "Guest 1" for guest-1. */
export const display = (name) => (isGuest(name) ? name.replace("guest-", "Guest ") : name);

export function initials(name) {
  if (isGuest(name)) return `G${name.slice(6)}`;
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return letters.map((word) => [...word][0]?.toUpperCase() ?? "").join("");
}

export function colour(name) {
  if (!given.has(name)) {
    const taken = [...given.values()];
    const uses = HUES.map((_, index) => taken.filter((other) => other === index).length);
    given.set(name, uses.indexOf(Math.min(...uses)));
    save();
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return `oklch(${dark ? "74% 0.13" : "55% 0.15"} ${HUES[given.get(name)]})`;
}

/** A guest has a name now: the colour goes with the person. */
export function moveColour(from, to) {
  if (given.has(from) && !given.has(to)) {
    given.set(to, given.get(from));
    given.delete(from);
    save();
  }
}

/** A new session: its guest-1 is somebody else. */
export function forgetGuests() {
  for (const name of [...given.keys()]) if (isGuest(name)) given.delete(name);
}
