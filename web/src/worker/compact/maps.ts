/** Maps of numbers in the memory of the kernels: each with a rim of zeros, so that nobody asks where it ends. */

import { CHANNELS, type Convolve, LANES, makeKernel, packWeights } from "./kernels.ts";

const FLOAT = 4; // bytes
const RIM = 4; // numbers before a row, which are also those after the one above
const PAGE = 65536;

/** Where channels of a size lie; addresses and steps count numbers. */
export interface Maps {
  readonly at: number;
  readonly channels: number;
  readonly h: number;
  readonly w: number;
  readonly row: number;
  readonly plane: number;
}

/** Weights of a convolution, as the kernel reads them. */
export interface Layer {
  readonly at: number;
  readonly outside: number;
}

/** What a layer does beside its sums. */
export interface Also {
  /** Is added. */
  readonly skip?: Maps;
  /** What is negative is multiplied by it. */
  readonly slope?: number;
}

export class Memory {
  private readonly memory = new WebAssembly.Memory({ initial: 1 });
  private readonly convolve: Convolve = makeKernel(this.memory);
  private readonly offsets = new Map<string, { at: number; taps: number }>();
  private end = 16;
  floats = new Float32Array(this.memory.buffer);

  /** Takes some numbers; they are zeros. */
  take(count: number): number {
    const at = this.end;
    const end = at + Math.ceil(count / 4) * 4;
    const missing = Math.ceil((end * FLOAT - this.memory.buffer.byteLength) / PAGE);
    if (missing > 0) {
      this.memory.grow(missing);
      this.floats = new Float32Array(this.memory.buffer);
    }
    this.end = end;
    return at;
  }

  /** Where what is taken next will lie. */
  get taken(): number {
    return this.end;
  }

  /** Gives back all maps, and whatever else was taken since so much was; layers have to be below. */
  giveBack(taken: number): void {
    this.floats.fill(0, taken, this.end);
    this.end = taken;
    this.offsets.clear(); // they lay there, too
  }

  maps(channels: number, h: number, w: number): Maps {
    const row = Math.ceil(w / LANES) * LANES + RIM;
    const plane = (h + 2) * row + 2 * RIM;
    return { at: this.take(Math.ceil(channels / CHANNELS) * CHANNELS * plane), channels, h, w, row, plane };
  }

  /** Lays out weights (outside, inside, taps), if wanted where another layer was that is as large. */
  layer(weights: Float32Array, bias: Float32Array, taps: number, instead?: Layer): Layer {
    const packed = packWeights(weights, bias, taps);
    const at = instead?.at ?? this.take(packed.length);
    this.floats.set(packed, at);
    return { at, outside: bias.length };
  }

  /** 3 x 3. */
  conv(from: Maps, layer: Layer, to: Maps, also: Also = {}): void {
    const offsets = this.looking(`conv ${from.row} ${from.plane} ${from.channels}`, () =>
      eachChannel(from, (c) => nine((y, x) => c * from.plane + y * from.row + x)),
    );
    this.run(from, from.row, offsets, layer, to, also);
  }

  /** 3 x 3, at every second row and column of a map whose columns have been `parted`. */
  halve(parted: readonly [even: Maps, odd: Maps], layer: Layer, to: Maps, also: Also = {}): void {
    const [even, odd] = parted;
    const offsets = this.looking(`halve ${even.row} ${even.plane} ${even.channels} ${odd.at - even.at}`, () =>
      eachChannel(even, (c) => nine((y, x) => c * even.plane + y * even.row + (x === 0 ? 0 : odd.at - even.at + (x < 0 ? -1 : 0)))),
    );
    this.run(even, 2 * even.row, offsets, layer, to, also);
  }

  /** 1 x 1. */
  mix(from: Maps, layer: Layer, to: Maps, also: Also = {}): void {
    const offsets = this.looking(`mix ${from.plane} ${from.channels}`, () => eachChannel(from, (c) => [c * from.plane]));
    this.run(from, from.row, offsets, layer, to, also);
  }

  /** Copies values without a rim, channel by channel and row by row, into maps. */
  lay(values: Float32Array, { at, channels, h, w, row, plane }: Maps): void {
    for (let c = 0, i = 0; c < channels; c++) {
      for (let y = 0; y < h; y++, i += w) this.floats.set(values.subarray(i, i + w), at + c * plane + place(y, row));
    }
  }

  private run(from: Maps, step: number, offsets: { at: number; taps: number }, { at, outside }: Layer, to: Maps, { skip, slope = 1 }: Also): void {
    const first = (maps: Maps): number => FLOAT * (maps.at + place(0, maps.row));
    this.convolve(
      first(from), FLOAT * step, FLOAT * offsets.at, offsets.taps,
      first(to), FLOAT * to.plane, FLOAT * to.row,
      FLOAT * at, skip ? first(skip) : 0,
      Math.ceil(outside / CHANNELS), to.h, to.w, slope,
    );
    if (to.w % LANES) this.tidy(to);
  }

  /** Rows are worked out some columns too far. */
  private tidy({ at, channels, h, w, row, plane }: Maps): void {
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < h; y++) {
        const from = at + c * plane + place(y, row);
        this.floats.fill(0, from + w, from + row - RIM);
      }
    }
  }

  private looking(name: string, make: () => number[]): { at: number; taps: number } {
    let found = this.offsets.get(name);
    if (!found) {
      const offsets = make();
      const at = this.take(offsets.length);
      new Int32Array(this.floats.buffer).set(offsets.map((offset) => FLOAT * offset), at);
      this.offsets.set(name, (found = { at, taps: offsets.length }));
    }
    return found;
  }
}

/** Where a row begins in its plane. */
export function place(y: number, row: number): number {
  return (y + 1) * row + RIM;
}

function eachChannel({ channels }: Maps, make: (channel: number) => number[]): number[] {
  return Array.from({ length: channels }, (_, c) => make(c)).flat();
}

function nine(make: (y: number, x: number) => number): number[] {
  return [-1, 0, 1].flatMap((y) => [-1, 0, 1].map((x) => make(y, x)));
}
