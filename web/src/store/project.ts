/**
 * What a person makes: classes, and things on images, each with its mask and the prompt for it.
 *
 * Everything here is a value that never changes; an edit gives a new project that shares what is
 * the same. So undoing is to go back to an earlier value, and what is to be saved is what differs.
 */

import { type Counts, contains, area } from "../masks/runs.ts";

/** A click: x, y in pixels of the image, (0, 0) the middle of the first; 1 object, 0 background. */
export type Point = readonly [x: number, y: number, label: 0 | 1];

/** Left, top, right, bottom, around the pixels. */
export type Box = readonly [number, number, number, number];

export interface Prompt {
  readonly points: readonly Point[];
  readonly box: Box | null;
  /** A mask to start from: drawn, imported, or found without a prompt. */
  readonly mask: Counts | null;
}

/** A model's own small answer, to be improved: as the server sends it, or as the page's worker has it. */
export interface Logits {
  readonly shape: readonly number[];
  readonly dtype: string;
  /** In base64, or the numbers themselves. */
  readonly data: string | Float32Array;
}

/** One mask that the model gives. */
export interface Answer {
  readonly counts: Counts;
  readonly score: number | null;
  readonly stability: number | null;
  readonly label: string | null;
  readonly logits: Logits | null;
}

/** Which of several answers is meant: the best by score, or one by size. */
export type Level = "auto" | "whole" | "part" | "subpart";
export const LEVELS: readonly Level[] = ["auto", "whole", "part", "subpart"];

/** What somebody has said of a mask. */
export type Review = "pending" | "accepted" | "rejected";

export interface Thing {
  readonly id: string;
  /** Null as long as the first answer is waited for. */
  readonly counts: Counts | null;
  readonly label: string | null;
  readonly score: number | null;
  readonly stability: number | null;
  readonly prompt: Prompt | null;
  /** What the model said to the prompt, largest first. */
  readonly answers: readonly Answer[];
  readonly level: Level;
  /** Whether the prompt has no answer yet. */
  readonly waiting: boolean;
  readonly review: Review;
  /** What else a file said of it. */
  readonly meta: Readonly<Record<string, unknown>>;
}

export interface Class {
  readonly name: string;
  readonly color: string;
}

export interface Project {
  readonly classes: readonly Class[];
  /** By id of the image; one that has not been loaded is not here. */
  readonly images: Readonly<Record<string, readonly Thing[]>>;
  /** What was found and nobody has accepted yet, by id of the image; kept by the browser alone. */
  readonly candidates: Readonly<Record<string, readonly Thing[]>>;
  /** Which search the candidates came from last. */
  readonly search: string | null;
}

export const EMPTY: Project = { classes: [], images: {}, candidates: {}, search: null };

export const COLORS = [
  "#4da3ff", "#ff8a3d", "#42c97f", "#ff5d7a", "#b58cff",
  "#f2c230", "#2ec4c6", "#e86fd0", "#8fbf3f", "#c9915d",
] as const;

let made = 0;

export function newId(): string {
  return `${Date.now().toString(36)}${(made++).toString(36)}${Math.random().toString(36).slice(2, 8)}`;
}

export function newThing(known: Partial<Thing>): Thing {
  return {
    id: newId(),
    counts: null,
    label: null,
    score: null,
    stability: null,
    prompt: null,
    answers: [],
    level: "auto",
    waiting: false,
    review: "pending",
    meta: {},
    ...known,
  };
}

// ------------------------------------------------------------------------------ things

export function thingsOf(project: Project, image: string): readonly Thing[] {
  return project.images[image] ?? [];
}

export function withThings(project: Project, image: string, things: readonly Thing[]): Project {
  return { ...project, images: { ...project.images, [image]: things } };
}

/** The project as if it had never heard of an image. */
export function withoutImage(project: Project, image: string): Project {
  const { [image]: _, ...images } = project.images;
  const { [image]: __, ...candidates } = project.candidates;
  return { ...project, images, candidates };
}

export function addThings(project: Project, image: string, things: readonly Thing[]): Project {
  return withThings(project, image, [...thingsOf(project, image), ...things]);
}

export function removeThings(project: Project, image: string, ids: ReadonlySet<string>): Project {
  return withThings(project, image, thingsOf(project, image).filter((thing) => !ids.has(thing.id)));
}

export function editThings(
  project: Project,
  image: string,
  ids: ReadonlySet<string>,
  edit: (thing: Thing) => Thing,
): Project {
  const before = thingsOf(project, image);
  const after = before.map((thing) => (ids.has(thing.id) ? edit(thing) : thing));
  return after.every((thing, i) => thing === before[i]) ? project : withThings(project, image, after);
}

/** In a thing's meta: that its edge is where the image shows it, to be cut out softly, as main subjects are. */
export const SOFT_EDGE = "soft_edge";

export function hasSoftEdge(thing: Thing): boolean {
  return thing.meta[SOFT_EDGE] === true;
}

