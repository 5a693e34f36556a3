/** From prompts to masks: how the library asks a decoder's graph, step by step (`anymask.predict`). */

import type { PredictOptions } from "../decode/decoder.ts";
import { decode, total } from "../masks/runs.ts";
import { type Logits, numbersOf, writeLogits } from "../decode/logits.ts";
import type { Answer, Box, Point, Prompt } from "../store/project.ts";
import type { CompactDecoder, Features } from "./compact/decoder.ts";
import { SLOTS } from "./compact/quality.ts";
import type { Embedding } from "./embedding.ts";
import { Enlarger } from "./enlarge.ts";
import { type Size, type Transform, enlarged, maskToFrame, pointToFrame } from "./frame.ts";
import { type Dense, complete, weighed } from "./implied.ts";
import { type About, type Feeds, type Model, floats } from "./model.ts";

const PADDING = -1;
const TOP_LEFT = 2;
const BOTTOM_RIGHT = 3;

/** A prompt in pixels of the image, with the mask already in the model's frame. */
export interface Asked {
  readonly points: readonly Point[];
  readonly box: Box | null;
  readonly mask: Float32Array | null;
}

/** Answers of a decoder to n prompts, in its order: four for each; the next ones may overwrite them. */
export interface Decoded {
  readonly logits: Float32Array;
  readonly scores: Float32Array;
}

export async function predict(
  model: Model,
  embedding: Embedding,
  prompt: Prompt,
  options: PredictOptions,
): Promise<Answer[]> {
  checkCapable(model, prompt);
  const { asked, rough } = understood(model, embedding, prompt, options.logits);
  const { logits, scores } = await ask(model, embedding, [asked]);
  const [first, after] = options.many && can(model, "multimask") ? [1, 4] : [0, 1];
  const cells = embedding.low[0] * embedding.low[1];
  const enlarger = enlargerOf(embedding);
  const most = model.about.variant.preprocessing.clamp;
  const kept = (map: Float32Array): Float32Array =>
    most ? map.map((value) => Math.min(Math.max(value, -most), most)) : map.slice();
  const answers: Answer[] = [];
  for (let slot = first; slot < after; slot++) {
    let map = logits.subarray(slot * cells, (slot + 1) * cells);
    if (rough) map = weighed(map, rough, embedding.low);
    answers.push({
      counts: enlarger.counts(map),
      score: scores[slot]!,
      stability: null,
      label: null,
      logits: options.keepLogits ? writeLogits(kept(map), embedding.low) : null,
    });
  }
  return answers.sort((a, b) => b.score! - a.score!); // stable, best first
}

const enlargers = new WeakMap<Embedding, Enlarger>();

export function enlargerOf(embedding: Embedding): Enlarger {
  let found = enlargers.get(embedding);
  if (!found) enlargers.set(embedding, (found = new Enlarger(embedding.way, embedding.low)));
  return found;
}

export function can(model: Model, what: string): boolean {
  return model.about.variant.capabilities.includes(what);
}

/** Checks that the model knows all that a prompt consists of: its graph would answer anything. */
function checkCapable(model: Model, { points, box, mask }: Prompt): void {
  const needs = [
    ["points", "points", points.some(([, , label]) => label === 1)],
    ["negative_points", "background points", points.some(([, , label]) => label === 0)],
    ["box", "boxes", box !== null],
    ["mask", "masks as prompts", mask !== null],
  ] as const;
  const lacks = needs.filter(([what, , isAsked]) => isAsked && !can(model, what)).map(([, words]) => words);
  if (lacks.length) throw new Error(`${model.about.variant.name} does not know ${lacks.join(", ")}; ask in another way`);
}

/** Brings a prompt into the model's words; `rough` is a mask that the answer is to be weighed against. */
export function understood(
  model: Model,
  { way, low }: Embedding,
  prompt: Prompt,
  given: Logits | null,
): { asked: Asked; rough: Float32Array | null } {
  const { points, box } = prompt;
  const fed = given ? numbersOf(given) : null;
  if (fed && fed.length !== low[0] * low[1]) throw new Error("logits of another image or model");
  const dense = !fed && prompt.mask ? denseOf(prompt.mask, way.original) : null;
  const mask = fed ?? (dense && maskToFrame(dense.pixels, way, low));
  const alone = mask !== null && !box && points.every(([, , label]) => label === 0);
  if (!alone || !model.about.variant.never_alone.includes("mask")) return { asked: { points, box, mask }, rough: null };
  const shape = dense ?? shapeOf(fed!, way, low);
  const said = complete(shape, dense !== null, points, way, low);
  const asked = { points: said.points, box: said.box, mask: said.mask ? mask : null };
  return { asked, rough: dense && said.mask ? mask : null };
}

/** Decodes run lengths, which go column by column, row by row. */
export function denseOf(counts: Uint32Array, [h, w]: Size): Dense {
  if (total(counts) !== h * w) throw new Error("a mask of another image");
  const columns = decode(counts);
  const pixels = new Uint8Array(h * w);
  for (let x = 0, i = 0; x < w; x++) for (let y = 0; y < h; y++, i++) pixels[y * w + x] = columns[i]!;
  return { h, w, pixels };
}

