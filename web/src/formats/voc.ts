/** Pascal VOC: maps of objects and of classes in its palette, an XML of boxes, and lists. */

import { area, emptyCounts } from "../masks/runs.ts";
import { Problem } from "../problem.ts";
import { type Thing, newThing } from "../store/project.ts";
import type { Bytes } from "./bytes.ts";
import { type ImageMasks, UNLABELLED, baseName, countsOf, finite, isCrowd, labelMap, numberOf } from "./fields.ts";
import { maskOf, numbersIn } from "./labelmap.ts";
import { VOC_PALETTE, readMap, writeMap } from "./png.ts";
import { Classes } from "./yolo.ts";

const NAMES = [
  "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
  "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
];
const VOID = 255;
const MOST = 254;
const FLAGS = ["truncated", "difficult", "occluded"] as const;

/** The classes of a data set: the background, VOC's own, then others. */
export function vocClasses(names: readonly string[]): Classes {
  return new Classes([...NAMES, ...names]);
}

/** Masks that have a place of their own: not crowds, which become void, nor empty ones. */
function isSingle(thing: Thing): boolean {
  return !isCrowd(thing.meta) && area(countsOf(thing)) > 0;
}

export interface VocFiles {
  readonly objects: Bytes;
  readonly classes: Bytes;
  readonly annotation: string;
  /** How many masks have no place: those that smaller ones cover, and beyond the 254 largest. */
  readonly lost: number;
}

export async function writeVoc({ name, w, h, things }: ImageMasks, classes: Classes): Promise<VocFiles> {
  const single = things.filter(isSingle);
  const painted = labelMap(single.map(countsOf), h, w);
  const seen = new Uint32Array(single.length + 1);
  for (const number of painted) seen[number]!++;
  const kept = single
    .map((_, i) => i)
    .filter((i) => seen[i + 1]! > 0)
    .sort((a, b) => seen[b + 1]! - seen[a + 1]! || a - b)
    .slice(0, MOST)
    .sort((a, b) => a - b);
  const place = new Uint8Array(single.length + 1);
  kept.forEach((i, k) => (place[i + 1] = k + 1));
  const objects = Uint8Array.from(painted, (number) => place[number]!);
  for (const crowd of things.filter((thing) => isCrowd(thing.meta))) {
    let at = 0;
    countsOf(crowd).forEach((count, k) => {
      for (let i = at; k % 2 && i < at + count; i++) if (!objects[i]) objects[i] = VOID;
      at += count;
    });
  }
  const ofEach = new Uint8Array(256);
  ofEach[VOID] = VOID;
  kept.forEach((i, k) => {
    const number = classes.number(single[i]!.label);
    if (number > MOST) throw new Problem(`expected at most ${MOST} classes for Pascal VOC, got more; export another format`);
    ofEach[k + 1] = number;
  });
  return {
    objects: await writeMap({ w, h, pixels: objects }, {}, true),
    classes: await writeMap({ w, h, pixels: objects.map((number) => ofEach[number]!) }, {}, true),
    annotation: annotation(name, w, h, kept.map((i) => single[i]!), objects),
    lost: single.length - kept.length,
  };
}

function annotation(name: string, w: number, h: number, things: readonly Thing[], objects: Uint8Array): string {
  const names = new Classes(things.map((one) => one.label));
  const shown = names.shown();
  const boxes = boxesIn(objects, h, things.length);
  const entries = things.map((thing, k) => {
    const [x0, y0, x1, y1] = boxes[k]!;
    const flags = FLAGS.filter((flag) => flag in thing.meta || flag !== "occluded").map((flag) => tag(flag, thing.meta[flag] ? 1 : 0));
    return tag("object", [
      tag("name", text(shown[names.number(thing.label)]!)),
      thing.label === null ? tag("unlabelled", 1) : "",
      tag("pose", text(String(thing.meta["pose"] ?? "Unspecified"))),
      ...flags,
      tag("bndbox", tag("xmin", x0 + 1) + tag("ymin", y0 + 1) + tag("xmax", x1) + tag("ymax", y1)),
    ].join(""));
  });
  return `${tag("annotation", [
    tag("folder", "voc"),
    tag("filename", text(baseName(name))),
    tag("source", tag("database", "anymask")),
    tag("size", tag("width", w) + tag("height", h) + tag("depth", 3)),
    tag("segmented", 1),
    ...entries,
  ].join("\n"))}\n`;
}

