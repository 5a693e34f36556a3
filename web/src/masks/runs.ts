/**
 * Run lengths: masks written as the lengths of their runs of equal pixels.
 *
 * A mask is read column by column, from top to bottom; runs alternate, zeros first. This is COCO's
 * convention and equals `anymask.masks.rle` number by number.
 */

/** Lengths of runs; the first is of zeros and may be 0. Never changed once made. */
export type Counts = Uint32Array;

/** A rectangle of pixels: first and last column and row, exclusive at the end. */
export interface Bounds {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

/** Pixels of a part of an image, column by column: `pixels[(x - x0) * (y1 - y0) + (y - y0)]`. */
export interface Patch extends Bounds {
  pixels: Uint8Array;
}

export function emptyCounts(h: number, w: number): Counts {
  return Uint32Array.of(h * w);
}

/** Encodes pixels that are given column by column: `pixels[x * h + y]`. */
export function encode(pixels: ArrayLike<number>): Counts {
  const counts: number[] = [];
  let run = 0;
  let value = 0;
  for (let i = 0; i < pixels.length; i++) {
    const set = pixels[i] ? 1 : 0;
    if (set !== value) {
      counts.push(run);
      run = 0;
      value = set;
    }
    run++;
  }
  counts.push(run);
  return Uint32Array.from(counts);
}

/** Decodes into pixels, column by column. */
export function decode(counts: Counts): Uint8Array {
  let total = 0;
  for (const count of counts) total += count;
  const pixels = new Uint8Array(total);
  let at = 0;
  counts.forEach((count, i) => {
    if (i % 2) pixels.fill(1, at, at + count);
    at += count;
  });
  return pixels;
}

/** Encodes a patch as a mask of the whole image; what lies outside of the image is left out. */
export function encodePatch(patch: Patch, h: number, w: number): Counts {
  const height = patch.y1 - patch.y0;
  const builder = new RunBuilder();
  for (let x = Math.max(0, patch.x0); x < Math.min(w, patch.x1); x++) {
    const column = (x - patch.x0) * height - patch.y0;
    const stop = Math.min(h, patch.y1);
    for (let y = Math.max(0, patch.y0); y < stop; ) {
      if (!patch.pixels[column + y]) {
        y++;
        continue;
      }
      const start = y;
      while (y < stop && patch.pixels[column + y]) y++;
      builder.add(x * h + start, x * h + y);
    }
  }
  return builder.finish(h * w);
}

/** Decodes the part of a mask that lies in a rectangle, which may reach over the image. */
export function decodePatch(counts: Counts, h: number, bounds: Bounds): Patch {
  const { x0, y0, x1, y1 } = bounds;
  const height = y1 - y0;
  const pixels = new Uint8Array(Math.max(0, x1 - x0) * Math.max(0, height));
  eachColumnRun(counts, h, (x, top, bottom) => {
    if (x < x0 || x >= x1) return;
    const from = Math.max(top, y0);
    const to = Math.min(bottom, y1);
    const column = (x - x0) * height - y0;
    if (from < to) pixels.fill(1, column + from, column + to);
  });
  return { x0, y0, x1, y1, pixels };
}

/** Calls with each vertical run of ones: its column, first row, and the row after its last. */
export function eachColumnRun(
  counts: Counts,
  h: number,
  visit: (x: number, top: number, bottom: number) => void,
): void {
  let at = 0;
  for (let i = 0; i < counts.length; i++) {
    let left = counts[i]!;
    if (i % 2 === 0) {
      at += left;
      continue;
    }
    while (left > 0) {
      const x = Math.floor(at / h);
      const top = at - x * h;
      const length = Math.min(left, h - top);
      visit(x, top, top + length);
      at += length;
      left -= length;
    }
  }
}

/** Collects runs of ones in rising order. */
export class RunBuilder {
  private counts: number[] = [];
  private end = 0;

  add(start: number, stop: number): void {
    if (this.counts.length && start === this.end) {
      this.counts[this.counts.length - 1]! += stop - start;
    } else {
      this.counts.push(start - this.end, stop - start);
    }
    this.end = stop;
  }

