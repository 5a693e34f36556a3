/**
 * Shrinking and enlarging an image as Pillow does with 8-bit values and a triangle as its filter.
 *
 * In one direction after the other, rounded to whole values between them, with weights in 22 bits:
 * so the numbers are the same as those that the library's models see.
 */

import type { RawImage } from "../decode/local.ts";

const BITS = 22;

interface Weights {
  /** First input of each output, how many there are, and their weights, `width` for each output. */
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly values: Int32Array;
  readonly width: number;
}

function weightsOf(inputs: number, outputs: number): Weights {
  const scale = inputs / outputs;
  const reach = Math.max(scale, 1);
  const width = Math.ceil(reach) * 2 + 1;
  const first = new Int32Array(outputs);
  const count = new Int32Array(outputs);
  const values = new Int32Array(outputs * width);
  const some = new Float64Array(width);
  for (let i = 0; i < outputs; i++) {
    const centre = (i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - reach + 0.5));
    const high = Math.min(inputs, Math.trunc(centre + reach + 0.5));
    let sum = 0;
    for (let j = low; j < high; j++) {
      const weight = Math.max(0, 1 - Math.abs((j - centre + 0.5) / reach));
      some[j - low] = weight;
      sum += weight;
    }
    first[i] = low;
    count[i] = high - low;
    for (let j = 0; j < high - low; j++) {
      values[i * width + j] = Math.trunc((sum ? some[j]! / sum : some[j]!) * (1 << BITS) + 0.5);
    }
  }
  return { first, count, values, width };
}

/** Resizes maps of bytes that lie one beside the other, `channels` for each pixel. */
export function resizeBytes(
  pixels: Uint8Array,
  [h, w]: readonly [number, number],
  [toH, toW]: readonly [number, number],
  channels: number,
): Uint8Array {
  const wide = w === toW ? pixels : across(pixels, h, w, toW, channels);
  return h === toH ? wide : down(wide, h, toH, toW * channels);
}

function across(pixels: Uint8Array, h: number, w: number, toW: number, channels: number): Uint8Array {
  const { first, count, values, width } = weightsOf(w, toW);
  const made = new Uint8Array(h * toW * channels);
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
  return made;
}

function down(pixels: Uint8Array, h: number, toH: number, row: number): Uint8Array {
  const { first, count, values, width } = weightsOf(h, toH);
  const made = new Uint8Array(toH * row);
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
  return made;
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
