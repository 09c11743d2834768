// Statistics of the turns of a session, by the rules of streamer.sinks.statistics: counts only, nothing inferred.

import { RATE } from "./talk.js";

const OVERLAP_S = 0.3; // A shorter overlap is no interruption: one voice closely follows the other.

/** spans: { start, end, speaker } in samples. Returns talks (most talk time first), interruptions and follows
 * ([who, whom, times]), spoken (seconds), and overlap (seconds with two or more speakers). */
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

/** Compare strings by code point, as Python does. */
export function compare(one, other) {
  const [a, b] = [[...one], [...other]].map((letters) => letters.map((letter) => letter.codePointAt(0)));
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

/** Merge turns of one speaker that touch or overlap: an overlap of two speakers splits a turn in the time line. */
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

/** A speaker interrupts another by starting during their turn, overlapping for at least 0.3 s, and continuing after it. */
function* interruptions(turns) {
  for (const [i, [start, end, speaker]] of turns.entries()) {
    for (const [otherStart, otherEnd, other] of turns.slice(i + 1, i + 1 + 500)) {
      if (otherStart >= end) break;
      const together = (Math.min(end, otherEnd) - otherStart) / RATE;
      if (other !== speaker && otherStart > start && otherEnd > end && together >= OVERLAP_S) yield [other, speaker];
    }
  }
}

/** Pairs [who, whom]: a turn of `who` came directly after one of `whom`. */
function* follows(turns) {
  for (const [i, [, , speaker]] of turns.slice(1).entries()) if (speaker !== turns[i][2]) yield [speaker, turns[i][2]];
}

/** Pairs with their counts: the most frequent first, then by name. */
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
