/**
 * The way between an image and a model's frame: `anymask.image.transform` and `resampling`.
 *
 * The frame is the image resized and padded; logits cover all of it.
 */

import { cubic as pillowCubic, resizeBytes, resizeFloats, triangle } from "./resize.ts";

export type Size = readonly [h: number, w: number];

/** How a model sees images, as its row of the table says. */
export interface Preprocessing {
  readonly side: number;
  readonly pad: "square" | number | null;
  readonly squash: boolean;
  readonly centre: boolean;
  readonly fill: number | null;
  readonly resize: string;
  readonly enlarge: Enlarging;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Longest side of what the encoder sees, where that is another than the frame of prompts and masks. */
  readonly encoder_side?: number | null;
  /** Whether the values of each image are brought to 0..1 by its darkest and its lightest one. */
  readonly stretch?: boolean;
  /** How far from 0 the logits may be that come back as prompts. */
  readonly clamp?: number | null;
}

export type Enlarging = "bilinear" | "bicubic" | "direct";

export interface Transform {
  readonly original: Size;
  readonly resized: Size;
  readonly frame: Size;
  readonly offset: Size;
  readonly enlarge: Enlarging;
}

export function fit(original: Size, wanted: Preprocessing): Transform {
  const { side, enlarge } = wanted;
  const square: Size = [side, side];
  if (wanted.squash) return { original, resized: square, frame: square, offset: [0, 0], enlarge };
  const scale = side / Math.max(...original);
  const resized: Size = [sized(original[0] * scale), sized(original[1] * scale)];
  const step = typeof wanted.pad === "number" ? wanted.pad : 1;
  const padded: Size = [Math.ceil(resized[0] / step) * step, Math.ceil(resized[1] / step) * step];
  const frame = wanted.pad === "square" ? square : padded;
  const offset: Size = wanted.centre ? [(frame[0] - resized[0]) >> 1, (frame[1] - resized[1]) >> 1] : [0, 0];
  return { original, resized, frame, offset, enlarge };
}

function sized(length: number): number {
  return Math.max(1, Math.floor(length + 0.5));
}

/** How an image becomes what the encoder sees. */
export function forEncoder(wanted: Preprocessing): Preprocessing {
  return wanted.encoder_side == null ? wanted : { ...wanted, side: wanted.encoder_side, encoder_side: null };
}

/** Resizes RGB as the model was trained to see it. */
function resized(rgb: Uint8Array, { original, resized: to }: Transform, how: string): Uint8Array | Float32Array {
  if (how === "antialias") return resizeBytes(rgb, original, to, 3);
  if (how === "bicubic") return resizeBytes(rgb, original, to, 3, pillowCubic);
  const resize = how === "antialias-float" ? (one: Float32Array) => resizeFloats(one, original, to, triangle)
    : how === "bilinear" ? (one: Float32Array) => enlarged(one, original, to) : null;
  if (!resize) throw new Error(`the page cannot resize images as this model wants them (${how}); let a server do it`);
  const made = new Float32Array(3 * to[0] * to[1]);
  for (let c = 0; c < 3; c++) {
    const plane = resize(Float32Array.from({ length: rgb.length / 3 }, (_, i) => rgb[3 * i + c]!));
    plane.forEach((value, i) => (made[3 * i + c] = value));
  }
  return made;
}

/** Brings values to 0..1 by the least and the largest. */
function stretched(values: Uint8Array | Float32Array): Float32Array {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return Float32Array.from(values, (value) => (value - low) / Math.max(high - low, 1e-8));
}

