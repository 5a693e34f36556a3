/** The routes of a label project: who has which image, and its masks, of which each has a history. */

import type { Exported, FolderAnswer, Live, Picture } from "../api/api.ts";
import { type Client, Refused } from "../api/client.ts";
import { StudioApi, type ThingRecord, type ThingsAnswer, conflictBody, recordOf, thingOf } from "../api/studio_api.ts";
import type { Counts } from "../masks/runs.ts";
import { Problem } from "../problem.ts";
import { type Class, type Review, type Thing, newId } from "../store/project.ts";
import { Conflict } from "../store/saving.ts";
import { say } from "../words/words.ts";

export type ImageState = "open" | "done" | "accepted";
export type Order = "added" | "low-confidence" | "disagreement" | "novelty";
export const ORDERS: readonly Order[] = ["added", "low-confidence", "disagreement", "novelty"];

/** An image of the project; its id is the digest of its content. */
export interface LabelPicture extends Picture {
  readonly state: ImageState;
  readonly number: number;
}

export interface Lease {
  readonly token: string;
  readonly seconds: number;
  readonly person: string;
  readonly picture: LabelPicture;
}

export interface LabelClass extends Class {
  readonly id: number;
  readonly masks: number;
}

export interface Status {
  readonly images: number;
  readonly by_state: Readonly<Record<ImageState, number>>;
  readonly masks: number;
  readonly by_review: Readonly<Record<Review, number>>;
  readonly by_stage: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly seconds_per_mask: number | null;
  readonly timed: number;
  readonly slow: number;
  readonly version: string | null;
  readonly detector: string | null;
  readonly classes: readonly LabelClass[];
  readonly people: readonly {
    readonly person: string;
    readonly images: number;
    readonly seconds: number;
    readonly changes: number;
    readonly seconds_per_mask: number | null;
  }[];
  readonly versions: readonly { readonly version: string; readonly by_review: Readonly<Record<Review, number>> }[];
  readonly leases: readonly { readonly person: string; readonly image: string; readonly seconds: number }[];
}

/** How two people agree. */
export interface PairAgreement {
  readonly first: string;
  readonly second: string;
  readonly images: number;
  readonly pairs: number;
  readonly mean_iou: number | null;
  readonly above_90: number | null;
  readonly above_75: number | null;
  readonly only_first: number;
  readonly only_second: number;
}

export interface Audit {
  readonly name: string;
  readonly sampled: number;
  readonly waiting: number;
  readonly rows: readonly {
    readonly of: string;
    readonly masks: number;
    readonly above_90: number | null;
    readonly above_75: number | null;
    readonly mean_iou: number | null;
  }[];
}

/** What is known of a mask beside what it is. */
export interface Known {
  readonly mask: number;
  readonly revision: number;
  readonly stage: string;
  readonly person: string | null;
  readonly version: string | null;
  readonly origin: string | null;
}

/** An entry in the history of a mask. */
export interface Entry {
  readonly revision: number;
  readonly action: "add" | "edit" | "review" | "delete" | "restore";
  readonly deleted: boolean;
  readonly review: Review;
  readonly stage: string;
  readonly person: string | null;
  readonly version: string | null;
  readonly seconds: number | null;
  readonly at: number;
  readonly restores: number | null;
  readonly thing: Thing;
}

interface LabelRecord extends ThingRecord {
  readonly review: Review;
  readonly known: Known;
}

interface LabelAnswer extends ThingsAnswer {
  readonly things: readonly LabelRecord[];
}

interface StatusAnswer {
  readonly name: string;
  readonly model: string;
  readonly version: string;
  readonly key: string;
  readonly words: readonly string[];
  readonly status: Status;
  readonly pictures: readonly LabelPicture[];
}

interface Request {
  readonly token: string;
  readonly revision: number;
  readonly seconds: ReadonlyMap<string, number>;
}

/** Somebody else has the image. */
export class Leased extends Problem {
  constructor(readonly person: string, isOwn = false) {
    super(say(isOwn ? "label.other_tab" : "label.leased", { person }));
  }
}

const ROOT = "/v1/label";
const SHOWN = 500; // images that are looked at again: as many as steps can be undone

export class LabelApi extends StudioApi {
  override readonly acceptMasks = ".json,.txt,.xml,.png";
  /** Who works here. */
  person = "";
  /** Names this tab, or two of one person would work on the same image. */
  tab: string | null = null;
  status: Status | null = null;
  /** What is known of masks, by the ids of things. */
  readonly known = new Map<string, Known>();
  /** Told which seconds belong to which thing, when things are saved. */
  seconds: () => ReadonlyMap<string, number> = () => new Map();
  /** Told that somebody has given a class another name. */
  renamed: (from: string, to: string) => void = () => undefined;
  private pictures: readonly LabelPicture[] = [];
  private classChanges = 0;
  /** What the store calls the model that answers. */
  private version: string | null = null;
  /** Pixels that came from files: whatever model they name, it is not the one here. */
  private readonly imported = new WeakSet<Counts>();
  /** The latest revision of each image that was heard of. */
  private readonly revisions = new Map<string, number>();
  private readonly requests = new WeakMap<readonly Thing[], Request>();
  // A thing that was made here keeps its id, by which undo knows it; the store has a number for it.
  private readonly numbers = new Map<string, string>();
  private readonly names = new Map<string, string>();

