/** One image after the other: leased while it is open, finished or given back, and the next comes. */

import { Away, Refused } from "../api/client.ts";
import { type Counts, same } from "../masks/runs.ts";
import type { App } from "../store/app.ts";
import { type Review, type Thing, editThings, thingsOf } from "../store/project.ts";
import { work } from "../tools/searches.ts";
import { say } from "../words/words.ts";
import type { Clock } from "./clock.ts";
import { type ImageState, type LabelApi, type LabelPicture, Leased, type Lease, type Order } from "./label_api.ts";

/** What is done: label what is open, review what is done, or look at the masks of an audit. */
export type Task = "label" | "review" | "audit";
export const TASKS: readonly Task[] = ["label", "review", "audit"];

const AGAIN_MS = 2000;
const RENEW_MS = 60_000;
const THERE_MS = 600_000; // whoever did nothing for so long has left the image

export class Queue {
  task: Task = "label";
  order: Order = "added";
  audit: string | null = null;
  lease: Lease | null = null;
  /** Who has the image that is shown, if it is somebody else. */
  owner: string | null = null;
  /** Whether there is nothing to do. */
  isEmpty = false;
  /** Whether the next image could not be had. */
  isStuck = false;
  /** Masks that were changed here since they were saved by somebody. */
  readonly changed = new Set<string>();
  /** The masks of the image that the audit asks about. */
  private audited: ReadonlySet<string> = new Set();
  /** Whether another image is coming: until it is there, no decision is heard. */
  isMoving = false;
  private renewed = 0;
  private seen = 0;

  constructor(
    private readonly app: App,
    private readonly api: LabelApi,
    private readonly clock: Clock,
    private readonly now: () => number = () => performance.now(),
  ) {
    app.enter = (id) => this.enter(id);
    app.onward = () => void this.skip();
    app.refuses = (image) => (image === this.lease?.picture.id ? null : this.owned || say("label.not_yours"));
  }

  /** Says who has the image that is shown, if it is not this tab. */
  get owned(): string {
    const { owner } = this;
    return owner === null ? "" : say(owner === this.api.person ? "label.other_tab" : "label.leased", { person: owner });
  }

  /** Masks that nobody has accepted or rejected. */
  get pending(): readonly Thing[] {
    const all = this.app.things.filter((one) => one.counts);
    if (this.audit !== null) {
      return all.filter((one) => this.audited.has(one.id) && !this.changed.has(one.id) && one.review !== "rejected");
    }
    return all.filter((one) => one.review === "pending");
  }

  /** Begins with an image, or with the next one. */
  async begin(wanted: string | null): Promise<void> {
    if (wanted === null || !(await this.openNamed(wanted))) await this.next();
  }

  choose(task: Task, audit: string | null = null): Promise<void> {
    return this.moving(async () => {
      await this.leave();
      [this.task, this.audit] = [task, audit];
      await this.take();
    });
  }

  /** Changes what comes first from now on. */
  sort(order: Order): void {
    this.order = order;
    this.app.changed();
  }

  /** Goes to another image; a second wish to do so is not heard meanwhile. */
  private async moving(go: () => Promise<void>): Promise<void> {
    if (this.isMoving) return;
    this.isMoving = true;
    try {
      await go();
    } finally {
      this.isMoving = false;
      this.app.changed();
    }
  }

  // --------------------------------------------------------------------------- decisions

  /** Says that the image is right: what was filled in counts as accepted, and the next one comes. */
  accept(): Promise<void> {
    const decide = (): void => {
      if (this.task === "audit") return; // the server knows which masks are meant
      this.review(this.task === "review" ? this.pending : this.filledIn, "accepted");
    };
    return this.finish(this.task === "review" ? "accepted" : "done", decide);
  }

  /** Masks that a model made and nobody has changed or decided on. */
  private get filledIn(): readonly Thing[] {
    return this.pending.filter((one) => {
      const known = this.api.known.get(one.id);
      return known !== undefined && known.person === null && !this.changed.has(one.id);
    });
  }

  /** Rejects what is selected; if nothing is, all that was filled in, and the next one comes. */
  reject(): Promise<void> {
    const chosen = this.app.selectedThings.filter((one) => one.counts);
    if (chosen.length) {
      const all = chosen.every((one) => one.review === "rejected");
      this.review(chosen, all ? "pending" : "rejected");
      this.app.show({ selected: new Set() });
      return Promise.resolve();
    }
    if (this.task === "review") return this.finish("open");
    if (this.task === "audit") return this.finish("done", () => this.review(this.pending, "rejected"));
    this.review(this.filledIn, "rejected");
    return this.skip();
  }

