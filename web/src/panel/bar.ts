/** The bar above: folder, image, undo, zoom, what is saved, files, help. */

import { h, fill } from "../dom.ts";
import { type Icon, icon } from "../icons.ts";
import type { Stage } from "../canvas/stage.ts";
import type { App } from "../store/app.ts";
import { type Key, say } from "../words/words.ts";

export interface BarActions {
  readonly help: () => void;
  readonly theme: () => void;
  /** What is for pages of a window of their own alone. */
  readonly ofFolder: {
    readonly exportFiles: (() => void) | null;
    readonly importFiles: () => void;
    readonly addImages: (() => void) | null;
    readonly language: () => void;
  } | null;
}

export function iconButton(name: Icon, words: string, run: () => void, attributes: Record<string, string> = {}): HTMLButtonElement {
  return h(
    "button",
    { type: "button", class: "icon-button", title: words, "aria-label": words, onclick: run, ...attributes },
    icon(name),
  );
}

export function makeBar(app: App, stage: Stage, options: HTMLElement, actions: BarActions): HTMLElement {
  const name = h("span", { class: "bar-name" });
  const position = h("span", { class: "bar-position" });
  const folder = h("span", { class: "bar-folder" });
  const undo = iconButton("undo", say("bar.undo"), () => app.undo(), { id: "undo" });
  const redo = iconButton("redo", say("bar.redo"), () => app.redo(), { id: "redo" });
  const percent = h("button", { type: "button", class: "bar-percent", title: `${say("bar.fit")} (F)`, onclick: () => stage.fit() });
  const previous = iconButton("previous", `${say("bar.previous")} (A)`, () => app.step(-1));
  const next = iconButton("next", `${say("bar.next")} (D)`, () => app.step(1));
  const saved = h("span", { class: "save-state", role: "status", id: "save-state" });
  const { ofFolder } = actions;
  const files = ofFolder && h(
    "div",
    { class: "bar-group" },
    ofFolder.addImages && iconButton("images", say("bar.add"), ofFolder.addImages),
    iconButton("import", say("bar.import"), ofFolder.importFiles),
    ofFolder.exportFiles && h("button", { type: "button", class: "button", id: "export", onclick: ofFolder.exportFiles }, icon("export", 16), say("bar.export")),
  );
  const element = h(
    "header",
    { class: "bar" },
    h("div", { class: "bar-group bar-left" }, ofFolder && logo(), folder, h("div", { class: "bar-group" }, undo, redo), options),
    h("div", { class: "bar-group bar-middle" }, previous, h("span", { class: "bar-title" }, name, position), next),
    h(
      "div",
      { class: "bar-group bar-right" },
      saved,
      h(
        "div",
        { class: "bar-group bar-zoom" },
        iconButton("minus", `${say("bar.zoom_out")} (−)`, () => stage.zoom(1 / 1.4)),
        percent,
        iconButton("plus", `${say("bar.zoom_in")} (+)`, () => stage.zoom(1.4)),
      ),
      files,
      h(
        "div",
        { class: "bar-group" },
        ofFolder && iconButton("language", say("bar.language"), ofFolder.language),
        iconButton("theme", say("bar.theme"), actions.theme),
        iconButton("help", `${say("bar.help")} (?)`, actions.help, { id: "help" }),
      ),
    ),
  );
  const what = (step: { what: string } | undefined): string => (step ? say(`did.${step.what}` as Key) : "");
  const named = (button: HTMLButtonElement, key: Key, step: { what: string } | undefined, bare: Key): void => {
    const text = step ? say(key, { what: what(step) }) : say(bare);
    button.disabled = !step;
    button.title = text;
    button.setAttribute("aria-label", text);
  };
  app.listen(() => {
    const at = app.pictures.findIndex((one) => one.id === app.ui.image);
    folder.textContent = app.folder?.name ?? "";
    name.textContent = app.picture?.name ?? "";
    name.title = app.picture?.name ?? "";
    position.textContent = at < 0 ? "" : `${at + 1} / ${app.pictures.length}`;
    position.title = at < 0 ? "" : say("bar.position", { at: at + 1, count: app.pictures.length });
    previous.hidden = next.hidden = app.pictures.length < 2 && !app.onward;
    previous.disabled = at <= 0;
    next.disabled = at < 0 || (at === app.pictures.length - 1 && !app.onward);
    named(undo, "bar.undo_what", app.history.past.at(-1), "bar.undo");
    named(redo, "bar.redo_what", app.history.future.at(-1), "bar.redo");
    percent.textContent = `${Math.round(stage.view.scale * 100)}%`;
    showSaved(saved, app);
  });
  stage.onView = () => {
    percent.textContent = `${Math.round(stage.view.scale * 100)}%`;
  };
  return element;
}

function logo(): HTMLElement {
  return h("img", { src: "page/icon.svg", alt: "anymask", class: "bar-logo", width: 24, height: 24 });
}

function showSaved(element: HTMLElement, app: App): void {
  const state = app.saveState;
  if (element.dataset["kind"] === state.kind && element.textContent) return;
  element.dataset["kind"] = state.kind;
  fill(element, h("span", { class: "save-dot" }), say(`save.${state.kind}`));
}
