/**
 * Everything mode: a grid of points asks the model, and what it doubts, what is unstable and what
 * another mask says already goes (`anymask.everything`).
 */

import type { Counts } from "../masks/runs.ts";
import { area, iou } from "../masks/runs.ts";
import type { Answer, Box } from "../store/project.ts";
import type { Embedding } from "./embedding.ts";
import type { Enlarger } from "./enlarge.ts";
import type { Size } from "./frame.ts";
import type { Model } from "./model.ts";
import { type Asked, type Decoded, enlargerOf } from "./predict.ts";
import { boxArea, boxIou } from "./ssd.ts";

/** Asks the decoder, in turn with what else the page wants to know. */
export type Ask = (prompts: readonly Asked[]) => Promise<Decoded>;

/** What a search asks of who runs it. */
export interface Run {
  readonly ask: Ask;
  /** Lets others go first, and ends the search if nobody waits for it any more. */
  readonly pause: () => Promise<void>;
  readonly progress: (done: number, total: number) => void;
}

const ALONE = 16; // points along a side of the grid, at most, where one thread has to do it all
const AT_ONCE = 4; // what the caches of a processor hold
const MARGIN = 4; // cells around what matters of an answer that a pixel may be a mean of
const BELOW = -1e4; // stands for logits that do not matter
const UNSURE = 2; // cells by which a box at low resolution may be wrong

interface Candidate {
  readonly rank: number;
  readonly score: number;
  readonly part: Part;
  /** In pixels of the image: a box that the mask holds, and one that holds the mask. */
  readonly held: Box;
  readonly holding: Box;
}

/** What matters of a map of logits. */
interface Part {
  readonly x0: number;
  readonly y0: number;
  readonly w: number;
  readonly cells: Float32Array;
}

/**
 * Finds all that there is.
 *
 * @param side Points along each side of the grid.
 * @param boxes Of things that the detector has seen; they are asked for, too.
 */
export async function everything(
  model: Model,
  embedding: Embedding,
  side: number,
  boxes: readonly Box[],
  run: Run,
): Promise<Answer[]> {
  const search = new Search(model, embedding);
  const { original } = embedding.way;
  const points = pointGrid(side, original);
  const clicks = points.map(([x, y]): Asked => ({ points: [[x, y, 1]], box: null, mask: null }));
  const around = boxes.map((box): Asked => ({ points: [], box, mask: null }));
  const can = model.about.variant.capabilities;
  let done = 0;
  for (const [prompts, slots] of [[clicks, can.includes("multimask") ? [1, 2, 3] : [0]], [around, [0]]] as const) {
    for (let at = 0; at < prompts.length; at += AT_ONCE) {
      const some = prompts.slice(at, at + AT_ONCE);
      search.add(await run.ask(some), slots);
      run.progress((done += some.length), clicks.length + around.length);
    }
  }
  return search.settle(run.pause);
}

/** How many points the grid has along a side: those of the model, fewer in one thread. */
export function gridSide(given: number, threads: number): number {
  return threads > 1 ? given : Math.min(given, ALONE);
}

function pointGrid(side: number, [h, w]: Size): [number, number][] {
  const at = (i: number): number => (i + 0.5) / side;
  return Array.from({ length: side * side }, (_, i) => [at(i % side) * w, at(Math.floor(i / side)) * h]);
}

class Search {
  private candidates: Candidate[] = [];
  private readonly enlarger: Enlarger;
  private readonly near: Float32Array | null;

  constructor(
    private readonly model: Model,
    private readonly embedding: Embedding,
  ) {
    this.enlarger = enlargerOf(embedding);
    const boundary = embedding.features[model.about.features["boundary"] ?? ""];
    this.near =
      this.config.ranking === "outline" && boundary
        ? highest((boundary.data as Float32Array).map((value) => 1 / (1 + Math.exp(-value))), boundary.dims[2]!, boundary.dims[3]!)
        : null;
  }

  private get config() {
    return this.model.about.variant.generate;
  }

