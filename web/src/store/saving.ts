/**
 * Saving of what changed, soon and again until it is done: each part by itself (an image's things,
 * the classes), one request at a time, with the revision that it replaces.
 */

import { Away } from "../api/client.ts";

/** Somebody else has saved meanwhile. */
export class Conflict<Part> extends Error {
  constructor(
    readonly theirs: Part,
    readonly revision: number,
  ) {
    super("somebody else has saved meanwhile");
  }
}

export type SaveState =
  | { readonly kind: "saved" }
  | { readonly kind: "saving" }
  | { readonly kind: "retrying"; readonly error: string; readonly seconds: number }
  | { readonly kind: "conflict"; readonly keys: readonly string[] };

export interface Saving<Part> {
  /** Stores a part over a revision; gives the new one. Throws `Conflict` if there is another. */
  put(key: string, part: Part, revision: number): Promise<number>;
  /** Told after every change of the state. */
  changed(): void;
  describe(error: unknown): string;
  setTimer(run: () => void, ms: number): unknown;
  clearTimer(timer: unknown): void;
}

interface Kept<Part> {
  part: Part;
  saved: Part;
  revision: number;
  conflict: Conflict<Part> | null;
  /** What was sent last and has no answer: it may be stored. */
  sent: Part | null;
}

const SOON = 250; // ms after a change, within which more may follow
const LONGEST_WAIT = 15_000;

export class Saver<Part> {
  private readonly kept = new Map<string, Kept<Part>>();
  private timer: unknown = null;
  private busy = false;
  private failures = 0;
  private error = "";
  /** Whether the timer is for parts that were refused: what changes meanwhile need not wait for them. */
  private isRefused = false;

  constructor(private readonly saving: Saving<Part>) {}

  /** Says what the store holds. */
  known(key: string, part: Part, revision: number): void {
    this.kept.set(key, { part, saved: part, revision, conflict: null, sent: null });
  }

  /** Says that a part is no more. */
  forget(key: string): void {
    this.kept.delete(key);
    this.saving.changed();
  }

  revision(key: string): number {
    return this.kept.get(key)?.revision ?? 0;
  }

  /** Says how a part is now; does nothing if that is how it is stored. */
  set(key: string, part: Part): void {
    const kept = this.kept.get(key);
    if (!kept || kept.part === part) return;
    kept.part = part;
    if (!this.busy && (this.timer === null || this.isRefused)) this.schedule(SOON);
    this.saving.changed();
  }

  isDirty(key?: string): boolean {
    const all = key === undefined ? [...this.kept.values()] : [this.kept.get(key)];
    return all.some((kept) => kept !== undefined && kept.part !== kept.saved);
  }

  conflict(key: string): Conflict<Part> | null {
    return this.kept.get(key)?.conflict ?? null;
  }

  /** Ends a conflict: what is set now goes over what the other has saved. */
  resolve(key: string, part: Part): void {
    const kept = this.kept.get(key);
    if (!kept?.conflict) return;
    kept.revision = kept.conflict.revision;
    kept.saved = kept.conflict.theirs;
    kept.conflict = null;
    kept.part = part;
    this.schedule(0);
    this.saving.changed();
  }

  get state(): SaveState {
    const keys = [...this.kept].filter(([, kept]) => kept.conflict).map(([key]) => key);
    if (keys.length) return { kind: "conflict", keys };
    if (this.failures) return { kind: "retrying", error: this.error, seconds: this.wait / 1000 };
    return this.busy || this.isDirty() ? { kind: "saving" } : { kind: "saved" };
  }

  /** Tries at once, such as when somebody asks for it or the window is about to close. */
  now(): void {
    if (!this.busy) this.schedule(0);
  }

  private get wait(): number {
    return Math.min(LONGEST_WAIT, 1000 * 2 ** (this.failures - 1));
  }

  private schedule(ms: number): void {
    if (this.timer !== null) this.saving.clearTimer(this.timer);
    this.isRefused = false;
    this.timer = this.saving.setTimer(() => {
      this.timer = null;
      void this.run();
    }, ms);
  }

  private async run(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    const failed = new Map<string, unknown>();
    for (let next = this.next(failed); next; next = this.next(failed)) {
      try {
        await this.save(...next);
      } catch (error) {
        failed.set(next[0], error);
        if (error instanceof Away) break; // nor would the others be answered
      }
    }
    this.busy = false;
    const errors = [...failed.values()];
    this.failures = errors.length ? this.failures + 1 : 0;
    if (errors.length) {
      this.error = this.saving.describe(errors[0]);
      this.schedule(this.wait);
      this.isRefused = !errors.some((one) => one instanceof Away);
    }
    this.saving.changed();
  }

  /** Finds what is to be saved; a part that has just failed does not keep the others waiting. */
  private next(failed: ReadonlyMap<string, unknown>): [string, Kept<Part>] | undefined {
    return [...this.kept].find(([key, kept]) => kept.part !== kept.saved && !kept.conflict && !failed.has(key));
  }

  private async save(key: string, kept: Kept<Part>): Promise<void> {
    // What had no answer first, as it was: the store may have it, and knows it then.
    const part = kept.sent ?? kept.part;
    this.saving.changed();
    try {
      kept.revision = await this.saving.put(key, part, kept.revision);
      kept.saved = part;
      kept.sent = null;
    } catch (error) {
      kept.sent = error instanceof Away ? part : null;
      if (!(error instanceof Conflict)) throw error;
      kept.conflict = error as Conflict<Part>;
    }
  }
}
