/**
 * The main subject: roughly by a saliency network, exactly by the model, with its edge where the image
 * has it (`anymask.predict.subject`).
 */

import type { Answer, Point } from "../store/project.ts";
import type { Embedding } from "./embedding.ts";
import type { Ask } from "./everything.ts";
import { type Size, type Transform, enlarged, fit, framed, means } from "./frame.ts";
import { boxOf, cut, deepestPoints } from "./implied.ts";
import { evenly } from "./resize.ts";
import { soften } from "./matting.ts";
import { type Model, floats } from "./model.ts";
import { RunBuilder } from "../masks/runs.ts";

const PREPROCESSING = {
  side: 320, pad: null, squash: true, centre: false, fill: null, resize: "antialias", enlarge: "bilinear",
  mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375],
} as const;
const SURE = 8; // logits beyond are no surer
const CLOSER = 0.3; // of the subject's sides: how much around it the second look shows
const LARGE = 0.8; // of the image: a subject's surroundings so large need no second look
const LEAST = 0.001; // of the image: less than this is no subject
const LEAST_IOU = 0.5;
const BACKGROUND = -3; // logits below this are background for sure

/** Does work when the runtime is free. */
type InTurn = <Result>(work: () => Promise<Result>) => Promise<Result>;

interface Map2 {
  readonly size: Size;
  readonly values: Float32Array;
}

export async function subject(
  model: Model,
  embedding: Embedding,
  rgb: Uint8Array,
  ask: Ask,
  inTurn: InTurn,
): Promise<Answer[]> {
  const { way, low } = embedding;
  const rough = await inTurn(() => roughLogits(model, rgb, way.original));
  if (share(rough.values) < LEAST) return [];
  const larger = rough.size[0] > way.resized[0];
  const seen = (larger ? means : enlarged)(rough.values, rough.size, way.resized);
  const asked = promptOf(seen, way, low);
  let fused = seen;
  if (asked) {
    const { logits, scores } = await ask([asked]);
    const slots = model.about.variant.always_three ? [1, 2, 3] : [0];
    const cells = low[0] * low[1];
    const maps = slots
      .map((slot) => ({ map: mapOf(logits.subarray(slot * cells, (slot + 1) * cells), way, low), score: scores[slot]! }))
      .sort((a, b) => b.score - a.score);
    const best = maps.reduce((one, other) => (overlap(other.map, seen) > overlap(one.map, seen) ? other : one));
    fused = seen.map((value, i) => (value + best.map[i]!) / 2);
  }
  const score = expectedIou(fused);
  if (score < LEAST_IOU) return [];
  const [h, w] = way.original;
  const hard = Uint8Array.from(enlarged(fused, way.resized, way.original), (value) => +(value > 0));
  const mask = soften(rgb, hard, way.original, false).alpha.map((value) => +(value >= 128));
  if (share(mask) < LEAST) return [];
  const runs = new RunBuilder();
  for (let x = 0; x < w; x++) {
    for (let y = 0; y < h; ) {
      if (!mask[y * w + x]) {
        y++;
        continue;
      }
      const start = y;
      while (y < h && mask[y * w + x]) y++;
      runs.add(x * h + start, x * h + y);
    }
  }
  return [{ counts: runs.finish(h * w), score, stability: null, label: "subject", logits: null }];
}

async function saliency(model: Model, rgb: Uint8Array, size: Size): Promise<Map2> {
  const way = fit(size, PREPROCESSING);
  const pixels = floats(framed(rgb, way, PREPROCESSING), [1, 3, ...way.frame]);
  const said = await (await model.graph("saliency")).run({ pixels });
  return { size: way.frame, values: said["logits"]!.data as Float32Array };
}

