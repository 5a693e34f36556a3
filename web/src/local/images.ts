/** Image files that come in: of which kind they are by their content, whether they are whole, and their size. */

import { Problem } from "../problem.ts";
import { say } from "../words/words.ts";

const LARGEST = 100_000_000; // pixels, as the server's --max-pixels
const DOUBTFUL = 32_000_000; // from which on a browser that cannot decode a whole file may lack the memory
const THUMBNAIL = { w: 272, h: 136 }; // at most; twice what the strip shows, for fine screens

export const ACCEPT = "image/jpeg,image/png,image/webp,image/gif,image/bmp,image/avif";

/** Tells what an image file is, by its first bytes; null if it is none that browsers show. */
export function kindOf(data: Uint8Array): string | null {
  const text = String.fromCharCode(...data.subarray(0, 12));
  if (text.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (text.startsWith("RIFF") && text.slice(8) === "WEBP") return "image/webp";
  if (text.startsWith("GIF8")) return "image/gif";
  if (text.startsWith("BM")) return "image/bmp";
  if (/^ftypavi[fs]$/.test(text.slice(4))) return "image/avif";
  return null;
}

/** Whether a file is of the kind that telephones save photos in. */
function isHeic(data: Uint8Array): boolean {
  return /^ftyp(hei[cmsx]|hev[cmsx])$/.test(String.fromCharCode(...data.subarray(4, 12)));
}

/** Whether a file ends as its kind does: browsers show those that are cut off, with grey for the rest. */
export function isWhole(data: Uint8Array, kind: string): boolean {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (kind === "image/png") {
    for (let at = 8; at + 12 <= data.length; at += 12 + view.getUint32(at)) {
      if (view.getUint32(at + 4) === 0x49454e44) return true; // IEND
    }
    return false;
  }
  if (kind === "image/webp") return data.length >= 8 + view.getUint32(4, true);
  if (kind !== "image/jpeg") return true;
  // To the start of the scan: what lies before may hold a small image of its own, with its own end.
  let at = 2;
  while (at + 4 <= data.length && view.getUint16(at) !== 0xffda) {
    if (data[at] !== 0xff) return false;
    at += data[at + 1] === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
  for (let end = data.length - 2; end > at; end--) if (data[end] === 0xff && data[end + 1] === 0xd9) return true;
  return false;
}

/** Reads width and height from the beginning of a file, before anything is decoded; null if they are not there. */
export function sizeOf(data: Uint8Array, kind: string): readonly [w: number, h: number] | null {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  try {
    if (kind === "image/png") return [view.getUint32(16), view.getUint32(20)];
    if (kind === "image/gif") return [view.getUint16(6, true), view.getUint16(8, true)];
    if (kind === "image/bmp" && view.getUint32(14, true) === 12) return [view.getUint16(18, true), view.getUint16(20, true)]; // of OS/2
    if (kind === "image/bmp") return [view.getInt32(18, true), Math.abs(view.getInt32(22, true))];
    if (kind === "image/webp") return sizeOfWebp(view);
    return kind === "image/jpeg" ? sizeOfJpeg(view) : null;
  } catch {
    return null; // cut off
  }
}

function sizeOfJpeg(view: DataView): readonly [number, number] | null {
  for (let at = 2; view.getUint8(at) === 0xff; ) {
    const mark = view.getUint8(at + 1);
    // Start of a frame, of any of the kinds, which are not all in a row.
    if (mark >= 0xc0 && mark <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(mark)) return [view.getUint16(at + 7), view.getUint16(at + 5)];
    at += mark === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
  return null;
}

function sizeOfWebp(view: DataView): readonly [number, number] | null {
  const part = String.fromCharCode(...[12, 13, 14, 15].map((at) => view.getUint8(at)));
  const of24 = (at: number): number => view.getUint16(at, true) + 65536 * view.getUint8(at + 2);
  if (part === "VP8X") return [of24(24) + 1, of24(27) + 1];
  if (part === "VP8 ") return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  if (part !== "VP8L") return null;
  const bits = view.getUint32(21, true);
  return [(bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1];
}

export interface Measured {
  readonly w: number;
  readonly h: number;
  readonly file: Blob;
  readonly thumbnail: Blob;
}

/** Decodes an image file, turned as the camera says. */
export async function measure(given: Blob, name: string): Promise<Measured> {
  const data = new Uint8Array(await given.arrayBuffer());
  if (!data.length) throw new Problem(say("error.empty_file", { name }));
  const kind = kindOf(data);
  if (kind === null && isHeic(data)) throw new Problem(say("error.heic", { name }));
  if (kind === null) throw new Problem(say("error.not_image", { name }));
  // Of the bytes themselves: a file on the disk may change or go away.
  const file = new Blob([data], { type: kind });
  const pixels = (sizeOf(data, kind) ?? [0, 0]).reduce((w, h) => w * h);
  checkSize(pixels, name);
  const isComplete = isWhole(data, kind);
  const whole = isComplete ? await createImageBitmap(file).catch(() => null) : null;
  if (!whole) {
    const tooMuch = isComplete && pixels > DOUBTFUL;
    throw new Problem(say(tooMuch ? "error.unheld_image" : "error.damaged_image", { name, megapixels: Math.round(pixels / 1e6) }));
  }
  try {
    const { width: w, height: h } = whole;
    checkSize(w * h, name); // of kinds whose beginning does not say it
    return { w, h, file, thumbnail: await shrink(whole) };
  } finally {
    whole.close();
  }
}

function checkSize(pixels: number, name: string): void {
  if (pixels <= LARGEST) return;
  throw new Problem(say("error.large_image", { name, most: LARGEST / 1e6, megapixels: Math.round(pixels / 1e6) }));
}

async function shrink(image: ImageBitmap): Promise<Blob> {
  const scale = Math.min(1, THUMBNAIL.h / image.height);
  const w = Math.max(1, Math.round(image.width * scale));
  const h = Math.max(1, Math.round(image.height * scale));
  const small = await createImageBitmap(image, { resizeWidth: w, resizeHeight: h, resizeQuality: "medium" });
  const canvas = new OffscreenCanvas(Math.min(w, 2 * THUMBNAIL.w), h);
  const context = canvas.getContext("2d")!;
  context.fillStyle = "#fff"; // below what is transparent
  context.fillRect(0, 0, canvas.width, h);
  context.drawImage(small, (canvas.width - w) / 2, 0);
  small.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.82 });
}
