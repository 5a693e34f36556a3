/** Files that come in: chosen, dropped or pasted. Images join the folder, everything else is read as masks. */

import { addThings, newId, withClassesOf } from "./store/project.ts";
import type { App } from "./store/app.ts";
import { work } from "./tools/searches.ts";
import { say } from "./words/words.ts";

/** Asks for files. */
export function choose(accept: string): Promise<File[]> {
  return new Promise((resolve) => {
    const input = document.createElement("input");
    input.type = "file";
    input.multiple = true;
    input.accept = accept;
    input.onchange = () => resolve([...(input.files ?? [])]);
    input.oncancel = () => resolve([]);
    input.click();
  });
}

export const IMAGES = "image/*,.tif,.tiff,.heic";
export const MASKS = ".json,.txt,.xml,.png";

export async function addImages(app: App, files: readonly File[]): Promise<void> {
  let first: string | null = null;
  for (const file of files) {
    const picture = await work(app, "hint.importing", { name: file.name }, () => app.api.add(file, file.name));
    if (!picture) continue;
    app.addPicture(picture);
    first ??= picture.id;
  }
  if (first) await app.open(first);
}

export async function importMasks(app: App, files: readonly File[]): Promise<void> {
  const image = app.ui.image;
  if (image === null || !app.isLoaded) return;
  for (const file of files) {
    const found = await work(app, "hint.importing", { name: file.name }, (signal) => app.api.read(image, file, signal));
    if (!found) continue;
    const fresh = found.map((thing) => ({ ...thing, id: newId() }));
    if (!fresh.length) {
      app.notify(say("hint.found_none"));
      continue;
    }
    app.commit(addThings(withClassesOf(app.project, fresh), image, fresh), "import", image);
    app.notify(fresh.length === 1 ? say("hint.found_one") : say("hint.found", { count: fresh.length }));
  }
}

/** A PNG may be either: what is dropped is an image unless it is said to be masks. */
function isImage(file: File): boolean {
  return file.type.startsWith("image/") || /\.(tiff?|heic)$/i.test(file.name);
}

async function take(app: App, files: readonly File[]): Promise<void> {
  const images = files.filter(isImage);
  const others = files.filter((file) => !isImage(file));
  if (images.length) await addImages(app, images);
  if (others.length) await importMasks(app, others);
}

export function listenToFiles(app: App, element: HTMLElement): void {
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("dropping");
  });
  element.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) element.classList.remove("dropping");
  });
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("dropping");
    void take(app, [...(event.dataTransfer?.files ?? [])]);
  });
  window.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    void take(app, files);
  });
}