/** A mask that was drawn or combined by hand: what the model had said no longer belongs to it. */
export function redrawn(thing: Thing, counts: Counts): Thing {
  const { [SOFT_EDGE]: _, ...meta } = thing.meta;
  return {
    ...thing, meta, counts, score: null, stability: null, prompt: null, answers: [], level: "auto", waiting: false,
    review: "pending",
  };
}

/** Adds to a thing's prompt; what was drawn or imported becomes what the model starts from. */
export function prompted(thing: Thing, point: Point): Thing {
  const prompt = thing.prompt ?? { points: [], box: null, mask: thing.counts };
  return { ...thing, prompt: { ...prompt, points: [...prompt.points, point] }, waiting: true, review: "pending" };
}

/** Chooses among answers, which are given largest first. */
export function choose(answers: readonly Answer[], level: Level): Answer | null {
  if (!answers.length) return null;
  if (level === "auto" || answers.length === 1) {
    return answers.reduce((best, one) => ((one.score ?? 0) > (best.score ?? 0) ? one : best));
  }
  const place = { whole: 0, part: Math.floor((answers.length - 1) / 2), subpart: answers.length - 1 };
  return answers[place[level]] ?? null;
}

export function bySize(answers: readonly Answer[]): readonly Answer[] {
  return [...answers].sort((a, b) => area(b.counts) - area(a.counts));
}

export function answered(thing: Thing, answers: readonly Answer[], level: Level = thing.level): Thing {
  const chosen = choose(answers, level);
  if (!chosen) return { ...thing, waiting: false };
  return {
    ...thing,
    counts: chosen.counts,
    score: chosen.score,
    stability: chosen.stability,
    answers,
    level,
    waiting: false,
  };
}

/** The smallest thing that covers a pixel, as people mean what lies on top. */
export function thingAt(things: readonly Thing[], h: number, x: number, y: number): Thing | null {
  let found: Thing | null = null;
  let least = Infinity;
  for (const thing of things) {
    if (!thing.counts || !contains(thing.counts, h, Math.floor(x), Math.floor(y))) continue;
    const size = area(thing.counts);
    if (size <= least) [found, least] = [thing, size];
  }
  return found;
}

// -------------------------------------------------------------------------- candidates

export function candidatesOf(project: Project, image: string): readonly Thing[] {
  return project.candidates[image] ?? [];
}

export function addCandidates(project: Project, image: string, some: readonly Thing[]): Project {
  return { ...project, candidates: { ...project.candidates, [image]: [...candidatesOf(project, image), ...some] } };
}

/** Takes candidates out, and makes things of them if they are accepted. */
export function settleCandidates(project: Project, image: string, chosen: readonly Thing[], accept: boolean): Project {
  const rest = candidatesOf(project, image).filter((one) => !chosen.includes(one));
  const without = { ...project, candidates: { ...project.candidates, [image]: rest } };
  return accept ? addThings(withClassesOf(without, chosen), image, chosen) : without;
}

// ----------------------------------------------------------------------------- classes

export function addClass(project: Project, name: string, color?: string): Project {
  if (!name || project.classes.some((one) => one.name === name)) return project;
  const used = new Set(project.classes.map((one) => one.color));
  const free = COLORS.find((one) => !used.has(one)) ?? COLORS[project.classes.length % COLORS.length]!;
  return { ...project, classes: [...project.classes, { name, color: color ?? free }] };
}

export function recolorClass(project: Project, name: string, color: string): Project {
  return {
    ...project,
    classes: project.classes.map((one) => (one.name === name ? { ...one, color } : one)),
  };
}

/** Renames a class, and all things of it; onto another one's name, the two become one. */
export function renameClass(project: Project, from: string, to: string): Project {
  if (!to || from === to || !project.classes.some((one) => one.name === from)) return project;
  const merged = project.classes.some((one) => one.name === to);
  const classes = merged
    ? project.classes.filter((one) => one.name !== from)
    : project.classes.map((one) => (one.name === from ? { ...one, name: to } : one));
  return relabel({ ...project, classes }, from, to);
}

/** Removes a class; its things stay, without a name. */
export function removeClass(project: Project, name: string): Project {
  const classes = project.classes.filter((one) => one.name !== name);
  return relabel({ ...project, classes }, name, null);
}

function relabel(project: Project, from: string, to: string | null): Project {
  const images = Object.fromEntries(
    Object.entries(project.images).map(([image, things]) => [
      image,
      things.some((thing) => thing.label === from)
        ? things.map((thing) => (thing.label === from ? { ...thing, label: to } : thing))
        : things,
    ]),
  );
  return { ...project, images };
}

/** Adds classes for labels that have none yet, such as those of an imported file. */
export function withClassesOf(project: Project, things: readonly Thing[]): Project {
  return things.reduce((result, thing) => (thing.label ? addClass(result, thing.label) : result), project);
}

/** The colour of a thing: that of its class, or one of its own by its place. */
export function colorOf(project: Project, thing: Thing, place: number): string {
  const known = project.classes.find((one) => one.name === thing.label);
  if (known) return known.color;
  const free = COLORS.filter((color) => !project.classes.some((one) => one.color === color)); // or it would seem to be of a class
  const some = free.length ? free : COLORS;
  return some[place % some.length]!;
}
