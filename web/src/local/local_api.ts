/** The studio without a server: the browser keeps the images and the masks, and writes the files. */

import type { Api, Exported, FolderAnswer, Live, Picture } from "../api/api.ts";
import { type ThingRecord, recordOf, thingOf } from "../api/studio_api.ts";
import { convert, cutAll } from "../canvas/cut.ts";
import type { Bytes } from "../formats/bytes.ts";
import { type ExportImage, exportZip, formatsOf } from "../formats/export.ts";
import { isFor, look, readMasks } from "../formats/import.ts";
import { Problem } from "../problem.ts";
import type { Class, Thing } from "../store/project.ts";
import { Conflict } from "../store/saving.ts";
import { say } from "../words/words.ts";
import { Database, type Stores } from "./database.ts";
import { type Given, type GivenPicture, fetchBlob, fetchGiven, fetchThings } from "./given.ts";
import { ACCEPT, type Measured, measure } from "./images.ts";

/** What is known of an image; of those that came with the page, only once something was changed. */
interface Stored {
  readonly id: string;
  readonly name: string;
  readonly w: number;
  readonly h: number;
  readonly masks: number;
  readonly revision: number;
  readonly isGiven: boolean;
  /** That somebody does not want to see it; of those that came with the page. */
  readonly isRemoved: boolean;
}

/** What there was of an image that was removed; of those that came with the page, only what was changed. */
interface Removed {
  readonly stored: Stored | null;
  readonly file: Blob | null;
  readonly thumbnail: Blob | null;
  readonly things: readonly ThingRecord[] | null;
}

interface Versioned<Part> {
  readonly revision: number;
  readonly part: Part;
}

interface Unsaved {
  readonly stored: Stored;
  readonly measured: Measured;
}

const CLASSES = "classes";
const byName = new Intl.Collator("en", { numeric: true });

export class LocalApi implements Api {
  readonly accept = ACCEPT;
  readonly acceptMasks = ".json,.txt,.xml,.png,.zip,.yaml,.yml";
  private readonly unsaved = new Map<string, Unsaved>();
  private given: Given = { name: "", pictures: [], classes: [], model: "", words: [], lacks: [] };
  private fetched: Promise<Given> | null = null;
  private readonly channel: BroadcastChannel;

  private readonly database: Database;

  constructor(name: string) {
    this.database = new Database(name);
    this.channel = new BroadcastChannel(name);
  }

  // ------------------------------------------------------------------------------ images

  async folder(): Promise<FolderAnswer> {
    this.fetched ??= fetchGiven();
    this.fetched.catch(() => (this.fetched = null));
    this.given = await this.fetched;
    const { stored, classes } = await this.database
      .run("readonly", async ({ pictures, parts }) => ({
        stored: await pictures.all<Stored>(),
        classes: await parts.get<Versioned<readonly Class[]>>(CLASSES),
      }))
      // A browser that keeps nothing: the page itself does, and says so once there is something.
      .catch(() => ({ stored: [] as Stored[], classes: undefined }));
    const known = new Map(stored.map((one) => [one.id, one]));
    const pictures = [
      ...this.given.pictures.filter((one) => !known.has(one.id)).map((one) => ({ ...one, revision: 0 })),
      ...stored.filter((one) => !one.isRemoved),
      ...[...this.unsaved.values()].map(({ stored }) => ({ ...stored, isUnsaved: true })),
    ];
    return {
      name: this.given.name,
      pictures: pictures.map(shown).sort((a, b) => byName.compare(a.name, b.name)),
      classes: classes?.part ?? this.given.classes,
      classes_revision: classes?.revision ?? 0,
      model: this.given.model,
      words: this.given.words,
      lacks: this.given.lacks,
      example: true,
    };
  }

  async thumbnail(id: string, signal: AbortSignal): Promise<Blob> {
    const found = this.unsaved.get(id)?.measured.thumbnail ?? (await this.database.run("readonly", ({ thumbnails }) => thumbnails.get<Blob>(id)));
    return found ?? fetchBlob(this.givenOf(id).thumbnail, signal);
  }

  async image(id: string, signal: AbortSignal): Promise<Blob> {
    const found = this.unsaved.get(id)?.measured.file ?? (await this.database.run("readonly", ({ files }) => files.get<Blob>(id)));
    return found ?? fetchBlob(this.givenOf(id).file, signal);
  }

  private givenOf(id: string): GivenPicture {
    const found = this.given.pictures.find((one) => one.id === id);
    if (!found) throw new Problem(say("error.gone"));
    return found;
  }