/** The mask of logits in the image: a box around it is all that is asked of it. */
function shapeOf(logits: Float32Array, way: Transform, low: Size): Dense {
  const whole = enlarged(logits, low, way.frame);
  const [h, w] = way.resized;
  const shown = new Float32Array(h * w);
  for (let y = 0; y < h; y++) {
    const from = (y + way.offset[0]) * way.frame[1] + way.offset[1];
    shown.set(whole.subarray(from, from + w), y * w);
  }
  const image = enlarged(shown, way.resized, way.original);
  return { h: way.original[0], w: way.original[1], pixels: Uint8Array.from(image, (value) => (value > 0 ? 1 : 0)) };
}

/** Asks the decoder for all four answers to prompts of one form. */
export async function ask(model: Model, embedding: Embedding, prompts: readonly Asked[]): Promise<Decoded> {
  const own = await model.compact();
  return own ? askOwn(own, embedding, prompts) : askGraph(model, embedding, prompts);
}

function askOwn(decoder: CompactDecoder, embedding: Embedding, prompts: readonly Asked[]): Decoded {
  const { way } = embedding;
  const answer = ({ points, box, mask }: Asked): Decoded =>
    decoder.decode(mapsOf(embedding), {
      points: points.map(([x, y, label]): Point => [...pointToFrame(way, x, y), label]),
      box: box && boxToFrame(way, box),
      mask,
      frame: way.frame,
    });
  if (prompts.length === 1) return answer(prompts[0]!);
  const [h, w] = embedding.low;
  const all = { logits: new Float32Array(prompts.length * SLOTS * h * w), scores: new Float32Array(prompts.length * SLOTS) };
  prompts.forEach((prompt, i) => {
    const { logits, scores } = answer(prompt);
    all.logits.set(logits, i * logits.length);
    all.scores.set(scores, i * scores.length);
  });
  return all;
}

const maps = new WeakMap<Embedding, Features>();

/** An image's maps as the decoder of our own reads them; the same function every time, by which it knows the image. */
function mapsOf(embedding: Embedding): Features {
  let found = maps.get(embedding);
  if (!found) {
    found = (name) => {
      const { data, dims } = embedding.features[name]!;
      const [, channels, h, w] = dims as [number, number, number, number];
      return { values: data as Float32Array, channels, h, w };
    };
    maps.set(embedding, found);
  }
  return found;
}

async function askGraph(model: Model, embedding: Embedding, prompts: readonly Asked[]): Promise<Decoded> {
  const decoder = await model.graph("decoder");
  const { way, low, features } = embedding;
  const laid = prompts.map((prompt) => layOut(prompt, way, model.about));
  const tokens = laid[0]!.length;
  const coords = new Float32Array(prompts.length * tokens * 2);
  const labels = new Float32Array(prompts.length * tokens);
  laid.flat().forEach(([x, y, label], i) => {
    coords.set([x, y], 2 * i);
    labels[i] = label;
  });
  const [mask, has] = masksOf(prompts, low);
  const feeds: Feeds = {
    point_coords: floats(coords, [prompts.length, tokens, 2]),
    point_labels: floats(labels, [prompts.length, tokens]),
    mask_input: floats(mask, [mask.length / (low[0] * low[1]), 1, ...low]),
    has_mask_input: floats(Float32Array.of(has), [1]),
    orig_im_size: floats(new Float32Array(2), [2]), // asks for nothing but the logits
  };
  for (const name of decoder.inputNames) if (features[name]) feeds[name] = features[name];
  const said = await decoder.run(feeds, ["low_res_masks", "iou_predictions"]);
  return {
    logits: said["low_res_masks"]!.data as Float32Array,
    scores: said["iou_predictions"]!.data as Float32Array,
  };
}

let nothing: Float32Array | null = null;

function masksOf(prompts: readonly Asked[], low: Size): [mask: Float32Array, has: number] {
  const cells = low[0] * low[1];
  if (!prompts[0]!.mask) {
    if (nothing?.length !== cells) nothing = new Float32Array(cells);
    return [nothing, 0];
  }
  const masks = new Float32Array(prompts.length * cells);
  prompts.forEach((prompt, i) => masks.set(prompt.mask!, i * cells));
  return [masks, 1];
}

type Token = readonly [x: number, y: number, label: number];

/** Brings a box to the frame, cut off at the image's borders. */
function boxToFrame(way: Transform, [x0, y0, x1, y1]: Box): Box {
  const [h, w] = way.original;
  const inside = (value: number, most: number): number => Math.min(Math.max(value, 0), most);
  return [...pointToFrame(way, inside(x0, w), inside(y0, h)), ...pointToFrame(way, inside(x1, w), inside(y1, h))];
}

/** Lays out points and box as the graph takes them; see `RuntimeNetwork._points`. */
function layOut({ points, box }: Asked, way: Transform, { variant: { family }, box_first }: About): Token[] {
  const clicks = points.map(([x, y, label]): Token => [...pointToFrame(way, x, y), label]);
  if (!box) return clicks.length || family === "compact" ? [...clicks, [0, 0, PADDING]] : clicks;
  const [x0, y0, x1, y1] = boxToFrame(way, box);
  const corners: Token[] = [[x0, y0, TOP_LEFT], [x1, y1, BOTTOM_RIGHT]];
  if (box_first) return [...corners, ...clicks, [0, 0, PADDING]];
  return family === "efficient-sam" ? [...corners, ...clicks] : [...clicks, ...corners];
}
