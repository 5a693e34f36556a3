/** What the formats share: the masks of an image, and the fields that JSON formats say alike. */

import { Problem } from "../problem.ts";
import type { Box, Point, Prompt, Thing } from "../store/project.ts";
import { newThing } from "../store/project.ts";
import { type Counts, area, bounds, emptyCounts, fromText, total, union } from "../masks/runs.ts";
import { say } from "../words/words.ts";
import { fillPolygon } from "./polygon.ts";

/** The masks of an image that are to be written, each with its pixels. */
export interface ImageMasks {
  /** Path below the folder of all images. */
  readonly name: string;
  readonly w: number;
  readonly h: number;
  readonly things: readonly Thing[];
}

export type Json = Record<string, unknown>;

/** What masks without a label are called, in formats where each has to have one. */
export const UNLABELLED = "object";

/** Where a thing's meta has the number by which tracks know it: `Masks.ids` of the library. */
const ID = "studio_id";
const ASIDE = "anymask_meta";

/** Of masks that have pixels: their run lengths. */
export function countsOf(thing: Thing): Counts {
  if (!thing.counts) throw new Error("a mask without pixels");
  return thing.counts;
}

export function damaged(name: string, reason: string): Problem {
  return new Problem(say("error.damaged", { name, reason }));
}

// ----------------------------------------------------------------------------- writing

/** First and last column and row, exclusive at the end; zeros for an empty mask. */
export function boxOf(thing: Thing, h: number): [number, number, number, number] {
  const box = bounds(countsOf(thing), h);
  return box ? [box.x0, box.y0, box.x1, box.y1] : [0, 0, 0, 0];
}

export function promptFields(thing: Thing): Json {
  const prompt = thing.waiting ? null : thing.prompt;
  if (!prompt || (!prompt.points.length && !prompt.box)) return {};
  return {
    point_coords: prompt.points.map(([x, y]) => [x, y]),
    ...(prompt.points.some(([, , label]) => label === 0) ? { point_labels: prompt.points.map(([, , label]) => label) } : {}),
    ...(prompt.box ? { prompt_box: prompt.box } : {}),
  };
}

export function trackField(thing: Thing): Json {
  const number = thing.meta[ID];
  return typeof number === "number" ? { track_id: number } : {};
}

/** What else is known; what has a name that means something to the format is set aside. */
export function metaFields(meta: Json, taken: ReadonlySet<string>): Json {
  const beside: Json = {};
  const aside: Json = {};
  for (const [key, value] of Object.entries(meta)) {
    if (key === ID) continue;
    (taken.has(key) || key === ASIDE ? aside : beside)[key] = value;
  }
  return Object.keys(aside).length ? { ...beside, [ASIDE]: aside } : beside;
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function withoutSuffix(path: string): string {
  return path.replace(/(?<=[^/])\.[^./]*$/, "");
}

/** Names images below the folder of all, without suffix, unlike each other. */
export function freeNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let free = withoutSuffix(name);
    if (taken.has(free.toLowerCase())) free = name;
    for (let i = 2; taken.has(free.toLowerCase()); i++) free = `${withoutSuffix(name)}-${i}`;
    taken.add(free.toLowerCase());
    return free;
  });
}

/** The number that an image's name ends in, as SA-1B and COCO have it; else 1. */
export function imageNumber(name: string): number {
  return Number(/\d+$/.exec(withoutSuffix(baseName(name)))?.[0] ?? 1);
}

/** Hands out numbers: the one that is wanted while it is free, else the next one. */
export class Numbers {
  private readonly taken = new Set<unknown>();
  private next = 1;

  take(wanted?: unknown): number | string {
    let number = wanted;
    if (!isNumber(number) || this.taken.has(number)) {
      while (this.taken.has(this.next)) this.next++;
      number = this.next;
    }
    this.taken.add(number);
    return number as number | string;
  }
}

/** Whether something can be an id: a whole number or, as some files have it, a text. */
export function isNumber(value: unknown): value is number | string {
  return typeof value === "string" || (typeof value === "number" && Number.isInteger(value));
}

// ----------------------------------------------------------------------------- reading

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function listOf(document: Json, key: string): Json[] {
  const found = document[key];
  if (!Array.isArray(found) || !found.every(isObject)) throw new Problem(`no list of ${key}`);
  return found;
}

