/** Prompts drawn as maps, what a compact decoder sees of them (`anymask.models.prompt_maps`). */

import type { Box, Point } from "../../store/project.ts";
import type { Size } from "../frame.ts";

const FAR = 256; // frame pixels at which a click is as far as it gets
const LABELS = [1, 0]; // foreground first, everywhere

/** A prompt in the model's frame; the mask are logits at half its size. */
export interface Framed {
  readonly points: readonly Point[];
  readonly box: Box | null;
  readonly mask: Float32Array | null;
  readonly frame: Size;
}

/** Channels row by row, without a rim. */
export interface Grid {
  readonly values: Float32Array;
  readonly channels: number;
  readonly h: number;
  readonly w: number;
}

/** What one channel shows: a map (h, w), or the same everywhere. */
export type Part = Float32Array | number;

/** Two channels for points on the object, two for those beside it, two for the box. */
export function similarities(key: Grid, prompt: Framed, stride: number, sharpness: number): Part[] {
  const parts: Part[] = [];
  for (const label of LABELS) {
    const points = prompt.points.filter((point) => point[2] === label);
    if (!points.length) {
      parts.push(-1, 0);
      continue;
    }
    const best = highest(points.map((point) => cosines(key, unit(sample(key, point, prompt.frame)))));
    parts.push(best, best.map((value) => Math.exp((value - 1) * sharpness)));
  }
  return [...parts, ...boxSimilarity(key, prompt, stride)];
}

/** How far each cell is from the clicks, at three ranges for each label. */
export function distances({ h, w }: Grid, { points, frame }: Framed): Part[] {
  return LABELS.flatMap((label): Part[] => {
    const some = points.filter((point) => point[2] === label);
    if (!some.length) return [Math.exp(-FAR / 6), Math.exp(-FAR / 48), 1];
    const [near, wide, far] = [0, 1, 2].map(() => new Float32Array(h * w)) as [Float32Array, Float32Array, Float32Array];
    const [down, across] = [frame[0] / h, frame[1] / w];
    for (let y = 0, i = 0; y < h; y++) {
      for (let x = 0; x < w; x++, i++) {
        let least = Infinity;
        for (const point of some) {
          const dx = (x + 0.5) * across - 0.5 - point[0];
          const dy = (y + 0.5) * down - 0.5 - point[1];
          least = Math.min(least, dx * dx + dy * dy);
        }
        const distance = Math.min(FAR, Math.sqrt(least));
        near[i] = Math.exp(distance / -6);
        wide[i] = Math.exp(distance / -48);
        far[i] = distance / FAR;
      }
    }
    return [near, wide, far];
  });
}

/** How close the colour of each cell comes to that of the clicks, for each label. */
export function colours(colour: Grid, { points, frame }: Framed): Part[] {
  const { values, h, w } = colour;
  const cells = h * w;
  return LABELS.map((label): Part => {
    const some = points.filter((point) => point[2] === label).map((point) => sample(colour, point, frame));
    if (!some.length) return 0;
    const similar = new Float32Array(cells);
    for (let i = 0; i < cells; i++) {
      let least = Infinity;
      for (const [red, green, blue] of some) {
        const r = values[i]! - red!;
        const g = values[cells + i]! - green!;
        const b = values[2 * cells + i]! - blue!;
        least = Math.min(least, r * r + g * g + b * b);
      }
      similar[i] = Math.exp(-1.5 * Math.sqrt(least));
    }
    return similar;
  });
}

/** Inside the box, how far across and down in halves of it, and whether there is one. */
export function boxPlace({ h, w }: Grid, { box, frame }: Framed): Part[] {
  if (!box) return [0, 0, 0, 0];
  const { across, down } = inBox(box, h, w, frame);
  const maps = [0, 1, 2].map(() => new Float32Array(h * w)) as [Float32Array, Float32Array, Float32Array];
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      const u = Math.min(2, Math.abs(across[x]!));
      const v = Math.min(2, Math.abs(down[y]!));
      maps[0][i] = u <= 1 && v <= 1 ? 1 : 0;
      maps[1][i] = u / 2;
      maps[2][i] = v / 2;
    }
  }
  return [...maps, 1];
}

/** The mask before as the four quarters of each cell, and whether there is one. */
export function earlier({ h, w }: Grid, { mask }: Framed): Part[] {
  if (!mask) return [0, 0, 0, 0, 0];
  const quarters = [0, 1, 2, 3].map((quarter) => {
    const [down, across] = [quarter >> 1, quarter & 1];
    const part = new Float32Array(h * w);
    for (let y = 0, i = 0; y < h; y++) {
      for (let x = 0; x < w; x++, i++) part[i] = Math.tanh(mask[(2 * y + down) * 2 * w + 2 * x + across]! / 4);
    }
    return part;
  });
  return [...quarters, 1];
}

