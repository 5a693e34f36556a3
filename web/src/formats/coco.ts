/** COCO JSON: all images in one file, masks as run lengths; read with polygons, too. */

import { area, toText } from "../masks/runs.ts";
import { Problem } from "../problem.ts";
import type { Thing } from "../store/project.ts";
import { say } from "../words/words.ts";
import {
  type ImageMasks, type Json, Numbers, UNLABELLED, baseName, boxOf, countsOf, isCrowd, isNumber, isObject, listOf, metaFields,
  numberOf, plainId, promptFields, readSegmentation, readThing, trackField,
} from "./fields.ts";

const TAKEN: ReadonlySet<string> = new Set([
  "id", "image_id", "category_id", "category", "segmentation", "area", "bbox", "iscrowd", "score", "stability_score",
  "point_coords", "point_labels", "prompt_box", "track_id",
]);

export function writeCoco(images: readonly ImageMasks[], names: readonly string[]): string {
  const ids = new Numbers();
  const categories = new Categories(names);
  const annotations = images.flatMap(({ w, h, things }, i) =>
    things.map((thing) => annotation(thing, i + 1, w, h, ids, categories)),
  );
  return JSON.stringify({
    info: { description: "Masks made with anymask" },
    images: images.map(({ name, w, h }, i) => ({ id: i + 1, width: w, height: h, file_name: name })),
    annotations,
    categories: categories.records(),
  });
}

function annotation(thing: Thing, image: number, w: number, h: number, ids: Numbers, categories: Categories): Json {
  const { id, category, iscrowd: _, ...rest } = thing.meta;
  const meta: Json = { ...rest, ...(id === undefined || isNumber(id) ? {} : { id }) };
  const record = isObject(category) && "id" in category ? category : null;
  if (category !== undefined && !record) meta["category"] = category;
  const size = area(countsOf(thing));
  const [x0, y0, x1, y1] = boxOf(thing, h);
  let place: Json = { segmentation: { size: [h, w], counts: toText(countsOf(thing)) }, area: size, bbox: [x0, y0, x1 - x0, y1 - y0] };
  if (!size && meta["bbox"] !== undefined) {
    // It was read from an annotation without a mask.
    place = { segmentation: [], area: meta["area"] ?? 0, bbox: meta["bbox"] };
    delete meta["bbox"];
    delete meta["area"];
  }
  return {
    id: ids.take(id),
    image_id: image,
    category_id: categories.of(thing.label, record),
    ...place,
    iscrowd: isCrowd(thing.meta) ? 1 : 0,
    ...(thing.score === null ? {} : { score: thing.score }),
    ...(thing.stability === null ? {} : { stability_score: thing.stability }),
    ...promptFields(thing),
    ...trackField(thing),
    ...metaFields(meta, TAKEN),
  };
}

/** The categories of a file, by name; those of a file that was read keep their ids while these are free. */
class Categories {
  private readonly numbers = new Numbers();
  private readonly byName = new Map<string | null, Json>();

  constructor(names: readonly string[]) {
    for (const name of names) this.of(name, null);
  }

  of(label: string | null, record: Json | null): unknown {
    let found = this.byName.get(label);
    if (!found) {
      const known = record && nameOf(record) === label ? record : { supercategory: "object" };
      // A name for those that have none, which is told from a real one when it is read.
      const named = label === null ? { name: UNLABELLED, unlabelled: true } : { name: label };
      found = { ...known, ...named, id: this.numbers.take(known["id"]) };
      this.byName.set(label, found);
    }
    return found["id"];
  }

  records(): Json[] {
    if (!this.byName.size) this.of(null, null);
    return [...this.byName.values()];
  }
}

function nameOf(record: Json): string | null {
  return record["name"] === undefined || record["name"] === null ? null : String(record["name"]);
}

/** Reads the masks of an image out of a file of many; null if it has others alone. */
export function readCoco(document: Json, name: string, h: number, w: number): Thing[] | null {
  const image = imageIn(listOf(document, "images"), name);
  if (!image) return null;
  if (numberOf(image, "height") !== h || numberOf(image, "width") !== w) {
    const parts = { name, w, h, found_w: String(image["width"]), found_h: String(image["height"]) };
    throw new Problem(say("error.other_size", parts));
  }
  const records = Array.isArray(document["categories"]) ? document["categories"].filter(isObject) : [];
  const categories = new Map(records.map((record) => [plainId(record["id"]), record]));
  const id = plainId(image["id"]);
  return listOf(document, "annotations")
    .filter((entry) => plainId(entry["image_id"]) === id)
    .map((entry) => readAnnotation(entry, categories, h, w));
}

function readAnnotation(entry: Json, categories: ReadonlyMap<unknown, Json>, h: number, w: number): Thing {
  const number = entry["category_id"];
  const record = number === undefined || number === null ? null : (categories.get(plainId(number)) ?? { id: number });
  const category = record?.["unlabelled"] ? null : record;
  const counts = readSegmentation(entry["segmentation"], h, w);
  const isBare = !area(counts) && !isObject(entry["segmentation"]);
  const meta = {
    ...(entry["id"] === undefined ? {} : { id: entry["id"] }),
    ...(isCrowd(entry) ? { iscrowd: 1 } : {}),
    ...(category ? { category } : {}),
    ...(isBare && entry["bbox"] !== undefined ? { bbox: entry["bbox"] } : {}),
    ...(isBare && entry["area"] !== undefined ? { area: entry["area"] } : {}),
  };
  return readThing(entry, counts, { label: category ? nameOf(category) : null, score: numberOf(entry, "score"), meta }, TAKEN);
}

/** Finds an image by its name, with folders or without; the only one is meant whatever its name. */
function imageIn(images: readonly Json[], name: string): Json | undefined {
  const called = (image: Json): string => String(image["file_name"] ?? "").replaceAll("\\", "/");
  const alike = images.filter((image) => baseName(called(image)) === baseName(name));
  return images.find((image) => called(image) === name) ?? (alike.length === 1 ? alike[0] : images.length === 1 ? images[0] : undefined);
}

/** Whether a file has several images, of which one has to be chosen by its name. */
export function namesOfCoco(document: Json): string[] {
  return listOf(document, "images").map((image) => String(image["file_name"] ?? ""));
}