/** The boxes of objects as they are seen, exclusive at the end. */
function boxesIn(objects: Uint8Array, h: number, count: number): [number, number, number, number][] {
  const boxes = Array.from({ length: count }, (): [number, number, number, number] => [Infinity, Infinity, 0, 0]);
  objects.forEach((number, at) => {
    const box = boxes[number - 1];
    if (!box) return;
    const x = Math.floor(at / h);
    const y = at - x * h;
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x + 1);
    box[3] = Math.max(box[3], y + 1);
  });
  return boxes;
}

function tag(name: string, content: string | number): string {
  return `<${name}>${content}</${name}>`;
}

const MARKS: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

function text(value: string): string {
  // eslint-disable-next-line no-control-regex -- XML has no place for these
  return value.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd").replace(/[&<>]/g, (one) => MARKS[one]!);
}

export function writeLabels(classes: Classes): string {
  const shown = classes.shown();
  const escaped = (name: string): string => name.replace(/[\\\n\r#]/g, (one) => ({ "\n": "\\n", "\r": "\\r" })[one] ?? `\\${one}`);
  const lines = shown.map((name, i) => {
    const colour = [0, 1, 2].map((channel) => VOC_PALETTE[3 * i + channel]).join(",");
    return `${escaped(name)}:${colour}:${classes.names[i] === null ? "unlabelled" : ""}:`;
  });
  return `${["# label:color_rgb:parts:actions", ...lines].join("\n")}\n`;
}

// ----------------------------------------------------------------------------- reading

interface VocObject {
  readonly label: string | null;
  readonly meta: Record<string, unknown>;
  readonly bbox: readonly number[];
}

/** Reads an annotation and, if it is there, the map of objects, whose numbers are its places. */
export async function readVoc(xml: string | null, objects: Bytes | null, h: number, w: number): Promise<Thing[]> {
  const said = xml === null ? [] : readObjects(xml);
  if (!objects) return said.map(({ label, meta, bbox }) => newThing({ counts: emptyCounts(h, w), label, meta: { bbox, ...meta } }));
  const map = await readMap(objects);
  return numbersIn({ ...map, isVoc: true }).map((number) => {
    const about = said[number - 1];
    return newThing({ counts: maskOf(map, number), label: about?.label ?? null, meta: about?.meta ?? {} });
  });
}

function readObjects(xml: string): VocObject[] {
  const root = new DOMParser().parseFromString(xml, "application/xml").documentElement;
  if (root.tagName !== "annotation") throw new Problem("expected an annotation of Pascal VOC as XML");
  return [...root.querySelectorAll(":scope > object")].map((entry) => {
    const said = (name: string): string => entry.querySelector(`:scope > ${name}`)?.textContent?.trim() ?? "";
    const [x0, y0, x1, y1] = ["xmin", "ymin", "xmax", "ymax"].map((side) => finite(said(`bndbox > ${side}`))) as [number, number, number, number];
    const yes = (name: string): boolean => ["1", "true", "yes"].includes(said(name).toLowerCase());
    const pose = said("pose");
    return {
      label: yes("unlabelled") ? null : said("name") || UNLABELLED,
      meta: { ...(pose && pose !== "Unspecified" ? { pose } : {}), ...Object.fromEntries(FLAGS.filter(yes).map((flag) => [flag, 1])) },
      bbox: [x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1],
    };
  });
}

/** What an annotation says of the size of its image; null if nothing. */
export function sizeOfVoc(xml: string): { w: number; h: number } | null {
  const side = (name: string): number | null => numberOf({ side: new RegExp(`<${name}>\\s*(\\d+)`).exec(xml)?.[1] }, "side");
  const [w, h] = [side("width"), side("height")];
  return w && h ? { w, h } : null;
}
