/**
 * The decoder of the bundled model, by kernels of our own (`anymask.models.compact`).
 *
 * A runtime for any graph takes longer for maps of so few channels, draws what a prompt does not say,
 * too, and has to be fetched and opened first.
 */

import type { Size } from "../frame.ts";
import { type Layer, type Maps, Memory, place } from "./maps.ts";
import { type Framed, type Grid, type Part, boxPlace, colours, distances, earlier, similarities } from "./prompts.ts";
import { Quality, SLOPE, SLOTS } from "./quality.ts";

const EPSILON = 1e-5;
const GROUPS = [4, 8, 8]; // of the norms
const STRIDES = [4, 8, 16, 32];
const LEVELS = ["8", "16", "32"];

/** What it reads of an image. */
export const READS = ["key4", "key8", "key16", "image4", "image8", "image16", "image32", "colour"];

/** Reads a weight by its name in the library. */
export type Weights = (name: string) => Float32Array;

/** Maps of an image by their names, channels row by row. */
export type Features = (name: string) => Grid;

interface Norm {
  readonly groups: number;
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/** One step down: of the maps above, those of its own size. */
interface Down {
  readonly conv: Layer;
  readonly norm: Norm;
  /** Pairs of convolutions around identities. */
  readonly blocks: readonly (readonly [Layer, Layer])[];
}

interface Up {
  readonly up: Layer;
  readonly mix: Layer;
}

/** What a decoding writes into, for frames of one size. */
interface Room {
  readonly frame: string;
  readonly images: readonly Maps[];
  readonly drawn: readonly Maps[];
  readonly entered: readonly Maps[];
  /** Even columns and odd ones. */
  readonly parted: readonly (readonly [Maps, Maps])[];
  readonly inner: readonly Maps[];
  readonly down: readonly Maps[];
  readonly above: readonly Maps[];
  readonly joined: readonly Maps[];
  readonly up: readonly Maps[];
  readonly quarters: Maps;
  /** Copies without rims, and the answer: what is made anew for each has to be collected. */
  readonly plainQuarters: Float32Array;
  readonly plainUp: Float32Array;
  readonly logits: Float32Array;
}

export class CompactDecoder {
  private readonly memory = new Memory();
  private readonly widths: readonly number[];
  private readonly down: readonly Down[];
  private readonly up: readonly Up[];
  private readonly enter: readonly { weights: Float32Array; bias: Float32Array; layer: Layer }[];
  private readonly masks: Layer;
  private readonly whole: { weight: Float32Array; bias: Float32Array };
  private readonly sharpness: Float32Array;
  private readonly quality: Quality;
  /** Where the weights end. */
  private readonly weightsEnd: number;
  private room: Room | null = null;
  /** Whose maps are laid out. */
  private shown: Features | null = null;

  constructor(weights: Weights) {
    const of = (name: string): [Float32Array, Float32Array] => [weights(`decoder.${name}.weight`), weights(`decoder.${name}.bias`)];
    const layer = (name: string, taps: number): Layer => this.memory.layer(...of(name), taps);
    const pair = (name: string): readonly [Layer, Layer] => [layer(`${name}.first`, 9), layer(`${name}.second`, 9)];
    const norm = (level: string, i: number): Norm => {
      const [weight, bias] = of(`norm${level}`);
      return { groups: GROUPS[i]!, weight, bias };
    };
    this.down = LEVELS.map((level, i) => ({
      conv: layer(`down${level}`, 9),
      norm: norm(level, i),
      blocks: level === "32" ? [pair("block32.0"), pair("block32.1")] : [pair(`block${level}`)],
    }));
    this.up = ["4", "8", "16"].map((level) => ({ up: layer(`up${level}`, 1), mix: layer(`mix${level}`, 9) }));
    this.enter = ["4", "8", "16"].map((level) => {
      const [values, bias] = of(`enter${level}`);
      return { weights: values, bias, layer: this.memory.layer(values, bias, 1) }; // of all channels, so that there is room for fewer
    });
    this.masks = layer("masks", 1);
    const [weight, bias] = of("whole");
    this.whole = { weight, bias };
    this.widths = [...this.enter.map((one) => one.bias.length), bias.length];
    this.sharpness = weights("prompt_maps.sharpness");
    this.quality = new Quality(weights, this.widths[1]!, this.widths[3]!);
    this.weightsEnd = this.memory.taken;
  }

  /**
   * Answers a prompt: logits (4, h, w) at half the size of the frame, which the next answer overwrites, and what IoU
   * they are worth.
   */
  decode(features: Features, prompt: Framed): { logits: Float32Array; scores: Float32Array } {
    const room = this.roomFor(prompt.frame);
    if (this.shown !== features) {
      room.images.forEach((maps, i) => this.memory.lay(features(`image${STRIDES[i]}`).values, maps));
      this.shown = features;
    }
    this.look(room, features, prompt);
    for (let i = 0; i < this.down.length; i++) this.goDown(room, i);
    const deepest = room.down.at(-1)!;
    const pooled = this.means(deepest);
    this.addToAll(deepest, this.seenWhole(pooled));
    for (let i = this.up.length - 1; i >= 0; i--) this.goUp(room, i);
    this.memory.mix(room.up[0]!, this.masks, room.quarters);
    const { h, w } = room.quarters;
    this.plain(room.quarters, room.plainQuarters);
    this.plain(room.up[1]!, room.plainUp);
    const scores = this.quality.scores(room.plainQuarters, h, w, room.plainUp, pooled);
    interleave(room.plainQuarters, h, w, room.logits);
    return { logits: room.logits, scores };
  }

