/** What a mask alone says: a box around it, places surely inside and beside it (`anymask.predict.implied`). */

import type { Box, Point } from "../store/project.ts";
import type { Size, Transform } from "./frame.ts";

const POINTS = 3;
const BACKGROUND_POINTS = 2;
const THINNEST = 1.5; // cells of logits that the thinnest thing measures which a model draws
const TRUST = 4; // logits that a mask alone is worth, deep inside and far outside of it
const BORDER = 0.06; // of the square root of its area: so near to its edge it is worth less
const SUREST = 6;
const SIDE = 128; // depths are measured on a grid of at most so many cells per side

/** A mask, row by row. */
export interface Dense {
  readonly h: number;
  readonly w: number;
  readonly pixels: Uint8Array;
}

export interface Said {
  readonly points: readonly Point[];
  readonly box: Box | null;
  /** Whether the mask itself still says something. */
  readonly mask: boolean;
}

/** Adds to a mask the box and the points that it implies; an answer's logits need no points. */
export function complete(mask: Dense, drawn: boolean, points: readonly Point[], way: Transform, low: Size): Said {
  const box = boxOf(mask);
  if (!box) return { points, box: null, mask: true };
  if (!drawn) return { points, box, mask: true };
  const inside = cut(mask, box);
  const on = deepestPoints(inside, POINTS).map(([x, y]): Point => [x + box[0], y + box[1], 1]);
  if (isScribble(inside, way, low)) return { points: [...on, ...points.map(asBackground)], box: null, mask: false };
  const outside = { ...inside, pixels: inside.pixels.map((set) => (set ? 0 : 1)) };
  const beside = deepestPoints(outside, BACKGROUND_POINTS).map(([x, y]): Point => [x + box[0], y + box[1], 0]);
  return { points: [...on, ...beside, ...points.map(asBackground)], box, mask: true };
}

function asBackground([x, y]: Point): Point {
  return [x, y, 0];
}

/** Weighs answers to a rough mask alone against it: away from its edge it is hardly ever wrong. */
export function weighed(logits: Float32Array, mask: Float32Array, [h, w]: Size): Float32Array {
  const given = mask.map((value) => (value > 0 ? 1 : 0));
  const size = given.reduce((sum, one) => sum + one, 0);
  const trust = blurred(given, h, w, Math.max(1, Math.round(BORDER * Math.sqrt(size))));
  return logits.map((value, i) => Math.min(SUREST, Math.max(-SUREST, value)) + TRUST * (2 * trust[i % trust.length]! - 1));
}

function blurred(values: Float32Array, h: number, w: number, reach: number): Float32Array {
  const one = (from: Float32Array, lines: number, length: number, line: number, step: number): Float32Array => {
    const made = new Float32Array(from.length);
    const sums = new Float64Array(length + 1);
    for (let i = 0; i < lines; i++) {
      for (let j = 0; j < length; j++) sums[j + 1] = sums[j]! + from[i * line + j * step]!;
      for (let j = 0; j < length; j++) {
        const begin = Math.max(0, j - reach);
        const end = Math.min(length, j + reach + 1);
        made[i * line + j * step] = (sums[end]! - sums[begin]!) / (end - begin);
      }
    }
    return made;
  };
  return one(one(values, w, h, 1, w), h, w, w, 1);
}

export function boxOf({ h, w, pixels }: Dense): [number, number, number, number] | null {
  let [x0, y0, x1, y1] = [w, h, 0, 0];
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      if (!pixels[y * w + x]) continue;
      x0 = Math.min(x0, x);
      x1 = Math.max(x1, x + 1);
      y0 = Math.min(y0, y);
      y1 = y + 1;
    }
  }
  return x1 ? [x0, y0, x1, y1] : null;
}

