/** What nobody has decided about yet, kept by the browser for a page that is loaded again: candidates, painted images. */

import type { Draft } from "../api/panels_api.ts";
import { type ThingRecord, recordOf, thingOf } from "../api/studio_api.ts";
import type { App } from "./app.ts";
import type { Drawer } from "./drawer.ts";
import * as histories from "./history.ts";
import { type Thing, addCandidates, candidatesOf } from "./project.ts";

/** Of one image. */
export interface Kept {
  readonly picture: string;
  readonly candidates: readonly ThingRecord[];
  readonly draft: Draft | null;
}

type State = readonly [candidates: readonly Thing[], draft: Draft | null];

const NOTHING: State = [[], null];

export class Undecided {
  private readonly kept = new Map<string, State>();
  private restoring: Promise<void> | null = null;
  private isRestored = false;

  constructor(
    private readonly app: App,
    private readonly drawer: Drawer<Kept>,
  ) {
    app.listen(() => {
      if (app.folder) this.restoring ??= this.restore();
      if (this.isRestored) this.follow();
    });
  }

  /** Brings back what there was, which is no step: it was there all the time. */
  private async restore(): Promise<void> {
    const { app } = this;
    for (const { picture, candidates, draft } of await this.drawer.all(this.keyOf(""))) {
      if (!app.pictures.some((one) => one.id === picture)) continue;
      const things = candidates.map(thingOf);
      if (things.length) app.settle(histories.amend(app.history, (project) => addCandidates(project, picture, things)));
      if (draft) app.setDraft(picture, draft);
      this.kept.set(picture, this.stateOf(picture));
    }
    this.isRestored = true;
    if (app.ui.image !== null && app.drafts.has(app.ui.image)) app.show({ panel: "paint" });
    app.changed();
  }

  private stateOf(picture: string): State {
    return [candidatesOf(this.app.project, picture), this.app.drafts.get(picture) ?? null];
  }

  private follow(): void {
    const { app } = this;
    for (const id of new Set([...this.kept.keys(), ...Object.keys(app.project.candidates), ...app.drafts.keys()])) {
      const [candidates, draft] = this.stateOf(id);
      const before = this.kept.get(id) ?? NOTHING;
      if (candidates === before[0] && draft === before[1]) continue;
      this.kept.set(id, [candidates, draft]);
      const picture = app.pictures.find((one) => one.id === id);
      if (!picture || (!candidates.length && !draft)) void this.drawer.drop(this.keyOf(id));
      else void this.drawer.put(this.keyOf(id), { picture: id, candidates: candidates.map((one) => recordOf(one, picture)), draft });
    }
  }

  private keyOf(picture: string): string {
    return `${this.app.folder?.key ?? this.app.folder?.name ?? ""}/${picture}`;
  }
}
