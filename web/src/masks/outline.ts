/** Outlines of masks: closed rings along the edges of the pixels, and smoother ones to look at. */

import { type Bounds, type Counts, area, bounds, decodePatch, eachColumnRun } from "./runs.ts";

const ALIKE = 0.2; // of the area: what differs by more when it is sampled is too thin for that

/** Corners x0, y0, x1, y1, ... in the frame of boxes: (0, 0) is the corner of the first pixel. */
export type Ring = Float32Array;

/** Right, down, left, up: the step, and from its end the pixels ahead on the right and the left hand. */
const WAYS = [
  { dx: 1, dy: 0, right: [0, 0], left: [0, -1] },
  { dx: 0, dy: 1, right: [-1, 0], left: [0, 0] },
  { dx: -1, dy: 0, right: [-1, -1], left: [-1, 0] },
  { dx: 0, dy: -1, right: [0, -1], left: [-1, -1] },
] as const;

/**
 * Traces the border between a mask and the rest, with the mask on the right hand of whoever walks.
 *
 * Every border is walked once: outer ones clockwise as seen, holes the other way round, so that
 * both fill rules give the mask again. Pixels that touch at a corner alone are two pieces.
 *
 * With a step, only the middle one of so many rows and columns is looked at, and stands for all;
 * masks that are too thin or too small for that are looked at more closely.
 */
export function trace(counts: Counts, h: number, step = 1): Ring[] {
  const box = bounds(counts, h);
  if (!box) return [];
  // One empty pixel around, so that nobody has to ask whether there is a neighbour.
  const wide: Bounds = { x0: box.x0 - step, y0: box.y0 - step, x1: box.x1 + step, y1: box.y1 + step };
  const height = Math.ceil((wide.y1 - wide.y0) / step);
  const width = Math.ceil((wide.x1 - wide.x0) / step);
  const pixels = step === 1 ? decodePatch(counts, h, wide).pixels : sampled(counts, h, wide, step, height, width);
  if (step > 1) {
    const shown = pixels.reduce((sum, one) => sum + one, 0) * step * step;
    const size = area(counts);
    if (Math.abs(shown - size) > ALIKE * size) return trace(counts, h, step / 2);
  }
  const at = (x: number, y: number): number => pixels[x * height + y]!;
  const walked = new Uint8Array(pixels.length); // the upper edge of a set pixel, walked rightwards
  const rings: Ring[] = [];
  for (let x = 1; x < width - 1; x++) {
    for (let y = 1; y < height - 1; y++) {
      if (!at(x, y) || at(x, y - 1) || walked[x * height + y]) continue;
      const ring = walk(x, y, at, walked, height, 0, 0);
      rings.push(ring.map((value, i) => value * step + (i % 2 ? wide.y0 : wide.x0)));
    }
  }
  return rings;
}

/** One of so many pixels of a mask, column by column. */
function sampled(counts: Counts, h: number, box: Bounds, step: number, height: number, width: number): Uint8Array {
  const pixels = new Uint8Array(width * height);
  const middle = Math.floor(step / 2);
  eachColumnRun(counts, h, (x, top, bottom) => {
    const column = (x - box.x0 - middle) / step;
    if (!Number.isInteger(column) || column < 0 || column >= width) return;
    const first = Math.max(0, Math.ceil((top - box.y0 - middle) / step));
    const last = Math.min(height, Math.ceil((bottom - box.y0 - middle) / step));
    if (last > first) pixels.fill(1, column * height + first, column * height + last);
  });
  return pixels;
}

function walk(
  startX: number,
  startY: number,
  at: (x: number, y: number) => number,
  walked: Uint8Array,
  height: number,
  left: number,
  top: number,
): Ring {
  const corners: number[] = [];
  let x = startX;
  let y = startY;
  let direction = 0;
  do {
    if (direction === 0) walked[x * height + y] = 1;
    const { dx, dy, right, left: other } = WAYS[direction]!;
    const ahead = direction;
    x += dx;
    y += dy;
    if (!at(x + right[0], y + right[1])) direction = (direction + 1) % 4;
    else if (at(x + other[0], y + other[1])) direction = (direction + 3) % 4;
    if (direction !== ahead) corners.push(x + left, y + top);
  } while (x !== startX || y !== startY || direction !== 0);
  return Float32Array.from(corners);
}

/**
 * Rounds the steps of a ring of pixel edges to look at: it goes through the middles of edges
 * instead of along them, and corners closer to a straight line than the tolerance go.
 */
export function smooth(ring: Ring, tolerance: number, step = 1): Ring {
  return simplify(middles(ring, step), tolerance * step);
}

function middles(ring: Ring, step: number): Ring {
  const out: number[] = [];
  const n = ring.length / 2;
  for (let i = 0; i < n; i++) {
    const x0 = ring[2 * i]!;
    const y0 = ring[2 * i + 1]!;
    const next = (i + 1) % n;
    const x1 = ring[2 * next]!;
    const y1 = ring[2 * next + 1]!;
    const length = Math.abs(x1 - x0) + Math.abs(y1 - y0);
    const dx = (Math.sign(x1 - x0) * step) / 2;
    const dy = (Math.sign(y1 - y0) * step) / 2;
    out.push(x0 + dx, y0 + dy);
    if (length > step) out.push(x1 - dx, y1 - dy);
  }
  return Float32Array.from(out);
}

/** Drops corners of a closed ring that are within a tolerance of a line (Douglas and Peucker). */
export function simplify(ring: Ring, tolerance: number): Ring {
  const n = ring.length / 2;
  if (n < 5 || tolerance <= 0) return ring;
  let far = 0;
  let most = -1;
  for (let i = 1; i < n; i++) {
    const d = (ring[2 * i]! - ring[0]!) ** 2 + (ring[2 * i + 1]! - ring[1]!) ** 2;
    if (d > most) [most, far] = [d, i];
  }
  const kept = new Uint8Array(n + 1);
  kept[0] = kept[far] = kept[n] = 1;
  const stack: [number, number][] = [[0, far], [far, n]];
  for (let part = stack.pop(); part; part = stack.pop()) {
    const [first, last] = part;
    const ax = ring[2 * first]!;
    const ay = ring[2 * first + 1]!;
    const bx = ring[2 * (last % n)]! - ax;
    const by = ring[2 * (last % n) + 1]! - ay;
    const length = Math.hypot(bx, by) || 1;
    let worst = tolerance;
    let where = -1;
    for (let i = first + 1; i < last; i++) {
      const distance = Math.abs((ring[2 * i]! - ax) * by - (ring[2 * i + 1]! - ay) * bx) / length;
      if (distance > worst) [worst, where] = [distance, i];
    }
    if (where > 0) {
      kept[where] = 1;
      stack.push([first, where], [where, last]);
    }
  }
  const out: number[] = [];
  for (let i = 0; i < n; i++) if (kept[i]) out.push(ring[2 * i]!, ring[2 * i + 1]!);
  return out.length < 6 ? ring : Float32Array.from(out);
}
