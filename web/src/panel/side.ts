/** The panel on the right: classes, the masks of the image, and what can be done with selected ones. */

import { Rows, h } from "../dom.ts";
import { focusStage } from "../host.ts";
import { type Icon, icon } from "../icons.ts";
import type { Stage } from "../canvas/stage.ts";
import { bounds } from "../masks/runs.ts";
import { type Class, type Thing, colorOf, recolorClass, removeClass, renameClass } from "../store/project.ts";
import type { App } from "../store/app.ts";
import { downloadCutout, copyCutout } from "../tools/cutout.ts";
import * as edits from "../tools/edits.ts";
import { work } from "../tools/searches.ts";
import { say } from "../words/words.ts";

export function makeSide(app: App, stage: Stage, ...more: readonly HTMLElement[]): HTMLElement {
  return h("aside", { class: "side" }, makeClasses(app), makeMasks(app, stage), ...more, makeActions(app, stage));
}

// ----------------------------------------------------------------------------- classes

function makeClasses(app: App): HTMLElement {
  const list = h("ul", { class: "classes" });
  const rows = new Rows<Class>(list, (value) => makeClass(app, value));
  const none = h(
    "button",
    { type: "button", class: "class-name class-none", onclick: () => edits.useClass(app, null) },
    h("span", { class: "swatch swatch-none" }),
    say("panel.class_none"),
    h("kbd", {}, "0"),
  );
  const input = h("input", { type: "text", class: "class-input", placeholder: say("panel.add_class"), "aria-label": say("panel.class_name"), maxlength: 100, id: "new-class", autocomplete: "off" });
  const form = h(
    "form",
    {
      class: "class-new",
      onsubmit: (event: SubmitEvent) => {
        event.preventDefault();
        if (!input.value.trim()) return;
        edits.addNamedClass(app, input.value);
        input.value = "";
        focusStage(input); // whose keys are what comes next
      },
    },
    input,
    h("button", { type: "submit", class: "icon-button", title: say("panel.add_class"), "aria-label": say("panel.add_class") }, icon("plus", 16)),
  );
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    input.value = "";
    focusStage(input);
  });
  app.listen(() => {
    rows.set(app.project.classes, (one) => one.name);
    none.setAttribute("aria-pressed", String(app.ui.label === null));
    none.hidden = app.project.classes.length === 0;
  });
  return h("section", { class: "side-part", "aria-label": say("panel.classes") }, h("h2", {}, say("panel.classes")), none, list, form);
}

function makeClass(app: App, { name }: Class): { element: HTMLElement; update: (value: Class, at: number) => void } {
  const color = h("input", {
    type: "color", class: "swatch", "aria-label": say("panel.class_color", { name }), title: say("panel.class_color", { name }),
    onchange: () => app.commit(recolorClass(app.project, name, color.value), "classes", null),
  });
  const text = h("span", { class: "class-text" }, name);
  const key = h("kbd", {});
  const use = h(
    "button",
    { type: "button", class: "class-name", title: say("panel.class_use", { name }), onclick: () => edits.useClass(app, name) },
    text,
    key,
  );
  const { keeper } = app;
  const remove = h(
    "button",
    {
      type: "button", class: "icon-button row-action", title: say("panel.class_remove", { name }), "aria-label": say("panel.class_remove", { name }),
      onclick: () => void everywhere(app, () => app.commit(removeClass(app.project, name), "classes", null)),
    },
    icon("close", 14),
  );
  const change = h(
    "button",
    {
      type: "button", class: "icon-button row-action", title: `${say("panel.class_rename", { name })} (F2)`, "aria-label": say("panel.class_rename", { name }),
      onclick: () => rename(),
    },
    icon("pencil", 14),
  );
  const element = h("li", { class: "class" }, color, use, h("span", { class: "row-actions" }, change, !keeper && remove));
  const rename = (): void => {
    const input = h("input", { type: "text", class: "class-input", value: name, "aria-label": say("panel.class_rename", { name }), maxlength: 100 });
    let done = false;
    const end = (keep: boolean): void => {
      if (done) return;
      done = true;
      input.replaceWith(use);
      const to = input.value.trim();
      if (!keep || !to || to === name) return;
      if (keeper) void keeper.rename(name, to);
      else void everywhere(app, () => app.commit(renameClass(app.project, name, to), "classes", null));
    };
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
    });
    input.addEventListener("blur", () => end(true));
    use.replaceWith(input);
    input.select();
  };
  use.addEventListener("keydown", (event) => {
    if (event.key !== "F2") return;
    event.preventDefault();
    rename();
  });
  return {
    element,
    update: (value, at) => {
      color.value = value.color;
      key.textContent = at < 9 ? String(at + 1) : "";
      use.setAttribute("aria-pressed", String(app.ui.label === name));
    },
  };
}

/** Changes what may be on any image, after fetching the masks of all of them. */
async function everywhere(app: App, change: () => void): Promise<void> {
  const missing = app.pictures.filter((one) => one.masks > 0 && !(one.id in app.project.images));
  const loaded = missing.length
    ? await work(app, "app.loading", {}, () => Promise.all(missing.map((one) => app.loadThings(one.id))))
    : [];
  if (loaded) change();
}

// ------------------------------------------------------------------------------- masks