  /** Remembers which answers the model trusts. */
  add({ logits, scores }: Decoded, slots: readonly number[]): void {
    const [h, w] = this.embedding.low;
    for (let prompt = 0; prompt < scores.length / 4; prompt++) {
      for (const slot of slots) {
        const place = 4 * prompt + slot;
        const score = scores[place]!;
        if (this.config.pred_iou_thresh > 0 && !(score > this.config.pred_iou_thresh)) continue;
        const map = logits.subarray(place * h * w, (place + 1) * h * w);
        const rank = this.near ? score * outlineStrength(map, this.near, h, w) : score;
        const part = cutOut(map, h, w, -this.config.stability_score_offset);
        if (part) this.candidates.push({ rank, score, part, ...this.boxes(map) });
      }
    }
  }

  private boxes(map: Float32Array): { held: Box; holding: Box } {
    const [h, w] = this.embedding.low;
    const box = boxOfCells(map, h, w, 0) ?? [0, 0, 0, 0];
    const { original, resized, frame, offset } = this.embedding.way;
    const pixel = (cell: number, axis: 0 | 1): number =>
      (((cell * frame[axis]) / (axis ? w : h) - offset[axis]) * original[axis]) / resized[axis];
    const at = (by: number): Box => {
      const [x0, y0, x1, y1] = [box[0] - by, box[1] - by, box[2] + by, box[3] + by];
      const inside = (value: number, axis: 0 | 1): number => Math.min(Math.max(pixel(value, axis), 0), original[axis] - 1);
      return [inside(x0, 1), inside(y0, 0), inside(Math.max(x0, x1), 1), inside(Math.max(y0, y1), 0)];
    };
    return { held: at(-UNSURE), holding: at(UNSURE) };
  }

  /** Gives what is stable and no duplicate of something better, best first. */
  async settle(pause: Run["pause"]): Promise<Answer[]> {
    const { config } = this;
    const order = [...this.candidates].sort((a, b) => b.rank - a.rank);
    this.candidates = [];
    const kept: (Candidate & { readonly box: Box; readonly counts: Counts; readonly stability: number })[] = [];
    const [h, w] = this.embedding.low;
    const map = new Float32Array(h * w);
    let since = performance.now();
    for (const one of order) {
      if (kept.length && one.rank < config.ranking_thresh * kept[0]!.rank) break;
      if (kept.some(({ box }) => surelyOverlap(box, one) > config.box_nms_thresh + 1e-6)) continue;
      if (performance.now() - since > 50) {
        await pause(); // whoever clicks meanwhile goes first
        since = performance.now();
      }
      putBack(one.part, map, w);
      const { counts, stability, box } = this.enlarger.measure(map, config.stability_score_offset);
      if (config.stability_score_thresh > 0 && !(stability >= config.stability_score_thresh)) continue;
      if (kept.some((better) => boxIou(better.box, box) > config.box_nms_thresh)) continue;
      kept.push({ ...one, counts, stability, box });
    }
    return withoutDuplicates(kept, config.mask_nms_thresh, config.containment_nms_thresh).map(
      ({ counts, score, stability }) => ({ counts, score, stability, label: null, logits: null }),
    );
  }
}

/** Bounds from below how much a box overlaps that of a mask of which only some are known. */
function surelyOverlap(box: Box, { held, holding }: { held: Box; holding: Box }): number {
  const shared = (a: Box, b: Box): number =>
    Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const either = boxArea(box) + boxArea(holding) - shared(box, holding);
  return either > 0 && held[2] > held[0] && held[3] > held[1] ? shared(box, held) / either : 0;
}

/** Drops of what comes best first whatever is too much like something better. */
export function withoutDuplicates<One extends { readonly counts: Counts; readonly box: Box }>(
  found: readonly One[],
  most: number,
  mostInside = 1,
): One[] {
  const kept: { one: One; size: number }[] = [];
  for (const one of found) {
    const size = area(one.counts);
    const double = kept.some(({ one: other, size: its }) => {
      if (!touch(one.box, other.box)) return false;
      const overlap = most < 1 && Math.min(size, its) > most * Math.max(size, its) ? iou(one.counts, other.counts) : 0;
      return overlap > most || (mostInside < 1 && sharedOf(one.counts, other.counts, size, its) > mostInside);
    });
    if (!double) kept.push({ one, size });
  }
  return kept.map(({ one }) => one);
}