  // ----------------------------------------------------------------------------- the prompt

  private look(room: Room, features: Features, prompt: Framed): void {
    const keys = [4, 8, 16].map((stride) => features(`key${stride}`));
    const parts = keys.map((key, i) => similarities(key, prompt, STRIDES[i]!, this.sharpness[i]!));
    const fine = keys[0]!;
    parts[0] = [...parts[0]!, ...distances(fine, prompt), ...colours(features("colour"), prompt), ...boxPlace(fine, prompt), ...earlier(fine, prompt)];
    parts.forEach((some, i) => {
      const from = this.draw(room.drawn[i]!, some);
      const layer = this.entrance(i, some);
      this.memory.mix(from, layer, room.entered[i]!, { skip: room.images[i]!, slope: i ? 1 : SLOPE });
    });
  }

  /** Lays out what differs from place to place. */
  private draw(room: Maps, parts: readonly Part[]): Maps {
    const drawn = parts.filter((part) => typeof part !== "number");
    const maps = { ...room, channels: 1 };
    drawn.forEach((part, c) => this.memory.lay(part, { ...maps, at: room.at + c * room.plane }));
    return { ...room, channels: Math.max(1, drawn.length) };
  }

  /** The first layer for what is drawn; what is the same everywhere becomes part of its bias. */
  private entrance(i: number, parts: readonly Part[]): Layer {
    const { weights, bias, layer } = this.enter[i]!;
    const columns = parts.flatMap((part, c) => (typeof part === "number" ? [] : [c]));
    const taps = Math.max(1, columns.length);
    const own = new Float32Array(bias.length * taps);
    const sum = bias.map((value, o) =>
      parts.reduce<number>((all, part, c) => (typeof part === "number" ? all + part * weights[o * parts.length + c]! : all), value),
    );
    for (let o = 0; o < bias.length; o++) columns.forEach((c, k) => (own[o * taps + k] = weights[o * parts.length + c]!));
    this.memory.layer(own, sum, 1, layer);
    return layer;
  }

  // ---------------------------------------------------------------------------- down and up

  private goDown(room: Room, i: number): void {
    const { memory } = this;
    const { conv, norm, blocks } = this.down[i]!;
    const [from, to, inner] = [i ? room.down[i - 1]! : room.entered[0]!, room.down[i]!, room.inner[i]!];
    this.part(from, room.parted[i]!);
    memory.halve(room.parted[i]!, conv, to, { skip: room.entered[i + 1] ?? room.images[3]! });
    this.normalise(to, norm);
    for (const [first, second] of blocks) {
      memory.conv(to, first, inner, { slope: SLOPE });
      memory.conv(inner, second, to, { skip: to, slope: SLOPE });
    }
  }

  private goUp(room: Room, i: number): void {
    const from = room.up[i + 1] ?? room.down.at(-1)!;
    this.memory.mix(from, this.up[i]!.up, room.above[i]!);
    this.join(room.above[i]!, i ? room.down[i - 1]! : room.entered[0]!, room.joined[i]!);
    this.memory.conv(room.joined[i]!, this.up[i]!.mix, room.up[i]!, { slope: SLOPE });
  }