  constructor(client: Client) {
    super(client);
  }

  // ------------------------------------------------------------------------------ images

  /** Looks at the project, and at the images that were shown here. */
  override async folder(): Promise<FolderAnswer> {
    const changes = this.classChanges;
    const answer = await this.ask<StatusAnswer>("status", { images: this.pictures.map((one) => one.id) });
    // What was changed here meanwhile, the answer may not know yet.
    const known = changes === this.classChanges ? answer.status.classes : (this.status?.classes ?? answer.status.classes);
    const before = new Map(this.status?.classes.map((one) => [one.id, one.name]));
    this.status = { ...answer.status, classes: known };
    for (const { id, name } of known) {
      const old = before.get(id);
      if (old !== undefined && old !== name) this.renamed(old, name);
    }
    this.pictures = answer.pictures.map((one) => ({ ...one, revision: Math.max(one.revision, this.revisions.get(one.id) ?? 0) }));
    const { name, key, model, words } = answer;
    this.version = answer.version;
    const classes = known.map(({ name, color }) => ({ name, color }));
    return { name, key, model, words, pictures: this.pictures, classes, classes_revision: revisionOf(known), example: false };
  }

  /** Notes an image that is shown. */
  saw(picture: LabelPicture): void {
    this.revisions.set(picture.id, picture.revision);
    const others = this.pictures.filter((one) => one.id !== picture.id);
    this.pictures = others.length < this.pictures.length ? this.pictures.map((one) => (one.id === picture.id ? picture : one)) : [...others, picture].slice(-SHOWN);
  }

  override add(): Promise<Picture> {
    return Promise.reject(new Problem(say("label.no_add")));
  }

  // -------------------------------------------------------------------------------- masks

  override async read(picture: Picture, files: readonly File[], signal: AbortSignal): Promise<ReadonlyMap<string, readonly Thing[]>> {
    const found = await super.read(picture, files, signal);
    for (const things of found.values()) for (const { counts } of things) if (counts) this.imported.add(counts);
    return found;
  }

  override async things({ id }: Picture): Promise<{ revision: number; things: readonly Thing[] }> {
    const answer = await this.client.json<LabelAnswer>(`${ROOT}/images/${id}/masks`);
    this.revisions.set(id, answer.revision);
    return { revision: answer.revision, things: answer.things.map((one) => this.thingOf(one)) };
  }

  override async putThings(picture: Picture, things: readonly Thing[], revision: number): Promise<number> {
    const shown = things.filter((thing) => thing.counts);
    let request = this.requests.get(things);
    // The same over the same revision is the same request, sent again because its answer was lost.
    if (request?.revision !== revision) {
      request = { token: newId() + newId(), revision, seconds: this.seconds() };
      this.requests.set(things, request);
    }
    const { token, seconds } = request;
    const records = shown.map((thing) => ({
      ...recordOf(thing, picture),
      thing: this.numbers.get(thing.id) ?? thing.id,
      label_id: this.status?.classes.find((one) => one.name === thing.label)?.id ?? null,
      review: thing.review,
      seconds: seconds.get(thing.id) ?? null,
      version: thing.score === null || this.imported.has(thing.counts!) ? "" : this.version,
    }));
    try {
      const json = { revision, person: this.person, token, things: records };
      const path = `${ROOT}/images/${picture.id}/masks`;
      const answer = await this.client.json<{ revision: number; ids: string[] }>(path, { method: "PUT", json });
      shown.forEach((thing, i) => this.link(thing.id, answer.ids[i]!));
      this.revisions.set(picture.id, answer.revision);
      return answer.revision;
    } catch (error) {
      const theirs = conflictBody<LabelAnswer>(error);
      if (theirs) throw new Conflict(theirs.things.map((one) => this.thingOf(one)), theirs.revision);
      throw leasedError(error, this.person);
    }
  }

  private link(thing: string, number: string): void {
    if (thing === number) return;
    this.numbers.set(thing, number);
    this.names.set(number, thing);
  }

  private thingOf(record: LabelRecord): Thing {
    const id = this.names.get(record.thing) ?? record.thing;
    this.known.set(id, record.known);
    return { ...thingOf(record), id, review: record.review };
  }

  /** The number by which the store knows a thing; null if it was not saved yet. */
  numberOf(thing: string): number | null {
    const number = /^m(\d+)$/.exec(this.numbers.get(thing) ?? thing)?.[1];
    return number === undefined ? null : Number(number);
  }