// ------------------------------------------------------------------------------ similarity

/** Reads a grid at a place of the frame, between its cells. */
function sample({ values, channels, h, w }: Grid, [px, py]: Point, frame: Size): Float32Array {
  const along = (at: number, side: number, cells: number): [number, number, number] => {
    const place = Math.min(cells - 1, Math.max(0, ((at + 0.5) / side) * cells - 0.5));
    const first = Math.min(Math.floor(place), Math.max(0, cells - 2));
    return [first, Math.min(first + 1, cells - 1), place - first];
  };
  const [x0, x1, u] = along(px, frame[1], w);
  const [y0, y1, v] = along(py, frame[0], h);
  const seen = new Float32Array(channels);
  for (let c = 0; c < channels; c++) {
    const at = (y: number, x: number): number => values[(c * h + y) * w + x]!;
    seen[c] = (1 - v) * ((1 - u) * at(y0, x0) + u * at(y0, x1)) + v * ((1 - u) * at(y1, x0) + u * at(y1, x1));
  }
  return seen;
}

function unit(values: Float32Array): Float32Array {
  const length = Math.max(Math.hypot(...values), 1e-12);
  return values.map((value) => value / length);
}

/** The products of a key with that of each cell. */
function cosines({ values, channels, h, w }: Grid, key: Float32Array): Float32Array {
  const cells = h * w;
  const sums = new Float32Array(cells);
  for (let c = 0; c < channels; c++) {
    const weight = key[c]!;
    for (let i = 0, at = c * cells; i < cells; i++, at++) sums[i]! += weight * values[at]!;
  }
  return sums;
}

function highest(maps: readonly Float32Array[]): Float32Array {
  const [best, ...others] = maps;
  for (const other of others) other.forEach((value, i) => (best![i] = Math.max(best![i]!, value)));
  return best!;
}

// ------------------------------------------------------------------------------------- box

/** Cells in the box's own coordinates: 1 is half a side from its middle. */
function inBox([x0, y0, x1, y1]: Box, h: number, w: number, frame: Size): { across: Float64Array; down: Float64Array; half: [number, number] } {
  const half: [number, number] = [Math.max(1, (x1 - x0) / 2), Math.max(1, (y1 - y0) / 2)];
  const along = (cells: number, side: number, middle: number, size: number): Float64Array =>
    Float64Array.from({ length: cells }, (_, i) => (((i + 0.5) * side) / cells - middle) / size);
  return { across: along(w, frame[1], (x0 + x1) / 2, half[0]), down: along(h, frame[0], (y0 + y1) / 2, half[1]), half };
}

/** How like the middle of the box each cell is, and how like the bands beside its sides. */
function boxSimilarity(key: Grid, { box, frame }: Framed, stride: number): Part[] {
  if (!box) return [0, 0];
  const { h, w } = key;
  const { across, down, half } = inBox(box, h, w, frame);
  const [softU, softV] = half.map((side) => Math.max(0.05, stride / side)) as [number, number];
  const within = (places: Float64Array, share: number, soft: number): Float64Array =>
    places.map((place) => 1 / (1 + Math.exp(((Math.abs(place) - share) / soft) * 4)));
  const beside = (places: Float64Array, sign: number, soft: number): Float64Array =>
    places.map((place) => Math.exp(-Math.min(30, ((sign * place - 1 - 1.5 * soft) / soft) ** 2)));
  const [inU, inV] = [within(across, 1, softU), within(down, 1, softV)];
  const areas: [Float64Array, Float64Array][] = [
    [within(across, 0.5, softU), within(down, 0.5, softV)],
    [beside(across, -1, softU), inV],
    [beside(across, 1, softU), inV],
    [inU, beside(down, -1, softV)],
    [inU, beside(down, 1, softV)],
  ];
  const [middle, ...bands] = areas.map(([u, v]) => cosines(key, unit(mean(key, u, v))));
  return [middle!, highest(bands)];
}

/** The mean of all keys, weighed by column and row. */
function mean({ values, channels, h, w }: Grid, across: Float64Array, down: Float64Array): Float32Array {
  const weights = new Float64Array(h * w);
  let sum = 0;
  for (let y = 0, i = 0; y < h; y++) for (let x = 0; x < w; x++, i++) sum += weights[i] = across[x]! * down[y]! + 1e-6;
  const means = new Float32Array(channels);
  for (let c = 0, at = 0; c < channels; c++) {
    let total = 0;
    for (let i = 0; i < weights.length; i++, at++) total += weights[i]! * values[at]!;
    means[c] = total / sum;
  }
  return means;
}
