/** Zip archives: written file by file, and read. Of up to 4 GB, as no browser keeps more in memory. */

import { Problem } from "../problem.ts";
import { type Bytes, type NamedBytes, crc32, through, toBytes } from "./bytes.ts";

const UTF8 = 1 << 11; // flag: names are in UTF-8
const STORED = 0;
const DEFLATED = 8;
const LONGEST = 0xffffffff;
const PACKED = /\.(jpe?g|png|webp|avif|gif|heic|mp4|zip)$/i; // nothing to be gained

export class ZipWriter {
  private readonly parts: BlobPart[] = [];
  private readonly entries: Bytes[] = [];
  private at = 0;
  private readonly time: number;
  private readonly date: number;

  constructor(now: Date) {
    this.time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
    this.date = ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate();
  }

  async add(name: string, content: Bytes | Blob | string): Promise<void> {
    const data = typeof content === "string" ? toBytes(content) : content instanceof Blob ? new Uint8Array(await content.arrayBuffer()) : content;
    const packed = PACKED.test(name) ? data : await through(data, new CompressionStream("deflate-raw"));
    const method = packed.length < data.length ? DEFLATED : STORED;
    const body = method === DEFLATED ? packed : data;
    const title = toBytes(name);
    const common = numbers([20, 2], [UTF8, 2], [method, 2], [this.time, 2], [this.date, 2], [crc32(data), 4], [body.length, 4], [data.length, 4], [title.length, 2], [0, 2]);
    const place = this.at;
    this.put(numbers([0x04034b50, 4]), common, title, body);
    if (this.at > LONGEST) throw new Problem("the archive would be larger than 4 GB; export fewer images at once");
    const about = numbers([0, 2], [0, 2], [0, 2], [0, 4], [place, 4]);
    this.entries.push(numbers([0x02014b50, 4], [20, 2]), common, about, title);
  }

  finish(): Blob {
    const start = this.at;
    this.put(...this.entries);
    const count = this.entries.length / 4;
    if (count > 0xffff) throw new Problem("the archive would hold more than 65,535 files; export fewer images at once");
    this.put(numbers([0x06054b50, 4], [0, 4], [count, 2], [count, 2], [this.at - start, 4], [start, 4], [0, 2]));
    return new Blob(this.parts, { type: "application/zip" });
  }

  private put(...parts: readonly Bytes[]): void {
    for (const part of parts) {
      this.parts.push(part);
      this.at += part.length;
    }
  }
}

function numbers(...values: readonly (readonly [value: number, bytes: 2 | 4])[]): Bytes {
  const out = new Uint8Array(values.reduce((sum, [, bytes]) => sum + bytes, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const [value, bytes] of values) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
  return out;
}

export function isZip(data: Uint8Array): boolean {
  return data[0] === 0x50 && data[1] === 0x4b && (data[2] === 3 || data[2] === 5);
}

/** Reads those files of an archive that are wanted. */
export async function unzip(data: Bytes, wanted: (name: string) => boolean): Promise<NamedBytes[]> {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let end = data.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new Problem("the archive is cut off");
  const found: NamedBytes[] = [];
  let at = view.getUint32(end + 16, true);
  for (let i = view.getUint16(end + 10, true); i > 0; i--) {
    const method = view.getUint16(at + 10, true);
    const sum = view.getUint32(at + 16, true);
    const packed = view.getUint32(at + 20, true);
    const length = view.getUint16(at + 28, true);
    const place = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(data.subarray(at + 46, at + 46 + length));
    at += 46 + length + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (name.endsWith("/") || !wanted(name)) continue;
    const body = place + 30 + view.getUint16(place + 26, true) + view.getUint16(place + 28, true);
    const part = data.slice(body, body + packed);
    if (method !== STORED && method !== DEFLATED) throw new Problem(`“${name}” in the archive is compressed in an unknown way`);
    const content = method === STORED ? part : await through(part, new DecompressionStream("deflate-raw"));
    if (crc32(content) !== sum) throw new Problem(`“${name}” in the archive is damaged`);
    found.push({ name, data: content });
  }
  return found;
}