function touch(a: Box, b: Box): boolean {
  return a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3];
}

function sharedOf(a: Counts, b: Counts, sizeA: number, sizeB: number): number {
  const overlap = iou(a, b);
  return ((overlap / (1 + overlap)) * (sizeA + sizeB)) / Math.max(1, Math.min(sizeA, sizeB));
}

// ----------------------------------------------------------------------- maps of cells

/** The highest value within one cell of each. */
function highest(values: Float32Array, h: number, w: number): Float32Array {
  const rows = values.slice();
  for (let i = 0; i < values.length; i++) {
    if (i >= w) rows[i] = Math.max(rows[i]!, values[i - w]!);
    if (i + w < values.length) rows[i] = Math.max(rows[i]!, values[i + w]!);
  }
  const all = rows.slice();
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      if (x > 0) all[i] = Math.max(all[i]!, rows[i - 1]!);
      if (x + 1 < w) all[i] = Math.max(all[i]!, rows[i + 1]!);
    }
  }
  return all;
}

/** How much of a mask's outline lies on boundaries, of a map with twice as many cells along each side. */
function outlineStrength(map: Float32Array, near: Float32Array, mapH: number, mapW: number): number {
  const [h, w] = [mapH >> 1, mapW >> 1];
  const inside = new Uint8Array(h * w);
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0, at = 2 * y * mapW; x < w; x++, i++, at += 2) {
      const cells = +(map[at]! > 0) + +(map[at + 1]! > 0) + +(map[at + mapW]! > 0) + +(map[at + mapW + 1]! > 0);
      inside[i] = cells >= 2 ? 1 : 0;
    }
  }
  let sum = 0;
  let count = 0;
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      if (!inside[i] || surrounded(inside, x, y, h, w)) continue;
      sum += near[i]!;
      count++;
    }
  }
  return sum / Math.max(1, count);
}

/** Whether all neighbours are inside, as far as there are any. */
function surrounded(inside: Uint8Array, x: number, y: number, h: number, w: number): boolean {
  for (let v = Math.max(0, y - 1); v <= Math.min(h - 1, y + 1); v++) {
    for (let u = Math.max(0, x - 1); u <= Math.min(w - 1, x + 1); u++) if (!inside[v * w + u]) return false;
  }
  return true;
}

function boxOfCells(map: Float32Array, h: number, w: number, threshold: number): [number, number, number, number] | null {
  let [x0, y0, x1, y1] = [w, h, 0, 0];
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      if (!(map[i]! > threshold)) continue;
      if (x < x0) x0 = x;
      if (x >= x1) x1 = x + 1;
      if (y < y0) y0 = y;
      y1 = y + 1;
    }
  }
  return x1 ? [x0, y0, x1, y1] : null;
}

function cutOut(map: Float32Array, h: number, w: number, threshold: number): Part | null {
  const box = boxOfCells(map, h, w, threshold);
  if (!box) return null;
  const [x0, y0] = [Math.max(0, box[0] - MARGIN), Math.max(0, box[1] - MARGIN)];
  const [x1, y1] = [Math.min(w, box[2] + MARGIN), Math.min(h, box[3] + MARGIN)];
  const cells = new Float32Array((x1 - x0) * (y1 - y0));
  for (let y = y0; y < y1; y++) cells.set(map.subarray(y * w + x0, y * w + x1), (y - y0) * (x1 - x0));
  return { x0, y0, w: x1 - x0, cells };
}

function putBack({ x0, y0, w: width, cells }: Part, map: Float32Array, w: number): void {
  map.fill(BELOW);
  for (let at = 0, y = y0; at < cells.length; at += width, y++) map.set(cells.subarray(at, at + width), y * w + x0);
}