/** Resizes, normalises and pads RGB: what the encoder takes, (3, h, w). */
export function framed(rgb: Uint8Array, way: Transform, wanted: Preprocessing): Float32Array {
  const seen = resized(rgb, way, wanted.resize);
  const small = wanted.stretch ? stretched(seen) : seen;
  const [h, w] = way.frame;
  const pixels = new Float32Array(3 * h * w);
  for (let c = 0; c < 3; c++) {
    const mean = wanted.mean[c]!;
    const std = wanted.std[c]!;
    const plane = pixels.subarray(c * h * w, (c + 1) * h * w);
    if (wanted.fill !== null) plane.fill((wanted.fill - mean) / std);
    for (let y = 0; y < way.resized[0]; y++) {
      const to = (y + way.offset[0]) * w + way.offset[1];
      for (let x = 0, from = y * way.resized[1] * 3 + c; x < way.resized[1]; x++, from += 3) {
        plane[to + x] = (small[from]! - mean) / std;
      }
    }
  }
  return pixels;
}

export function pointToFrame(way: Transform, x: number, y: number): [number, number] {
  return [
    (x * way.resized[1]) / way.original[1] + way.offset[1],
    (y * way.resized[0]) / way.original[0] + way.offset[0],
  ];
}

// ------------------------------------------------------------------------------- weighted sums

/** Output i of a resize in one direction is the sum over j of `weights[i * width + j] * input[first[i] + j]`. */
export interface Taps {
  readonly first: Int32Array;
  readonly weights: Float32Array;
  readonly width: number;
}

export function linear(inputs: number, outputs: number): Taps {
  if (inputs === outputs) return identity(inputs);
  return gathered(inputs, outputs, (place) => {
    const at = Math.max(place, 0);
    const low = Math.min(Math.trunc(at), inputs - 1);
    const part = Math.min(Math.max(at - low, 0), 1);
    return [[low, 1 - part], [low + 1, part]];
  });
}

const CUBIC = -0.75; // Keys' parameter, as PyTorch has it

export function cubic(inputs: number, outputs: number): Taps {
  if (inputs === outputs) return identity(inputs);
  const near = (x: number): number => ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1;
  const far = (x: number): number => ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC;
  return gathered(inputs, outputs, (place) => {
    const low = Math.floor(place);
    const part = place - low;
    return [[low - 1, far(part + 1)], [low, near(part)], [low + 1, near(1 - part)], [low + 2, far(2 - part)]];
  });
}

function identity(length: number): Taps {
  return { first: Int32Array.from({ length }, (_, i) => i), weights: new Float32Array(length).fill(1), width: 1 };
}

type Pairs = readonly (readonly [place: number, weight: number])[];

function gathered(inputs: number, outputs: number, of: (place: number) => Pairs): Taps {
  const scale = Math.fround(inputs / outputs);
  return laidOut(inputs, Array.from({ length: outputs }, (_, i) => of(Math.fround(scale * (i + 0.5) - 0.5))));
}

/** Lays weights of single inputs side by side; inputs beyond either end mean the last one there. */
function laidOut(inputs: number, rows: readonly Pairs[]): Taps {
  const first = new Int32Array(rows.length);
  const clipped = rows.map((pairs, i) => {
    const used = pairs
      .filter(([, weight]) => weight !== 0)
      .map(([place, weight]) => [Math.min(Math.max(place, 0), inputs - 1), weight] as const);
    first[i] = Math.min(...used.map(([place]) => place));
    return used;
  });
  const width = Math.max(...clipped.map((pairs, i) => Math.max(...pairs.map(([place]) => place)) - first[i]!)) + 1;
  const weights = new Float32Array(rows.length * width);
  clipped.forEach((pairs, i) => {
    first[i] = Math.min(first[i]!, inputs - width);
    for (const [place, weight] of pairs) weights[i * width + place - first[i]!]! += weight;
  });
  return { first, weights, width };
}

/** Two resizes, one after the other, as one; of the first only some outputs are looked at. */
function chained(inputs: number, inner: Taps, outer: Taps, offset: number): Taps {
  const rows = Array.from(outer.first, (start, i) => {
    const pairs: [number, number][] = [];
    for (let j = 0; j < outer.width; j++) {
      const weight = outer.weights[i * outer.width + j]!;
      const middle = start + j + offset;
      for (let k = 0; weight && k < inner.width; k++) {
        pairs.push([inner.first[middle]! + k, weight * inner.weights[middle * inner.width + k]!]);
      }
    }
    return pairs;
  });
  return laidOut(inputs, rows);
}

