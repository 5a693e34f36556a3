/** What IoU masks are expected to have: by what lies in and around each, its size and its certainty. */

import type { Weights } from "./decoder.ts";

export const SLOTS = 4;
const FEW = 1e-3; // cells, so that nothing is divided by zero
export const SLOPE = 0.1; // of leaky rectified units

export class Quality {
  private readonly into: Float32Array;
  private readonly intoBias: Float32Array;
  private readonly out: Float32Array;
  private readonly outBias: number;
  private readonly slot: Float32Array;

  /** Maps at stride 8 have so many channels, those at 32 `deep`. */
  constructor(
    weights: Weights,
    private readonly channels: number,
    private readonly deep: number,
  ) {
    this.into = weights("decoder.quality_in.weight");
    this.intoBias = weights("decoder.quality_in.bias");
    this.out = weights("decoder.quality_out.weight");
    this.outBias = weights("decoder.quality_out.bias")[0]!;
    this.slot = weights("decoder.slot");
  }

  /**
   * @param quarters Logits (4 slots, 4, h, w) of the quarters of cells.
   * @param maps Of the decoder at half that size, (channels, h / 2, w / 2).
   * @param pooled Means of the deepest maps.
   */
  scores(quarters: Float32Array, h: number, w: number, maps: Float32Array, pooled: Float32Array): Float32Array {
    return Float32Array.from({ length: SLOTS }, (_, slot) => {
      const coarse = coarser(quarters, slot, h, w);
      return this.score(slot, this.facts(coarse, h / 2, w / 2, maps, pooled));
    });
  }

  private facts(coarse: Float32Array, h: number, w: number, maps: Float32Array, pooled: Float32Array): Float32Array {
    const { channels, deep } = this;
    const soft = coarse.map((value) => 1 / (1 + Math.exp(-value)));
    const rim = rimOf(soft, h, w);
    let [mass, doubt, peak, outside, sure, possible] = [0, 0, 0, 0, 1, 1];
    for (let i = 0; i < soft.length; i++) {
      const value = soft[i]!;
      mass += value;
      outside += rim[i]!;
      doubt += value * (1 - value);
      peak = Math.max(peak, value);
      if (coarse[i]! > 1) sure++;
      if (coarse[i]! > -1) possible++;
    }
    const facts = new Float32Array(3 * channels + deep + 4);
    for (let c = 0, at = 0; c < channels; c++) {
      let [under, around, squares] = [0, 0, 0];
      for (let i = 0; i < soft.length; i++, at++) {
        const value = maps[at]!;
        const weighed = soft[i]! * value;
        under += weighed;
        around += rim[i]! * value;
        squares += weighed * value;
      }
      under /= mass + FEW;
      facts[c] = under;
      facts[channels + deep + 3 + c] = around / (outside + FEW);
      facts[2 * channels + deep + 3 + c] = Math.sqrt(Math.max(0, squares / (mass + FEW) - under * under) + 1e-4);
    }
    facts.set(pooled, channels);
    facts.set([Math.log((mass + FEW) / soft.length) / 8, doubt / (mass + FEW), peak], channels + deep);
    facts[3 * channels + deep + 3] = sure / possible;
    return facts;
  }

  private score(slot: number, facts: Float32Array): number {
    const { into, intoBias, out, outBias } = this;
    let sum = outBias;
    for (let k = 0; k < intoBias.length; k++) {
      let hidden = intoBias[k]! + this.slot[slot * intoBias.length + k]!;
      for (let i = 0, at = k * facts.length; i < facts.length; i++, at++) hidden += facts[i]! * into[at]!;
      sum += out[k]! * (hidden > 0 ? hidden : SLOPE * hidden);
    }
    return 1 / (1 + Math.exp(-sum));
  }
}

/** Means of logits over two by two cells of four quarters. */
function coarser(quarters: Float32Array, slot: number, h: number, w: number): Float32Array {
  const made = new Float32Array((h / 2) * (w / 2));
  for (let quarter = 0, at = 4 * slot * h * w; quarter < 4; quarter++) {
    for (let y = 0; y < h; y++) {
      const to = (y >> 1) * (w / 2);
      for (let x = 0; x < w; x++, at++) made[to + (x >> 1)]! += quarters[at]! / 16;
    }
  }
  return made;
}

/** How much higher the highest of a cell and its eight neighbours is. */
function rimOf(soft: Float32Array, h: number, w: number): Float32Array {
  const across = new Float32Array(soft.length);
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      across[i] = Math.max(soft[i]!, x ? soft[i - 1]! : 0, x < w - 1 ? soft[i + 1]! : 0);
    }
  }
  return across.map((value, i) => {
    const above = i >= w ? across[i - w]! : 0;
    const below = i < soft.length - w ? across[i + w]! : 0;
    return Math.max(value, above, below) - soft[i]!;
  });
}
