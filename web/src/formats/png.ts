/** PNGs of numbers, which a canvas would turn into colours: written and read, with their texts. */

import { Problem } from "../problem.ts";
import { type Bytes, crc32, joinBytes, through, toBytes } from "./bytes.ts";

/** Numbers of pixels, column by column as run lengths are. */
export interface NumberMap {
  readonly w: number;
  readonly h: number;
  readonly pixels: Uint8Array | Uint16Array;
}

export interface ReadMap extends NumberMap {
  readonly texts: ReadonlyMap<string, string>;
  /** Whether it has the palette of Pascal VOC, where 255 is void. */
  readonly isVoc: boolean;
}

const SIGNATURE = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
const LARGEST = 1 << 30; // bytes of pixels

export function isPng(data: Uint8Array): boolean {
  return SIGNATURE.every((one, i) => data[i] === one);
}

/** VOC's colours: the bits of a number, dealt out to red, green, blue in turns. */
export const VOC_PALETTE = Uint8Array.from({ length: 768 }, (_, i) => {
  const [number, channel] = [Math.floor(i / 3), i % 3];
  let value = 0;
  for (let bit = 0; bit < 3; bit++) value |= ((number >> (3 * bit + channel)) & 1) << (7 - bit);
  return value;
});

/** Whether the head of a PNG has the palette of Pascal VOC. */
export function hasVocPalette(data: Uint8Array): boolean {
  const head = String.fromCharCode(...data.subarray(0, 4096));
  return head.includes(`PLTE${String.fromCharCode(...VOC_PALETTE.subarray(0, 12))}`);
}

/** Writes numbers in 8 bits, or in 16 if they are 16-bit; in VOC's palette if wanted. */
export async function writeMap(map: NumberMap, texts: Readonly<Record<string, string>> = {}, voc = false): Promise<Bytes> {
  const { w, h, pixels } = map;
  const size = pixels.BYTES_PER_ELEMENT;
  const rows = new Uint8Array(h * (1 + w * size)); // each begins with its filter, none
  for (let y = 0; y < h; y++) {
    let at = y * (1 + w * size) + 1;
    for (let x = 0; x < w; x++) {
      const value = pixels[x * h + y]!;
      if (size === 2) rows[at++] = value >> 8;
      rows[at++] = value & 255;
    }
  }
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, w);
  view.setUint32(4, h);
  head.set([8 * size, voc ? 3 : 0, 0, 0, 0], 8);
  return joinBytes([
    SIGNATURE,
    chunk("IHDR", head),
    ...(voc ? [chunk("PLTE", VOC_PALETTE)] : []),
    ...Object.entries(texts).map(([key, text]) => chunk("iTXt", joinBytes([toBytes(key), new Uint8Array(5), toBytes(text)]))),
    chunk("IDAT", await through(rows, new CompressionStream("deflate"))),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

function chunk(name: string, data: Uint8Array): Bytes {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  out.set(toBytes(name), 4);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}

/** Reads a map of numbers: grey values, places in a palette, or colours of VOC's palette. */
export async function readMap(data: Bytes): Promise<ReadMap> {
  const texts = new Map<string, string>();
  const packed: Uint8Array[] = [];
  let header: DataView | null = null;
  let palette: Uint8Array | null = null;
  let isWhole = false;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let at = SIGNATURE.length; at + 12 <= data.length && !isWhole; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...data.subarray(at + 4, at + 8));
    const body = data.subarray(at + 8, at + 8 + length);
    if (body.length < length) break;
    if (name === "IHDR") header = new DataView(body.buffer, body.byteOffset, length);
    else if (name === "PLTE") palette = body;
    else if (name === "IDAT") packed.push(body);
    else if (name === "iTXt") await readText(body, texts);
    else if (name === "IEND") isWhole = true;
    at += 12 + length;
  }
  if (!header || !isWhole) throw new Problem("the PNG is cut off");
  const w = header.getUint32(0);
  const h = header.getUint32(4);
  const [depth, kind, interlaced] = [header.getUint8(8), header.getUint8(9), header.getUint8(12)];
  const channels = { 0: 1, 2: 3, 3: 1, 6: 4 }[kind];
  if (!channels || interlaced) throw new Problem("the PNG is no label map: it has to have one number per pixel, and not to be interlaced");
  if (channels > 1 && depth !== 8) throw new Problem("the PNG is no label map: it has colours of 16 bits");
  const stride = Math.ceil((w * channels * depth) / 8);
  if (h * stride > LARGEST) throw new Problem("the PNG is too large");
  const rows = await through(joinBytes(packed), new DecompressionStream("deflate"));
  if (rows.length < h * (stride + 1)) throw new Problem("the PNG is cut off");
  unfilter(rows, h, stride, Math.max(1, (channels * depth) >> 3));
  const pixels = channels > 1 ? colours(rows, w, h, stride, channels) : values(rows, w, h, stride, depth);
  const isVoc = channels > 1 || (palette !== null && palette.length > 6 && palette.every((one, i) => one === VOC_PALETTE[i]));
  return { w, h, pixels, texts, isVoc };
}