  async add(file: Blob, name: string): Promise<Picture> {
    const measured = await measure(file, name);
    const { w, h } = measured;
    const id = await idOf(measured.file, name);
    const there = (await this.folder()).pictures;
    const same = there.find((one) => one.id === id);
    if (same) return same;
    const stored: Stored = { id, name: freeName(name, there), w, h, masks: 0, revision: 0, isGiven: false, isRemoved: false };
    try {
      await this.database.run("readwrite", async (stores) => keep(stores, { stored, measured }));
    } catch (error) {
      this.unsaved.set(id, { stored, measured });
      return { ...shown(stored), isUnsaved: true };
    }
    this.tell();
    void navigator.storage?.persist?.().catch(() => false); // so that the browser does not clear it by itself
    return shown(stored);
  }

  async putFiles(): Promise<void> {
    for (const [id, one] of this.unsaved) {
      await this.database.run("readwrite", async (stores) => keep(stores, one));
      this.unsaved.delete(id);
      this.tell();
    }
  }

  async addExample(): Promise<Picture> {
    return this.add(await fetchBlob("page/example.jpg", AbortSignal.timeout(60_000)), "example.jpg");
  }

  readonly remove = async (id: string): Promise<() => Promise<Picture>> => {
    const given = this.given.pictures.find((one) => one.id === id);
    const before = await this.database.run("readwrite", async ({ pictures, files, thumbnails, things }) => {
      const kept: Removed = {
        stored: (await pictures.get<Stored>(id)) ?? null,
        file: (await files.get<Blob>(id)) ?? null,
        thumbnail: (await thumbnails.get<Blob>(id)) ?? null,
        things: (await things.get<readonly ThingRecord[]>(id)) ?? null,
      };
      for (const store of [files, thumbnails, things]) store.drop(id);
      if (given) pictures.put({ ...storedOf(given), isRemoved: true }, id);
      else pictures.drop(id);
      return kept;
    });
    const unsaved = this.unsaved.get(id);
    this.unsaved.delete(id);
    this.tell();
    return () => this.putBack(id, before, unsaved);
  };

  /** Puts an image back as it was; one that is here again by now stays as it is. */
  private async putBack(id: string, { stored, file, thumbnail, things }: Removed, unsaved?: Unsaved): Promise<Picture> {
    const measured = unsaved?.measured ?? (file && thumbnail && stored ? { w: stored.w, h: stored.h, file, thumbnail } : null);
    const was = stored ?? unsaved?.stored ?? this.firstOf(id);
    try {
      const now = await this.database.run("readwrite", async (stores) => {
        const there = await stores.pictures.get<Stored>(id);
        if (there && !there.isRemoved) return there;
        if (measured) keep(stores, { stored: was, measured });
        else if (stored) stores.pictures.put(stored, id);
        else stores.pictures.drop(id);
        if (things) stores.things.put(things, id);
        return was;
      });
      this.tell();
      return shown(now);
    } catch (error) {
      if (!measured) throw error;
      const fresh = { ...was, masks: 0, revision: 0 }; // whoever has its masks puts them here
      this.unsaved.set(id, { stored: fresh, measured });
      return { ...shown(fresh), isUnsaved: true };
    }
  }

  // ------------------------------------------------------------------------------- masks

  async things(picture: Picture): Promise<{ revision: number; things: readonly Thing[] }> {
    if (this.unsaved.has(picture.id)) return { revision: 0, things: [] };
    const found = await this.database.run("readonly", (stores) => versionOf(stores, picture.id));
    const given = this.given.pictures.find((one) => one.id === picture.id);
    if (found.revision === 0 && given) return { revision: 0, things: await fetchThings(given) };
    return { revision: found.revision, things: (found.things ?? []).map(thingOf) };
  }

  async putThings(picture: Picture, things: readonly Thing[], revision: number): Promise<number> {
    const { id } = picture;
    const records = things.filter((thing) => thing.counts).map((thing) => recordOf(thing, picture));
    const next = await this.database.run("readwrite", async (stores) => {
      const unsaved = this.unsaved.get(id);
      const known = (await stores.pictures.get<Stored>(id)) ?? unsaved?.stored ?? this.firstOf(id);
      if (known.revision !== revision) {
        const theirs = await versionOf(stores, id);
        throw new Conflict((theirs.things ?? []).map(thingOf), theirs.revision);
      }
      const stored = { ...known, masks: records.length, revision: revision + 1 };
      if (unsaved) keep(stores, { ...unsaved, stored });
      stores.pictures.put(stored, id);
      stores.things.put(records, id);
      return stored.revision;
    });
    this.unsaved.delete(id);
    this.tell();
    return next;
  }

