/** Searches of a whole image: everything, words, the main subject. */

import { isAbort } from "../api/client.ts";
import { area, intersect } from "../masks/runs.ts";
import type { Progress } from "../decode/decoder.ts";
import type { App, Job } from "../store/app.ts";
import { type Answer, SOFT_EDGE, type Thing, addThings, newThing, thingsOf, withClassesOf } from "../store/project.ts";
import { say } from "../words/words.ts";

const SAME_IOU = 0.85; // above which what is found is there already

export function findEverything(app: App): Promise<void> {
  return search(app, "hint.everything", {}, "everything", (image, signal, progress) => app.decoder.everything(image, signal, progress));
}

export function findSubject(app: App): Promise<void> {
  return search(app, "hint.subject", {}, "subject", async (image, signal) => {
    const found = await app.decoder.subject(image, signal);
    return found.map((answer) => ({ ...answer, label: null })); // "subject" is no class of anybody's
  });
}

export async function findWords(app: App, text: string): Promise<void> {
  if (!text.trim()) {
    app.notify(say("hint.no_words"));
    return;
  }
  await search(app, "hint.words", { text }, "words", (image, signal) => app.decoder.words(image, text, signal));
}

/** Does work on the current image that takes a while, which the line below it tells. */
export async function work<Result>(
  app: App,
  what: Job["what"],
  parts: Record<string, string>,
  run: (signal: AbortSignal, progress: Progress) => Promise<Result>,
  stays = false,
): Promise<Result | null> {
  app.ui.job?.cancel?.();
  const abort = new AbortController();
  let job: Job = { what, parts, since: performance.now(), cancel: () => abort.abort(), stays };
  app.show({ job, notice: null });
  const progress = (done: number, total: number): void => {
    if (app.ui.job !== job) return;
    job = { ...job, progress: [done, total] };
    app.show({ job });
  };
  try {
    return await run(abort.signal, progress);
  } catch (error) {
    if (!isAbort(error)) app.fail(error);
    return null;
  } finally {
    if (app.ui.job === job) app.show({ job: null });
  }
}

async function search(
  app: App,
  what: Job["what"],
  parts: Record<string, string>,
  did: string,
  find: (image: string, signal: AbortSignal, progress: Progress) => Promise<readonly Answer[]>,
): Promise<void> {
  const image = app.ui.image;
  if (image === null) return;
  const found = await work(app, what, parts, async (signal, progress) => {
    const answers = await find(image, signal, progress);
    await app.loadThings(image);
    signal.throwIfAborted();
    return answers;
  });
  if (!found) return;
  const fresh = found
    .filter((answer) => !isThere(answer, thingsOf(app.project, image)))
    .map((answer) => thingOfAnswer(answer, app.ui.label, did === "subject" ? { [SOFT_EDGE]: true } : {}));
  if (!fresh.length) {
    app.notify(say("hint.found_none"));
    return;
  }
  const project = addThings(withClassesOf(app.project, fresh), image, fresh);
  app.commit(project, did, image);
  if (app.ui.image === image) {
    app.show({ selected: new Set(fresh.length === 1 ? [fresh[0]!.id] : []), tool: fresh.length === 1 ? app.ui.tool : "pick" });
  }
  app.notify(fresh.length === 1 ? say("hint.found_one") : say("hint.found", { count: fresh.length }));
}

function thingOfAnswer(answer: Answer, label: string | null, meta: Thing["meta"]): Thing {
  const { counts, score, stability } = answer;
  return newThing({ counts, score, stability, label: answer.label ?? label, meta });
}

export function isThere(answer: Answer, things: readonly Thing[]): boolean {
  const size = area(answer.counts);
  return things.some((thing) => {
    if (!thing.counts || (answer.label !== null && thing.label !== answer.label)) return false;
    const other = area(thing.counts);
    if (Math.min(size, other) < SAME_IOU * Math.max(size, other)) return false;
    const shared = area(intersect(answer.counts, thing.counts));
    return shared >= SAME_IOU * (size + other - shared);
  });
}
