/** Files that come in: chosen, dropped or pasted. Images join the folder, everything else is read as masks. */

import { isAbort, describe } from "./api/client.ts";
import { addThings, newId, withClassesOf } from "./store/project.ts";
import type { App } from "./store/app.ts";
import type { Progress } from "./decode/decoder.ts";
import { work } from "./tools/searches.ts";
import { say } from "./words/words.ts";

/** Asks for files, or for a folder of them. */
export function choose(accept: string, isFolder = false): Promise<File[]> {
  return new Promise((resolve) => {
    const input = document.createElement("input");
    input.type = "file";
    input.multiple = true;
    input.accept = accept;
    input.webkitdirectory = isFolder;
    input.onchange = () => resolve([...(input.files ?? [])]);
    input.oncancel = () => resolve([]);
    input.click();
  });
}

const IMAGE = /\.(jpe?g|png|webp|gif|bmp|avif|tiff?|heic)$/i;
const byName = new Intl.Collator("en", { numeric: true });

/** The path of a file below the folder that was chosen or dropped. */
function pathOf(file: File): string {
  return file.webkitRelativePath.replace(/^[^/]*\//, "") || file.name;
}

export async function addImages(app: App, files: readonly File[]): Promise<void> {
  const sorted = [...files].sort((a, b) => byName.compare(pathOf(a), pathOf(b)));
  const many = sorted.length > 1;
  let opening: Promise<void> | null = null;
  let done = 0;
  const failed: unknown[] = [];
  const add = async (signal: AbortSignal, progress: Progress): Promise<void> => {
    for (const file of sorted) {
      signal.throwIfAborted();
      if (many) progress(done, sorted.length);
      try {
        const picture = await app.api.add(file, pathOf(file));
        app.addPicture(picture);
        opening ??= app.open(picture.id); // which can be worked on while the others come
      } catch (error) {
        if (isAbort(error)) throw error;
        failed.push(error);
      }
      done++;
    }
  };
  await work(app, many ? "hint.adding" : "hint.importing", { name: pathOf(sorted[0]!) }, add, true);
  await opening;
  if (failed.length === 1 && !many) app.fail(failed[0]);
  else if (done < sorted.length) app.notify(say("error.stopped_adding", { count: done - failed.length, of: sorted.length }), true);
  else if (failed.length) app.notify(say("error.some_images", { count: failed.length, of: sorted.length, error: describe(failed[0]) }), true);
}

export async function importMasks(app: App, files: readonly File[]): Promise<void> {
  const { picture } = app;
  if (!picture || !files.length) return;
  const found = await work(app, "hint.importing", { name: files.map((file) => file.name).join(", ") }, async (signal) => {
    const read = await app.api.read(picture, files, signal);
    await Promise.all([picture.id, ...read.keys()].map((id) => app.loadThings(id)));
    return read;
  });
  if (!found) return;
  let project = app.project;
  let count = 0;
  for (const [id, things] of found) {
    const fresh = things.map((thing) => ({ ...thing, id: newId() }));
    project = addThings(withClassesOf(project, fresh), id, fresh);
    count += fresh.length;
  }
  if (!count) return app.notify(say("hint.found_none"));
  app.commit(project, "import", found.has(picture.id) ? picture.id : [...found.keys()][0]!);
  app.notify(count === 1 ? say("hint.found_one") : found.size > 1 ? say("hint.found_on", { count, images: found.size }) : say("hint.found", { count }));
}

/** A PNG may be either: what is dropped is an image unless it is said to be masks. */
function isImage(file: File): boolean {
  return file.type.startsWith("image/") || IMAGE.test(file.name);
}

async function take(app: App, files: readonly File[]): Promise<void> {
  const images = files.filter(isImage);
  const others = files.filter((file) => !isImage(file));
  if (images.length) await addImages(app, images);
  if (others.length) await importMasks(app, others);
}

/** Adds the images of a folder; what else lies in it is left alone. */
export async function addFolder(app: App, files: readonly File[]): Promise<void> {
  const images = files.filter((file) => isImage(file) && !/(^|\/)\./.test(file.webkitRelativePath));
  if (images.length) await addImages(app, images);
  else if (files.length) app.notify(say("error.no_images"), true);
}

/** Lists what is dropped, with what lies in folders. */
async function dropped(transfer: DataTransfer): Promise<{ files: File[]; folders: File[] }> {
  // All at once: after the first wait the browser has let go of them.
  const entries = [...transfer.items].map((item) => ({ entry: item.webkitGetAsEntry?.() ?? null, file: item.getAsFile() }));
  const files: File[] = [];
  const folders: File[] = [];
  for (const { entry, file } of entries) {
    if (entry?.isDirectory) folders.push(...(await filesBelow(entry as FileSystemDirectoryEntry)));
    else if (file) files.push(file);
  }
  return { files, folders };
}

async function filesBelow(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const found: File[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
    if (!some.length) return found;
    for (const entry of some) {
      if (entry.isDirectory) found.push(...(await filesBelow(entry as FileSystemDirectoryEntry)));
      else {
        const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
        Object.defineProperty(file, "webkitRelativePath", { value: entry.fullPath.slice(1) }); // as of a chosen folder
        found.push(file);
      }
    }
  }
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
    if (!event.dataTransfer) return;
    void dropped(event.dataTransfer).then(async ({ files, folders }) => {
      if (files.length) await take(app, files);
      if (folders.length) await addFolder(app, folders);
    }, (error: unknown) => app.fail(error));
  });
  window.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    void take(app, files);
  });
}
