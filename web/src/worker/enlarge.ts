/** From a model's logits to masks at the size of the image, worked out only where that is needed. */

import type { Counts } from "../masks/runs.ts";
import { type Size, type Taps, type Transform, tapsOf } from "./frame.ts";

/** What is known of a mask. */
export interface Measured {
  readonly counts: Counts;
  /** Pixels that stay when the threshold rises, by those that are there when it falls. */
  readonly stability: number;
  /** First and last column and row; zeros for an empty mask. */
  readonly box: readonly [number, number, number, number];
}

/** Masks of one image, of logits of one size. */
export class Enlarger {
  private readonly down: Taps;
  private readonly across: Taps;
  private readonly h: number;
  private readonly w: number;
  /** The first row of the image that begins to look at each row of logits, or at a later one. */
  private readonly starts: Int32Array;
  /** Whether no weight is negative, so that a mean lies among what it is taken of. */
  private readonly among: boolean;

  constructor(
    way: Transform,
    private readonly low: Size,
  ) {
    [this.down, this.across] = tapsOf(way, low);
    [this.h, this.w] = way.original;
    this.among = [this.down, this.across].every(({ weights }) => weights.every((weight) => weight >= 0));
    this.starts = new Int32Array(low[0] + 1).fill(this.h);
    for (let y = this.h - 1; y >= 0; y--) this.starts[this.down.first[y]!] = y;
    for (let row = low[0] - 1; row >= 0; row--) this.starts[row] = Math.min(this.starts[row]!, this.starts[row + 1]!);
  }

  /** Encodes the mask of logits (h', w'), which are given row by row. */
  counts(logits: Float32Array): Counts {
    const runs = new Runs();
    const line = new Float32Array(this.low[0]);
    const part = this.partAbove(logits, 0);
    for (let x = 0; x < this.w; x++) {
      if (this.column(logits, x, line, part)) this.scan(line, 0, part, (from, to) => runs.add(x * this.h + from, x * this.h + to));
    }
    return runs.finish(this.h * this.w);
  }

  /** Does the same, and measures how far the mask depends on the threshold. */
  measure(logits: Float32Array, offset: number): Measured {
    const runs = new Runs();
    const line = new Float32Array(this.low[0]);
    let sure = 0;
    let possible = 0;
    const box: [number, number, number, number] = [Infinity, Infinity, -1, -1];
    const part = this.partAbove(logits, -offset);
    for (let x = 0; x < this.w; x++) {
      if (this.column(logits, x, line, part)) {
        this.scan(line, 0, part, (from, to) => {
          runs.add(x * this.h + from, x * this.h + to);
          box[0] = Math.min(box[0], x);
          box[2] = x;
          box[1] = Math.min(box[1], from);
          box[3] = Math.max(box[3], to - 1);
        });
        this.scan(line, offset, part, (from, to) => (sure += to - from));
        this.scan(line, -offset, part, (from, to) => (possible += to - from));
      }
    }
    const counts = runs.finish(this.h * this.w);
    return { counts, stability: possible ? sure / possible : 0, box: box[2] < 0 ? [0, 0, 0, 0] : box };
  }

  /** Finds where there are logits above a level: most masks are small, and the rest need not be worked out. */
  private partAbove(logits: Float32Array, least: number): Part {
    const [rows, columns] = this.low;
    const any = new Uint8Array(columns);
    if (!this.among) return { least, any: any.fill(1), top: 0, bottom: rows };
    let [top, bottom] = [rows, 0];
    for (let row = 0, at = 0; row < rows; row++) {
      let seen = false;
      for (let column = 0; column < columns; column++, at++) {
        if (logits[at]! > least) {
          any[column] = 1;
          seen = true;
        }
      }
      if (!seen) continue;
      top = Math.min(top, row);
      bottom = row + 1;
    }
    // A row of the image looks at some rows of logits from its first one on.
    return { least, any, top: Math.max(0, top - this.down.width), bottom: Math.min(rows, bottom + this.down.width) };
  }

  /** Works out the logits of a column of the image, row by row of the logits; tells if any is above. */
  private column(logits: Float32Array, x: number, line: Float32Array, part: Part): boolean {
    const { first, weights, width } = this.across;
    const columns = this.low[1];
    let near = 0;
    for (let j = first[x]!; j < first[x]! + width; j++) near |= part.any[j]!;
    if (!near) return false;
    let any = !this.among;
    for (let row = part.top, at = first[x]! + row * columns; row < part.bottom; row++, at += columns) {
      let sum = 0;
      for (let j = 0; j < width; j++) sum += logits[at + j]! * weights[x * width + j]!;
      line[row] = sum;
      if (sum > part.least) any = true;
    }
    return any;
  }

  /** Calls with each run of pixels of a column above a threshold: first row, and the one after its last. */
  private scan(line: Float32Array, threshold: number, part: Part, found: (from: number, to: number) => void): void {
    const { first, weights, width } = this.down;
    let from = -1;
    const last = Math.max(part.top, part.bottom - width + 1); // all that they look at was worked out
    for (let row = part.top; row < last; row++) {
      const begin = this.starts[row]!;
      const end = this.starts[row + 1]!;
      if (begin === end) continue;
      let above = 0;
      for (let j = 0; j < width; j++) if (line[row + j]! > threshold) above++;
      if (this.among && (above === 0 || above === width)) {
        if (above && from < 0) from = begin;
        else if (!above && from >= 0) {
          found(from, begin);
          from = -1;
        }
        continue;
      }
      for (let y = begin; y < end; y++) {
        let sum = 0;
        const at = first[y]!;
        for (let j = 0; j < width; j++) sum += line[at + j]! * weights[y * width + j]!;
        if (sum > threshold) {
          if (from < 0) from = y;
        } else if (from >= 0) {
          found(from, y);
          from = -1;
        }
      }
    }
    if (from >= 0) found(from, this.starts[last]!);
  }
}

/** Where of the logits anything may be above a level. */
interface Part {
  readonly least: number;
  /** By column. */
  readonly any: Uint8Array;
  /** Rows, the last one exclusive. */
  readonly top: number;
  readonly bottom: number;
}

/** Collects runs of ones in rising order. */
class Runs {
  private counts = new Uint32Array(256);
  private length = 0;
  private end = 0;

  add(start: number, stop: number): void {
    if (this.length && start === this.end) {
      this.counts[this.length - 1]! += stop - start;
    } else {
      if (this.length + 2 > this.counts.length) {
        const larger = new Uint32Array(2 * this.counts.length);
        larger.set(this.counts);
        this.counts = larger;
      }
      this.counts[this.length++] = start - this.end;
      this.counts[this.length++] = stop - start;
    }
    this.end = stop;
  }

  finish(total: number): Counts {
    if (this.end === total && this.length) return this.counts.slice(0, this.length);
    const counts = new Uint32Array(this.length + 1);
    counts.set(this.counts.subarray(0, this.length));
    counts[this.length] = total - this.end;
    return counts;
  }
}
