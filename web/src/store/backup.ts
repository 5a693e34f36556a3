/** Changes that could not be saved yet, kept by the browser in case that the page is closed. */

import { recordOf, thingOf, type ThingRecord } from "../api/studio_api.ts";
import { toText } from "../masks/runs.ts";
import { say } from "../words/words.ts";
import type { App } from "./app.ts";
import type { Drawer } from "./drawer.ts";
import { type Thing, thingsOf, withThings } from "./project.ts";

export class Backup {
  /** By id of the image: where it lies, and what. */
  private readonly kept = new Map<string, readonly [key: string, things: readonly Thing[]]>();

  constructor(
    private readonly app: App,
    private readonly drawer: Drawer<readonly ThingRecord[]>,
    /** What an image is called where it is kept. */
    private readonly nameOf: (id: string) => string = (id) => app.pictureOf(id).name,
  ) {
    app.listen(() => this.follow());
  }

  /** Keeps what is not saved while saving fails, and forgets each image once it is. */
  private follow(): void {
    const { saver, saveState } = this.app;
    for (const [id, [key]] of this.kept) {
      if (saver.isDirty(id)) continue;
      void this.drawer.drop(key);
      this.kept.delete(id);
    }
    if (saveState.kind === "retrying" || saveState.kind === "conflict") {
      for (const [id, things] of Object.entries(this.app.project.images)) {
        if (!saver.isDirty(id) || this.kept.get(id)?.[1] === things) continue;
        this.kept.set(id, [this.keyOf(id), things]);
        const picture = this.app.pictureOf(id);
        const records = things.filter((one) => one.counts).map((one) => recordOf(one, picture));
        void this.drawer.put(this.keyOf(id), records);
      }
    }
  }

  /** Brings back what an image lost when the page was closed, as a step that can be undone. */
  async restore(id: string): Promise<void> {
    if (this.kept.has(id) || this.app.refuses(id) !== null) return;
    const records = await this.drawer.get(this.keyOf(id));
    if (!records || this.app.refuses(id) !== null) return;
    const theirs = thingsOf(this.app.project, id);
    // What was stored after all, without a word, is there under the id that the store gave it.
    const mine = records.map(thingOf).map((one) => theirs.find((other) => isSame(one, other)) ?? one);
    if (mine.every((one) => theirs.includes(one))) return this.drawer.drop(this.keyOf(id)); // nothing was lost
    this.kept.set(id, [this.keyOf(id), []]);
    const known = new Set(mine.map((one) => one.id));
    // What somebody else has saved meanwhile stays, too.
    const things = [...mine, ...theirs.filter((one) => !known.has(one.id))];
    this.app.commit(withThings(this.app.project, id, things), "restore", id);
    this.app.notify(say("hint.restored"));
  }

  private keyOf(id: string): string {
    return `${this.app.folder?.key ?? this.app.folder?.name ?? ""}/${this.nameOf(id)}`;
  }
}

function isSame(a: Thing, b: Thing): boolean {
  return a.label === b.label && a.counts !== null && b.counts !== null && toText(a.counts) === toText(b.counts);
}
