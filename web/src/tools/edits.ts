/** What is done to selected masks. */

import { type Counts, area, subtract, union } from "../masks/runs.ts";
import { fillHoles, grow, largestPiece, smoothed } from "../masks/shape.ts";
import type { App } from "../store/app.ts";
import {
  type Thing, addClass, editThings, redrawn, removeThings, thingsOf, withThings,
} from "../store/project.ts";
import { say } from "../words/words.ts";

export function finish(app: App): void {
  app.whenLoaded(() => app.show({ selected: new Set() })); // after what was done before, if that has to wait
}

export function removeSelected(app: App, ids: ReadonlySet<string> = app.ui.selected): void {
  if (app.ui.image === null || !ids.size) return;
  app.commit(removeThings(app.project, app.ui.image, ids), "delete");
}

export function selectAll(app: App): void {
  app.show({ selected: new Set(app.things.map((thing) => thing.id)), tool: "pick" });
}

/** Gives what is selected a class, and what comes next. */
export function useClass(app: App, name: string | null): void {
  app.show({ label: name });
  if (app.ui.image === null || !app.ui.selected.size) return;
  const project = editThings(app.project, app.ui.image, app.ui.selected, (thing) =>
    thing.label === name ? thing : { ...thing, label: name },
  );
  app.commit(project, "class");
}

export function addNamedClass(app: App, name: string): void {
  const trimmed = name.trim();
  if (!trimmed) return;
  let project = addClass(app.project, trimmed);
  if (app.ui.image !== null) {
    project = editThings(project, app.ui.image, app.ui.selected, (thing) => ({ ...thing, label: trimmed }));
  }
  app.commit(project, "classes");
  app.show({ label: trimmed });
}

/** Puts selected masks together into the first of them. */
export function merge(app: App): void {
  const chosen = inOrder(app);
  if (chosen.length < 2) return app.notify(say("hint.select_two"));
  const [first, ...others] = chosen as [Thing, ...Thing[]];
  const counts = others.reduce((all, one) => union(all, one.counts!), first.counts!);
  const gone = new Set(others.map((one) => one.id));
  const image = app.ui.image!;
  const label = first.label ?? others.find((one) => one.label !== null)?.label ?? null;
  const things = thingsOf(app.project, image)
    .filter((one) => !gone.has(one.id))
    .map((one) => (one.id === first.id ? { ...redrawn(one, counts), label } : one));
  app.show({ selected: new Set([first.id]) });
  app.commit(withThings(app.project, image, things), "merge");
}

/** Takes the later selected masks away from the first, and keeps them. */
export function subtractLater(app: App): void {
  const chosen = inOrder(app);
  if (chosen.length < 2) return app.notify(say("hint.select_two"));
  const rest = chosen.slice(1).reduce((all, one) => union(all, one.counts!), chosen[1]!.counts!);
  reshape(app, new Set([chosen[0]!.id]), "subtract", (counts) => subtract(counts, rest));
}

/** The selected things in the order in which they were selected. */
function inOrder(app: App): Thing[] {
  const byId = new Map(app.things.map((thing) => [thing.id, thing]));
  return [...app.ui.selected].map((id) => byId.get(id)).filter((one): one is Thing => Boolean(one?.counts));
}

/** Changes the shape of masks by a rule; those of which nothing stays are removed. */
export function reshape(
  app: App,
  ids: ReadonlySet<string>,
  what: string,
  rule: (counts: Counts, h: number, w: number) => Counts,
): void {
  const picture = app.picture;
  if (!picture) return;
  if (!ids.size) return app.notify(say("hint.select_first"));
  const changed = editThings(app.project, picture.id, ids, (thing) => {
    if (!thing.counts) return thing;
    const counts = rule(thing.counts, picture.h, picture.w);
    return counts === thing.counts ? thing : redrawn(thing, counts);
  });
  const empty = thingsOf(changed, picture.id).filter((one) => ids.has(one.id) && one.counts && !area(one.counts));
  const project = empty.length ? removeThings(changed, picture.id, new Set(empty.map((one) => one.id))) : changed;
  app.commit(project, what);
  if (empty.length) app.notify(say("hint.nothing_more"));
}

export const growSelected = (app: App): void =>
  reshape(app, app.ui.selected, "grow", (counts, h, w) => grow(counts, h, w, stepOf(h, w)));
export const shrinkSelected = (app: App): void =>
  reshape(app, app.ui.selected, "shrink", (counts, h, w) => grow(counts, h, w, -stepOf(h, w)));
export const smoothSelected = (app: App): void =>
  reshape(app, app.ui.selected, "smooth", (counts, h, w) => smoothed(counts, h, w, 3 * stepOf(h, w)));
export const fillSelected = (app: App): void => reshape(app, app.ui.selected, "fill", fillHoles);
export const keepLargest = (app: App): void => reshape(app, app.ui.selected, "largest", largestPiece);

/** A pixel, or on large images about a thousandth of their sides. */
function stepOf(h: number, w: number): number {
  return Math.max(1, Math.round(Math.max(h, w) / 1500));
}
