/** YOLO's labels for segmentation: a row for each object, with its outline in shares of the image. */

import { trace } from "../masks/outline.ts";
import { area, emptyCounts } from "../masks/runs.ts";
import { Problem } from "../problem.ts";
import { type Thing, newThing } from "../store/project.ts";
import { type ImageMasks, UNLABELLED, countsOf, finite, isCrowd } from "./fields.ts";
import { fillPolygon, joinRings } from "./polygon.ts";

const DIGITS = 6; // after the point: a fortieth of a pixel in an image of 50,000

/** Numbers of labels in the order in which they come, from a first one on. */
export class Classes {
  readonly names: (string | null)[];

  constructor(names: readonly (string | null)[]) {
    this.names = [...new Set(names)];
  }

  number(label: string | null): number {
    const known = this.names.indexOf(label);
    return known >= 0 ? known : this.names.push(label) - 1;
  }

  /** The names as files list them, with one for masks that have no label. */
  shown(): string[] {
    const free = [UNLABELLED, "unlabelled"].find((name) => !this.names.includes(name)) ?? `unlabelled ${this.names.length}`;
    return this.names.map((name) => name ?? free);
  }
}

/** Masks that have no place in a row: empty ones and crowds. */
export function hasRow(thing: Thing): boolean {
  return !isCrowd(thing.meta) && area(countsOf(thing)) > 0;
}

export function writeYolo({ w, h, things }: ImageMasks, classes: Classes): string {
  const share = (value: number): string => value.toFixed(DIGITS).replace(/\.?0+$/, "");
  const rows = things.filter(hasRow).map((thing) => {
    const corners = joinRings(trace(countsOf(thing), h)).map((value, i) => share(value / (i % 2 ? h : w)));
    return `${classes.number(thing.label)} ${corners.join(" ")}\n`;
  });
  return rows.join("");
}

/** Writes data.yaml; without a path, it is where the file lies. */
export function writeSetFile(classes: Classes): string {
  const names = classes.shown().map((name, i) => `  ${i}: ${JSON.stringify(name)}\n`);
  const unlabelled = classes.names.indexOf(null);
  return [
    "train: images/train\nval: images/train\n",
    `nc: ${names.length}\n`,
    names.length ? `names:\n${names.join("")}` : "names: {}\n",
    unlabelled < 0 ? "" : `unlabelled: ${unlabelled}\n`,
  ].join("");
}

export function readYolo(text: string, names: readonly (string | null)[], h: number, w: number): Thing[] {
  const rows = text.split(/\r\n|\r|\n/).map((row, i) => [row.trim(), i + 1] as const);
  return rows.filter(([row]) => row).map(([row, line]) => readRow(row, line, names, h, w));
}

function readRow(row: string, line: number, names: readonly (string | null)[], h: number, w: number): Thing {
  const [number, ...shares] = row.split(/\s+/).map((word) => {
    const value = Number(word);
    if (!Number.isFinite(value)) throw new Problem(`expected numbers in line ${line}, got “${word.slice(0, 40)}”`);
    return value;
  });
  if (number === undefined || number < 0 || !Number.isInteger(number)) throw new Problem(`expected the number of a class first in line ${line}`);
  const far = shares.find((share) => share < -1 || share > 2);
  if (far !== undefined) throw new Problem(`expected shares of the image's width and height in line ${line}, got ${far}`);
  const label = number < names.length ? names[number]! : String(number);
  if (shares.length === 4 || shares.length === 5) {
    const [x, y, wide, high] = shares as [number, number, number, number];
    const bbox = [(x - wide / 2) * w, (y - high / 2) * h, wide * w, high * h].map((side) => Math.round(side * 1000) / 1000);
    return newThing({ counts: emptyCounts(h, w), label, score: shares[4] ?? null, meta: { bbox } });
  }
  if (shares.length < 4) throw new Problem(`expected a class and at least three corners in line ${line}`);
  const score = shares.length % 2 ? shares.pop()! : null;
  const corners = shares.map((share, i) => share * (i % 2 ? h : w));
  return newThing({ counts: fillPolygon(corners, h, w), label, score });
}

export function isYolo(text: string): boolean {
  return /^\s*\d+(\.0*)?([ \t]+-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?){4,}[ \t]*(\r|\n|$)/i.test(text);
}

/** Reads the names out of data.yaml as programs write it, or out of a list with one name a line. */
export function readNames(text: string, isYaml: boolean): (string | null)[] {
  const lines = text.split(/\r\n|\r|\n/);
  if (!isYaml) return lines.map((line) => line.trim()).filter(Boolean);
  const at = lines.findIndex((line) => /^names\s*:/.test(line));
  if (at < 0) throw new Problem("data.yaml has no names");
  const names: (string | null)[] = [];
  const rest = lines[at]!.replace(/^names\s*:/, "").trim();
  if (rest.startsWith("[") || rest.startsWith("{")) {
    const whole = [rest, ...lines.slice(at + 1)].join(" ");
    const inside = whole.slice(1, Math.max(whole.indexOf("]"), whole.indexOf("}")));
    inside.match(/(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,'"])+/g)?.forEach((part, i) => {
      const [, number, name] = /^\s*(?:(\d+)\s*:)?\s*(.*?)\s*$/.exec(part)!;
      names[number && rest.startsWith("{") ? finite(number) : i] = scalar(rest.startsWith("{") ? name! : part.trim());
    });
  } else {
    for (const line of lines.slice(at + 1)) {
      const item = /^\s*-\s+(.*)$/.exec(line);
      const entry = /^\s+["']?(\d+)["']?\s*:\s*(.*)$/.exec(line);
      if (item) names.push(scalar(item[1]!));
      else if (entry) names[finite(entry[1])] = scalar(entry[2]!);
      else if (line.trim() && !line.trim().startsWith("#")) break;
    }
  }
  const unlabelled = lines.map((line) => /^unlabelled\s*:\s*["']?(\d+)/.exec(line)?.[1]).find(Boolean);
  if (unlabelled !== undefined) names[finite(unlabelled)] = null;
  return Array.from(names, (name, i) => (name === undefined ? String(i) : name));
}

/** A text of YAML: quoted in one of its two ways, or as it stands. */
function scalar(text: string): string {
  const trimmed = text.trim();
  if (/^".*"$/.test(trimmed)) {
    try {
      return JSON.parse(trimmed) as string;
    } catch {
      return trimmed.slice(1, -1);
    }
  }
  if (/^'.*'$/.test(trimmed)) return trimmed.slice(1, -1).replaceAll("''", "'");
  return trimmed.replace(/\s+#.*$/, "");
}
