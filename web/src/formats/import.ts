/** Files of masks that come in: of which format they are, and which masks they hold for an image. */

import { Problem } from "../problem.ts";
import type { Thing } from "../store/project.ts";
import { say } from "../words/words.ts";
import { type Bytes, type NamedBytes, toText } from "./bytes.ts";
import { namesOfCoco, readCoco } from "./coco.ts";
import { type Json, baseName, damaged, isObject, numberOf, withoutSuffix } from "./fields.ts";
import { readLabelMap } from "./labelmap.ts";
import { readLabelMe } from "./labelme.ts";
import { hasVocPalette, isPng } from "./png.ts";
import { readSa1b } from "./sa1b.ts";
import { readVoc, sizeOfVoc } from "./voc.ts";
import { isYolo, readNames, readYolo } from "./yolo.ts";
import { isZip, unzip } from "./zip.ts";

/** The image that masks are wanted for. */
export interface Wanted {
  readonly name: string;
  readonly w: number;
  readonly h: number;
}

interface MaskFile {
  readonly name: string;
  readonly kind: "coco" | "sa1b" | "labelme" | "yolo" | "voc" | "png";
  /** Whether it lies in an archive, which may hold the same masks in several formats. */
  readonly isPacked: boolean;
  readonly document?: Json;
  readonly text?: string;
  readonly data?: Bytes;
}

/** Files that were given together: what names the classes of some of them is told to all. */
export interface MaskFiles {
  readonly files: readonly MaskFile[];
  readonly names: readonly (string | null)[];
  /** Files that hold no masks, with the reason. */
  readonly strange: readonly Problem[];
}

// Of an archive that holds the same masks in several formats, the first that has them counts.
const BEST = ["sa1b", "coco", "labelme", "yolo", "voc", "png"] as const;
const MASKS = /\.(json|txt|xml|png|ya?ml)$/i;
const BESIDE = /(^|\/)(JPEGImages|ImageSets|SegmentationClass|images|cutout)\//; // folders of data sets that hold no masks

/** Looks into files; archives are opened. */
export async function look(given: readonly NamedBytes[]): Promise<MaskFiles> {
  const all: (NamedBytes & { isPacked: boolean })[] = [];
  const strange: Problem[] = [];
  for (const file of given) {
    if (!isZip(file.data)) all.push({ ...file, isPacked: false });
    else {
      const inside = await unzip(file.data, (name) => MASKS.test(name) && !BESIDE.test(name)).catch((error: unknown) => {
        throw damaged(file.name, reasonOf(error));
      });
      all.push(...inside.map((one) => ({ ...one, isPacked: true })));
    }
  }
  const names: (string | null)[] = [];
  const files: MaskFile[] = [];
  for (const file of all) {
    try {
      if (isListOfNames(file.name)) names.push(...readNames(toText(file.data), /\.ya?ml$/i.test(file.name)));
      else files.push({ ...recognise(file), isPacked: file.isPacked });
    } catch (error) {
      strange.push(error instanceof Problem ? error : damaged(file.name, reasonOf(error)));
    }
  }
  return { files, names, strange };
}

function isListOfNames(name: string): boolean {
  return /\.ya?ml$/i.test(name) || ["classes.txt", "obj.names", "labelmap.txt"].includes(baseName(name));
}

