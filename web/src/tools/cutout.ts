/** What is selected, cut out of the image: to the clipboard, or as a file. */

import type { Stage } from "../canvas/stage.ts";
import { cutOut } from "../canvas/cut.ts";
import { union } from "../masks/runs.ts";
import { hasSoftEdge } from "../store/project.ts";
import type { App } from "../store/app.ts";
import { say } from "../words/words.ts";

/** Makes a PNG of the selected masks' surroundings, transparent elsewhere; null if there are none. */
async function cutout(app: App, stage: Stage): Promise<Blob | null> {
  const { picture, selectedThings } = app;
  const chosen = selectedThings.filter((thing) => thing.counts);
  const [first, ...rest] = chosen.map((thing) => thing.counts!);
  if (!first || !picture || !stage.picture) return null;
  const cut = { counts: rest.reduce(union, first), soft: chosen.every(hasSoftEdge) };
  return cutOut(stage.picture.full, cut, picture.h);
}

export async function copyCutout(app: App, stage: Stage): Promise<void> {
  const made = cutout(app, stage);
  try {
    if (!app.ui.selected.size) return app.notify(say("hint.select_first"));
    // The promise itself, because some browsers allow it only at once after the key or the click.
    const png = made.then((blob) => blob ?? Promise.reject(new Error(say("hint.select_first"))));
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
    app.notify(say("hint.copied"));
  } catch {
    app.notify(say("error.clipboard"), true);
  }
}

export async function downloadCutout(app: App, stage: Stage): Promise<void> {
  const blob = await cutout(app, stage);
  const [thing] = app.selectedThings;
  if (!blob || !thing) return app.notify(say("hint.select_first"));
  const stem = (app.picture?.name ?? "image").replace(/^.*\//, "").replace(/\.[^.]*$/, "");
  download(blob, `${stem}-${thing.label ?? "cutout"}.png`);
}

export function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name.replace(/[\\/:*?"<>|]+/g, "-");
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
