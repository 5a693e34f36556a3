/** Bytes: compressing, check sums, texts, and files as the formats see them. */

export type Bytes = Uint8Array<ArrayBuffer>;

/** A file that came in, or that goes into a zip. */
export interface NamedBytes {
  /** With folders, if it is known in which it lies. */
  readonly name: string;
  readonly data: Bytes;
}

export function toBytes(text: string): Bytes {
  return new TextEncoder().encode(text) as Bytes;
}

/** Decodes UTF-8, or what the byte order mark says. */
export function toText(data: Bytes): string {
  const mark = data[0] === 0xff && data[1] === 0xfe ? "utf-16le" : data[0] === 0xfe && data[1] === 0xff ? "utf-16be" : "utf-8";
  return new TextDecoder(mark, { fatal: true }).decode(data);
}

export async function through(data: Bytes, stream: CompressionStream | DecompressionStream): Promise<Bytes> {
  const piped = new Blob([data]).stream().pipeThrough(stream as ReadableWritablePair<Bytes, Bytes>);
  return new Uint8Array(await new Response(piped).arrayBuffer());
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** The check sum of zip and PNG. */
export function crc32(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < data.length; i++) crc = TABLE[(crc ^ data[i]!) & 255]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

export function joinBytes(parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function toBase64(data: Uint8Array): string {
  let text = "";
  for (let i = 0; i < data.length; i += 0x8000) text += String.fromCharCode(...data.subarray(i, i + 0x8000));
  return btoa(text);
}

export function fromBase64(text: string): Bytes {
  return Uint8Array.from(atob(text.replace(/\s+/g, "")), (one) => one.charCodeAt(0));
}
