/**
 * Polygons: masks as outlines, and outlines filled as COCO does it; equals `anymask.masks.polygon`.
 *
 * Corners are x0, y0, x1, y1, ... in pixels of the image; whole numbers lie between pixels.
 */

import type { Ring } from "../masks/outline.ts";
import { type Counts, emptyCounts } from "../masks/runs.ts";
import { Problem } from "../problem.ts";

const FINE = 5; // outlines are drawn on a grid this much finer than the pixels
const FAR = 1e6; // pixels; walking along an outline to anywhere further away would take forever
const NEAR = 2000; // corners among which the nearest is looked for when outlines are joined

/** Fills an outline by flipping everything after each crossing of it. */
export function fillPolygon(corners: ArrayLike<number>, h: number, w: number): Counts {
  const n = corners.length / 2;
  const flips: number[] = [];
  const xs = new Float64Array(n);
  const ys = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    if (!(Math.abs(corners[2 * i]!) < FAR && Math.abs(corners[2 * i + 1]!) < FAR)) {
      throw new Problem(`expected corners in or near the image, got one at ${corners[2 * i]}, ${corners[2 * i + 1]}`);
    }
    xs[i] = Math.trunc(FINE * corners[2 * i]! + 0.5);
    ys[i] = Math.trunc(FINE * corners[2 * i + 1]! + 0.5);
  }
  for (let i = 0; i < n; i++) walkEdge(xs[i]!, ys[i]!, xs[(i + 1) % n]!, ys[(i + 1) % n]!, h, w, flips);
  return fromFlips(flips, h, w);
}

/** Walks along an edge, one step at a time along its longer axis, in the same points both ways. */
function walkEdge(ax: number, ay: number, bx: number, by: number, h: number, w: number, flips: number[]): void {
  const dx = Math.abs(bx - ax);
  const dy = Math.abs(by - ay);
  const steps = Math.max(dx, dy);
  const backwards = dx >= dy ? ax > bx : ay > by;
  const [lowX, lowY, highX, highY] = backwards ? [bx, by, ax, ay] : [ax, ay, bx, by];
  const slopeX = (highX - lowX) / Math.max(steps, 1);
  const slopeY = (highY - lowY) / Math.max(steps, 1);
  let beforeX = 0;
  let beforeY = 0;
  for (let step = 0; step <= steps; step++) {
    const along = backwards ? steps - step : step;
    const x = Math.trunc(lowX + slopeX * along + 0.5);
    const y = Math.trunc(lowY + slopeY * along + 0.5);
    if (step && x !== beforeX) {
      const left = Math.min(x, beforeX) - Math.floor(FINE / 2);
      const column = left / FINE; // whole where the outline goes through the middle of a pixel
      if (Number.isInteger(column) && column >= 0 && column < w) {
        const top = (Math.min(y, beforeY) + 0.5) / FINE - 0.5;
        flips.push(column * h + Math.ceil(Math.min(h, Math.max(0, top))));
      }
    }
    beforeX = x;
    beforeY = y;
  }
}

function fromFlips(flips: readonly number[], h: number, w: number): Counts {
  const sorted = Float64Array.from(flips).sort();
  const counts: number[] = [];
  let at = 0;
  for (let i = 0; i < sorted.length; ) {
    let next = i;
    while (next < sorted.length && sorted[next] === sorted[i]) next++;
    if ((next - i) % 2 && sorted[i]! < h * w) {
      counts.push(sorted[i]! - at);
      at = sorted[i]!;
    }
    i = next;
  }
  if (!counts.length) return emptyCounts(h, w);
  counts.push(h * w - at);
  return Uint32Array.from(counts);
}

/**
 * Joins outlines to one, for formats in which a mask is a single outline.
 *
 * A bridge leads to each from a near corner of those before it: a line that is walked there and
 * back, which covers nothing when the outline is filled.
 */
export function joinRings(rings: readonly Ring[]): number[] {
  const xs: number[] = [];
  const ys: number[] = [];
  const starts: number[] = [];
  for (const ring of rings) {
    starts.push(xs.length);
    for (let i = 0; i < ring.length; i += 2) {
      xs.push(ring[i]!);
      ys.push(ring[i + 1]!);
    }
  }
  const bridges = new Map<number, number[]>();
  for (let number = 1; number < starts.length; number++) {
    const start = starts[number]!;
    let nearest = Math.max(0, start - NEAR);
    let least = Infinity;
    for (let i = nearest; i < start; i++) {
      const away = Math.abs(xs[i]! - xs[start]!) + Math.abs(ys[i]! - ys[start]!);
      if (away < least) [least, nearest] = [away, i];
    }
    bridges.set(nearest, [...(bridges.get(nearest) ?? []), number]);
  }
  const out: number[] = [];
  // What is still to be walked, the next last; not by calls within calls, for outlines may hang on
  // each other by the thousand. An outline is its number, a corner -1 minus its place.
  const waiting = [0];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next < 0) {
      out.push(xs[-1 - next]!, ys[-1 - next]!);
      continue;
    }
    const steps: number[] = [];
    const start = starts[next]!;
    for (let corner = start; corner < (starts[next + 1] ?? xs.length); corner++) {
      steps.push(-1 - corner);
      for (const other of bridges.get(corner) ?? []) steps.push(other, -1 - corner);
    }
    if (next) steps.push(-1 - start);
    waiting.push(...steps.reverse());
  }
  return out;
}

/** Whether a ring goes round a hole: those of `trace` go the other way round there. */
export function isHole(ring: Ring): boolean {
  let twice = 0;
  for (let i = 0; i < ring.length; i += 2) {
    const j = (i + 2) % ring.length;
    twice += ring[i]! * ring[j + 1]! - ring[j]! * ring[i + 1]!;
  }
  return twice < 0;
}