/** How rows and columns of the image come from logits that cover the frame. */
export function tapsOf(way: Transform, low: Size): readonly [down: Taps, across: Taps] {
  const along = (axis: 0 | 1): Taps => {
    const [cells, frame, resized, original] = [low[axis], way.frame[axis], way.resized[axis], way.original[axis]];
    if (cells === frame && frame === resized && resized === original) return identity(cells);
    if (way.enlarge === "bicubic") return cubic(cells, original);
    if (way.enlarge === "direct") return linear(cells, original);
    return chained(cells, linear(cells, frame), linear(resized, original), way.offset[axis]);
  };
  return [along(0), along(1)];
}

/** Resizes a map (h, w) of numbers linearly. */
export function enlarged(values: Float32Array, [h, w]: Size, [toH, toW]: Size): Float32Array {
  if (h === toH && w === toW) return values;
  const down = linear(h, toH);
  const across = linear(w, toW);
  const wide = new Float32Array(h * toW);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < toW; x++) {
      let sum = 0;
      for (let j = 0; j < across.width; j++) sum += values[y * w + across.first[x]! + j]! * across.weights[x * across.width + j]!;
      wide[y * toW + x] = sum;
    }
  }
  const made = new Float32Array(toH * toW);
  for (let y = 0; y < toH; y++) {
    for (let j = 0; j < down.width; j++) {
      const weight = down.weights[y * down.width + j]!;
      const from = (down.first[y]! + j) * toW;
      for (let x = 0; weight && x < toW; x++) made[y * toW + x]! += wide[from + x]! * weight;
    }
  }
  return made;
}

/** Shrinks a map (h, w) to the means of its cells; cells share what lies on their border. */
export function means(values: Float32Array, [h, w]: Size, [toH, toW]: Size): Float32Array {
  const wide = new Float32Array(h * toW);
  for (let x = 0; x < toW; x++) {
    const [begin, end] = cell(x, w, toW);
    for (let y = 0; y < h; y++) {
      let sum = 0;
      for (let i = begin; i < end; i++) sum += values[y * w + i]!;
      wide[y * toW + x] = sum / (end - begin);
    }
  }
  const made = new Float32Array(toH * toW);
  for (let y = 0; y < toH; y++) {
    const [begin, end] = cell(y, h, toH);
    for (let x = 0; x < toW; x++) {
      let sum = 0;
      for (let i = begin; i < end; i++) sum += wide[i * toW + x]!;
      made[y * toW + x] = sum / (end - begin);
    }
  }
  return made;
}

function cell(i: number, length: number, cells: number): [number, number] {
  return [Math.floor((i * length) / cells), Math.ceil(((i + 1) * length) / cells)];
}

const LOGIT = 10; // how sure a rough mask is

/** Carries a mask, row by row, to the logits that a model takes as a prompt. */
export function maskToFrame(mask: Uint8Array, way: Transform, low: Size): Float32Array {
  const bytes = resizeBytes(mask.map((set) => (set ? 255 : 0)), way.original, way.resized, 1);
  const put = (value: (i: number) => number): Float32Array => {
    const whole = new Float32Array(way.frame[0] * way.frame[1]);
    for (let y = 0, i = 0; y < way.resized[0]; y++) {
      const row = (y + way.offset[0]) * way.frame[1] + way.offset[1];
      for (let x = 0; x < way.resized[1]; x++, i++) whole[row + x] = value(i);
    }
    return means(whole, way.frame, low);
  };
  const inside = put((i) => bytes[i]! / 255);
  const shown = put(() => 1);
  return inside.map((share, i) => LOGIT * ((2 * share) / Math.max(shown[i]!, 1e-9) - 1));
}
