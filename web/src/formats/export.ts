/** All that is exported, in one zip: a folder for each format, laid out as the library does. */

import type { Cut } from "../canvas/cut.ts";
import { area } from "../masks/runs.ts";
import { Problem } from "../problem.ts";
import { type Thing, hasSoftEdge } from "../store/project.ts";
import { writeCoco } from "./coco.ts";
import { type ImageMasks, countsOf, freeNames, labelMap, withoutSuffix } from "./fields.ts";
import { hasShape, writeLabelMe } from "./labelme.ts";
import { writeLabelMap } from "./labelmap.ts";
import { writeSa1b } from "./sa1b.ts";
import { vocClasses, writeLabels, writeVoc } from "./voc.ts";
import { Classes, hasRow, writeSetFile, writeYolo } from "./yolo.ts";
import { ZipWriter } from "./zip.ts";

export type FormatName = "coco" | "yolo" | "labelme" | "sa1b" | "voc" | "png" | "cutout";

/** An image with its masks, and where its file comes from when it is needed. */
export interface ExportImage extends ImageMasks {
  file(): Promise<Blob>;
}

/** What only a browser can do with images. */
export interface Painter {
  convert(file: Blob, type: "image/png" | "image/jpeg"): Promise<Blob>;
  /** Cuts masks out of an image, as PNGs; null for one without pixels. */
  cut(file: Blob, masks: readonly Cut[], h: number): Promise<(Blob | null)[]>;
}

export interface Exported {
  readonly zip: Blob;
  /** How many masks some format had no place for. */
  readonly lost: number;
}

const FOR_YOLO: Readonly<Record<string, string>> = { "image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/bmp": ".bmp" };
const LONGEST = 40; // characters of a class in the name of a file

/** Writes masks; `names` are the classes that get the first numbers. */
export async function exportZip(
  images: readonly ExportImage[],
  formats: readonly FormatName[],
  names: readonly string[],
  painter: Painter,
  signal: AbortSignal,
): Promise<Exported> {
  const zip = new ZipWriter(new Date());
  const free = freeNames(images.map((image) => image.name));
  // Formats name an image by a path below the folder of all, with the suffix that it has.
  const stems = images.map((image, i) => [{ ...image, name: free[i]! + suffixOf(image.name), file: () => image.file() }, free[i]!] as const);
  let lost = 0;
  for (const format of formats) {
    if (format === "coco") await zip.add("coco/annotations.json", writeCoco(stems.map(([image]) => image), names));
    else if (format === "yolo") lost += await addYolo(zip, stems, names, painter, signal);
    else if (format === "voc") lost += await addVoc(zip, stems, names, painter, signal);
    else {
      for (const [image, stem] of stems) {
        signal.throwIfAborted();
        if (format === "sa1b") await zip.add(`sa1b/${stem}.json`, writeSa1b(image));
        else if (format === "labelme") {
          await zip.add(`labelme/${stem}.json`, await writeLabelMe(image));
          lost += image.things.filter((thing) => !hasShape(thing)).length;
        } else if (format === "png") {
          await zip.add(`png/${stem}-labels.png`, await writeLabelMap(image));
          lost += image.things.length - new Set(labelMap(image.things.map(countsOf), image.h, image.w)).size + 1;
        } else await addCutouts(zip, image, stem, painter);
      }
    }
  }
  return { zip: zip.finish(), lost: Math.max(0, lost) };
}

type Named = readonly (readonly [image: ExportImage, stem: string])[];

function suffixOf(name: string): string {
  return name.slice(withoutSuffix(name).length);
}

async function addYolo(zip: ZipWriter, images: Named, names: readonly string[], painter: Painter, signal: AbortSignal): Promise<number> {
  const classes = new Classes(names);
  let lost = 0;
  for (const [image, stem] of images) {
    signal.throwIfAborted();
    await zip.add(`yolo/labels/train/${stem}.txt`, writeYolo(image, classes));
    lost += image.things.filter((thing) => !hasRow(thing)).length;
    const file = await image.file();
    const suffix = FOR_YOLO[file.type];
    if (suffix) await zip.add(`yolo/images/train/${stem}${suffix}`, file);
    else await zip.add(`yolo/images/train/${stem}.png`, await painter.convert(file, "image/png"));
  }
  await zip.add("yolo/data.yaml", writeSetFile(classes));
  return lost;
}

async function addVoc(zip: ZipWriter, images: Named, names: readonly string[], painter: Painter, signal: AbortSignal): Promise<number> {
  const classes = vocClasses(names);
  let lost = 0;
  for (const [image, stem] of images) {
    signal.throwIfAborted();
    const files = await writeVoc(image, classes);
    lost += files.lost + image.things.filter((thing) => !area(countsOf(thing))).length;
    await zip.add(`voc/SegmentationObject/${stem}.png`, files.objects);
    await zip.add(`voc/SegmentationClass/${stem}.png`, files.classes);
    await zip.add(`voc/Annotations/${stem}.xml`, files.annotation);
    const file = await image.file();
    await zip.add(`voc/JPEGImages/${stem}.jpg`, file.type === "image/jpeg" ? file : await painter.convert(file, "image/jpeg"));
  }
  await zip.add("voc/ImageSets/Segmentation/train.txt", images.map(([, stem]) => `${stem}\n`).sort().join(""));
  await zip.add("voc/labelmap.txt", writeLabels(classes));
  return lost;
}

function cutOf(thing: Thing): Cut {
  return { counts: countsOf(thing), soft: hasSoftEdge(thing) };
}

async function addCutouts(zip: ZipWriter, image: ExportImage, stem: string, painter: Painter): Promise<void> {
  const cut = await painter.cut(await image.file(), image.things.map(cutOf), image.h);
  for (const [i, file] of cut.entries()) {
    const label = (image.things[i]!.label ?? "").slice(0, LONGEST).replace(/[^\p{L}\p{N} _-]/gu, "-");
    if (file) await zip.add(`cutout/${stem}-${i + 1}${label ? `-${label}` : ""}.png`, file);
  }
}

/** Says which of the names are formats. */
export function formatsOf(names: readonly string[]): FormatName[] {
  const known: readonly string[] = ["coco", "yolo", "labelme", "sa1b", "voc", "png", "cutout"];
  const strange = names.find((name) => !known.includes(name));
  if (strange !== undefined) throw new Problem(`no format is called ${strange}`);
  return names as FormatName[];
}
