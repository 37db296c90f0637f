/** Words that say nothing of what is to change. */
const FILLING = new Set("a an the it its this that my of in on at to as so with make turn change into add give put set get have want would look looks like please can you photo photograph picture image pic and or more some very really".split(" "));
const STEM = 4; // letters that two forms of a word have in common: fog and foggy, snow and snowy

function wordsOf(text: string): string[] {
  return (text.toLowerCase().match(/[a-z&]{2,}/g) ?? []).filter((word) => !FILLING.has(word));
}

function areAlike(one: string, other: string): boolean {
  const [short, long] = one.length < other.length ? [one, other] : [other, one];
  return short.length < STEM ? long.startsWith(short) && long.length - short.length < STEM : long.startsWith(short.slice(0, Math.max(STEM, short.length - 2)));
}

/** Of some instructions those with words of the typed one, the nearest first; null where it has no word that counts. */
export function nearest(typed: string, instructions: string[], most = 3): string[] | null {
  const wanted = wordsOf(typed);
  if (wanted.length === 0) return null;
  const common = (text: string) => {
    const words = wordsOf(text);
    return wanted.filter((word) => words.some((other) => areAlike(word, other))).length;
  };
  return instructions
    .map((text) => ({ text, score: common(text) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, most)
    .map(({ text }) => text);
}
