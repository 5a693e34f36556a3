/** SA-1B JSON: one file for each image, which holds everything that is known of its masks. */

import { area, toText } from "../masks/runs.ts";
import type { Thing } from "../store/project.ts";
import {
  type ImageMasks, type Json, Numbers, baseName, boxOf, countsOf, imageNumber, isNumber, listOf, metaFields, numberOf,
  promptFields, readSegmentation, readThing, trackField,
} from "./fields.ts";

const TAKEN: ReadonlySet<string> = new Set([
  "id", "segmentation", "bbox", "area", "predicted_iou", "stability_score", "point_coords", "point_labels", "prompt_box",
  "crop_box", "label", "track_id",
]);

export function writeSa1b({ name, w, h, things }: ImageMasks): string {
  const ids = new Numbers();
  const file = baseName(name);
  const annotations = things.map((thing) => {
    const [x0, y0, x1, y1] = boxOf(thing, h);
    const { id, ...meta } = thing.meta;
    return {
      id: ids.take(id),
      segmentation: { size: [h, w], counts: toText(countsOf(thing)) },
      bbox: [x0, y0, Math.max(0, x1 - x0 - 1), Math.max(0, y1 - y0 - 1)], // the last pixel inclusive
      area: area(countsOf(thing)),
      predicted_iou: thing.score,
      stability_score: thing.stability,
      point_coords: [],
      ...promptFields(thing),
      crop_box: [0, 0, w, h],
      ...(thing.label === null ? {} : { label: thing.label }),
      ...trackField(thing),
      ...metaFields(id === undefined || isNumber(id) ? meta : thing.meta, TAKEN),
    };
  });
  return JSON.stringify({ image: { image_id: imageNumber(file), width: w, height: h, file_name: file }, annotations });
}

export function readSa1b(document: Json, h: number, w: number): Thing[] {
  const entries = listOf(document, "annotations");
  const inOrder = entries.every((entry, i) => entry["id"] === i + 1 || entry["id"] === undefined);
  return entries.map((entry) => {
    const known = {
      label: entry["label"] === undefined || entry["label"] === null ? null : String(entry["label"]),
      score: numberOf(entry, "predicted_iou"),
      meta: inOrder ? {} : { id: entry["id"] },
    };
    return readThing(entry, readSegmentation(entry["segmentation"], h, w), known, TAKEN);
  });
}
