/** The page: puts the parts together, whoever keeps images and masks and finds them. */

import { Away, describe } from "./api/client.ts";
import { Stage } from "./canvas/stage.ts";
import { h } from "./dom.ts";
import * as files from "./files.ts";
import type { Host } from "./host.ts";
import { makeBar } from "./panel/bar.ts";
import { makeExport, makeHelp } from "./panel/dialogs.ts";
import { makeDepth } from "./panel/depth.ts";
import { makeEmpty } from "./panel/empty.ts";
import { makePaint } from "./panel/paint.ts";
import { makeReview } from "./panel/review.ts";
import { makeSide } from "./panel/side.ts";
import { Reading, makeSaveTrouble, makeStatus } from "./panel/status.ts";
import { makeToolOptions, makeToolbar } from "./panel/toolbar.ts";
import type { Room } from "./room.ts";
import type { App } from "./store/app.ts";
import { makeStrip } from "./strip/strip.ts";
import { Clicks } from "./tools/clicks.ts";
import { listenToKeys, makeCommands } from "./tools/commands.ts";
import { work } from "./tools/searches.ts";
import { type Key, type Language, preferred, say, speak, spoken } from "./words/words.ts";

const AGAIN_MS = 2000;
const AHEAD = 2; // images that are made ready before they are looked at

/** Where a browser remembers how the page looks. */
export const KEPT = "anymask-studio";
/** Chooses colours and language, before anything is said. */
export function prepare(root: HTMLElement = document.body): void {
  const kept = readKept();
  root.classList.add("studio");
  setTheme(root, kept.theme);
  speak(kept.language ?? preferred(navigator.languages));
  const language = spoken() === "zh" ? "zh-CN" : "en";
  root.lang = language;
  if (root === document.body) document.documentElement.lang = language;
}

/** Shows the page, and opens the folder; `reading` says what an image is waited for with. */
export function open(app: App, reading: () => Key = () => "hint.waiting", host: Host = { root: document.body, whole: true }, room: Room | null = null): void {
  const kept = readKept();
  app.ui = { ...app.ui, opacity: kept.opacity ?? app.ui.opacity };
  build(app, kept, new Reading(reading), host, room);
  const refresh = (): void => {
    // What is away will be noticed, and told, when something is to be saved.
    if (app.folder) void app.refresh().catch(() => undefined);
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) app.saver.now(); // a tablet may close the page without a word
    else refresh();
  });
  app.api.watch(refresh);
  void start(app, host, room);
}

function build(app: App, kept: Kept, reading: Reading, { root, whole }: Host, room: Room | null): void {
  const clicks = new Clicks(app, () => stage.repaint());
  const stage: Stage = new Stage(app, clicks);
  const options = makeToolOptions(app, stage);
  const desk = { app, stage, openHelp: () => help.showModal(), openWords: options.openWords };
  const commands = [...makeCommands(desk), ...(room?.commands(desk) ?? [])];
  const help = makeHelp(commands);
  const exports = makeExport(app);
  const addImages = (): void => void files.choose(app.api.accept).then((chosen) => files.addImages(app, chosen));
  const addFolder = (): void => void files.choose("", true).then((chosen) => files.addFolder(app, chosen));
  const example = async (): Promise<void> => {
    const picture = await work(app, "app.loading", {}, () => app.api.addExample());
    if (!picture) return;
    app.addPicture(picture);
    await app.open(picture.id);
  };
  const ofFolder = {
    exportFiles: () => exports.showModal(),
    importFiles: () => void files.choose(app.api.acceptMasks).then((chosen) => files.importMasks(app, chosen)),
    addImages: room ? null : addImages,
    language: () => {
      kept.language = spoken() === "zh" ? "en" : "zh";
      keep(kept);
      void app.saved(AbortSignal.timeout(3000)).finally(() => location.reload());
    },
  };
  const bar = makeBar(app, stage, options.element, {
    help: () => help.showModal(),
    theme: () => {
      kept.theme = isDark(root) ? "light" : "dark";
      setTheme(root, kept.theme);
      keep(kept);
    },
    ofFolder: whole ? ofFolder : null,
  });
  followImages(app, clicks, reading, whole); // before what tells about it
  const middle = h("main", { class: "middle" }, stage.element, makeStatus(app, reading));
  if (!room) middle.append(makeEmpty(app, addImages, addFolder, () => void example()));
  else middle.append(...room.overImage(desk));
  if (app.panels) middle.append(makeReview(app), makeDepth(app, stage, app.panels), makePaint(app, stage, app.panels));
  const skip = h("a", { href: "#stage", class: "skip", onclick: (event: Event) => { event.preventDefault(); stage.focus(); } }, say("app.skip"));
  root.replaceChildren(skip, bar, makeSaveTrouble(app), makeToolbar(app, commands), middle, makeSide(app, stage, ...(room?.beside(desk) ?? [])), makeStrip(app), help, exports);
  if (room) {
    root.classList.add("has-room");
    bar.after(room.bar(desk));
  }
  listenToKeys(desk, commands, { root, whole });
  if (whole) files.listenToFiles(app, root);
  app.listen(() => {
    if (whole) document.title = app.picture ? `${app.picture.name} · ${say("app.title")}` : say("app.title");
    if (kept.opacity !== app.ui.opacity) keep(Object.assign(kept, { opacity: app.ui.opacity }));
  });
  if (!whole) return;
  window.addEventListener("beforeunload", (event) => {
    if (!app.saver.isDirty()) return;
    app.saver.now();
    event.preventDefault();
  });
}