export function cut({ w, pixels }: Dense, [x0, y0, x1, y1]: Box): Dense {
  const made = new Uint8Array((y1 - y0) * (x1 - x0));
  for (let y = y0; y < y1; y++) made.set(pixels.subarray(y * w + x0, y * w + x1), (y - y0) * (x1 - x0));
  return { h: y1 - y0, w: x1 - x0, pixels: made };
}

/** Whether a mask, cut to its box, is nowhere as thick as a model can draw. */
function isScribble({ h, w, pixels }: Dense, way: Transform, low: Size): boolean {
  const [rows, columns] = [0, 1].map((axis) =>
    Math.max(1, Math.round((THINNEST * way.original[axis]! * way.frame[axis]!) / (way.resized[axis]! * low[axis]!))),
  ) as [number, number];
  if (rows > h || columns > w) return true;
  const before = new Int32Array((h + 1) * (w + 1));
  for (let y = 0; y < h; y++) {
    for (let x = 0, sum = 0; x < w; x++) {
      sum += pixels[y * w + x]!;
      before[(y + 1) * (w + 1) + x + 1] = before[y * (w + 1) + x + 1]! + sum;
    }
  }
  for (let y = rows; y <= h; y++) {
    for (let x = columns; x <= w; x++) {
      const [bottom, top] = [y * (w + 1), (y - rows) * (w + 1)];
      const sum = before[bottom + x]! - before[bottom + x - columns]! - before[top + x]! + before[top + x - columns]!;
      if (sum === rows * columns) return false;
    }
  }
  return true;
}

/** Finds pixels far from the edge of a mask, in several parts of it, the deepest first. */
export function deepestPoints(mask: Dense, count: number): [number, number][] {
  let step = Math.ceil(Math.max(mask.h, mask.w) / SIDE);
  let cells = thinned(mask, step);
  if (!cells.pixels.some(Boolean)) [cells, step] = [mask, 1]; // thinner than a cell
  const depth = depths(cells);
  const points: [number, number][] = [];
  const half = Math.floor(step / 2);
  while (points.length < count) {
    let best = 0;
    for (let i = 1; i < depth.length; i++) if (depth[i]! > depth[best]!) best = i;
    const most = depth[best]!;
    if (!most) break;
    const [column, row] = [best % cells.w, Math.floor(best / cells.w)];
    points.push([column * step + half, row * step + half]);
    for (let y = 0, i = 0; y < cells.h; y++) {
      for (let x = 0; x < cells.w; x++, i++) {
        if (Math.hypot(x - column, y - row) < 1.5 * most) depth[i] = 0; // the next one is in another part
      }
    }
  }
  return points;
}

function thinned({ h, w, pixels }: Dense, step: number): Dense {
  const half = Math.floor(step / 2);
  const [toH, toW] = [h, w].map((side) => Math.max(0, Math.ceil((side - half) / step))) as [number, number];
  const made = new Uint8Array(toH * toW);
  for (let y = 0; y < toH; y++) {
    for (let x = 0; x < toW; x++) made[y * toW + x] = pixels[(y * step + half) * w + x * step + half]!;
  }
  return { h: toH, w: toW, pixels: made };
}

/** Counts how often each cell survives that a mask loses its edge, in turns with and without the diagonals. */
function depths({ h, w, pixels }: Dense): Int32Array {
  const depth = new Int32Array(h * w);
  let inside = pixels;
  for (let across = false; inside.some(Boolean); across = !across) {
    for (let i = 0; i < depth.length; i++) depth[i]! += inside[i]!;
    const next = new Uint8Array(h * w);
    for (let y = 1; y < h - 1; y++) {
      for (let x = 1; x < w - 1; x++) {
        const i = y * w + x;
        const plus = inside[i]! & inside[i - 1]! & inside[i + 1]! & inside[i - w]! & inside[i + w]!;
        next[i] = across
          ? plus & inside[i - w - 1]! & inside[i - w + 1]! & inside[i + w - 1]! & inside[i + w + 1]!
          : plus;
      }
    }
    inside = next;
  }
  return depth;
}