async function readText(body: Uint8Array, texts: Map<string, string>): Promise<void> {
  const end = body.indexOf(0);
  const isPacked = body[end + 1] === 1;
  const from = body.indexOf(0, body.indexOf(0, end + 3) + 1) + 1; // after the language and its keyword
  const text = body.slice(from);
  texts.set(
    new TextDecoder("latin1").decode(body.subarray(0, end)),
    new TextDecoder().decode(isPacked ? await through(text, new DecompressionStream("deflate")) : text),
  );
}

/** Undoes the filters of the rows, where they stand. */
function unfilter(rows: Uint8Array, h: number, stride: number, back: number): void {
  for (let y = 0; y < h; y++) {
    const start = y * (stride + 1) + 1;
    const above = start - stride - 1;
    const filter = rows[start - 1]!;
    if (filter > 4) throw new Problem("the PNG is damaged");
    for (let x = 0; filter && x < stride; x++) {
      const a = x >= back ? rows[start + x - back]! : 0;
      const b = y ? rows[above + x]! : 0;
      const c = x >= back && y ? rows[above + x - back]! : 0;
      const guess = filter === 1 ? a : filter === 2 ? b : filter === 3 ? (a + b) >> 1 : paeth(a, b, c);
      rows[start + x] = rows[start + x]! + guess;
    }
  }
}

function paeth(a: number, b: number, c: number): number {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

function values(rows: Uint8Array, w: number, h: number, stride: number, depth: number): Uint8Array | Uint16Array {
  const pixels = depth === 16 ? new Uint16Array(w * h) : new Uint8Array(w * h);
  for (let y = 0; y < h; y++) {
    const start = y * (stride + 1) + 1;
    for (let x = 0; x < w; x++) {
      if (depth === 16) pixels[x * h + y] = (rows[start + 2 * x]! << 8) | rows[start + 2 * x + 1]!;
      else if (depth === 8) pixels[x * h + y] = rows[start + x]!;
      else {
        const bit = x * depth;
        pixels[x * h + y] = (rows[start + (bit >> 3)]! >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
      }
    }
  }
  return pixels;
}

/** Finds the numbers of colours of VOC's palette. */
function colours(rows: Uint8Array, w: number, h: number, stride: number, channels: number): Uint8Array {
  const numbers = new Map<number, number>();
  for (let i = 255; i >= 0; i--) numbers.set((VOC_PALETTE[3 * i]! << 16) | (VOC_PALETTE[3 * i + 1]! << 8) | VOC_PALETTE[3 * i + 2]!, i);
  const pixels = new Uint8Array(w * h);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const at = y * (stride + 1) + 1 + channels * x;
      const number = numbers.get((rows[at]! << 16) | (rows[at + 1]! << 8) | rows[at + 2]!);
      if (number === undefined) throw new Problem("the PNG is no label map but an image: it has colours that are none of VOC's");
      pixels[x * h + y] = number;
    }
  }
  return pixels;
}
