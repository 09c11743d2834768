// What a session's turns say of it, by the rules of streamer.sinks.statistics: counted, and nothing inferred.

import { RATE } from "./talk.js";

const OVERLAP_S = 0.3; // Two who speak at once for less than this only follow each other closely.

/** spans: { start, end, speaker } in samples. Returns talks (the most talkative first), interruptions and follows
 * ([who, whom, times]), seconds spoken, and seconds with two or more at once. */
export function statistics(spans) {
  const turns = spans
    .map(({ start, end, speaker }) => [start, end, speaker])
    .filter(([start, end]) => end > start)
    .sort((a, b) => a[0] - b[0] || a[1] - b[1] || compare(a[2], b[2]));
  const seconds = new Map();
  for (const [start, end, speaker] of turns) seconds.set(speaker, [...(seconds.get(speaker) ?? []), (end - start) / RATE]);
  const sum = (list) => list.reduce((total, value) => total + value, 0);
  const total = sum([...seconds.values()].map(sum)) || 1;
  const talks = [...seconds].map(([speaker, own]) => ({
    speaker,
    seconds: sum(own),
    share: sum(own) / total,
    turns: own.length,
    mean: sum(own) / own.length,
    longest: Math.max(...own),
  }));
  talks.sort((a, b) => b.seconds - a.seconds || compare(a.speaker, b.speaker));
  return { talks, ...coverage(turns), interruptions: counted(interruptions(joined(turns))), follows: counted(follows(turns)) };
}

/** By code point, as Python compares. */
export function compare(one, other) {
  const [a, b] = [[...one], [...other]].map((letters) => letters.map((letter) => letter.codePointAt(0)));
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

/** Turns of one speaker of which one begins where the other ends, as one: a name is given anew where two spoke at once. */
function joined(turns) {
  const [found, last] = [[], new Map()];
  for (const [start, end, speaker] of turns) {
    const before = last.get(speaker);
    if (before && before[1] >= start) {
      before[1] = Math.max(before[1], end);
      continue;
    }
    const turn = [start, end, speaker];
    found.push(turn);
    last.set(speaker, turn);
  }
  return found;
}

/** Somebody interrupts who begins while another speaks, goes on after them, and spoke with them for at least 0.3 s. */
function* interruptions(turns) {
  for (const [i, [start, end, speaker]] of turns.entries()) {
    for (const [otherStart, otherEnd, other] of turns.slice(i + 1, i + 1 + 500)) {
      if (otherStart >= end) break;
      const together = (Math.min(end, otherEnd) - otherStart) / RATE;
      if (other !== speaker && otherStart > start && otherEnd > end && together >= OVERLAP_S) yield [other, speaker];
    }
  }
}

/** Whose turn came next after whose. */
function* follows(turns) {
  for (const [i, [, , speaker]] of turns.slice(1).entries()) if (speaker !== turns[i][2]) yield [speaker, turns[i][2]];
}

/** Pairs with how often they come: the most frequent first, then by their names. */
function counted(pairs) {
  const times = new Map();
  for (const pair of pairs) {
    const key = JSON.stringify(pair);
    times.set(key, (times.get(key) ?? 0) + 1);
  }
  const rows = [...times].map(([key, count]) => [...JSON.parse(key), count]);
  return rows.sort((a, b) => b[2] - a[2] || compare(a[0], b[0]) || compare(a[1], b[1]));
}

function coverage(turns) {
  const edges = turns.flatMap(([start, end]) => [[start, 1], [end, -1]]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let [spoken, overlap, last, speaking] = [0, 0, 0, 0];
  for (const [sample, change] of edges) {
    if (speaking > 0) spoken += sample - last;
    if (speaking > 1) overlap += sample - last;
    [speaking, last] = [speaking + change, sample];
  }
  return { spoken: spoken / RATE, overlap: overlap / RATE };
}
