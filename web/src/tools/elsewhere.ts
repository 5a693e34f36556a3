/** Selected masks as an example: what is like them in the other images, to accept or reject. */

import { type FoundIn } from "../api/panels_api.ts";
import { answerOf } from "../api/studio_api.ts";
import * as histories from "../store/history.ts";
import type { App } from "../store/app.ts";
import {
  type Thing, addCandidates, candidatesOf, newId, newThing, settleCandidates, thingsOf,
} from "../store/project.ts";
import { say } from "../words/words.ts";
import { isThere, work } from "./searches.ts";

export async function findElsewhere(app: App): Promise<void> {
  const { picture, panels } = app;
  const chosen = app.selectedThings.filter((thing) => thing.counts);
  if (!picture || !panels) return;
  if (!chosen.length) return app.notify(say("hint.select_first"));
  if (app.pictures.length < 2) return app.notify(say("elsewhere.no_others"));
  // Those of one class are views of one thing; those without one are one thing, too.
  const nameOf = (thing: Thing): string => thing.label ?? "thing";
  const labels = new Map(chosen.map((thing) => [nameOf(thing), thing.label]));
  const examples = chosen.slice(0, 32).map((thing) => ({ picture, counts: thing.counts!, name: nameOf(thing) }));
  const search = newId();
  let begun = false;
  let found = 0;
  const add = async (id: string, masks: FoundIn["masks"]): Promise<void> => {
    await app.loadThings(id);
    const fresh = (masks ?? [])
      .map((record) => ({ ...answerOf(record), label: labels.get(record.label ?? "") ?? null }))
      .filter((answer) => !isThere({ ...answer, label: null }, thingsOf(app.project, id)))
      .map(({ counts, score, stability, label }) => newThing({ counts, score, stability, label }));
    if (!fresh.length) return;
    found += fresh.length;
    if (begun) {
      // Part of the step that the first of them was, also if that is undone by now.
      app.settle(histories.amend(app.history, (one) => (one.search === search ? addCandidates(one, id, fresh) : one)));
      return;
    }
    begun = true;
    app.commit({ ...addCandidates(app.project, id, fresh), search }, "elsewhere", picture.id);
  };
  const adding: Promise<void>[] = [];
  const problems: string[] = [];
  const done = await work(app, "elsewhere.searching", {}, async (signal, progress) => {
    await app.saved(signal);
    const result = await panels.elsewhere(examples, signal, (line) => {
      if (line.total) progress(line.done ?? 0, line.total);
      if (line.problem) problems.push(line.problem);
      if (line.picture && line.masks?.length) adding.push(add(line.picture, line.masks));
    });
    await Promise.all(adding);
    return result;
  }, true);
  await Promise.allSettled(adding);
  if (found) app.notify(say("elsewhere.found", { count: found }));
  else if (done) app.notify(problems[0] ?? say("hint.found_none"), problems.length > 0);
}

/** The candidate that is asked about: the first of the image. */
export function candidateOf(app: App): Thing | null {
  return app.ui.image === null ? null : (candidatesOf(app.project, app.ui.image)[0] ?? null);
}

export function countCandidates(app: App): number {
  return Object.values(app.project.candidates).reduce((sum, some) => sum + some.length, 0);
}

/** Keeps the candidate as a mask, or drops it, or all of the image; goes on to the next. */
export function decide(app: App, accept: boolean, all = false): void {
  const image = app.ui.image;
  if (image === null || !app.isLoaded) return;
  const some = candidatesOf(app.project, image);
  if (!some.length) return goOn(app);
  const chosen = all ? some : some.slice(0, 1);
  app.commit(settleCandidates(app.project, image, chosen, accept), accept ? "accept" : "reject", image);
  if (accept) app.show({ selected: new Set(chosen.map((one) => one.id)) });
  if (!candidatesOf(app.project, image).length) goOn(app);
}

/** Shows the next image that has candidates. */
export function goOn(app: App): void {
  const at = app.pictures.findIndex((one) => one.id === app.ui.image);
  const order = [...app.pictures.slice(at + 1), ...app.pictures.slice(0, at + 1)];
  const next = order.find((one) => candidatesOf(app.project, one.id).length);
  if (next && next.id !== app.ui.image) void app.open(next.id);
}

/** Puts the candidate that is asked about behind the others of its image. */
export function askLater(app: App): void {
  const image = app.ui.image;
  if (image === null) return;
  const [first, ...rest] = candidatesOf(app.project, image);
  if (!first || !rest.length) return goOn(app);
  app.settle({
    ...app.history,
    present: { ...app.project, candidates: { ...app.project.candidates, [image]: [...rest, first] } },
  });
}