  /** Parts the columns of maps, so that every second of them is next to the one before. */
  private part({ at, channels, h, w, row, plane }: Maps, [even, odd]: readonly [Maps, Maps]): void {
    const { floats } = this.memory;
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < h; y++) {
        const from = at + c * plane + place(y, row);
        const [a, b] = [even, odd].map((maps) => maps.at + c * maps.plane + place(y, maps.row)) as [number, number];
        for (let x = 0, i = 0; x < w; x += 2, i++) {
          floats[a + i] = floats[from + x]!;
          floats[b + i] = floats[from + x + 1]!;
        }
      }
    }
  }

  /** Group normalisation, and a leaky rectified unit. */
  private normalise({ at, channels, h, w, row, plane }: Maps, { groups, weight, bias }: Norm): void {
    const { floats } = this.memory;
    const size = channels / groups;
    for (let first = 0; first < channels; first += size) {
      let [sum, squares] = [0, 0];
      for (let c = first; c < first + size; c++) {
        for (let y = 0; y < h; y++) {
          const from = at + c * plane + place(y, row);
          for (let i = from; i < from + w; i++) {
            const value = floats[i]!;
            sum += value;
            squares += value * value;
          }
        }
      }
      const mean = sum / (size * h * w);
      const scale = 1 / Math.sqrt(Math.max(0, squares / (size * h * w) - mean * mean) + EPSILON);
      for (let c = first; c < first + size; c++) {
        const factor = scale * weight[c]!;
        const shift = bias[c]! - mean * factor;
        for (let y = 0; y < h; y++) {
          const from = at + c * plane + place(y, row);
          for (let i = from; i < from + w; i++) {
            const value = floats[i]! * factor + shift;
            floats[i] = value > 0 ? value : SLOPE * value;
          }
        }
      }
    }
  }

  /** Enlarges maps to twice their size, cell by cell, and adds them to others. */
  private join(above: Maps, skip: Maps, to: Maps): void {
    const { floats } = this.memory;
    for (let c = 0; c < to.channels; c++) {
      for (let y = 0; y < to.h; y++) {
        const from = above.at + c * above.plane + place(y >> 1, above.row);
        const beside = skip.at + c * skip.plane + place(y, skip.row);
        const target = to.at + c * to.plane + place(y, to.row);
        for (let x = 0; x < to.w; x++) {
          const value = floats[from + (x >> 1)]! + floats[beside + x]!;
          floats[target + x] = value > 0 ? value : SLOPE * value;
        }
      }
    }
  }

  private means({ at, channels, h, w, row, plane }: Maps): Float32Array {
    const { floats } = this.memory;
    return Float32Array.from({ length: channels }, (_, c) => {
      let sum = 0;
      for (let y = 0; y < h; y++) {
        const from = at + c * plane + place(y, row);
        for (let i = from; i < from + w; i++) sum += floats[i]!;
      }
      return sum / (h * w);
    });
  }

  private seenWhole(pooled: Float32Array): Float32Array {
    const { weight, bias } = this.whole;
    return bias.map((value, o) => pooled.reduce((sum, one, c) => sum + one * weight[o * pooled.length + c]!, value));
  }

  private addToAll({ at, channels, h, w, row, plane }: Maps, values: Float32Array): void {
    const { floats } = this.memory;
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < h; y++) {
        const from = at + c * plane + place(y, row);
        for (let i = from; i < from + w; i++) floats[i]! += values[c]!;
      }
    }
  }

  /** Copies maps out of the memory, without their rims. */
  private plain({ at, channels, h, w, row, plane }: Maps, values: Float32Array): void {
    for (let c = 0, i = 0; c < channels; c++) {
      for (let y = 0; y < h; y++, i += w) {
        const from = at + c * plane + place(y, row);
        values.set(this.memory.floats.subarray(from, from + w), i);
      }
    }
  }

  /** The latest size alone has a room: WebAssembly never gives memory back, and images come in many sizes. */
  private roomFor(frame: Size): Room {
    if (this.room?.frame !== frame.join()) {
      this.room = this.shown = null;
      this.memory.giveBack(this.weightsEnd);
      this.room = this.makeRoom(frame);
    }
    return this.room;
  }

  private makeRoom(frame: Size): Room {
    const { memory, widths } = this;
    const [height, width] = frame;
    const of = (level: number, channels = widths[level]!): Maps => memory.maps(channels, height / STRIDES[level]!, width / STRIDES[level]!);
    const cells = (level: number): number => (height / STRIDES[level]!) * (width / STRIDES[level]!);
    const drawn = this.enter.map(({ weights, bias }, i) => of(i, weights.length / bias.length));
    const parted = (i: number): readonly [Maps, Maps] => {
      const [h, w] = [height / STRIDES[i]!, width / STRIDES[i + 1]!];
      return [memory.maps(widths[i]!, h, w), memory.maps(widths[i]!, h, w)];
    };
    return {
      frame: frame.join(),
      images: [0, 1, 2, 3].map((i) => of(i)),
      drawn,
      entered: [0, 1, 2].map((i) => of(i)),
      parted: [0, 1, 2].map(parted),
      inner: [1, 2, 3].map((i) => of(i)),
      down: [1, 2, 3].map((i) => of(i)),
      above: [0, 1, 2].map((i) => of(i + 1, widths[i])),
      joined: [0, 1, 2].map((i) => of(i)),
      up: [0, 1, 2].map((i) => of(i)),
      quarters: of(0, 4 * SLOTS),
      plainQuarters: new Float32Array(4 * SLOTS * cells(0)),
      plainUp: new Float32Array(widths[1]! * cells(1)),
      logits: new Float32Array(4 * SLOTS * cells(0)),
    };
  }
}

/** Puts the quarters of cells (slot, row, column) where they belong. */
function interleave(quarters: Float32Array, h: number, w: number, logits: Float32Array): void {
  const cells = h * w;
  for (let slot = 0; slot < SLOTS; slot++) {
    for (let quarter = 0; quarter < 4; quarter++) {
      const [down, across] = [quarter >> 1, quarter & 1];
      for (let y = 0, from = (4 * slot + quarter) * cells; y < h; y++) {
        const to = 4 * slot * cells + (2 * y + down) * 2 * w + across;
        for (let x = 0; x < w; x++, from++) logits[to + 2 * x] = quarters[from]!;
      }
    }
  }
}
