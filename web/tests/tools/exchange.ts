/**
 * Files of masks written and read by the page's code, for tests of the library: what to do comes as
 * JSON from standard input, and what was done goes to standard output.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { type ThingRecord, recordOf, thingOf } from "../../src/api/studio_api.ts";
import type { Bytes } from "../../src/formats/bytes.ts";
import { exportZip, formatsOf } from "../../src/formats/export.ts";
import { look, readMasks } from "../../src/formats/import.ts";

interface Asked {
  /** Write a zip here, */
  readonly zip?: string;
  readonly images?: readonly { name: string; w: number; h: number; file: string; type: string; things: readonly ThingRecord[] }[];
  readonly classes?: readonly string[];
  readonly formats?: readonly string[];
  /** or read these files for an image. */
  readonly files?: readonly string[];
  readonly picture?: { name: string; w: number; h: number };
}

const asked = JSON.parse(readFileSync(0, "utf8")) as Asked;
if (asked.zip) {
  const images = asked.images!.map(({ name, w, h, file, type, things }) => ({
    name, w, h, things: things.map(thingOf), file: () => Promise.resolve(new Blob([readFileSync(file)], { type })),
  }));
  const painter = { convert: (file: Blob) => Promise.resolve(file), cut: () => Promise.resolve([]) };
  const { zip, lost } = await exportZip(images, formatsOf(asked.formats!), asked.classes!, painter, new AbortController().signal);
  writeFileSync(asked.zip, Buffer.from(await zip.arrayBuffer()));
  console.log(JSON.stringify({ lost }));
} else {
  const files = asked.files!.map((name) => ({ name, data: new Uint8Array(readFileSync(name)) as Bytes }));
  try {
    const given = await look(files);
    const [strange] = given.strange;
    if (strange) throw strange;
    const things = await readMasks(given, asked.picture!, true);
    console.log(JSON.stringify({ things: things.map((thing) => recordOf(thing, asked.picture!)) }));
  } catch (error) {
    console.log(JSON.stringify({ error: (error as Error).message }));
  }
}
