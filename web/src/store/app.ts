/** The page's state: the project with its history, what is shown of it, and what is being done. */

import type { Api, FolderAnswer, Picture } from "../api/api.ts";
import { describe } from "../api/client.ts";
import type { Draft, PanelsApi } from "../api/panels_api.ts";
import type { Decoder } from "../decode/decoder.ts";
import type { Counts } from "../masks/runs.ts";
import { type Key, say } from "../words/words.ts";
import * as histories from "./history.ts";
import { type Class, EMPTY, type Level, type Project, type Thing, thingsOf, withThings, withoutImage } from "./project.ts";
import { type SaveState, Saver } from "./saving.ts";

export type ToolName = "point" | "box" | "brush" | "eraser" | "lasso" | "pick";

/** Work that takes a while, as the line below the image tells it. */
export interface Job {
  readonly what: Key;
  readonly parts: Readonly<Record<string, string>>;
  readonly since: number;
  readonly cancel: (() => void) | null;
  /** Steps done and their number, where that is known. */
  readonly progress?: readonly [number, number];
  /** Whether it goes on when another image is opened. */
  readonly stays?: boolean;
}

export type PanelName = "depth" | "paint";

export interface Notice {
  readonly text: string;
  readonly isError: boolean;
}

/** What is shown, and how; never undone. */
export interface Ui {
  readonly image: string | null;
  readonly tool: ToolName;
  readonly selected: ReadonlySet<string>;
  readonly hovered: string | null;
  readonly hidden: ReadonlySet<string>;
  /** Whether all masks are hidden for the moment. */
  readonly peeking: boolean;
  readonly level: Level;
  /** What clicks mean: 1 object, 0 background. */
  readonly sign: 0 | 1;
  /** The class of new things. */
  readonly label: string | null;
  readonly opacity: number;
  /** Diameter of the brush in pixels of the screen. */
  readonly brush: number;
  readonly wordsOpen: boolean;
  readonly panel: PanelName | null;
  /** What a mask was before, shown over it. */
  readonly earlier: Counts | null;
  readonly job: Job | null;
  readonly notice: Notice | null;
}

export type Part = readonly Thing[] | readonly Class[] | readonly Picture[];

const FILES = "files"; // of images that were added; the saver's key, as the next
const CLASSES = "classes"; // the saver's key; images have their ids, which are hex
const NOTICE_MS = 6000;

export class App {
  history: histories.History = histories.begin(EMPTY);
  pictures: readonly Picture[] = [];
  folder: FolderAnswer | null = null;
  ui: Ui = {
    image: null,
    tool: "point",
    selected: new Set(),
    hovered: null,
    hidden: new Set(),
    peeking: false,
    level: "auto",
    sign: 1,
    label: null,
    opacity: 0.4,
    brush: 32,
    wordsOpen: false,
    panel: null,
    earlier: null,
    job: null,
    notice: null,
  };
  decoder!: Decoder;
  /** Painted images that nobody has kept or discarded yet, by id of the image that they were made of. */
  readonly drafts = new Map<string, Draft>();
  /** Depth, painting and finding elsewhere, where there is a server for them. */
  panels: PanelsApi | null = null;
  /** Renames classes for everybody, where they are kept apart from the masks. */
  keeper: { rename(from: string, to: string): Promise<void> } | null = null;
  readonly saver: Saver<Part>;
  /** Asked before another image is shown: whether it may be; null: any. */
  enter: ((id: string) => Promise<boolean>) | null = null;
  /** Says why an image must not be changed; null if it may be. */
  refuses: (image: string) => string | null = () => null;
  /** Called to go on after the last image; null: there is nothing after it. */
  onward: (() => void) | null = null;
  /** Called when the masks of an image have come from the store. */
  loaded: (id: string) => Promise<void> = () => Promise.resolve();
  private readonly listeners: (() => void)[] = [];
  private pending = false;
  /** What a step does to the folder at the moment; the next step waits for it. */
  private performing: Promise<void> | null = null;
  private noticeTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly loading = new Map<string, Promise<void>>();

  constructor(readonly api: Api) {
    this.saver = new Saver<Part>({
      put: (key, part, revision) => this.put(key, part, revision),
      changed: () => this.changed(),
      describe,
      setTimer: (run, ms) => setTimeout(run, ms),
      clearTimer: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
    });
  }

