/** What an encoder made of an image: by the worker itself, or by a server. */

import type { Features } from "../decode/engine.ts";
import type { RawImage } from "../decode/local.ts";
import { READS } from "./compact/decoder.ts";
import { type Size, type Transform, fit, forEncoder, framed } from "./frame.ts";
import { type Feeds, type Model, floats, ort } from "./model.ts";
import { opaque } from "./resize.ts";
import { type Tensor, floatsOf, readTensors } from "./tensors.ts";

export interface Embedding {
  readonly way: Transform;
  /** Size of the logits of its masks. */
  readonly low: Size;
  /** By the names that the graphs have for them. */
  readonly features: Feeds;
  /** Colours of the image, for those who look at it themselves; a server keeps them to itself. */
  readonly rgb: Uint8Array | null;
}

export async function encode(model: Model, raw: RawImage): Promise<Embedding> {
  const { preprocessing } = model.about.variant;
  const way = fit([raw.height, raw.width], preprocessing);
  const rgb = opaque(raw);
  const encoder = await model.graph("encoder");
  const own = forEncoder(preprocessing);
  const seen = fit([raw.height, raw.width], own);
  const feeds: Feeds = model.about.raw_image
    ? { image: new ort.Tensor("uint8", rgb, [1, raw.height, raw.width, 3]) }
    : { pixels: floats(framed(rgb, seen, own), [1, 3, ...seen.frame]) };
  const features = (await encoder.run(feeds)) as Feeds;
  return { way, low: lowOf(model, way), features, rgb };
}

/** Reads an embedding as the server stores it: safetensors of 16 or 8 bits. */
export function received(model: Model, data: ArrayBuffer): Embedding {
  const { tensors, metadata } = readTensors(data);
  const said = JSON.parse(metadata["anymask-embedding"] ?? "{}") as Record<string, Size>;
  const way: Transform = {
    original: said["original_hw"]!,
    resized: said["resized_hw"]!,
    frame: said["frame_hw"]!,
    offset: said["offset_hw"]!,
    enlarge: model.about.variant.preprocessing.enlarge,
  };
  const features: Feeds = {};
  for (const [name, own] of Object.entries(model.about.features)) {
    const tensor = tensors.get(`feature/${name}`);
    if (tensor) features[own] = floats(valuesOf(tensor, tensors.get(`scale/${name}`)), tensor.shape);
  }
  return { way, low: lowOf(model, way), features, rgb: null };
}

/** Copies what a decoder reads, for another worker. */
export async function handOver(model: Model, { way, low, features }: Embedding): Promise<Features> {
  const inputNames = (await model.compact()) ? READS : (await model.graph("decoder")).inputNames;
  const maps = Object.entries(features)
    .filter(([name]) => inputNames.includes(name))
    .map(([name, { dims, data }]) => ({ name, dims, data: (data as Float32Array).slice() }));
  return { way, low, maps };
}

/** Takes over what another worker made. */
export function handed({ way, low, maps }: Features): Embedding {
  return { way, low, features: Object.fromEntries(maps.map(({ name, dims, data }) => [name, floats(data, dims)])), rgb: null };
}

function valuesOf(tensor: Tensor, scale: Tensor | undefined): Float32Array {
  const values = floatsOf(tensor);
  if (!scale) return values;
  const scales = floatsOf(scale); // one for each channel
  const cells = values.length / scales.length;
  for (let c = 0, i = 0; c < scales.length; c++) for (let n = 0; n < cells; n++, i++) values[i]! *= scales[c]!;
  return values;
}

function lowOf({ about }: Model, way: Transform): Size {
  return about.mask_hw ?? [Math.floor(way.frame[0] / about.mask_stride), Math.floor(way.frame[1] / about.mask_stride)];
}
