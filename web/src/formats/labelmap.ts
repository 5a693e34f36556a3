/** PNG label map: one number per pixel, 0 where there is no mask; labels in a text of the file. */

import { encode } from "../masks/runs.ts";
import { Problem } from "../problem.ts";
import { type Thing, newThing } from "../store/project.ts";
import { type Bytes } from "./bytes.ts";
import { type ImageMasks, type Json, countsOf, isObject, labelMap, metaFields, trackField } from "./fields.ts";
import { type ReadMap, readMap, writeMap } from "./png.ts";

const KEYWORD = "anymask";
const CLASSES = "anymask-classes"; // of a semantic map: the names of the numbers, from 1 on
const MOST = 0xffff;
const VOID = 255;

export async function writeLabelMap({ w, h, things }: ImageMasks): Promise<Bytes> {
  if (things.length > MOST) throw new Problem(`expected at most ${MOST} masks for a PNG label map, got ${things.length}; export another format`);
  const numbers = labelMap(things.map(countsOf), h, w);
  const known = things.flatMap((thing, i) => {
    const meta = metaFields(thing.meta, new Set());
    const entry = { ...(thing.label === null ? {} : { label: thing.label }), ...trackField(thing), ...(Object.keys(meta).length ? { meta } : {}) };
    return Object.keys(entry).length ? [{ number: i + 1, ...entry }] : [];
  });
  const pixels = things.length <= VOID ? Uint8Array.from(numbers) : numbers;
  return writeMap({ w, h, pixels }, known.length ? { [KEYWORD]: JSON.stringify({ masks: known }) } : {});
}

export async function readLabelMap(data: Bytes): Promise<{ map: ReadMap; things: Thing[] }> {
  const map = await readMap(data);
  const classes = map.texts.get(CLASSES);
  const text = map.texts.get(KEYWORD);
  const known = new Map<number, Json>();
  if (classes) (JSON.parse(classes) as unknown[]).forEach((label, i) => known.set(i + 1, { label }));
  else if (text) for (const entry of (JSON.parse(text) as { masks: Json[] }).masks) known.set(Number(entry["number"]), entry);
  const things = numbersIn(map).map((number) => {
    const { label, track_id: track, meta } = known.get(number) ?? {};
    return newThing({
      counts: maskOf(map, number),
      label: label === undefined || label === null ? null : String(label),
      meta: { ...(isObject(meta) ? meta : {}), ...(typeof track === "number" ? { studio_id: track } : {}) },
    });
  });
  return { map, things };
}

/** The numbers of a map that stand for masks, rising. */
export function numbersIn(map: ReadMap): number[] {
  const found = new Set<number>(map.pixels);
  found.delete(0);
  if (map.isVoc) found.delete(VOID);
  return [...found].sort((a, b) => a - b);
}

export function maskOf(map: ReadMap, number: number): Uint32Array {
  return encode(Uint8Array.from(map.pixels, (one) => (one === number ? 1 : 0)));
}
