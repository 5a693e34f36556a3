/** The server's side of the studio: its routes, and what goes over them. */

import { fromText, toText } from "../masks/runs.ts";
import type { Answer, Box, Class, Logits, Point, Prompt, Thing } from "../store/project.ts";
import { Conflict } from "../store/saving.ts";
import type { Api, Exported, FolderAnswer, Live, Picture } from "./api.ts";
import { Client, Refused } from "./client.ts";

interface RunLengths {
  readonly size: readonly [number, number];
  readonly counts: string;
}

/** A mask as the API has it. */
export interface MaskRecord {
  readonly rle: RunLengths;
  readonly score: number | null;
  readonly stability: number | null;
  readonly label: string | null;
  readonly meta?: Readonly<Record<string, unknown>>;
  readonly logits?: Logits | null;
}

/** A thing as the studio stores it. */
export interface ThingRecord extends MaskRecord {
  readonly thing: string;
  readonly points: readonly (readonly [number, number])[];
  readonly labels: readonly (0 | 1)[];
  readonly prompt_box: Box | null;
}

export interface ThingsAnswer {
  readonly revision: number;
  readonly things: readonly ThingRecord[];
}

export const ROOT = "/v1/studio";

export class StudioApi implements Api {
  readonly accept = "image/*,.tif,.tiff,.heic";
  readonly acceptMasks: string = ".json,.txt,.xml,.png";
  readonly remove = null; // the folder's files are its owner's

  constructor(readonly client: Client) {}

  folder(): Promise<FolderAnswer> {
    return this.client.json<FolderAnswer>(ROOT);
  }

  thumbnail(id: string, signal: AbortSignal): Promise<Blob> {
    return this.client.blob(`${ROOT}/pictures/${id}/thumbnail`, { signal });
  }

  image(id: string, signal: AbortSignal): Promise<Blob> {
    return this.client.blob(`${ROOT}/pictures/${id}/image`, { signal });
  }

  async things(picture: Picture): Promise<{ revision: number; things: readonly Thing[] }> {
    const answer = await this.client.json<ThingsAnswer>(`${ROOT}/pictures/${picture.id}/things`);
    return { revision: answer.revision, things: answer.things.map(thingOf) };
  }

  /** Stores the things of an image over a revision; throws `Conflict` if there is another. */
  async putThings(picture: Picture, things: readonly Thing[], revision: number): Promise<number> {
    const records = things.filter((thing) => thing.counts).map((thing) => recordOf(thing, picture));
    const json = { revision, things: records };
    try {
      const path = `${ROOT}/pictures/${picture.id}/things`;
      return (await this.client.json<ThingsAnswer>(path, { method: "PUT", json })).revision;
    } catch (error) {
      const theirs = conflictBody<ThingsAnswer>(error);
      if (theirs) throw new Conflict(theirs.things.map(thingOf), theirs.revision);
      throw error;
    }
  }

  async putClasses(classes: readonly Class[], revision: number): Promise<number> {
    try {
      const json = { revision, classes };
      const path = `${ROOT}/classes`;
      return (await this.client.json<{ revision: number }>(path, { method: "PUT", json })).revision;
    } catch (error) {
      const theirs = conflictBody<{ revision: number; classes: readonly Class[] }>(error);
      if (theirs) throw new Conflict(theirs.classes, theirs.revision);
      throw error;
    }
  }

  add(file: Blob, name: string): Promise<Picture> {
    return this.client.json<Picture>(`${ROOT}/pictures?name=${encodeURIComponent(name)}`, { body: file });
  }

  putFiles(): Promise<void> {
    return Promise.resolve(); // the server has all that it was given
  }

  addExample(): Promise<Picture> {
    return this.client.json<Picture>(`${ROOT}/example`, { method: "POST" });
  }

  async read({ id }: Picture, files: readonly File[], signal: AbortSignal): Promise<ReadonlyMap<string, readonly Thing[]>> {
    const found: Thing[] = [];
    for (const file of files) {
      const path = `${ROOT}/pictures/${id}/import`;
      found.push(...(await this.client.json<ThingsAnswer>(path, { body: file, signal })).things.map(thingOf));
    }
    return new Map([[id, found]]);
  }

  async export(formats: readonly string[], pictures: readonly Picture[], live: Live, signal: AbortSignal): Promise<Exported> {
    await live.stored();
    const json = { formats, pictures: pictures.map((one) => one.id) };
    return { zip: await this.client.blob(`${ROOT}/export`, { json, signal }), lost: 0 };
  }

  watch(changed: () => void): void {
    // A window beside this one hides nothing of it: whoever comes back from there only clicks.
    window.addEventListener("focus", changed);
  }
}

export function conflictBody<Theirs>(error: unknown): Theirs | null {
  if (!(error instanceof Refused) || error.status !== 409) return null;
  return (error.body as { current?: Theirs } | null)?.current ?? null;
}

export function answerOf(record: MaskRecord): Answer {
  return {
    counts: fromText(record.rle.counts),
    score: record.score,
    stability: record.stability,
    label: record.label,
    logits: record.logits ?? null,
  };
}

export function promptWords(prompt: Prompt, size: readonly [number, number]): Record<string, unknown> {
  return {
    ...(prompt.points.length
      ? { points: prompt.points.map(([x, y]) => [x, y]), labels: prompt.points.map(([, , label]) => label) }
      : {}),
    ...(prompt.box ? { box: prompt.box } : {}),
    ...(prompt.mask ? { mask: { size, counts: toText(prompt.mask) } } : {}),
  };
}

export function recordOf(thing: Thing, picture: { w: number; h: number }): ThingRecord {
  const points = thing.prompt?.points ?? [];
  return {
    thing: thing.id,
    rle: { size: [picture.h, picture.w], counts: toText(thing.counts!) },
    score: thing.score,
    stability: thing.stability,
    label: thing.label,
    // A prompt whose answer is not here yet would not be the one of this mask.
    points: thing.waiting ? [] : points.map(([x, y]) => [x, y] as const),
    labels: thing.waiting ? [] : points.map(([, , label]) => label),
    prompt_box: thing.waiting ? null : (thing.prompt?.box ?? null),
    meta: thing.meta,
  };
}

export function thingOf(record: ThingRecord): Thing {
  const counts = fromText(record.rle.counts);
  const points = record.points.map(([x, y], i): Point => [x, y, record.labels[i] ?? 1]);
  const asked = points.length > 0 || record.prompt_box !== null;
  return {
    id: record.thing,
    counts,
    label: record.label,
    score: record.score,
    stability: record.stability,
    // The mask as it is goes along, for what the model had said is not stored.
    prompt: asked ? { points, box: record.prompt_box, mask: counts } : null,
    answers: [],
    level: "auto",
    waiting: false,
    review: "pending",
    meta: record.meta ?? {},
  };
}