  /** Selects the next mask that nobody has decided on, to be corrected. */
  fix(): void {
    const { pending } = this;
    if (!pending.length) return this.app.notify(say("label.no_pending"));
    const at = pending.findIndex((one) => this.app.ui.selected.has(one.id));
    const next = pending[(at + 1) % pending.length]!;
    this.app.show({ selected: new Set([next.id]), tool: "point" });
  }

  private review(things: readonly Thing[], review: Review): void {
    const { image } = this.app.ui;
    if (image === null) return;
    const ids = new Set(things.map((one) => one.id));
    const project = editThings(this.app.project, image, ids, (one) => (one.review === review ? one : { ...one, review }));
    this.app.commit(project, review === "accepted" ? "accept" : "reject", image);
  }

  // ---------------------------------------------------------------------------- next, back

  private finish(state: ImageState, decide: () => void = () => undefined): Promise<void> {
    return this.moving(() => this.finishNow(state, decide));
  }

  private async finishNow(state: ImageState, decide: () => void): Promise<void> {
    const { lease, app } = this;
    if (!lease || !app.isLoaded || app.ui.image !== lease.picture.id) return;
    const done = await work(app, "label.finishing", {}, async (signal) => {
      while (app.things.some((one) => one.waiting)) await pause(30, signal); // for its mask
      decide();
      await app.saved(signal, lease.picture.id);
      this.clock.touch();
      return this.patiently(signal, () => this.finished(lease, state));
    });
    if (!done) return;
    this.lease = null;
    this.api.saw(done);
    app.pictures = app.pictures.map((one) => (one.id === done.id ? done : one));
    // An audit's masks were decided on by the server: they are to be read again.
    if (this.audit === null) app.saver.known(done.id, thingsOf(app.project, done.id), done.revision);
    await this.take();
  }

