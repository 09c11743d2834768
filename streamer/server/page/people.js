// Names and their colours. Colours are not stored: they last as long as the page.

const HUES = [222, 12, 158, 42, 282, 188, 336, 96, 252, 28, 130, 305];
const GUEST = /^guest-\d+$/;

const given = new Map(); // name -> place in HUES

export const isGuest = (name) => GUEST.test(name);

/** The name to display: "Guest 1" for guest-1. */
export const display = (name) => (isGuest(name) ? name.replace("guest-", "Guest ") : name);

export function initials(name) {
  if (isGuest(name)) return `G${name.slice(6)}`;
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return letters.map((word) => [...word][0]?.toUpperCase() ?? "").join("");
}

/** The place in HUES of a name's preferred colour, a hash: the same in every browser. */
function wish(name) {
  let sum = 2166136261;
  for (const character of name.toLowerCase()) sum = Math.imul(sum ^ character.codePointAt(0), 16777619) >>> 0;
  return sum % HUES.length;
}

/** The distance of two places of HUES on the colour wheel, in degrees. */
function apart(one, other) {
  const difference = Math.abs(HUES[one] - HUES[other]) % 360;
  return Math.min(difference, 360 - difference);
}

/** Of the least used colours, the one farthest from all used ones (120 degrees is enough), then nearest to the wish. */
function choose(name) {
  const taken = [...given.values()];
  const uses = HUES.map((_, place) => taken.filter((other) => other === place).length);
  const free = [...HUES.keys()].filter((place) => uses[place] === Math.min(...uses));
  const worth = (place) => Math.min(120, ...taken.map((other) => apart(place, other))) - apart(place, wish(name)) / 1000;
  return free.reduce((best, place) => (worth(place) > worth(best) ? place : best));
}

/** The colour of a name. scheme: light or dark; the page's by default. */
export function colour(name, scheme) {
  if (!given.has(name)) given.set(name, choose(name));
  const dark = scheme ? scheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  return `oklch(${dark ? "76% 0.13" : "54% 0.15"} ${HUES[given.get(name)]})`;
}

/** A name has changed: the new name gets the old one's colour, unless it has one already. */
export function moveColour(from, to) {
  if (given.has(from) && !given.has(to)) {
    given.set(to, given.get(from));
    given.delete(from);
  }
}

/** A new session begins: its guest-1 is another person. */
export function forgetGuests() {
  for (const name of [...given.keys()]) if (isGuest(name)) given.delete(name);
}
