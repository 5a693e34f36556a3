/** Words: what they name is looked for by the detector and cut out by the model (`anymask.text`). */

import { type Counts, area } from "../masks/runs.ts";
import type { Answer, Box } from "../store/project.ts";
import type { Embedding } from "./embedding.ts";
import { type Ask, withoutDuplicates } from "./everything.ts";
import type { Model } from "./model.ts";
import { enlargerOf } from "./predict.ts";
import { type Found, type Seen, pick, ranked } from "./ssd.ts";

/** What the detector knows, as `model.json` has it. */
export interface Vocabulary {
  readonly labels: readonly string[];
  /** What each word means, out of the labels. */
  readonly words: Readonly<Record<string, readonly string[]>>;
  readonly irregular: Readonly<Record<string, string>>;
  /** A regular expression of what comes before a noun and says nothing of it. */
  readonly before: string;
}

const LEAST_SCORE = 0.3;
const SAME_PHRASE = 0.5;
const INSIDE = 0.8;
const OTHER_PHRASE = 0.8;

/** Tells the phrases in a text, each once. */
export function phrasesOf(text: string, { before }: Vocabulary): string[] {
  const parts = text.normalize("NFKC").toLowerCase().split(/[.,;\n/&|+]|\b(?:and|or)\b/);
  const bare = parts.map((part) => part.replace(/^[^\p{L}\p{N}_]+|[^\p{L}\p{N}_]+$/gu, "").split(/\s+/).join(" "));
  return [...new Set(bare.map((part) => withoutArticle(part, before)).filter(Boolean))];
}

function withoutArticle(word: string, before: string): string {
  return word.replace(new RegExp(`^(${before})(\\s+|$)`), "");
}

/** Which labels a phrase means; none for one that is not known. */
export function labelsOf(phrase: string, { words, irregular, before }: Vocabulary): readonly string[] {
  const plain = withoutArticle(phrase, before).split(" ");
  const last = plain.pop() ?? "";
  const forms = [last];
  if (irregular[last]) forms.push(irregular[last]);
  if (last.endsWith("ies")) forms.push(`${last.slice(0, -3)}y`);
  for (const ending of ["s", "es"]) if (last.endsWith(ending)) forms.push(last.slice(0, -ending.length));
  for (const form of forms) {
    const labels = words[[...plain, form].join(" ")];
    if (labels) return labels;
  }
  return [];
}

interface Named extends Found {
  readonly phrase: string;
}

/** Finds what phrases mean in what the detector saw, best first, without duplicates. */
export function lookFor(phrases: readonly string[], seen: Seen, vocabulary: Vocabulary): Named[] {
  const meant = new Map(phrases.map((phrase) => [phrase, labelsOf(phrase, vocabulary).map((label) => vocabulary.labels.indexOf(label))]));
  const labels = [...new Set([...meant.values()].flat())];
  const found = pick(seen, { minScore: LEAST_SCORE, nms: SAME_PHRASE, most: 100, labels });
  const narrowFirst = [...phrases].sort((a, b) => meant.get(a)!.length - meant.get(b)!.length);
  const named = narrowFirst.flatMap((phrase) =>
    found.filter(({ label }) => meant.get(phrase)!.includes(label)).map((one): Named => ({ ...one, phrase })),
  );
  named.sort((a, b) => b.score - a.score);
  const inside = named.filter(({ box }) => box[2] > box[0] && box[3] > box[1]);
  return ranked(ranked(inside, SAME_PHRASE, (a, b) => a.phrase === b.phrase), OTHER_PHRASE);
}

export async function words(model: Model, embedding: Embedding, found: readonly Named[], ask: Ask): Promise<Answer[]> {
  const enlarger = enlargerOf(embedding);
  const cells = embedding.low[0] * embedding.low[1];
  const masks: { counts: Counts; box: Box; score: number; phrase: string }[] = [];
  for (const { box, score, phrase } of found) {
    const { logits, scores } = await ask([{ points: [], box, mask: null }]);
    let best = 0;
    if (model.about.variant.always_three) for (let i = (best = 1); i < 4; i++) if (scores[i]! > scores[best]!) best = i;
    const measured = enlarger.measure(logits.subarray(best * cells, (best + 1) * cells), 0);
    if (area(measured.counts)) masks.push({ counts: measured.counts, box: measured.box, score, phrase });
  }
  const phrases = [...new Set(masks.map(({ phrase }) => phrase))];
  const kept = phrases.flatMap((phrase) => {
    const some = masks.filter((mask) => mask.phrase === phrase).sort((a, b) => b.score - a.score);
    return withoutDuplicates(withoutDuplicates(some, SAME_PHRASE), 1, INSIDE);
  });
  kept.sort((a, b) => b.score - a.score);
  return withoutDuplicates(kept, OTHER_PHRASE).map(({ counts, score, phrase }) => ({
    counts, score, stability: null, label: phrase, logits: null,
  }));
}