function makeMasks(app: App, stage: Stage): HTMLElement {
  const list = h("ul", { class: "masks" });
  const rows = new Rows<Thing>(list, (thing) => makeMask(app, stage, thing.id));
  const empty = h("p", { class: "side-empty" }, say("panel.no_masks"));
  const count = h("span", { class: "side-count" });
  const opacity = h("input", {
    type: "range", min: 0, max: 100, class: "opacity", "aria-label": say("panel.opacity"), title: say("panel.opacity"), id: "opacity",
    oninput: () => app.show({ opacity: opacity.valueAsNumber / 100 }),
  });
  app.listen(() => {
    rows.set(app.things, (thing) => thing.id);
    empty.hidden = !app.isLoaded || app.things.length > 0;
    count.textContent = app.things.length ? String(app.things.length) : "";
    opacity.value = String(Math.round(app.ui.opacity * 100));
  });
  return h(
    "section",
    { class: "side-part side-masks", "aria-label": say("panel.masks") },
    h("h2", {}, say("panel.masks"), count, opacity),
    empty,
    list,
  );
}

function makeMask(app: App, stage: Stage, id: string): { element: HTMLElement; update: (thing: Thing, at: number) => void } {
  const swatch = h("span", { class: "swatch" });
  const name = h("span", { class: "mask-name" });
  const score = h("span", { class: "mask-score" });
  const select = h(
    "button",
    {
      type: "button",
      class: "mask-select",
      onclick: (event: MouseEvent) => {
        const add = event.shiftKey || event.ctrlKey || event.metaKey;
        const selected = new Set(add ? app.ui.selected : []);
        if (add && selected.has(id)) selected.delete(id);
        else selected.add(id);
        app.show({ selected });
      },
      ondblclick: () => {
        const thing = app.things.find((one) => one.id === id);
        const part = thing?.counts && app.picture ? bounds(thing.counts, app.picture.h) : null;
        if (part) stage.zoomTo(part);
      },
    },
    swatch, name, score,
  );
  const hide = h("button", {
    type: "button", class: "icon-button row-action",
    onclick: () => {
      const hidden = new Set(app.ui.hidden);
      if (!hidden.delete(id)) hidden.add(id);
      app.show({ hidden });
    },
  });
  const remove = h("button", { type: "button", class: "icon-button row-action", onclick: () => edits.removeSelected(app, new Set([id])) }, icon("trash", 15));
  const element = h(
    "li",
    {
      class: "mask",
      onpointerenter: () => app.show({ hovered: id }),
      onpointerleave: () => app.show({ hovered: null }),
    },
    select, h("span", { class: "row-actions" }, hide, remove),
  );
  let eye: Icon | null = null;
  return {
    element,
    update: (thing, at) => {
      const shownName = app.nameOf(thing);
      const isHidden = app.ui.hidden.has(id);
      swatch.style.background = colorOf(app.project, thing, at);
      name.textContent = shownName;
      name.classList.toggle("unnamed", thing.label === null);
      score.textContent = thing.waiting && !thing.counts ? "…" : thing.score === null ? "" : thing.score.toFixed(2);
      score.title = thing.waiting ? say("panel.waiting") : thing.score === null ? "" : say("panel.score", { score: thing.score.toFixed(3) });
      select.setAttribute("aria-label", say("panel.select", { name: shownName }));
      select.setAttribute("aria-pressed", String(app.ui.selected.has(id)));
      element.classList.toggle("selected", app.ui.selected.has(id));
      element.classList.toggle("hovered", app.ui.hovered === id);
      element.classList.toggle("hidden-mask", isHidden);
      element.classList.toggle("waiting", thing.waiting);
      element.dataset["review"] = thing.review;
      const wanted: Icon = isHidden ? "eyeOff" : "eye";
      if (wanted !== eye) hide.replaceChildren(icon((eye = wanted), 15));
      for (const [button, key] of [[hide, isHidden ? "panel.show" : "panel.hide"], [remove, "panel.delete"]] as const) {
        button.title = say(key, { name: shownName });
        button.setAttribute("aria-label", button.title);
      }
    },
  };
}

// ----------------------------------------------------------------------------- actions

type Action = "grow" | "shrink" | "smooth" | "fill" | "largest" | "merge" | "subtract" | "copy" | "download";

function makeActions(app: App, stage: Stage): HTMLElement {
  const action = (name: Action, key: string, run: () => void, least = 1): [HTMLButtonElement, number] => {
    const title = key ? `${say(`about.${name}`)} (${key})` : say(`about.${name}`);
    return [h("button", { type: "button", class: "action", onclick: run, title }, say(`panel.${name}`)), least];
  };
  const buttons = [
    action("grow", "", () => edits.growSelected(app)),
    action("shrink", "", () => edits.shrinkSelected(app)),
    action("smooth", "", () => edits.smoothSelected(app)),
    action("fill", "", () => edits.fillSelected(app)),
    action("largest", "", () => edits.keepLargest(app)),
    action("merge", "J", () => edits.merge(app), 2),
    action("subtract", "K", () => edits.subtractLater(app), 2),
    action("copy", "C", () => void copyCutout(app, stage)),
    action("download", "", () => void downloadCutout(app, stage)),
  ];
  const title = h("h2", {});
  const done = h("button", { type: "button", class: "button primary", id: "finish", title: `${say("panel.finish")} (Enter)`, onclick: () => edits.finish(app) }, icon("check", 16), say("panel.finish"));
  const remove = h("button", { type: "button", class: "button danger", title: `${say("panel.remove")} (Del)`, onclick: () => edits.removeSelected(app) }, icon("trash", 16), say("panel.remove"));
  const element = h(
    "section",
    { class: "side-part side-actions", "aria-live": "off" },
    title,
    h("div", { class: "actions" }, ...buttons.map(([button]) => button)),
    h("div", { class: "actions-main" }, remove, done),
  );
  app.listen(() => {
    const count = app.ui.selected.size;
    element.hidden = count === 0;
    title.textContent = say("panel.selected", { count });
    for (const [button, least] of buttons) button.disabled = count < least;
  });
  return element;
}
