/** LabelMe JSON: one file for each image, masks as polygons, those with holes as small PNGs. */

import { trace } from "../masks/outline.ts";
import { type Counts, area, decodePatch, emptyCounts, encodePatch, union } from "../masks/runs.ts";
import { Problem } from "../problem.ts";
import type { Thing } from "../store/project.ts";
import { fromBase64, toBase64 } from "./bytes.ts";
import {
  type ImageMasks, type Json, UNLABELLED, baseName, boxOf, countsOf, finite, isObject, listOf, metaFields, numberOf,
  promptFields, readThing, trackField,
} from "./fields.ts";
import { isPng, readMap, writeMap } from "./png.ts";
import { fillPolygon, isHole } from "./polygon.ts";

const VERSION = "5.5.0"; // of LabelMe, whose fields these are
const NEAR = 0.01; // pixels that an outline of a circle may be off
const TAKEN: ReadonlySet<string> = new Set([
  "label", "points", "group_id", "shape_type", "mask", "unlabelled", "track_id", "score", "stability_score",
  "point_coords", "point_labels", "prompt_box", "flags", "description",
]);

// ----------------------------------------------------------------------------- writing

export async function writeLabelMe({ name, w, h, things }: ImageMasks): Promise<string> {
  const groups = new Groups();
  const shapes: Json[] = [];
  for (const thing of things) shapes.push(...(await shapesOf(thing, h, groups)));
  const document = {
    version: VERSION, flags: {}, shapes, imagePath: baseName(name), imageData: null, imageHeight: h, imageWidth: w,
  };
  return JSON.stringify(document, null, 2);
}

/** Whether a mask has a shape: empty ones have none, unless they were read from one. */
export function hasShape(thing: Thing): boolean {
  return area(countsOf(thing)) > 0 || (Array.isArray(thing.meta["points"]) && typeof thing.meta["shape_type"] === "string");
}

async function shapesOf(thing: Thing, h: number, groups: Groups): Promise<Json[]> {
  if (!hasShape(thing)) return [];
  const { group_id: wanted, description, flags, ...rest } = thing.meta;
  const meta: Json = rest;
  const drawn = area(countsOf(thing)) ? await draw(thing, h) : [{ points: meta["points"], shape_type: meta["shape_type"], mask: null }];
  if (!area(countsOf(thing))) {
    delete meta["points"];
    delete meta["shape_type"];
  }
  const label = thing.label ?? UNLABELLED;
  const isFlags = isObject(flags) && Object.values(flags).every((flag) => typeof flag === "boolean");
  const common = {
    label,
    group_id: groups.number(label, typeof wanted === "number" && Number.isInteger(wanted) ? wanted : null, drawn.length > 1),
    description: typeof description === "string" ? description : "",
    flags: isFlags ? flags : {},
  };
  const own = {
    ...(thing.label === null ? { unlabelled: true } : {}),
    ...(thing.score === null ? {} : { score: thing.score }),
    ...(thing.stability === null ? {} : { stability_score: thing.stability }),
    ...promptFields(thing),
    ...trackField(thing),
    ...metaFields({ ...meta, ...(isFlags || flags === undefined ? {} : { flags }) }, TAKEN),
  };
  // What is known of an object stands in its first shape.
  return drawn.map((shape, i) => ({ ...common, ...shape, ...(i ? {} : own) }));
}

async function draw(thing: Thing, h: number): Promise<Json[]> {
  const rings = trace(countsOf(thing), h);
  if (!rings.some(isHole)) {
    return rings.map((ring) => ({ points: pairs(ring), shape_type: "polygon", mask: null }));
  }
  const [x0, y0, x1, y1] = boxOf(thing, h);
  const { pixels } = decodePatch(countsOf(thing), h, { x0, y0, x1, y1 });
  const png = await writeMap({ w: x1 - x0, h: y1 - y0, pixels: pixels.map((one) => 255 * one) });
  return [{ points: [[x0, y0], [x1 - 1, y1 - 1]], shape_type: "mask", mask: toBase64(png) }];
}

function pairs(corners: ArrayLike<number>): [number, number][] {
  return Array.from({ length: corners.length / 2 }, (_, i) => [corners[2 * i]!, corners[2 * i + 1]!]);
}

