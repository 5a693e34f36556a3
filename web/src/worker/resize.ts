/**
 * Shrinking and enlarging an image as Pillow does: in one direction after the other.
 *
 * Bytes are rounded to whole values between the two, with weights in 22 bits: so the numbers are the same
 * as those that the library's models see.
 */

import type { RawImage } from "../decode/local.ts";

const BITS = 22;

/** How much of an input counts at a distance from an output's middle, in pixels of the coarser of the two. */
export interface Filter {
  readonly reach: number;
  at(distance: number): number;
}

export const triangle: Filter = { reach: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) };
export const cubic: Filter = { reach: 2, at: keys };

/** Keys' cubic convolution with Pillow's parameter. */
function keys(distance: number): number {
  const x = Math.abs(distance);
  if (x >= 2) return 0;
  return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : (((5 - x) * x - 8) * x + 4) / 2;
}

/** The mean of what an output covers. */
export const box: Filter = { reach: 0.5, at: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };

interface Weights<Values> {
  /** First input of each output, how many there are, and their weights, `width` for each output. */
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly values: Values;
  readonly width: number;
}

/** Weights that bring the part of the inputs between two places to so many outputs. */
function weightsOf(inputs: number, outputs: number, filter: Filter, from = 0, to = inputs): Weights<Float64Array> {
  const scale = (to - from) / outputs;
  const coarse = Math.max(scale, 1);
  const reach = filter.reach * coarse;
  const width = Math.ceil(reach) * 2 + 1;
  const first = new Int32Array(outputs);
  const count = new Int32Array(outputs);
  const values = new Float64Array(outputs * width);
  for (let i = 0; i < outputs; i++) {
    const centre = from + (i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - reach + 0.5));
    const high = Math.min(inputs, Math.trunc(centre + reach + 0.5));
    let sum = 0;
    for (let j = low; j < high; j++) {
      const weight = filter.at((j - centre + 0.5) / coarse);
      values[i * width + j - low] = weight;
      sum += weight;
    }
    first[i] = low;
    count[i] = high - low;
    for (let j = 0; sum && j < high - low; j++) values[i * width + j]! /= sum;
  }
  return { first, count, values, width };
}

/** The same in whole numbers. */
function wholeWeights(inputs: number, outputs: number, filter: Filter): Weights<Int32Array> {
  const weights = weightsOf(inputs, outputs, filter);
  return { ...weights, values: Int32Array.from(weights.values, (value) => Math.trunc(value * (1 << BITS) + (value < 0 ? -0.5 : 0.5))) };
}

/** A part of an image; its borders may lie between pixels. */
export interface Part {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

/** Resizes a part of a map of numbers as Pillow does: rounded to 32 bits after either direction. */
export function resizeFloats(
  values: ArrayLike<number>,
  [h, w]: readonly [number, number],
  [toH, toW]: readonly [number, number],
  filter: Filter,
  part: Part = { top: 0, left: 0, bottom: h, right: w },
): Float32Array {
  const across = weightsOf(w, toW, filter, part.left, part.right);
  const down = weightsOf(h, toH, filter, part.top, part.bottom);
  const above = down.first[0]!;
  const below = down.first[toH - 1]! + down.count[toH - 1]!;
  const wide = new Float32Array((below - above) * toW);
  for (let y = above, at = 0; y < below; y++) {
    for (let x = 0; x < toW; x++, at++) {
      let sum = 0;
      for (let j = 0, from = y * w + across.first[x]!; j < across.count[x]!; j++) sum += values[from + j]! * across.values[x * across.width + j]!;
      wide[at] = sum;
    }
  }
  const made = new Float32Array(toH * toW);
  const sums = new Float64Array(toW);
  for (let y = 0; y < toH; y++) {
    sums.fill(0);
    for (let j = 0; j < down.count[y]!; j++) {
      const weight = down.values[y * down.width + j]!;
      const from = (down.first[y]! + j - above) * toW;
      for (let x = 0; x < toW; x++) sums[x]! += wide[from + x]! * weight;
    }
    made.set(sums, y * toW);
  }
  return made;
}

/** Resizes maps of bytes that lie one beside the other, `channels` for each pixel. */
export function resizeBytes(
  pixels: Uint8Array,
  [h, w]: readonly [number, number],
  [toH, toW]: readonly [number, number],
  channels: number,
  filter: Filter = triangle,
): Uint8Array {
  const wide = w === toW ? pixels : across(pixels, h, w, toW, channels, filter);
  return h === toH ? wide : down(wide, h, toH, toW * channels, filter);
}

function across(pixels: Uint8Array, h: number, w: number, toW: number, channels: number, filter: Filter): Uint8Array {
  const { first, count, values, width } = wholeWeights(w, toW, filter);
  const made = new Uint8ClampedArray(h * toW * channels); // a cubic goes beyond
  for (let y = 0, at = 0; y < h; y++) {
    const row = y * w * channels;
    for (let x = 0; x < toW; x++) {
      const from = row + first[x]! * channels;
      const number = count[x]!;
      for (let c = 0; c < channels; c++, at++) {
        let sum = 1 << (BITS - 1);
        for (let j = 0, place = from + c; j < number; j++, place += channels) {
          sum += pixels[place]! * values[x * width + j]!;
        }
        made[at] = sum >> BITS;
      }
    }
  }
  return new Uint8Array(made.buffer);
}

function down(pixels: Uint8Array, h: number, toH: number, row: number, filter: Filter): Uint8Array {
  const { first, count, values, width } = wholeWeights(h, toH, filter);
  const made = new Uint8ClampedArray(toH * row);
  const sums = new Int32Array(row);
  for (let y = 0; y < toH; y++) {
    sums.fill(1 << (BITS - 1));
    for (let j = 0; j < count[y]!; j++) {
      const weight = values[y * width + j]!;
      const from = (first[y]! + j) * row;
      for (let x = 0; x < row; x++) sums[x]! += pixels[from + x]! * weight;
    }
    for (let x = 0; x < row; x++) made[y * row + x] = sums[x]! >> BITS;
  }
  return new Uint8Array(made.buffer);
}

/** Rounds, and a half to the even neighbour, as Python does. */
export function evenly(value: number): number {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low % 2) : Math.round(value);
}

/** Takes the colours of an image, laid on white where it is transparent: RGB, row by row. */
export function opaque({ width, height, data }: RawImage): Uint8Array {
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    const alpha = data[from + 3]!;
    if (alpha === 255) {
      rgb[to] = data[from]!;
      rgb[to + 1] = data[from + 1]!;
      rgb[to + 2] = data[from + 2]!;
    } else {
      for (let c = 0; c < 3; c++) rgb[to + c] = Math.round((data[from + c]! * alpha + 255 * (255 - alpha)) / 255);
    }
  }
  return rgb;
}
