/** What opens over the page: the keys, and the export. */

import { h } from "../dom.ts";
import { focusStage } from "../host.ts";
import { icon } from "../icons.ts";
import type { App } from "../store/app.ts";
import { type Command, type Group, shownKey } from "../tools/commands.ts";
import { download } from "../tools/cutout.ts";
import { work } from "../tools/searches.ts";
import { type Key, say } from "../words/words.ts";

function dialog(title: string, ...children: HTMLElement[]): HTMLDialogElement {
  const close = h("button", { type: "button", class: "icon-button", "aria-label": say("help.close"), title: say("help.close"), onclick: () => element.close() }, icon("close"));
  const element = h("dialog", { "aria-label": title }, h("div", { class: "dialog-head" }, h("h2", {}, title), close), ...children);
  element.addEventListener("click", (event) => {
    if (event.target === element) element.close(); // the backdrop
  });
  element.addEventListener("close", () => focusStage(element));
  return element;
}

/** Asks before something that cannot be undone. */
export function confirmed(title: string, text: string, go: string): Promise<boolean> {
  return new Promise((resolve) => {
    const button = h("button", { type: "button", class: "button danger", id: "confirm-go", onclick: () => element.close("go") }, go);
    const cancel = h("button", { type: "button", class: "button", onclick: () => element.close() }, say("hint.cancel"));
    const element = dialog(title, h("div", { class: "confirm" }, h("p", {}, text), h("div", { class: "dialog-foot" }, cancel, button)));
    element.addEventListener("close", () => {
      element.remove();
      resolve(element.returnValue === "go");
    });
    document.body.append(element);
    element.showModal();
  });
}

export function makeHelp(commands: readonly Command[]): HTMLDialogElement {
  const row = (keys: readonly (string | Key)[], words: string): HTMLElement =>
    h("div", { class: "key-row" }, h("span", {}, words), h("span", { class: "keys" }, ...keys.map((key) => h("kbd", {}, key))));
  const group = (name: Group): HTMLElement => {
    const rows = commands
      .filter((one) => one.group === name)
      .map((one) => row(one.keys.slice(0, 2).map(shownKey), say(one.words)));
    if (name === "masks") rows.push(row(["0 – 9"], say("key.class")));
    return h("section", {}, h("h3", {}, say(`help.${name}`)), ...rows);
  };
  const mouse = h(
    "section",
    {},
    h("h3", {}, say("help.mouse")),
    row([say("help.key_click")], say("help.click")),
    row([say("help.key_right"), "Alt"], say("help.right")),
    row([`Shift+${say("help.key_click")}`], say("help.shift_click")),
    row([`${shownKey("mod+a").replace(/\+?A$/, "")}+${say("help.key_click")}`], say("help.ctrl_click")),
    row([say("help.key_wheel")], say("help.wheel")),
    row([`${say("help.key_space")}+${say("help.key_drag")}`], say("help.space_drag")),
    row(["2 ☝"], say("help.two_fingers")),
    row(["✎ + ☝"], say("help.pen")),
    row(["←↑↓→"], say("help.arrows")),
    row([say("help.key_space")], say("help.space")),
  );
  return dialog(
    say("help.title"),
    h(
      "div",
      { class: "help" },
      h("div", {}, group("tools"), group("images")),
      h("div", {}, group("masks")),
      h("div", {}, group("view"), mouse),
    ),
  );
}

const FORMATS = ["coco", "yolo", "labelme", "sa1b", "voc", "png", "cutout"] as const;

export function makeExport(app: App): HTMLDialogElement {
  const boxes = FORMATS.map((name) => h("input", { type: "checkbox", name, ...(name === "coco" ? { checked: true } : {}) }));
  const scopes = (["all", "this"] as const).map((value) =>
    h("input", { type: "radio", name: "scope", value, ...(value === "all" ? { checked: true } : {}) }),
  );
  const go = h("button", { type: "submit", class: "button primary", id: "export-go" }, icon("export", 16), say("export.go"));
  const form = h(
    "form",
    {
      class: "export",
      method: "dialog",
      onsubmit: () => void run(),
    },
    h("fieldset", {}, h("legend", {}, say("export.what")), ...scopes.map((one) => h("label", {}, one, say(`export.${one.value as "all" | "this"}`))), app.keeper && h("p", { class: "dashboard-about" }, say("label.export"))),
    h("fieldset", {}, h("legend", {}, say("export.formats")), ...boxes.map((one, i) => h("label", {}, one, say(`export.${FORMATS[i]!}`)))),
    h("div", { class: "dialog-foot" }, go),
  );
  const update = (): void => {
    go.disabled = !boxes.some((one) => one.checked);
  };
  form.addEventListener("change", update);
  const run = async (): Promise<void> => {
    const chosen = FORMATS.filter((_, i) => boxes[i]!.checked);
    await app.refresh().catch(() => undefined); // other windows may have made masks where there were none
    const pictures = scopes[0]!.checked ? app.pictures : app.pictures.filter((one) => one.id === app.ui.image);
    const some = pictures.filter((one) => app.masksOf(one) > 0);
    if (!some.length) return app.notify(say("export.nothing"));
    const done = await work(app, "hint.exporting", {}, (signal) =>
      app.api.export(chosen, some, { project: app.project, stored: () => app.saved(signal) }, signal),
    );
    if (!done) return;
    download(done.zip, `${app.folder?.name || "anymask"}.zip`);
    if (done.lost) app.notify(say("export.lost", { count: done.lost }));
  };
  return dialog(say("export.title"), form);
}