/** Hands out numbers of groups, so that no two masks of one label have the same. */
class Groups {
  private readonly taken = new Set<string>();
  private next = 1;

  number(label: string, wanted: number | null, needed: boolean): number | null {
    if (wanted === null && !needed) return null;
    let number = wanted ?? this.next++;
    while (this.taken.has(`${number} ${label}`)) number = this.next++;
    this.taken.add(`${number} ${label}`);
    return number;
  }
}

// ----------------------------------------------------------------------------- reading

export async function readLabelMe(document: Json, h: number, w: number): Promise<Thing[]> {
  const objects = new Map<string, Json[]>();
  listOf(document, "shapes").forEach((shape, i) => {
    const group = shape["group_id"];
    const key = group === null || group === undefined ? `${i}` : `group ${JSON.stringify([shape["label"], group])}`;
    objects.set(key, [...(objects.get(key) ?? []), shape]);
  });
  const found: Thing[] = [];
  for (const shapes of objects.values()) {
    const parts: Counts[] = [];
    for (const shape of shapes) parts.push(await readShape(shape, h, w));
    found.push(thingOf(shapes[0]!, parts.reduce(union)));
  }
  return found;
}

function thingOf(shape: Json, counts: Counts): Thing {
  const { flags, description, group_id: group } = shape;
  const meta = {
    ...(isObject(flags) && Object.keys(flags).length ? { flags } : {}),
    ...(description ? { description } : {}),
    ...(group === null || group === undefined ? {} : { group_id: group }),
    ...(area(counts) ? {} : { shape_type: shape["shape_type"] ?? "polygon", points: shape["points"] }),
  };
  const label = shape["unlabelled"] ? null : String(shape["label"]);
  return readThing(shape, counts, { label, score: numberOf(shape, "score"), meta }, TAKEN);
}

async function readShape(shape: Json, h: number, w: number): Promise<Counts> {
  const kind = String(shape["shape_type"] ?? "polygon");
  const given = shape["points"];
  if (!Array.isArray(given)) throw new Problem(`expected points of a ${kind}, got none`);
  const points = given.map((one) => [finite((one as unknown[])[0]), finite((one as unknown[])[1])] as const);
  if (kind === "mask") return readMask(shape["mask"], points, h, w);
  const outline = outlineOf(kind, points);
  return outline ? fillPolygon(outline, h, w) : emptyCounts(h, w);
}

/** Walks round a shape; null: it encloses nothing, or is of no known kind. */
function outlineOf(kind: string, points: readonly (readonly [number, number])[]): number[] | null {
  const [a, b] = points;
  if (kind === "rectangle" && a && b) return [a[0], a[1], b[0], a[1], b[0], b[1], a[0], b[1]];
  if (kind === "circle" && a && b) {
    const radius = Math.hypot(b[0] - a[0], b[1] - a[1]);
    const n = Math.max(16, Math.ceil(Math.PI * Math.sqrt(radius / (2 * NEAR))));
    return Array.from({ length: n }, (_, i) => (i * 2 * Math.PI) / n).flatMap((turn) => [a[0] + radius * Math.cos(turn), a[1] + radius * Math.sin(turn)]);
  }
  const isKnown = ["polygon", "oriented_rectangle", "rotation", "quadrilateral"].includes(kind);
  return isKnown && points.length >= 3 ? points.flat() : null;
}

/** Reads the mask of a box, whose corners are the first and the last pixel. */
async function readMask(text: unknown, points: readonly (readonly [number, number])[], h: number, w: number): Promise<Counts> {
  const [first, last] = points;
  if (!first || !last || typeof text !== "string") throw new Problem("expected two points and a mask in base64");
  const [x0, y0] = first.map(Math.trunc) as [number, number];
  const [x1, y1] = last.map((side) => Math.trunc(side) + 1) as [number, number];
  const data = fromBase64(text);
  if (!isPng(data)) throw new Problem("expected a mask as PNG in base64");
  const map = await readMap(data);
  if (map.w !== x1 - x0 || map.h !== y1 - y0) throw new Problem(`expected a mask of ${x1 - x0} x ${y1 - y0}, as its box is, got ${map.w} x ${map.h}`);
  return encodePatch({ x0, y0, x1, y1, pixels: Uint8Array.from(map.pixels, (one) => (one ? 1 : 0)) }, h, w);
}
