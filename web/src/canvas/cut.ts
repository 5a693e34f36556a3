/** Masks cut out of an image, and images written in another format. */

import { type Counts, bounds, decodePatch } from "../masks/runs.ts";

/** Makes a PNG of a mask's surroundings, transparent elsewhere; null if it has no pixels. */
export async function cutOut(image: ImageBitmap, counts: Counts, imageH: number): Promise<Blob | null> {
  const box = bounds(counts, imageH);
  if (!box) return null;
  const w = box.x1 - box.x0;
  const h = box.y1 - box.y0;
  const canvas = new OffscreenCanvas(w, h);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(image, box.x0, box.y0, w, h, 0, 0, w, h);
  const data = context.getImageData(0, 0, w, h);
  const { pixels } = decodePatch(counts, imageH, box);
  for (let x = 0; x < w; x++) {
    for (let y = 0; y < h; y++) if (!pixels[x * h + y]) data.data[4 * (y * w + x) + 3] = 0;
  }
  context.putImageData(data, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
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
export async function cutAll(file: Blob, masks: readonly Counts[], h: number): Promise<(Blob | null)[]> {
  const image = await createImageBitmap(file);
  const found: (Blob | null)[] = [];
  for (const counts of masks) found.push(await cutOut(image, counts, h));
  image.close();
  return found;
}
