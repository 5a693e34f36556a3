/** Files of tensors: the safetensors layout, 16-bit floats, and weights that were packed for the way. */

export interface Tensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface TensorFile {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Entry {
  readonly dtype: string;
  readonly shape: number[];
  readonly data_offsets: [number, number];
}

/** Reads a safetensors file; the tensors are views of its bytes. */
export function readTensors(data: ArrayBuffer): TensorFile {
  const length = Number(new DataView(data).getBigUint64(0, true));
  if (!(length > 0 && 8 + length <= data.byteLength)) throw new Error("a file of tensors is cut off");
  const text = new TextDecoder().decode(new Uint8Array(data, 8, length));
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(text) as Record<string, Entry> & {
    __metadata__?: Record<string, string>;
  };
  const tensors = new Map<string, Tensor>();
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(entries)) {
    if (8 + length + end > data.byteLength) throw new Error("a file of tensors is cut off");
    tensors.set(name, { dtype, shape, bytes: new Uint8Array(data, 8 + length + start, end - start) });
  }
  return { tensors, metadata };
}

export function floatsOf(tensor: Tensor): Float32Array {
  const { bytes, dtype } = tensor;
  const copy = bytes.slice().buffer; // which begins at a multiple of any width
  if (dtype === "F32") return new Float32Array(copy);
  if (dtype === "F16") return fromHalves(new Uint16Array(copy));
  if (dtype === "I8") return Float32Array.from(new Int8Array(copy));
  throw new Error(`a tensor of the unknown dtype ${dtype}`);
}

// ------------------------------------------------------------------------- 16-bit floats

let widened: Float32Array | null = null;

/** All 65536 values of 16 bits as numbers. */
function table(): Float32Array {
  if (widened) return widened;
  widened = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const part = bits & 1023;
    widened[bits] =
      sign * (exponent === 0 ? part * 2 ** -24 : exponent === 31 ? (part ? NaN : Infinity) : (1 + part / 1024) * 2 ** (exponent - 15));
  }
  return widened;
}

export function fromHalves(halves: Uint16Array): Float32Array {
  const values = table();
  const floats = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) floats[i] = values[halves[i]!]!;
  return floats;
}

const scratch = new DataView(new ArrayBuffer(4));

/** Rounds a number to 16 bits, to the nearest and of two as near to the even one. */
export function toHalf(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 255) - 112;
  if (exponent >= 31) return sign | (exponent === 143 && bits & 0x7fffff ? 0x7e00 : 0x7c00);
  if (exponent < -10) return sign;
  // With the leading one where it is not there by itself, and as many bits less as are too small.
  const part = exponent > 0 ? bits & 0x7fffff : (bits & 0x7fffff) | 0x800000;
  const shift = exponent > 0 ? 13 : 14 - exponent;
  const whole = (exponent > 0 ? exponent << 10 : 0) + (part >>> shift);
  const rest = part & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (whole + (rest > half || (rest === half && whole & 1) ? 1 : 0));
}

// ------------------------------------------------------------------------- packed weights

/** Reads numbers out of a file that graphs read. */
export function weightsAt(file: Uint8Array, [offset, count, dtype]: readonly [offset: number, count: number, dtype: "float16" | "float32"]): Float32Array {
  const bytes = file.subarray(offset, offset + count * (dtype === "float16" ? 2 : 4));
  return floatsOf({ bytes, shape: [count], dtype: dtype === "float16" ? "F16" : "F32" });
}

interface Place {
  readonly file: string;
  readonly offset: number;
  readonly dtype: "float16" | "float32";
  readonly axis?: number;
}

/** Makes the files that graphs read their weights from, of what `anymask.export.browser` packed. */
export function unpackWeights(data: ArrayBuffer, into: Map<string, Uint8Array>): void {
  const { tensors, metadata } = readTensors(data);
  const about = JSON.parse(metadata["anymask-browser"] ?? "{}") as {
    files: Record<string, number>;
    tensors: Record<string, Place>;
  };
  for (const [name, size] of Object.entries(about.files)) {
    if (!into.has(name)) into.set(name, new Uint8Array(size));
  }
  for (const [name, place] of Object.entries(about.tensors)) {
    const tensor = tensors.get(name)!;
    const file = into.get(place.file)!;
    const values = place.axis === undefined ? plain(tensor, place) : scaled(stepsOf(tensor, tensors.get(`${name}/high`)), tensor.shape, tensors.get(`${name}/scale`)!, place);
    file.set(values, place.offset);
  }
}

function plain(tensor: Tensor, place: Place): Uint8Array {
  const same = (tensor.dtype === "F16") === (place.dtype === "float16");
  return same ? tensor.bytes : new Uint8Array(floatsOf(tensor).buffer);
}

/** Whole numbers of a byte, or of two: the upper ones count 256 each. */
function stepsOf({ bytes }: Tensor, high: Tensor | undefined): Int8Array | Int16Array {
  const low = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!high) return low;
  const upper = new Int8Array(high.bytes.buffer, high.bytes.byteOffset, high.bytes.length);
  return Int16Array.from(low, (value, i) => value + 256 * upper[i]!);
}

function scaled(steps: Int8Array | Int16Array, shape: readonly number[], scale: Tensor, place: Place): Uint8Array {
  const axis = place.axis!;
  const scales = floatsOf(scale);
  const rows = shape[axis]!;
  const inner = shape.slice(axis + 1).reduce((product, side) => product * side, 1);
  const narrow = place.dtype === "float16";
  const values = narrow ? new Uint16Array(steps.length) : new Float32Array(steps.length);
  for (let start = 0, row = 0; start < steps.length; start += inner, row = (row + 1) % rows) {
    const factor = scales[row]!;
    for (let i = start; i < start + inner; i++) {
      const value = Math.fround(steps[i]! * factor);
      values[i] = narrow ? toHalf(value) : value;
    }
  }
  return new Uint8Array(values.buffer);
}

/** Undoes gzip, unless whoever sent the file has done so already. */
export async function inflated(data: ArrayBuffer): Promise<ArrayBuffer> {
  const head = new Uint8Array(data, 0, Math.min(2, data.byteLength));
  if (head[0] !== 0x1f || head[1] !== 0x8b) return data;
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
