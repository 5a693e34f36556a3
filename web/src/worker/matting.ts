/**
 * Soft edges for masks, step by step as `anymask.masks.matting` has them: near a mask's edge the colours on
 * either side are told apart, and a pixel between the two is a mixture of both.
 *
 * Rounded to 32 bits where the library rounds, so that the numbers are the same but for the last level.
 */

import type { Size } from "./frame.ts";
import { type Part, box, evenly, resizeBytes, resizeFloats, triangle } from "./resize.ts";

const SIDE = 640; // the longer side of what edges are measured on
const LEAST_SIDE = 32;
const CELL = 4; // pixels of that which are one cell of what is known of colours
const TILE = 256;
const BAND = 0.007; // of the diagonal
const REACH = 3; // bands, in which colours are collected
const NOISE = 0.02 ** 2;
const DOUBT = 12;
const HAZE = 0.1;
const FAINT = 1e-6;
const PAIRS = [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]] as const;

export interface Soft {
  /** 0 background, 255 the object, row by row. */
  readonly alpha: Uint8Array;
  /** RGB, the object's own where it is mixed with the background; null if nobody asked. */
  readonly colours: Uint8Array | null;
}

/** Gives a mask, row by row, the soft edge that the image, RGB, shows. */
export function soften(rgb: Uint8Array, mask: Uint8Array, size: Size, withColours = true): Soft {
  const [h, w] = size;
  const soft: Soft = { alpha: mask.map((set) => (set ? 255 : 0)), colours: withColours ? rgb.slice() : null };
  if (!mask.includes(1) || !mask.includes(0)) return soft;
  const edge = edgeOf(rgb, mask, size);
  for (let top = 0; top < h; top += TILE) {
    for (let left = 0; left < w; left += TILE) {
      refine(edge, { top, left, bottom: Math.min(top + TILE, h), right: Math.min(left + TILE, w) }, rgb, mask, soft);
    }
  }
  return soft;
}

/** A map (h, w) of numbers. */
interface Plane {
  readonly size: Size;
  readonly values: Float32Array;
}

/** What is known of a mask's edge, in small maps that cover the image: see `_Edge` of the library. */
interface Edge {
  readonly size: Size;
  readonly slope: readonly Plane[];
  readonly offset: Plane;
  readonly trust: Plane;
  readonly inside: readonly Plane[];
  readonly outside: readonly Plane[];
}

function edgeOf(rgb: Uint8Array, mask: Uint8Array, size: Size): Edge {
  const scale = Math.min(1, SIDE / Math.max(...size));
  const shrunk = (side: number): number => Math.max(Math.min(side, LEAST_SIDE), evenly(side * scale));
  const small: Size = [shrunk(size[0]), shrunk(size[1])];
  const cells = small[0] * small[1];
  const bytes = resizeBytes(rgb, size, small, 3, box);
  const colours = [0, 1, 2].map((c) => Float32Array.from({ length: cells }, (_, i) => bytes[3 * i + c]! / 255));
  const cover = resizeFloats(mask, size, small, box);
  const band = Math.max(1, evenly(BAND * Math.hypot(...small)));
  const soft = spread({ size: small, values: cover }, band).values;
  const near = soft.map((value) => clip(8 * value * (1 - value) - 0.4));
  const weight = soft.map((value) => (2 * value - 1) ** 2); // the deeper inside or outside, the surer
  const reach = Math.max(1, evenly((REACH * band) / CELL));
  const inner = gathered(weight.map((value, i) => (cover[i]! > 0.5 ? value : 0)), colours, small, reach);
  const outer = gathered(weight.map((value, i) => (cover[i]! > 0.5 ? 0 : value)), colours, small, reach);
  const { slope, offset, distance } = discriminant(inner, outer);
  const sure = distance.values.map((value) => value ** 2 / (value ** 2 + DOUBT ** 2));
  const trust = resizeFloats(sure, distance.size, small, triangle).map((value, i) => value * near[i]!);
  return { size, slope, offset, trust: { size: small, values: trust }, inside: inner.means, outside: outer.means };
}

