/** Convolutions of maps in WebAssembly, four channels and eight columns at a time. */

import { Code, type Local, moduleOf } from "./assembler.ts";

const ACROSS = 2; // vectors of a row that are worked out together
export const CHANNELS = 4; // that are worked out together
export const LANES = 4 * ACROSS;

/**
 * Sums up what a map shows at some places around each of its own, times weights.
 *
 * Addresses are bytes; `fromRow`, `toPlane`, `toRow` are bytes from a row or channel to the next.
 *
 * `offsets` lists where to look, as bytes from the place itself; `skip` is a map to add before what is negative is
 * multiplied by `slope`; 0: none.
 */
export type Convolve = (
  from: number, fromRow: number, offsets: number, taps: number,
  to: number, toPlane: number, toRow: number,
  weights: number, skip: number,
  blocks: number, height: number, width: number, slope: number,
) => void;

export function makeKernel(memory: WebAssembly.Memory): Convolve {
  const made = (fused: boolean): Uint8Array<ArrayBuffer> => moduleOf([convolution(fused)]);
  const fused = made(true);
  const code = WebAssembly.validate(fused) ? fused : made(false);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code), { "": { memory } });
  return exports["convolve"] as Convolve;
}

/** Lays out weights (outside, inside, taps) and biases as the kernels read them. */
export function packWeights(weights: Float32Array, bias: Float32Array, taps: number): Float32Array {
  const inside = weights.length / bias.length / taps;
  const blocks = Math.ceil(bias.length / CHANNELS);
  const packed = new Float32Array(blocks * CHANNELS * (1 + inside * taps));
  for (let block = 0, at = 0; block < blocks; block++) {
    const of = (i: number): number => block * CHANNELS + i;
    for (let i = 0; i < CHANNELS; i++) packed[at++] = bias[of(i)] ?? 0;
    for (let rest = 0; rest < inside * taps; rest++) {
      for (let i = 0; i < CHANNELS; i++) packed[at++] = weights[of(i) * inside * taps + rest] ?? 0;
    }
  }
  return packed;
}

/** The body of its innermost loop is one tap: of more, V8 loads all first and runs out of registers. */
function convolution(fused: boolean): Code {
  const code = new Code("convolve", [...Array<"i32">(12).fill("i32"), "f32"], fused);
  const [from, fromRow, offsets, taps, to, toPlane, toRow, weights, skip, blocks, height, width, slope] =
    Array.from({ length: 13 }, (_, i) => i) as [Local, Local, Local, Local, Local, Local, Local, Local, Local, Local, Local, Local, Local];
  const i32 = (): Local => code.local("i32");
  const [block, y, x, tap, source, target, plane, weight, place, offset, end] = [i32(), i32(), i32(), i32(), i32(), i32(), i32(), i32(), i32(), i32(), i32()];
  const vectors = (count: number): Local[] => Array.from({ length: count }, () => code.local("v128"));
  const [sums, seen, [one, leak]] = [vectors(CHANNELS * ACROSS), vectors(ACROSS), vectors(2)];
  const each = (work: (sum: Local, channel: number, part: number) => void): void =>
    sums.forEach((sum, at) => work(sum, Math.floor(at / ACROSS), at % ACROSS));

  code.get(slope).splat().set(leak!);
  code.get(taps).number(4).multiply().set(end);
  code.loop(block, blocks, 1, () => {
    code.loop(y, height, 1, () => {
      code.loop(x, width, LANES, () => {
        code.get(from).get(y).get(fromRow).multiply().add().get(x).number(4).multiply().add().set(source);
        code.get(block).number(CHANNELS).multiply().get(toPlane).multiply();
        code.get(y).get(toRow).multiply().add().get(x).number(4).multiply().add().set(place);
        code.get(weights).set(weight);
        for (let i = 0; i < CHANNELS; i++) {
          code.loadOne(weight, i).set(sums[i * ACROSS]!);
          for (let j = 1; j < ACROSS; j++) code.get(sums[i * ACROSS]!).set(sums[i * ACROSS + j]!);
        }
        code.advance(weight, () => code.number(4 * CHANNELS));
        code.loop(tap, end, 4, () => {
          code.get(offsets).get(tap).add().loadInteger().get(source).add().set(offset);
          seen.forEach((vector, j) => code.load(offset, 4 * j).set(vector));
          for (let i = 0; i < CHANNELS; i++) {
            code.loadOne(weight, i).set(one!);
            for (let j = 0; j < ACROSS; j++) code.accumulate(sums[i * ACROSS + j]!, seen[j]!, one!);
          }
          code.advance(weight, () => code.number(4 * CHANNELS));
        });
        code.when(skip, () => {
          code.get(skip).get(place).add().set(plane);
          each((sum, i, j) => {
            code.get(sum).load(plane, 4 * j).plus().set(sum);
            if (j === ACROSS - 1 && i < CHANNELS - 1) code.advance(plane, () => code.get(toPlane));
          });
        });
        code.get(to).get(place).add().set(target);
        each((sum, i, j) => {
          code.get(sum).get(sum).get(leak!).times().larger().set(sum);
          code.store(target, sum, 4 * j);
          if (j === ACROSS - 1 && i < CHANNELS - 1) code.advance(target, () => code.get(toPlane));
        });
      });
    });
    code.get(weight).set(weights); // of the next channels
  });
  return code;
}
