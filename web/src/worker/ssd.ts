/** What the single-shot detector sees: anchors, boxes, duplicates (`anymask.models.ssd`). */

import type { Box } from "../store/project.ts";
import { type Size, fit, framed } from "./frame.ts";
import { type Model, floats } from "./model.ts";

export interface Found {
  readonly box: Box;
  readonly score: number;
  /** Which of the detector's labels. */
  readonly label: number;
}

const PREPROCESSING = {
  side: 300, pad: null, squash: true, centre: false, fill: null, resize: "antialias", enlarge: "bilinear",
  mean: [127.5, 127.5, 127.5], std: [127.5, 127.5, 127.5],
} as const;
const GRIDS = [19, 10, 5, 3, 2, 1];
const RATIOS = [1, 2, 0.5, 3, 1 / 3];
const CODE = [10, 10, 5, 5]; // divides the code of a box: y, x, log height, log width

function shapes(level: number): [number, number][] {
  const of = (i: number): number => (i <= 5 ? 0.2 + (0.75 * i) / 5 : 1);
  const [scale, larger] = [of(level), of(level + 1)];
  const scaled: [number, number][] =
    level === 0
      ? [[0.1, 1], [0.2, 2], [0.2, 0.5]]
      : [...RATIOS.map((ratio): [number, number] => [scale, ratio]), [Math.sqrt(scale * larger), 1]];
  return scaled.map(([size, ratio]) => [size / Math.sqrt(ratio), size * Math.sqrt(ratio)]);
}

/** Middle's y and x, height and width of each anchor, as shares of the frame. */
function anchors(): [number, number, number, number][] {
  const rows: [number, number, number, number][] = [];
  GRIDS.forEach((grid, level) => {
    for (let y = 0; y < grid; y++) {
      for (let x = 0; x < grid; x++) {
        for (const [height, width] of shapes(level)) rows.push([(y + 0.5) / grid, (x + 0.5) / grid, height, width]);
      }
    }
  });
  return rows;
}

/** What it says of an image, for all anchors: boxes in pixels, and scores of all labels. */
export interface Seen {
  readonly boxes: readonly Box[];
  readonly scores: Float32Array;
  readonly labels: number;
}

export async function look(model: Model, rgb: Uint8Array, size: Size): Promise<Seen> {
  const way = fit(size, PREPROCESSING);
  const pixels = floats(framed(rgb, way, PREPROCESSING), [1, 3, ...way.frame]);
  const said = await (await model.graph("detector")).run({ pixels });
  const codes = said["codes"]!.data as Float32Array;
  const logits = said["logits"]!;
  const columns = logits.dims[2]!; // the background first
  const values = logits.data as Float32Array;
  const scores = new Float32Array((values.length / columns) * (columns - 1));
  for (let i = 0, to = 0; i < values.length; i++) {
    if (i % columns) scores[to++] = 1 / (1 + Math.exp(-values[i]!));
  }
  const [h, w] = size;
  const share = (value: number): number => Math.min(Math.max(value, 0), 1);
  const boxes = anchors().map(([y, x, height, width], i): Box => {
    const [down, across, taller, wider] = CODE.map((by, j) => codes[4 * i + j]! / by) as [number, number, number, number];
    const [cy, cx] = [y + down * height, x + across * width];
    const [halfH, halfW] = [(height * Math.exp(taller)) / 2, (width * Math.exp(wider)) / 2];
    return [share(cx - halfW) * w, share(cy - halfH) * h, share(cx + halfW) * w, share(cy + halfH) * h];
  });
  return { boxes, scores, labels: columns - 1 };
}

export interface Wanted {
  readonly minScore: number;
  readonly nms: number;
  readonly most: number;
  /** Which labels; null for all. */
  readonly labels: readonly number[] | null;
}

/** Picks things out of what was seen, best first. */
export function pick(seen: Seen, { minScore, nms, most, labels }: Wanted): Found[] {
  const columns = labels ?? Array.from({ length: seen.labels }, (_, i) => i);
  const found: Found[] = [];
  seen.boxes.forEach((box, i) => {
    for (const label of columns) {
      const score = seen.scores[i * seen.labels + label]!;
      if (score >= minScore) found.push({ box, score, label });
    }
  });
  found.sort((a, b) => b.score - a.score);
  return ranked(found, nms, (a, b) => a.label === b.label, most);
}

/** Drops what overlaps something earlier that stays. */
export function ranked<One extends { readonly box: Box }>(
  found: readonly One[],
  threshold: number,
  rivals: (a: One, b: One) => boolean = () => true,
  most = Infinity,
): One[] {
  const kept: One[] = [];
  for (const one of found) {
    if (kept.length >= most) break;
    if (!kept.some((other) => rivals(one, other) && boxIou(one.box, other.box) > threshold)) kept.push(one);
  }
  return kept;
}

export function boxIou(a: Box, b: Box): number {
  const shared =
    Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const either = boxArea(a) + boxArea(b) - shared;
  return either > 0 ? shared / either : 0;
}

export function boxArea(box: Box): number {
  return (box[2] - box[0]) * (box[3] - box[1]);
}

const LEAST_SIDE = 2;

/** Boxes around everyday things, whatever they are called, the surest first. */
export function thingBoxes(seen: Seen, limit: number): Box[] {
  const found = pick(seen, { minScore: 0.02, nms: 0.6, most: 5 * limit, labels: null });
  return ranked(found, 0.7)
    .map(({ box }) => box)
    .filter(([x0, y0, x1, y1]) => x1 - x0 > LEAST_SIDE && y1 - y0 > LEAST_SIDE)
    .slice(0, limit);
}
