/** A model's own small answers: as numbers in the page, as text over the API. */

import type { Logits } from "../store/project.ts";

export type { Logits };

export function writeLogits(numbers: Float32Array, shape: readonly number[]): Logits {
  return { shape: [...shape], dtype: "float32", data: numbers };
}

/** Reads them as numbers. */
export function numbersOf({ dtype, data }: Logits): Float32Array {
  if (typeof data !== "string") return data;
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0)).buffer;
  if (dtype !== "float32") throw new Error(`logits of the unknown dtype ${dtype}`);
  return new Float32Array(bytes);
}

/** Writes them as the API has them. */
export function textOf({ shape, dtype, data }: Logits): { shape: readonly number[]; dtype: string; data: string } {
  if (typeof data === "string") return { shape, dtype, data };
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return { shape, dtype, data: btoa(text) };
}