/** Writes alpha and colours of one tile, unless no edge is near. */
function refine(edge: Edge, tile: Part, rgb: Uint8Array, mask: Uint8Array, { alpha, colours }: Soft): void {
  const enlarged = (one: Plane): Float32Array => enlargedIn(one, edge.size, tile);
  const trust = enlarged(edge.trust);
  if (!trust.some((value) => value !== 0)) return;
  const width = edge.size[1];
  const share = enlarged(edge.offset);
  const each = (visit: (i: number, at: number) => void): void => {
    for (let y = tile.top, i = 0; y < tile.bottom; y++) for (let x = tile.left; x < tile.right; x++, i++) visit(i, y * width + x);
  };
  edge.slope.forEach((one, c) => {
    const slope = enlarged(one);
    each((i, at) => (share[i]! += slope[i]! * Math.fround(rgb[3 * at + c]! / 255)));
  });
  const hard = feathered(mask, edge.size, tile);
  const found = share.map((value, i) => {
    const clipped = clip((value - 0.5) / (1 - 2 * HAZE) + 0.5);
    return trust[i]! * clipped + (1 - trust[i]!) * hard[i]!;
  });
  each((i, at) => (alpha[at] = evenly(255 * found[i]!)));
  for (let c = 0; colours && c < 3; c++) {
    const inner = enlarged(edge.inside[c]!);
    const outer = enlarged(edge.outside[c]!);
    each((i, at) => {
      const [f, b, a] = [inner[i]!, outer[i]!, found[i]!];
      colours[3 * at + c] = evenly(255 * clip(f + a * (rgb[3 * at + c]! / 255 - a * f - (1 - a) * b)));
    });
  }
}

// ------------------------------------------------------------------------------- colours

interface Cloud {
  /** Of red, green and blue. */
  readonly means: readonly Plane[];
  /** Of the pairs of them. */
  readonly covariances: readonly Plane[];
}

/** Averages the colours around each cell. */
function gathered(weight: Float32Array, colours: readonly Float32Array[], size: Size, reach: number): Cloud {
  const faint = weight.map((value) => value + FAINT);
  const sums = [
    faint,
    ...colours.map((colour) => faint.map((value, i) => value * colour[i]!)),
    ...PAIRS.map(([a, b]) => faint.map((value, i) => Math.fround(value * colours[a]![i]!) * colours[b]![i]!)),
  ];
  const [total, ...rest] = sums.map((values) => spread(pooled(values, size), reach));
  const shares = rest.map((one) => like(one, (i) => one.values[i]! / total!.values[i]!));
  const means = shares.slice(0, 3);
  const covariances = PAIRS.map(([a, b], k) =>
    like(total!, (i) => shares[3 + k]!.values[i]! - Math.fround(means[a]!.values[i]! * means[b]!.values[i]!)),
  );
  return { means, covariances };
}

/** Tells two clouds apart by the linear function that is 1 at the inner mean and 0 at the outer one. */
function discriminant(inner: Cloud, outer: Cloud): { slope: Plane[]; offset: Plane; distance: Plane } {
  const shape = inner.means[0]!;
  const slope = [0, 1, 2].map(() => like(shape, () => 0));
  const offset = like(shape, () => 0);
  const distance = like(shape, () => 0);
  for (let i = 0; i < shape.values.length; i++) {
    const [a, b, c, d, e, f] = PAIRS.map(
      ([p, q], k) => (inner.covariances[k]!.values[i]! + outer.covariances[k]!.values[i]!) / 2 + (p === q ? NOISE : 0),
    ) as [number, number, number, number, number, number];
    // The inverse of a symmetric matrix, by its adjoint.
    const [xx, xy, xz] = [d * f - e * e, c * e - b * f, b * e - c * d];
    const [yy, yz, zz] = [a * f - c * c, b * c - a * e, a * d - b * b];
    const apart = [0, 1, 2].map((k) => inner.means[k]!.values[i]! - outer.means[k]!.values[i]!);
    const [x, y, z] = apart as [number, number, number];
    const whole = a * xx + b * xy + c * xz;
    const way = [(xx * x + xy * y + xz * z) / whole, (xy * x + yy * y + yz * z) / whole, (xz * x + yz * y + zz * z) / whole];
    const far = Math.max(way[0]! * x + way[1]! * y + way[2]! * z, 1e-6);
    distance.values[i] = far;
    way.forEach((value, k) => (slope[k]!.values[i] = value / far));
    offset.values[i] = -slope.reduce((sum, one, k) => sum + one.values[i]! * outer.means[k]!.values[i]!, 0);
  }
  return { slope, offset, distance };
}