  async history(mask: number): Promise<readonly Entry[]> {
    const answer = await this.client.json<{ history: readonly (Omit<Entry, "thing"> & { thing: ThingRecord })[] }>(`${ROOT}/masks/${mask}/history`);
    return answer.history.map((one) => ({ ...one, thing: { ...thingOf(one.thing), review: one.review } }));
  }

  async agreement(): Promise<readonly PairAgreement[]> {
    return (await this.client.json<{ people: readonly PairAgreement[] }>(`${ROOT}/agreement`)).people;
  }

  async audits(): Promise<readonly Audit[]> {
    return (await this.client.json<{ audits: readonly Audit[] }>(`${ROOT}/audit`)).audits;
  }

  async beginAudit(name: string, sample: number): Promise<void> {
    await this.ask("audit", { name, sample });
  }

  override async export(formats: readonly string[], pictures: readonly Picture[], live: Live, signal: AbortSignal): Promise<Exported> {
    await live.stored();
    const json = { formats, pictures: pictures.map((one) => one.id) };
    return { zip: await this.client.blob(`${ROOT}/export`, { json, signal }), lost: 0 };
  }

  // ------------------------------------------------------------------------------ classes

  /** Adds classes and changes colours; none goes, and names change by `rename` alone. */
  override async putClasses(classes: readonly Class[]): Promise<number> {
    const known = new Map(this.status?.classes.map((one) => [one.name, one.color]));
    const add = classes.filter((one) => !known.has(one.name)).map((one) => one.name);
    const color = Object.fromEntries(classes.filter((one) => known.get(one.name) !== one.color).map((one) => [one.name, one.color]));
    if (!add.length && !Object.keys(color).length) return revisionOf(this.status?.classes ?? []);
    const seen = Object.fromEntries(Object.keys(color).filter((name) => known.has(name)).map((name) => [name, known.get(name)!]));
    return this.changeClasses({ add, color, seen });
  }

  rename(from: string, to: string): Promise<number> {
    return this.changeClasses({ rename: [from, to] });
  }

  private async changeClasses(change: Record<string, unknown>): Promise<number> {
    try {
      const { classes } = await this.ask<{ classes: readonly LabelClass[] }>("classes", { ...change, token: newId() + newId() });
      this.classChanges++;
      if (this.status) this.status = { ...this.status, classes };
      return revisionOf(classes);
    } catch (error) {
      const theirs = conflictBody<{ classes: readonly LabelClass[] }>(error)?.classes;
      // A new name of somebody else is heard of by the next look; whose colour counts is asked.
      if (!theirs || change.rename) throw error;
      throw new Conflict(theirs.map(({ name, color }) => ({ name, color })), revisionOf(theirs));
    }
  }

  // ------------------------------------------------------------------------------- leases

  /** Takes the next image; of an audit's, it says which masks are meant. */
  async next(wish: { order: Order; state: ImageState; audit: string | null }): Promise<{ lease: Lease | null; audited: readonly string[] }> {
    const { lease, audited } = await this.ask<{ lease: Lease | null; audited: readonly string[] }>("next", { person: this.person, tab: this.tab, ...wish });
    return { lease, audited: audited.map((one) => this.names.get(one) ?? one) };
  }

  async lease(image: string): Promise<Lease> {
    return (await this.ask<{ lease: Lease }>("lease", { person: this.person, tab: this.tab, image })).lease;
  }

  async renew(token: string): Promise<void> {
    await this.ask("renew", { token });
  }

  async release(token: string, skip = false, keepalive = false): Promise<void> {
    await this.client.response(`${ROOT}/release`, { json: { token, skip }, keepalive });
  }

  async finish(lease: Lease, state: ImageState, seconds: number, audit: string | null): Promise<LabelPicture> {
    const json = { token: lease.token, image: lease.picture.id, state, seconds, audit, person: this.person };
    return (await this.ask<{ picture: LabelPicture }>("finish", json)).picture;
  }

  private async ask<Result>(path: string, json: unknown): Promise<Result> {
    try {
      return await this.client.json<Result>(`${ROOT}/${path}`, { json });
    } catch (error) {
      throw leasedError(error, this.person);
    }
  }
}

function leasedError(error: unknown, self: string): unknown {
  if (!(error instanceof Refused) || error.code !== "leased") return error;
  const { person } = error.body as { person: string };
  return new Leased(person, person === self);
}

/** A number that is another when the classes are. */
export function revisionOf(classes: readonly LabelClass[]): number {
  let hash = 7;
  for (const char of classes.map((one) => `${one.id} ${one.name} ${one.color}`).join("\n")) {
    hash = (hash * 31 + char.codePointAt(0)!) % 2147483647;
  }
  return hash;
}