/** Looks at an image, and once more at the part of it that matters. */
async function roughLogits(model: Model, rgb: Uint8Array, [height, width]: Size): Promise<Map2> {
  const first = await saliency(model, rgb, [height, width]);
  const [rows, columns] = first.size;
  const logits = first.values.map(clipped);
  const box = boxOf({ h: rows, w: columns, pixels: Uint8Array.from(logits, (value) => +(value > 0)) });
  if (!box) return { size: first.size, values: logits };
  const [marginX, marginY] = [CLOSER * (box[2] - box[0]), CLOSER * (box[3] - box[1])];
  const [x0, x1] = [Math.max(0, Math.trunc(box[0] - marginX)), Math.min(columns, Math.trunc(box[2] + marginX) + 1)];
  const [y0, y1] = [Math.max(0, Math.trunc(box[1] - marginY)), Math.min(rows, Math.trunc(box[3] + marginY) + 1)];
  if ((x1 - x0) * (y1 - y0) > LARGE * rows * columns) return { size: first.size, values: logits };
  const [left, right] = [Math.floor((x0 * width) / columns), Math.ceil((x1 * width) / columns)];
  const [top, bottom] = [Math.floor((y0 * height) / rows), Math.ceil((y1 * height) / rows)];
  const part = new Uint8Array((bottom - top) * (right - left) * 3);
  for (let y = top; y < bottom; y++) {
    part.set(rgb.subarray((y * width + left) * 3, (y * width + right) * 3), (y - top) * (right - left) * 3);
  }
  const closer = await saliency(model, part, [bottom - top, right - left]);
  // On a grid on which the second look loses nothing, unless it is much finer than models see.
  const finer = Math.min(4, Math.max(1, evenly(Math.min(columns / (x1 - x0), rows / (y1 - y0)))));
  const size: Size = [rows * finer, columns * finer];
  const values = enlarged(logits, first.size, size).map((value) => (value - SURE) / 2);
  const window: Size = [(y1 - y0) * finer, (x1 - x0) * finer];
  const second = enlarged(closer.values, closer.size, window);
  for (let y = 0, i = 0; y < window[0]; y++) {
    for (let x = 0, at = (y0 * finer + y) * size[1] + x0 * finer; x < window[1]; x++, at++, i++) {
      values[at]! += (clipped(second[i]!) + SURE) / 2;
    }
  }
  return { size, values };
}

/** Says what a map of the image in the frame means, in the words that the model understands. */
function promptOf(seen: Float32Array, way: Transform, low: Size) {
  const [h, w] = way.resized;
  const shape = { h, w, pixels: Uint8Array.from(seen, (value) => +(value > 0)) };
  const box = boxOf(shape);
  if (!box) return null;
  const below = { h, w, pixels: Uint8Array.from(seen, (value) => +(value < BACKGROUND)) };
  const beside = deepestPoints(cut(below, box), 2).map(([x, y]): Point => [x + box[0], y + box[1], 0]);
  const on = deepestPoints(shape, 3).map(([x, y]): Point => [x, y, 1]);
  const [scaleX, scaleY] = [way.original[1] / w, way.original[0] / h];
  const place = (value: number, scale: number, length: number): number =>
    Math.min(Math.max((value + 0.5) * scale - 0.5, 0), length - 1);
  const points = [...on, ...beside].map(
    ([x, y, label]): Point => [place(x, scaleX, way.original[1]), place(y, scaleY, way.original[0]), label],
  );
  const whole = new Float32Array(way.frame[0] * way.frame[1]).fill(-SURE);
  for (let y = 0; y < h; y++) {
    whole.set(seen.subarray(y * w, (y + 1) * w), (y + way.offset[0]) * way.frame[1] + way.offset[1]);
  }
  return {
    points,
    box: [box[0] * scaleX, box[1] * scaleY, box[2] * scaleX, box[3] * scaleY] as const,
    mask: means(whole, way.frame, low),
  };
}

/** Brings an answer to the size of the image in the frame. */
function mapOf(logits: Float32Array, way: Transform, low: Size): Float32Array {
  const whole = enlarged(logits.map(clipped), low, way.frame);
  const [h, w] = way.resized;
  const made = new Float32Array(h * w);
  for (let y = 0; y < h; y++) {
    const from = (y + way.offset[0]) * way.frame[1] + way.offset[1];
    made.set(whole.subarray(from, from + w), y * w);
  }
  return made;
}

function clipped(value: number): number {
  return Math.min(SURE, Math.max(-SURE, value));
}

function share(values: Float32Array | Uint8Array): number {
  let inside = 0;
  for (const value of values) if (value > 0) inside++;
  return inside / values.length;
}

function overlap(a: Float32Array, b: Float32Array): number {
  let [both, either] = [0, 0];
  a.forEach((value, i) => {
    const [here, there] = [value > 0, b[i]! > 0];
    if (here && there) both++;
    if (here || there) either++;
  });
  return both / Math.max(1, either);
}

/** Which IoU a mask of the positive pixels would have if each were as likely as they say. */
function expectedIou(logits: Float32Array): number {
  let [sure, missed, size] = [0, 0, 0];
  for (const value of logits) {
    const likely = 1 / (1 + Math.exp(-value));
    if (value > 0) {
      sure += likely;
      size++;
    } else missed += likely;
  }
  return sure / Math.max(1, size + missed);
}