  private async finished(lease: Lease, state: ImageState): Promise<LabelPicture> {
    const finish = (held: Lease): Promise<LabelPicture> => this.api.finish(held, state, this.clock.seconds, this.audit);
    try {
      return await finish(lease);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 422) throw error;
      // The lease ran out meanwhile; that is no harm unless somebody else has the image.
      return finish(await this.api.lease(lease.picture.id));
    }
  }

  /** Gives the image back, to come last, and takes the next one. */
  skip(): Promise<void> {
    return this.moving(async () => {
      await this.leave(true);
      await this.take();
    });
  }

  /** Shows the next image; says so if there is none. */
  next(): Promise<void> {
    return this.moving(() => this.take());
  }

  private async take(): Promise<void> {
    const { app } = this;
    const state: ImageState = this.task === "review" ? "done" : "open";
    const found = await work(app, "label.fetching", {}, (signal) =>
      this.patiently(signal, () => this.api.next({ order: this.order, state, audit: this.audit })),
    );
    this.isStuck = !found;
    if (!found) return app.show({ image: null, selected: new Set() });
    this.isEmpty = found.lease === null;
    this.audited = new Set(found.audited);
    if (found.lease) await this.show(found.lease);
    else app.show({ image: null, selected: new Set() });
    // Of an audit's image, what is not meant is out of the way.
    if (this.audit !== null) app.show({ hidden: new Set(app.things.map((one) => one.id).filter((id) => !this.audited.has(id))) });
    void this.look();
  }

  private async show(lease: Lease): Promise<void> {
    const { app } = this;
    const { picture } = lease;
    this.lease = lease;
    this.owner = null;
    this.isEmpty = this.isStuck = false;
    this.renewed = this.seen = this.now();
    this.clock.begin();
    this.api.saw(picture);
    const isKnown = picture.id in app.project.images;
    app.pictures = app.pictures.some((one) => one.id === picture.id)
      ? app.pictures.map((one) => (one.id === picture.id ? picture : one))
      : [...app.pictures, picture];
    await app.open(picture.id);
    if (isKnown) await app.refresh().catch(() => undefined); // others may have changed it meanwhile
  }

  /** Takes the lease of an image before it is shown; one that somebody else has can be looked at. */
  private async enter(id: string): Promise<boolean> {
    if (this.lease?.picture.id === id) return true;
    let isShown = false;
    await this.moving(async () => {
      isShown = await this.enterNow(id);
    });
    return isShown;
  }

  private async enterNow(id: string): Promise<boolean> {
    const picture = this.app.pictureOf(id);
    await this.leave();
    try {
      const lease = await this.api.lease(picture.id);
      await this.show(lease);
      return true;
    } catch (error) {
      if (error instanceof Leased) {
        this.owner = error.person;
        return true;
      }
      this.app.fail(error);
      return false;
    }
  }

  /** Opens an image by its name; says whether there is one. */
  private async openNamed(name: string): Promise<boolean> {
    try {
      await this.show(await this.api.lease(name));
      return true;
    } catch (error) {
      this.app.fail(error);
      return false;
    }
  }

  /** Gives the image back as it is, once its masks are saved. */
  async leave(skip = false): Promise<void> {
    const { lease } = this;
    if (!lease) return;
    this.lease = null;
    await this.app.saved(AbortSignal.timeout(10_000), lease.picture.id).catch(() => undefined);
    await this.api.release(lease.token, skip).catch((error: unknown) => this.app.fail(error));
  }

  /** Gives the image back when the page is closed. */
  close(): void {
    if (this.lease) void this.api.release(this.lease.token, false, true).catch(() => undefined);
  }

  // -------------------------------------------------------------------------- the lease

  /** Hears that somebody is there. */
  touch(): void {
    this.seen = this.now();
    this.clock.touch();
  }

  /** Lets the lease go on, as long as somebody is there; looks who has what. */
  async tick(): Promise<void> {
    const { lease } = this;
    const now = this.now();
    if (lease && now - this.renewed >= RENEW_MS && now - this.seen < THERE_MS) await this.renew();
    if (!lease && this.app.ui.image === null && (this.isEmpty || this.isStuck)) await this.next();
    else await this.look();
  }

  /** Renews the lease; if somebody else has the image by now, it can only be looked at. */
  async renew(): Promise<void> {
    const { lease } = this;
    if (!lease) return;
    try {
      await this.api.renew(lease.token);
      this.renewed = this.now();
    } catch (error) {
      if (error instanceof Away || this.lease !== lease) return;
      await this.retake(lease);
    }
  }

  /** Takes the image again whose lease was lost, unless somebody else has it. */
  private async retake(lost: Lease): Promise<void> {
    try {
      const found = await this.api.lease(lost.picture.id);
      // Its end, asked for before, was heard meanwhile: this lease is of no use to anybody.
      if (this.lease !== lost) return void this.api.release(found.token, false).catch(() => undefined);
      this.lease = found;
      this.renewed = this.now();
    } catch (error) {
      if (!(error instanceof Leased) || this.lease !== lost) return;
      this.lease = null;
      this.owner = error.person;
      if (this.isMoving) this.app.ui.job?.cancel?.(); // an end that waits for masks which nobody takes
      this.app.notify(say(error.person === this.api.person ? "label.other_tab" : "label.lost", { person: error.person }), true);
    }
    this.app.changed();
  }

  private async look(): Promise<void> {
    await this.app.refresh().catch(() => undefined);
    this.app.changed();
  }

  /** Asks until the server, and the database behind it, answers. */
  private async patiently<Result>(signal: AbortSignal, ask: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        const isAway = error instanceof Away || (error instanceof Refused && error.status === 507); // the database
        if (!isAway) throw error;
        this.app.notify(say("error.retrying", { error: error.message }), true);
        await pause(AGAIN_MS, signal);
      }
    }
  }
}

/** Tells the clock which masks are worked on, and the queue which are others by now. */
export function followChanges(app: App, queue: Queue, clock: Clock): void {
  let image: string | null = null;
  let known: readonly Thing[] | null = null;
  app.listen(() => {
    const things = app.isLoaded ? app.things : null;
    if (app.ui.image === image && known && things && known !== things) {
      const before = new Map(known.map((one) => [one.id, one]));
      const changed = things.filter((one) => before.get(one.id) !== one);
      clock.changed(changed.map((one) => one.id));
      for (const one of changed) if (!isSame(before.get(one.id)?.counts, one.counts)) queue.changed.add(one.id);
    }
    if (app.ui.image !== image) queue.changed.clear();
    [image, known] = [app.ui.image, things];
  });
}

/** Whether masks are the same, also if they were read anew. */
function isSame(a: Counts | null | undefined, b: Counts | null): boolean {
  return a === b || (!!a && !!b && same(a, b));
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  signal.throwIfAborted();
}