  private firstOf(id: string): Stored {
    return storedOf(this.givenOf(id));
  }

  async putClasses(classes: readonly Class[], revision: number): Promise<number> {
    const next = await this.database.run("readwrite", async ({ parts }) => {
      const known = await parts.get<Versioned<readonly Class[]>>(CLASSES);
      if ((known?.revision ?? 0) !== revision) throw new Conflict(known?.part ?? [], known?.revision ?? 0);
      parts.put({ revision: revision + 1, part: classes }, CLASSES);
      return revision + 1;
    });
    this.tell();
    return next;
  }

  // ------------------------------------------------------------------------------- files

  async read(current: Picture, files: readonly File[], signal: AbortSignal): Promise<ReadonlyMap<string, readonly Thing[]>> {
    const named = files.map(async (file) => ({
      name: file.webkitRelativePath || file.name,
      data: new Uint8Array(await file.arrayBuffer()) as Bytes,
    }));
    const given = await look(await Promise.all(named));
    const pictures = (await this.folder()).pictures.filter((one) => one.error === null && given.files.some((file) => isFor(file, one)));
    const found = new Map<string, readonly Thing[]>();
    for (const picture of pictures.length ? pictures : [current]) {
      signal.throwIfAborted();
      found.set(picture.id, await readMasks(given, picture, !pictures.length));
    }
    const [strange] = given.strange;
    if (strange && ![...found.values()].some((things) => things.length)) throw strange;
    return found;
  }

  async export(formats: readonly string[], pictures: readonly Picture[], live: Live, signal: AbortSignal): Promise<Exported> {
    const images: ExportImage[] = [];
    for (const picture of pictures) {
      // What the page has is newer than what is stored, which may be full.
      const things = live.project.images[picture.id] ?? (await this.things(picture)).things;
      const { name, w, h, id } = picture;
      images.push({ name, w, h, things: things.filter((thing) => thing.counts), file: () => this.image(id, signal) });
    }
    const names = live.project.classes.map((one) => one.name);
    return exportZip(images.filter((one) => one.things.length), formatsOf(formats), names, { convert, cut: cutAll }, signal);
  }

  // ------------------------------------------------------------------------ other windows

  watch(changed: () => void): void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    this.channel.onmessage = () => {
      clearTimeout(timer);
      timer = setTimeout(changed, 50);
    };
  }

  private tell(): void {
    this.channel.postMessage(null);
  }
}

function shown({ id, name, w, h, masks, revision, isUnsaved }: Pick<Stored, "id" | "name" | "w" | "h" | "masks" | "revision"> & { isUnsaved?: boolean }): Picture {
  return { id, name, w, h, masks, revision, error: null, ...(isUnsaved ? { isUnsaved } : {}) };
}

function storedOf({ id, name, w, h, masks }: GivenPicture): Stored {
  return { id, name, w, h, masks, revision: 0, isGiven: true, isRemoved: false };
}

function keep({ pictures, files, thumbnails }: Stores, { stored, measured }: Unsaved): void {
  files.put(measured.file, stored.id);
  thumbnails.put(measured.thumbnail, stored.id);
  pictures.put(stored, stored.id);
}

async function versionOf({ pictures, things }: Stores, id: string): Promise<{ revision: number; things: readonly ThingRecord[] | undefined }> {
  const known = await pictures.get<Stored>(id);
  return { revision: known?.revision ?? 0, things: await things.get<readonly ThingRecord[]>(id) };
}

/** The same for the same file of the same name, so that a folder may be dropped twice. */
async function idOf(file: Blob, name: string): Promise<string> {
  const data = await new Blob([`${name}\0`, file]).arrayBuffer();
  const digest = globalThis.crypto.subtle // which only pages have that nobody can change on their way
    ? new Uint8Array(await crypto.subtle.digest("SHA-256", data))
    : crypto.getRandomValues(new Uint8Array(16));
  return [...digest.slice(0, 16)].map((one) => one.toString(16).padStart(2, "0")).join("");
}

function freeName(name: string, pictures: readonly Picture[]): string {
  const taken = new Set(pictures.map((one) => one.name.toLowerCase()));
  let free = name;
  for (let i = 2; taken.has(free.toLowerCase()); i++) free = name.replace(/(\.[^./]*)?$/, (suffix) => `-${i}${suffix}`);
  return free;
}
