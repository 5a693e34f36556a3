/** Masks cut out of an image, and images written in another format. */

import { type Bounds, type Counts, bounds, decodePatch } from "../masks/runs.ts";
import { soften } from "../worker/matting.ts";
import { opaque } from "../worker/resize.ts";

const MARGIN = 0.1; // around a mask with a soft edge: of its diagonal ...
const LEAST_MARGIN = 8; // ... and pixels

/** A mask to cut out; with a soft edge where the image shows one, or pixel by pixel. */
export interface Cut {
  readonly counts: Counts;
  readonly soft: boolean;
}

/** Makes a PNG of a mask's surroundings, transparent elsewhere; null if it has no pixels. */
export async function cutOut(image: ImageBitmap, { counts, soft }: Cut, imageH: number): Promise<Blob | null> {
  const found = bounds(counts, imageH);
  if (!found) return null;
  const margin = soft ? Math.ceil(MARGIN * Math.hypot(found.x1 - 1 - found.x0, found.y1 - 1 - found.y0) + LEAST_MARGIN) : 0;
  const box = {
    x0: Math.max(found.x0 - margin, 0), y0: Math.max(found.y0 - margin, 0),
    x1: Math.min(found.x1 + margin, image.width), y1: Math.min(found.y1 + margin, imageH),
  };
  const [w, h] = [box.x1 - box.x0, box.y1 - box.y0];
  const canvas = new OffscreenCanvas(w, h);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(image, box.x0, box.y0, w, h, 0, 0, w, h);
  const data = context.getImageData(0, 0, w, h);
  const { pixels } = decodePatch(counts, imageH, box);
  const mask = new Uint8Array(w * h);
  for (let x = 0, i = 0; x < w; x++) for (let y = 0; y < h; y++, i++) mask[y * w + x] = pixels[i]!;
  const shown = cover(data, mask, soft);
  if (!shown) return null;
  canvas.width = shown.x1 - shown.x0;
  canvas.height = shown.y1 - shown.y0;
  context.putImageData(data, -shown.x0, -shown.y0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** Makes an image transparent where a mask, row by row, does not cover it; gives the part that can be seen. */
function cover(image: ImageData, mask: Uint8Array, soft: boolean): Bounds | null {
  const { width: w, height: h, data } = image;
  const found = soft ? soften(opaque(image), mask, [h, w]) : null;
  // Colours of an image that is transparent itself are its own already.
  const colours = found && isOpaque(data) ? found.colours : null;
  const shown = { x0: w, y0: h, x1: 0, y1: 0 };
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      const alpha = found ? found.alpha[i]! : mask[i]! * 255;
      const left = Math.floor((data[4 * i + 3]! * alpha + 127) / 255);
      data[4 * i + 3] = left;
      if (!left) continue;
      for (let c = 0; colours && c < 3; c++) data[4 * i + c] = colours[3 * i + c]!;
      shown.x0 = Math.min(shown.x0, x);
      shown.x1 = Math.max(shown.x1, x + 1);
      shown.y0 = Math.min(shown.y0, y);
      shown.y1 = y + 1;
    }
  }
  return shown.x0 < shown.x1 ? shown : null;
}

function isOpaque(data: Uint8ClampedArray): boolean {
  for (let i = 3; i < data.length; i += 4) if (data[i] !== 255) return false;
  return true;
}

/** Writes an image in another format; in JPEG, white is below what is transparent. */
export async function convert(file: Blob, type: "image/png" | "image/jpeg"): Promise<Blob> {
  const image = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d")!;
  if (type === "image/jpeg") {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, image.width, image.height);
  }
  context.drawImage(image, 0, 0);
  image.close();
  return canvas.convertToBlob({ type, quality: 0.95 });
}

/** Cuts several masks out of an image. */
export async function cutAll(file: Blob, masks: readonly Cut[], h: number): Promise<(Blob | null)[]> {
  const image = await createImageBitmap(file);
  const found: (Blob | null)[] = [];
  for (const mask of masks) found.push(await cutOut(image, mask, h));
  image.close();
  return found;
}