  // -------------------------------------------------------------------- telling others

  listen(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** Tells everybody, once before the next frame. */
  changed(): void {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      for (const listener of this.listeners) listener();
    });
  }

  show(changes: Partial<Ui>): void {
    this.ui = { ...this.ui, ...changes };
    this.changed();
  }

  notify(text: string, isError = false): void {
    clearTimeout(this.noticeTimer);
    this.noticeTimer = setTimeout(() => this.show({ notice: null }), NOTICE_MS);
    this.show({ notice: { text, isError } });
  }

  fail(error: unknown): void {
    this.notify(describe(error), true);
  }

  // ------------------------------------------------------------------- reading the state

  get project(): Project {
    return this.history.present;
  }

  get picture(): Picture | null {
    return this.pictures.find((one) => one.id === this.ui.image) ?? null;
  }

  pictureOf(id: string): Picture {
    const found = this.pictures.find((one) => one.id === id);
    if (!found) throw new Error(`no image ${id}`);
    return found;
  }

  get things(): readonly Thing[] {
    return this.ui.image === null ? [] : thingsOf(this.project, this.ui.image);
  }

  get isLoaded(): boolean {
    return this.ui.image !== null && this.ui.image in this.project.images;
  }

  get selectedThings(): readonly Thing[] {
    return this.things.filter((thing) => this.ui.selected.has(thing.id));
  }

  /** The one thing that clicks go on with. */
  get active(): Thing | null {
    const selected = this.selectedThings;
    return selected.length === 1 ? selected[0]! : null;
  }

  get saveState(): SaveState {
    return this.saver.state;
  }

  masksOf(picture: Picture): number {
    const things = this.project.images[picture.id];
    return things ? things.length : picture.masks;
  }

  nameOf(thing: Thing): string {
    return thing.label ?? say("panel.unnamed", { number: this.things.indexOf(thing) + 1 });
  }

  // -------------------------------------------------------------------------- changing it

  /** Makes a change that can be undone. */
  commit(
    project: Project,
    what: string,
    image: string | null = this.ui.image,
    effect?: histories.Effect,
  ): void {
    const why = image === null || what === "theirs" ? null : this.refuses(image);
    if (why !== null) return this.notify(why, true);
    this.history = histories.commit(this.history, project, image, what, effect);
    this.afterChange();
  }

  /** Changes what was true all the time, which is no step to undo. */
  settle(history: histories.History): void {
    this.history = history;
    this.afterChange();
  }

  undo(): void {
    if (this.performing) return void this.performing.then(() => this.undo());
    const step = this.history.past.at(-1);
    if (this.goTo(step, () => this.undo())) return;
    this.history = histories.undo(this.history);
    this.afterStep(step);
    if (step?.effect) this.perform(step.effect.undo, histories.redo);
  }

  redo(): void {
    if (this.performing) return void this.performing.then(() => this.redo());
    const step = this.history.future.at(-1);
    if (this.goTo(step, () => this.redo())) return;
    this.history = histories.redo(this.history);
    this.afterStep(step);
    if (step?.effect) this.perform(step.effect.redo, histories.undo);
  }

  /** Goes to the image of a step first, where not every image may be changed; says whether it does. */
  private goTo(step: histories.Step | undefined, then: () => void): boolean {
    const image = step?.image ?? null;
    if (!this.enter || image === null) return false;
    if (image === this.ui.image) {
      const why = this.refuses(image);
      if (why !== null) this.notify(why, true);
      return why !== null;
    }
    void this.open(image).then(() => {
      if (this.ui.image === image) then();
    });
    return true;
  }

  private afterStep(step: histories.Step | undefined): void {
    if (!step) return;
    this.afterChange();
    if (step.image !== null && step.image !== this.ui.image) void this.open(step.image);
  }

  /** Does what a step does to the folder; if that fails, the step is as if it had not been taken. */
  private perform(act: () => Promise<void>, back: (history: histories.History) => histories.History): void {
    this.performing = act()
      .catch((error: unknown) => {
        this.settle(back(this.history));
        this.fail(error);
      })
      .then(() => {
        this.performing = null;
      });
  }

  private afterChange(): void {
    const ids = new Set(this.things.map((thing) => thing.id));
    const selected = new Set([...this.ui.selected].filter((id) => ids.has(id)));
    const known = this.project.classes.some((one) => one.name === this.ui.label);
    this.ui = { ...this.ui, selected, label: known ? this.ui.label : null };
    for (const [id, things] of Object.entries(this.project.images)) this.saver.set(id, things);
    this.saver.set(CLASSES, this.project.classes);
    this.changed();
  }

  // ------------------------------------------------------------------------------ images

  /** Takes over what the folder holds. */
  begin(folder: FolderAnswer): void {
    this.folder = folder;
    this.pictures = folder.pictures;
    this.history = histories.begin({ ...EMPTY, classes: folder.classes });
    this.saver.known(CLASSES, folder.classes, folder.classes_revision);
    this.saver.known(FILES, folder.pictures, 0);
    this.changed();
  }

  addPicture(picture: Picture, at = this.pictures.length): void {
    if (!this.pictures.some((one) => one.id === picture.id)) this.pictures = this.pictures.toSpliced(at, 0, picture);
    if (picture.isUnsaved) this.saver.set(FILES, this.pictures);
    this.changed();
  }

  setDraft(picture: string, draft: Draft | null): void {
    if (draft) this.drafts.set(picture, draft);
    else this.drafts.delete(picture);
    this.changed();
  }

  /** Shows no longer an image that a step has taken out of the folder; that step can be done again. */
  leaveOut(id: string): void {
    const at = this.pictures.findIndex((one) => one.id === id);
    this.pictures = this.pictures.filter((one) => one.id !== id);
    this.saver.forget(id);
    this.loading.delete(id);
    this.changed();
    if (this.ui.image !== id) return;
    const next = this.pictures[at] ?? this.pictures.at(-1);
    if (next) void this.open(next.id);
    else this.show({ image: null, selected: new Set() });
  }

  /** Removes an image with its masks, as a step that can be undone while the page is open. */
  async removePicture(id: string): Promise<void> {
    const remove = this.api.remove;
    if (!remove) return;
    await this.loadThings(id).catch(() => undefined); // its masks as they are here, which may not be stored yet
    const at = this.pictures.findIndex((one) => one.id === id);
    let putBack = await remove(id);
    this.leaveOut(id);
    this.commit(withoutImage(this.project, id), "remove_image", null, {
      undo: async () => {
        const picture = await putBack();
        this.addPicture(picture, at);
        await this.known(picture);
        await this.open(id);
      },
      redo: async () => {
        putBack = await remove(id);
        this.leaveOut(id);
      },
    });
  }

  private forget(id: string): void {
    this.pictures = this.pictures.filter((one) => one.id !== id);
    this.saver.forget(id);
    this.loading.delete(id);
    this.settle(histories.forget(this.history, id));
  }

  /** Takes over what other windows and programs have changed, where nothing of ours is unsaved. */
  async refresh(): Promise<void> {
    const folder = await this.api.folder();
    const stale = folder.pictures.filter(
      ({ id, revision }) =>
        id in this.project.images && !this.saver.isDirty(id) && revision !== this.saver.revision(id),
    );
    for (const { id } of this.pictures.filter((one) => !folder.pictures.some(({ id }) => id === one.id))) this.forget(id);
    this.pictures = folder.pictures;
    if (this.ui.image !== null && !this.picture) {
      const next = this.pictures[0];
      this.show({ image: null, selected: new Set() });
      if (next) void this.open(next.id);
    }
    for (const picture of stale) {
      const known = this.saver.revision(picture.id);
      const { revision, things } = await this.api.things(picture);
      if (this.saver.isDirty(picture.id)) continue; // it will be seen as a conflict
      // Saved meanwhile, or taken over by another refresh: a window that comes back asks twice.
      if (revision === known || this.saver.revision(picture.id) !== known) continue;
      this.saver.known(picture.id, things, revision);
      if (this.refuses(picture.id) === null) this.commit(withThings(this.project, picture.id, things), "theirs", picture.id);
      // On an image that is not ours there is nothing for us to undo.
      else this.settle(histories.load(histories.forget(this.history, picture.id), picture.id, things));
    }
    if (!this.saver.isDirty(CLASSES) && folder.classes_revision !== this.saver.revision(CLASSES)) {
      this.saver.known(CLASSES, folder.classes, folder.classes_revision);
      const { classes } = folder;
      if (this.keeper) this.settle(histories.amend(this.history, (project) => ({ ...project, classes })));
      else this.commit({ ...this.project, classes }, "theirs", null);
    }
    this.changed();
  }

  /** Shows an image; gives when its masks are there. */
  async open(id: string): Promise<void> {
    if (this.enter && this.ui.image !== id && !(await this.enter(id))) return;
    if (this.ui.image !== id) {
      const job = this.ui.job?.stays ? this.ui.job : null;
      if (!job) this.ui.job?.cancel?.();
      this.show({ image: id, selected: new Set(), hovered: null, earlier: null, job });
    }
    try {
      await this.loadThings(id);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Does something to the shown image once its masks are there, if it is shown then; says so if they cannot be had. */
  whenLoaded(act: () => void): void {
    const { image } = this.ui;
    if (image === null) return;
    if (this.isLoaded) return act();
    const ifShown = (then: () => void): void => {
      if (this.ui.image === image) then();
    };
    void this.loadThings(image).then(
      () => ifShown(act),
      (error: unknown) => ifShown(() => this.fail(error)),
    );
  }

  /** Fetches what is stored for an image, once. */
  loadThings(id: string): Promise<void> {
    let loading = this.loading.get(id);
    if (!loading) {
      const picture = this.pictureOf(id);
      loading = this.api.things(picture).then(({ revision, things }) => {
        this.saver.known(id, things, revision);
        this.settle(histories.load(this.history, id, things));
        return this.loaded(id);
      });
      loading.catch(() => this.loading.delete(id));
      this.loading.set(id, loading);
    }
    return loading;
  }

  /** Takes over the revision of an image that is back in the folder; its things are known here. */
  async known(picture: Picture): Promise<void> {
    if (!(picture.id in this.project.images)) return;
    const { things, revision } = await this.api.things(picture);
    this.saver.known(picture.id, things, revision);
    this.loading.set(picture.id, Promise.resolve());
    this.afterChange();
  }

  step(by: 1 | -1): void {
    const at = this.pictures.findIndex((one) => one.id === this.ui.image);
    const next = this.pictures[at + by];
    if (next) void this.open(next.id);
    else if (by === 1) this.onward?.();
  }

  // ------------------------------------------------------------------------------ saving

  private put(key: string, part: Part, revision: number): Promise<number> {
    if (key === CLASSES) return this.api.putClasses(part as readonly Class[], revision);
    if (key === FILES) return this.api.putFiles().then(() => revision + 1);
    return this.api.putThings(this.pictureOf(key), part as readonly Thing[], revision);
  }

  /** Waits until everything is saved; with an image, until that one is, and the classes. */
  async saved(signal: AbortSignal, image?: string): Promise<void> {
    this.saver.now();
    while (image === undefined ? this.saver.isDirty() : this.saver.isDirty(image) || this.saver.isDirty(CLASSES)) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      signal.throwIfAborted();
    }
  }

  /** Ends a conflict with another window, as a step that can be undone. */
  resolve(key: string, how: "theirs" | "mine" | "both"): void {
    const conflict = this.saver.conflict(key);
    if (!conflict) return;
    const isClasses = key === CLASSES;
    const why = isClasses || how === "theirs" ? null : this.refuses(key);
    if (why !== null) return this.notify(why, true);
    const mine: readonly Thing[] | readonly Class[] = isClasses ? this.project.classes : thingsOf(this.project, key);
    const part = how === "mine" ? mine : how === "theirs" ? conflict.theirs : joined(mine, conflict.theirs as typeof mine);
    const project: Project = isClasses
      ? { ...this.project, classes: part as readonly Class[] }
      : { ...this.project, images: { ...this.project.images, [key]: part as readonly Thing[] } };
    this.saver.resolve(key, part);
    if (how !== "mine") this.commit(project, how, isClasses ? null : key);
  }

  conflictName(key: string): string {
    return key === CLASSES ? say("panel.classes") : this.pictureOf(key).name;
  }
}

/** What both have: mine, and of theirs what mine has not. */
function joined(mine: readonly Thing[] | readonly Class[], theirs: readonly Thing[] | readonly Class[]): Part {
  const nameOf = (one: Thing | Class): string => ("id" in one ? one.id : one.name);
  const known = new Set([...mine].map(nameOf));
  return [...mine, ...[...theirs].filter((one) => !known.has(nameOf(one)))] as unknown as Part;
}