function recognise({ name, data }: NamedBytes): Omit<MaskFile, "isPacked"> {
  if (isPng(data)) return { name, kind: hasVocPalette(data) ? "voc" : "png", data };
  const text = toText(data);
  if (/^\s*[{[]/.test(text)) {
    const document: unknown = JSON.parse(text);
    if (isObject(document)) {
      if ("images" in document && "annotations" in document) return { name, kind: "coco", document };
      if ("image" in document && "annotations" in document) return { name, kind: "sa1b", document };
      if ("shapes" in document && "imagePath" in document) return { name, kind: "labelme", document };
    }
  } else if (/<annotation[\s>]/.test(text.slice(0, 400))) return { name, kind: "voc", text };
  else if (isYolo(text) || (!text.trim() && /\.txt$/i.test(name))) return { name, kind: "yolo", text };
  throw new Problem(say("error.no_format", { name }));
}

/** Whether a file holds masks for an image, by what it says or by its own name. */
export function isFor(file: MaskFile, wanted: Wanted): boolean {
  if (file.kind === "coco") return namesOfCoco(file.document!).some((name) => alike(name, wanted.name));
  const said = file.kind === "sa1b" ? (file.document!["image"] as Json)["file_name"] : file.kind === "labelme" ? file.document!["imagePath"] : null;
  return alike(String(said || file.name.replace(/-(labels|classes)(?=\.png$)/, "")), wanted.name) || stemOf(file.name) === stemOf(wanted.name);
}

function stemOf(name: string): string {
  return withoutSuffix(withoutSuffix(baseName(name.replaceAll("\\", "/"))).replace(/-(labels|classes)$/, "")).toLowerCase();
}

function alike(said: string, name: string): boolean {
  const plain = withoutSuffix(said.replaceAll("\\", "/")).toLowerCase();
  const wanted = withoutSuffix(name).toLowerCase();
  return plain === wanted || plain.endsWith(`/${wanted}`) || baseName(plain) === baseName(wanted);
}

/**
 * Reads the masks that files hold for an image.
 *
 * @param only Whether the image is the only one that is asked for: then files that say no image, or
 *   another name, are meant for it.
 */
export async function readMasks({ files, names }: MaskFiles, wanted: Wanted, only: boolean): Promise<Thing[]> {
  const mine = files.filter((file) => isFor(file, wanted));
  const meant = mine.length || !only ? mine : files;
  const best = BEST.find((kind) => meant.some((file) => file.isPacked && file.kind === kind));
  const chosen = meant.filter((file) => !file.isPacked || file.kind === best);
  const voc = chosen.filter((file) => file.kind === "voc");
  const found = voc.length ? await readVocFiles(voc, wanted) : [];
  for (const file of chosen) if (file.kind !== "voc") found.push(...(await readFile(file, names, wanted)));
  return found;
}

async function readFile(file: MaskFile, names: readonly (string | null)[], wanted: Wanted): Promise<Thing[]> {
  const { h, w } = wanted;
  try {
    if (file.kind === "yolo") return readYolo(file.text!, names, h, w);
    if (file.kind === "png") {
      const { map, things } = await readLabelMap(file.data!);
      checkSize(map, wanted, file.name);
      return things;
    }
    const document = file.document!;
    if (file.kind === "coco") {
      const found = readCoco(document, wanted.name, h, w);
      if (found) return found;
      throw new Problem(say("error.other_image", { name: file.name, names: namesOfCoco(document).slice(0, 3).join(", ") }));
    }
    const about = (file.kind === "sa1b" ? document["image"] : document) as Json;
    const [tall, wide] = file.kind === "sa1b" ? ["height", "width"] : ["imageHeight", "imageWidth"];
    const size = { h: numberOf(about, tall!), w: numberOf(about, wide!) };
    if (size.h && size.w) checkSize({ h: size.h, w: size.w }, wanted, file.name);
    return file.kind === "sa1b" ? readSa1b(document, h, w) : await readLabelMe(document, h, w);
  } catch (error) {
    throw error instanceof Problem && error.message.includes(file.name) ? error : damaged(file.name, reasonOf(error));
  }
}

/** An annotation and the map of its objects belong together. */
async function readVocFiles(files: readonly MaskFile[], wanted: Wanted): Promise<Thing[]> {
  const xml = files.find((file) => file.text !== undefined);
  const objects = files.find((file) => file.data !== undefined);
  const name = (xml ?? objects)!.name;
  try {
    const size = xml ? sizeOfVoc(xml.text!) : null;
    if (size) checkSize(size, wanted, name);
    return await readVoc(xml?.text ?? null, objects?.data ?? null, wanted.h, wanted.w);
  } catch (error) {
    throw error instanceof Problem && error.message.includes(name) ? error : damaged(name, reasonOf(error));
  }
}

function checkSize(size: { w: number; h: number }, { w, h }: Wanted, name: string): void {
  if (size.w !== w || size.h !== h) throw new Problem(say("error.other_size", { name, w, h, found_w: size.w, found_h: size.h }));
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