export function numberOf(entry: Json, key: string): number | null {
  const value = entry[key];
  if (value === undefined || value === null) return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** Reads what an annotation says of its mask; what it knows beyond is its meta. */
export function readThing(entry: Json, counts: Counts, known: Partial<Thing>, taken: ReadonlySet<string>): Thing {
  const prompt = readPrompt(entry, counts);
  const meta: Json = {};
  for (const [key, value] of Object.entries(entry)) if (!taken.has(key) && key !== ASIDE) meta[key] = value;
  if (isObject(entry[ASIDE])) Object.assign(meta, entry[ASIDE]);
  const track = entry["track_id"];
  if (typeof track === "number" && Number.isInteger(track)) meta[ID] = track;
  else if (track !== undefined && track !== null) meta["track_id"] = track; // a name, perhaps
  return newThing({ counts, prompt, stability: numberOf(entry, "stability_score"), ...known, meta: { ...meta, ...known.meta } });
}

function readPrompt(entry: Json, mask: Counts): Prompt | null {
  const coords = entry["point_coords"];
  const labels = entry["point_labels"];
  const box = entry["prompt_box"];
  const points = (Array.isArray(coords) ? coords : []).map((one, i): Point => {
    const [x, y] = one as [unknown, unknown];
    return [finite(x), finite(y), Array.isArray(labels) && labels[i] === 0 ? 0 : 1];
  });
  const sides = Array.isArray(box) && box.length === 4 ? (box.map(finite) as unknown as Box) : null;
  return points.length || sides ? { points, box: sides, mask } : null;
}

export function finite(value: unknown): number {
  const number = typeof value === "string" && !value.trim() ? NaN : Number(value);
  if (!Number.isFinite(number)) throw new Problem(`expected a number, got ${JSON.stringify(value)}`);
  return number;
}

/** The most of a number that anybody can mean, as ids are the same as text, too. */
export function plainId(value: unknown): unknown {
  return typeof value === "string" && /^(0|[1-9]\d*)$/.test(value) ? Number(value) : value;
}

/**
 * Reads a segmentation in COCO's layout: polygons, run lengths, or what programs write for these;
 * null encloses nothing.
 */
export function readSegmentation(segmentation: unknown, h: number, w: number): Counts {
  if (segmentation === null || segmentation === undefined) return emptyCounts(h, w);
  let counts: Counts | null = null;
  for (const piece of piecesOf(segmentation)) {
    const drawn = isObject(piece) ? readRuns(piece, h, w) : readPolygon(piece, h, w);
    if (drawn) counts = counts ? union(counts, drawn) : drawn;
  }
  return counts ?? emptyCounts(h, w);
}

function piecesOf(segmentation: unknown): readonly unknown[] {
  if (isObject(segmentation)) return [segmentation];
  if (!Array.isArray(segmentation)) throw new Problem("expected a segmentation as polygons or run lengths");
  const isFlat = segmentation.length > 0 && !segmentation.some((one) => typeof one === "object");
  const isPairs = segmentation.length >= 3 && segmentation.every(isCorner);
  return isFlat || isPairs ? [segmentation] : segmentation;
}

function isCorner(value: unknown): boolean {
  return Array.isArray(value) && value.length === 2 && value.every((one) => typeof one !== "object");
}

function readPolygon(piece: unknown, h: number, w: number): Counts | null {
  if (!Array.isArray(piece)) throw new Problem("expected a segmentation as polygons or run lengths");
  const corners = (piece.every(isCorner) ? piece.flat() : piece).map(finite);
  if (corners.length % 2) throw new Problem(`expected x and y of each corner, got ${corners.length} numbers`);
  return corners.length >= 6 ? fillPolygon(corners, h, w) : null;
}

function readRuns(piece: Json, h: number, w: number): Counts {
  const { counts: given, size } = piece;
  let counts: Counts;
  if (typeof given === "string") counts = fromText(given);
  else if (Array.isArray(given)) counts = Uint32Array.from(given.map(runLength));
  else throw new Problem("expected run lengths with counts");
  const sides = Array.isArray(size) ? size.map(Number) : [h, w];
  if (sides[0] !== h || sides[1] !== w || total(counts) !== h * w) {
    throw new Problem(`expected run lengths of an image of ${w} x ${h}, got ${sides[1]} x ${sides[0]}`);
  }
  return counts;
}

function runLength(value: unknown): number {
  const length = finite(value);
  if (length < 0 || !Number.isInteger(length) || length > 0xffffffff) throw new Problem(`expected run lengths, got ${length}`);
  return length;
}

/** Whether an annotation is of a crowd. */
export function isCrowd(meta: Json): boolean {
  return ["1", "1.0", "true", "yes"].includes(String(meta["iscrowd"] ?? "").trim().toLowerCase());
}

/** Numbers pixels by the mask they belong to, 1 on; of masks that overlap, the smaller one is on top. */
export function labelMap(masks: readonly Counts[], h: number, w: number): Uint16Array {
  const areas = masks.map(area);
  const fromBelow = masks.map((_, i) => i).sort((a, b) => areas[b]! - areas[a]! || b - a);
  const map = new Uint16Array(h * w); // column by column, as run lengths are
  for (const i of fromBelow) {
    let at = 0;
    masks[i]!.forEach((count, k) => {
      if (k % 2) map.fill(i + 1, at, at + count);
      at += count;
    });
  }
  return map;
}