/** Makes the shown image ready, then the next one, so that its first click is answered at once. */
function followImages(app: App, clicks: Clicks, reading: Reading, whole: boolean): void {
  let shown: string | null = null;
  const prepare = async (id: string): Promise<void> => {
    reading.since = performance.now();
    app.changed();
    while (app.ui.image === id) {
      try {
        await app.decoder.prepare(id);
        break;
      } catch (error) {
        if (app.ui.image === id) app.fail(error);
        if (!(error instanceof Away)) break;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
    if (app.ui.image !== id) return;
    reading.since = null;
    app.changed();
    clicks.askWaiting(id);
    const at = app.pictures.findIndex((one) => one.id === id);
    for (const next of app.pictures.slice(at + 1, at + 1 + AHEAD)) {
      if (app.ui.image !== id) return;
      if (next.error === null) await app.decoder.prepare(next.id).catch(() => undefined);
    }
  };
  app.listen(() => {
    const { picture } = app;
    if (picture && app.isLoaded) clicks.askWaiting(picture.id); // also after undo and redo
    if (app.ui.image === shown) return;
    shown = app.ui.image;
    if (!picture) return;
    if (whole) history.replaceState(null, "", `#image=${encodeURIComponent(picture.name)}`);
    if (picture.error === null) void prepare(picture.id);
  });
}

async function start(app: App, { root, whole }: Host, room: Room | null): Promise<void> {
  const wanted = whole ? new URLSearchParams(location.hash.slice(1)).get("image") : null;
  for (;;) {
    try {
      app.begin(await app.api.folder());
      break;
    } catch (error) {
      root.dataset["trouble"] = describe(error);
      if (!(error instanceof Away)) return;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
  delete root.dataset["trouble"];
  if (room) return room.begin(wanted);
  const first = app.pictures.find((one) => one.name === wanted) ?? app.pictures.find((one) => one.error === null);
  if (first) await app.open(first.id);
}

// ---------------------------------------------------------------------- what is kept here

interface Kept {
  theme?: "light" | "dark";
  language?: Language;
  opacity?: number;
}

function readKept(): Kept {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "{}") as Kept;
  } catch {
    return {};
  }
}

function keep(kept: Kept): void {
  try {
    localStorage.setItem(KEPT, JSON.stringify(kept));
  } catch {
    // A browser that keeps nothing: then it looks as usual next time.
  }
}

function isDark(root: HTMLElement): boolean {
  const theme = root.dataset["theme"];
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function setTheme(root: HTMLElement, theme: Kept["theme"]): void {
  if (theme) root.dataset["theme"] = theme;
}