  finish(total: number): Counts {
    if (this.end < total || this.counts.length === 0) this.counts.push(total - this.end);
    return Uint32Array.from(this.counts);
  }
}

// ---------------------------------------------------------------------------- strings

/** Writes run lengths as COCO's compressed string. */
export function toText(counts: Counts): string {
  let text = "";
  for (let i = 0; i < counts.length; i++) {
    let value = counts[i]! - (i > 2 ? counts[i - 2]! : 0);
    for (;;) {
      let character = value & 31;
      value = Math.floor(value / 32); // not >>, which is of 32 bits with sign
      const more = character & 16 ? value !== -1 : value !== 0;
      if (more) character |= 32;
      text += String.fromCharCode(character + 48);
      if (!more) break;
    }
  }
  return text;
}

/** Reads run lengths from COCO's compressed string; throws if it is damaged. */
export function fromText(text: string): Counts {
  const counts: number[] = [];
  for (let at = 0; at < text.length; ) {
    let value = 0;
    let scale = 1;
    for (;;) {
      const character = text.charCodeAt(at++) - 48;
      if (!(character >= 0 && character < 64)) throw new Error("damaged run lengths");
      value += (character & 31) * scale;
      scale *= 32;
      if (character & 32) continue;
      if (character & 16) value -= scale;
      break;
    }
    if (counts.length > 2) value += counts[counts.length - 2]!;
    if (value < 0) throw new Error("damaged run lengths");
    counts.push(value);
  }
  return Uint32Array.from(counts);
}

// -------------------------------------------------------------------------- measuring

export function total(counts: Counts): number {
  let sum = 0;
  for (const count of counts) sum += count;
  return sum;
}

export function area(counts: Counts): number {
  let sum = 0;
  for (let i = 1; i < counts.length; i += 2) sum += counts[i]!;
  return sum;
}

/** The rectangle around a mask, or null for an empty one. */
export function bounds(counts: Counts, h: number): Bounds | null {
  const found = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
  eachColumnRun(counts, h, (x, top, bottom) => {
    found.x0 = Math.min(found.x0, x);
    found.x1 = Math.max(found.x1, x + 1);
    found.y0 = Math.min(found.y0, top);
    found.y1 = Math.max(found.y1, bottom);
  });
  return found.x0 === Infinity ? null : found;
}

const ends = new WeakMap<Counts, Uint32Array>();

/** Whether a mask covers the pixel at column x and row y. */
export function contains(counts: Counts, h: number, x: number, y: number): boolean {
  if (y < 0 || y >= h || x < 0) return false;
  let sums = ends.get(counts);
  if (!sums) {
    sums = new Uint32Array(counts.length);
    let sum = 0;
    for (let i = 0; i < counts.length; i++) sums[i] = sum += counts[i]!;
    ends.set(counts, sums);
  }
  const place = x * h + y;
  let low = 0;
  let high = sums.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle]! > place) high = middle;
    else low = middle + 1;
  }
  return low < sums.length && low % 2 === 1;
}

// -------------------------------------------------------------------------- combining

type Rule = (a: boolean, b: boolean) => boolean;

function combine(a: Counts, b: Counts, rule: Rule): Counts {
  const builder = new RunBuilder();
  const size = total(a);
  if (total(b) !== size) throw new Error("masks of different images");
  let i = 0;
  let j = 0;
  let endA = a[0] ?? 0;
  let endB = b[0] ?? 0;
  for (let at = 0; at < size; ) {
    while (endA <= at) endA += a[++i]!;
    while (endB <= at) endB += b[++j]!;
    const next = Math.min(endA, endB);
    if (rule(i % 2 === 1, j % 2 === 1)) builder.add(at, next);
    at = next;
  }
  return builder.finish(size);
}

export const union = (a: Counts, b: Counts): Counts => combine(a, b, (p, q) => p || q);
export const intersect = (a: Counts, b: Counts): Counts => combine(a, b, (p, q) => p && q);
export const subtract = (a: Counts, b: Counts): Counts => combine(a, b, (p, q) => p && !q);

export function iou(a: Counts, b: Counts): number {
  const shared = area(intersect(a, b));
  const either = area(a) + area(b) - shared;
  return either ? shared / either : 0;
}

export function same(a: Counts, b: Counts): boolean {
  return a === b || (a.length === b.length && a.every((count, i) => count === b[i]));
}