function like({ size, values }: Plane, at: (i: number) => number): Plane {
  return { size, values: Float32Array.from({ length: values.length }, (_, i) => at(i)) };
}

/** Adds up the values in each cell. */
function pooled(values: Float32Array, [h, w]: Size): Plane {
  const size: Size = [Math.ceil(h / CELL), Math.ceil(w / CELL)];
  const sums = new Float64Array(size[0] * size[1]);
  for (let y = 0, i = 0; y < h; y++) {
    const row = Math.floor(y / CELL) * size[1];
    for (let x = 0; x < w; x++, i++) sums[row + Math.floor(x / CELL)]! += values[i]!;
  }
  return { size, values: Float32Array.from(sums) };
}

/** Averages over squares of `2 * reach + 1`, cut off at the border; and again. */
function spread({ size, values }: Plane, reach: number): Plane {
  const [h, w] = size;
  const once = (map: Float32Array): Float32Array => averaged(averaged(map, h, w, 1, w, reach), w, h, w, 1, reach);
  return { size, values: once(once(values)) };
}

/** Averages along lines of `length`, whose values lie `step` apart; the lines lie `next` apart. */
function averaged(values: Float32Array, lines: number, length: number, step: number, next: number, reach: number): Float32Array {
  const made = new Float32Array(values.length);
  const sums = new Float64Array(length + 1);
  for (let line = 0; line < lines; line++) {
    const from = line * next;
    for (let i = 0; i < length; i++) sums[i + 1] = sums[i]! + values[from + i * step]!;
    for (let i = 0; i < length; i++) {
      const [first, last] = [Math.max(i - reach, 0), Math.min(i + reach + 1, length)];
      made[from + i * step] = (sums[last]! - sums[first]!) / (last - first);
    }
  }
  return made;
}

/** Gives a tile of a mask an edge of two pixels, at which no line gets lost. */
function feathered(mask: Uint8Array, [h, w]: Size, { top, left, bottom, right }: Part): Float32Array {
  const [y0, x0, y1, x1] = [Math.max(top - 1, 0), Math.max(left - 1, 0), Math.min(bottom + 1, h), Math.min(right + 1, w)];
  const wide = x1 - x0;
  const part = new Float32Array((y1 - y0) * wide);
  for (let y = y0, i = 0; y < y1; y++) for (let x = x0; x < x1; x++, i++) part[i] = mask[y * w + x] ? 1 : 0;
  const soft = averaged(averaged(part, y1 - y0, wide, 1, wide, 1), wide, y1 - y0, wide, 1, 1);
  const made = new Float32Array((bottom - top) * (right - left));
  for (let y = top, i = 0; y < bottom; y++) {
    for (let x = left, at = (y - y0) * wide + left - x0; x < right; x++, i++, at++) made[i] = (part[at]! + soft[at]!) / 2;
  }
  return made;
}

function clip(value: number): number {
  return Math.min(1, Math.max(0, value));
}

/** Brings a map to the size of the image, in one tile. */
function enlargedIn({ size, values }: Plane, image: Size, { top, left, bottom, right }: Part): Float32Array {
  const [down, across] = [size[0] / image[0], size[1] / image[1]];
  const part = { top: top * down, left: left * across, bottom: bottom * down, right: right * across };
  return resizeFloats(values, size, [bottom - top, right - left], triangle, part);
}
