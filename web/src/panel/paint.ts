/** Painting over what is selected: removed or replaced, before and after, kept as a new image. */

import type { Draft, PaintTask, PanelsApi } from "../api/panels_api.ts";
import { Refused, describe } from "../api/client.ts";
import { Picture as Bitmap } from "../canvas/picture.ts";
import type { Stage } from "../canvas/stage.ts";
import { h } from "../dom.ts";
import { icon } from "../icons.ts";
import type { App } from "../store/app.ts";
import { work } from "../tools/searches.ts";
import { say } from "../words/words.ts";
import { makeCard } from "./card.ts";

const RIM = 0.01; // of the longer side: how far a model's mask may be from the true edge
const AGAIN_MS = 3000; // after the server did not answer
const TASKS: readonly PaintTask[] = ["remove", "fill", "replace"];

/** A painted image that is shown, of the image that it was made of. */
interface Made {
  readonly draft: Draft;
  readonly after: Bitmap;
}

export function makePaint(app: App, stage: Stage, panels: PanelsApi): HTMLElement {
  const made = new Map<string, Made>(); // by id of the image
  let able: readonly PaintTask[] | null = null;
  let task: PaintTask = "remove";
  let seed = 0;
  let holding = false;

  const about = h("p", { class: "card-about", role: "status" });
  const choices = TASKS.map((name) =>
    h("button", { type: "button", class: "segment", onclick: () => { task = name; app.changed(); } }, say(`paint.${name}`)),
  );
  const tasks = h("div", { class: "segments", role: "group", "aria-label": say("paint.what") }, ...choices);
  const text = h("input", { type: "text", class: "class-input", id: "paint-text", maxlength: 500, "aria-label": say("paint.text"), placeholder: say("paint.text") });
  const grow = h("input", { type: "range", min: 0, max: 40, value: 0, id: "paint-grow", oninput: () => { grown = true; app.changed(); } });
  let grown = false; // by the person, who then decides
  const growText = h("label", { for: "paint-grow" });
  const go = h("button", { type: "button", class: "button primary", id: "paint-go", onclick: () => void run() }, icon("paint", 16), say("paint.go"));
  const choose = h("div", { class: "card-part" }, tasks, text, h("div", { class: "card-row" }, growText, grow), h("div", { class: "card-actions" }, go));

  const share = h("input", { type: "range", min: 0, max: 100, value: 50, id: "paint-share", "aria-label": say("paint.compare"), title: say("paint.compare"), oninput: () => app.changed() });
  const hold = h("button", { type: "button", class: "button", id: "paint-hold", title: say("paint.hold_about") }, say("paint.hold"));
  const held = (value: boolean) => (): void => {
    holding = value;
    app.changed();
  };
  for (const name of ["pointerdown", "keydown"]) {
    hold.addEventListener(name, (event) => {
      const key = (event as KeyboardEvent).key;
      if (key === undefined || key === " " || key === "Enter") held(true)();
    });
  }
  for (const name of ["pointerup", "pointerleave", "pointercancel", "keyup", "blur"]) hold.addEventListener(name, held(false));
  const keep = h("button", { type: "button", class: "button primary", id: "paint-keep", onclick: () => void save() }, icon("check", 16), say("paint.keep"));
  const discard = h("button", { type: "button", class: "button danger", id: "paint-discard", onclick: () => drop() }, say("paint.discard"));
  const another = h("button", { type: "button", class: "button", id: "paint-again", onclick: () => { seed++; void run(); } }, say("paint.again"));
  const result = h(
    "div",
    { class: "card-part" },
    h("div", { class: "card-row" }, h("span", {}, say("paint.before")), share, h("span", {}, say("paint.after"))),
    h("div", { class: "card-actions" }, hold, another, discard, keep),
  );
  const element = makeCard(app, "paint", say("tool.paint"), about, choose, result);

  const read = async (draft: Draft, signal: AbortSignal): Promise<Made> => {
    const after = await Bitmap.read(await panels.draft(draft.draft, signal), draft.w, draft.h, () => app.changed());
    return { draft, after };
  };
  const reading = new Set<string>();
  /** Fetches what was painted before the page was loaded again. */
  const fetchAgain = async (id: string, draft: Draft): Promise<void> => {
    if (reading.has(id)) return;
    reading.add(id);
    try {
      const found = await read(draft, AbortSignal.timeout(60_000));
      if (app.drafts.get(id) === draft) made.set(id, found);
      reading.delete(id);
    } catch (error) {
      if (error instanceof Refused) app.setDraft(id, null);
      setTimeout(() => reading.delete(id), AGAIN_MS);
      app.fail(error);
    }
    app.changed();
  };

  const current = (): Made | null => (app.ui.image === null ? null : (made.get(app.ui.image) ?? null));

  const run = async (): Promise<void> => {
    const { picture } = app;
    const masks = app.selectedThings.flatMap((thing) => (thing.counts ? [thing.counts] : []));
    if (!picture) return;
    if (!masks.length) return app.notify(say("hint.select_first"));
    const wish = { masks, task, text: task === "remove" ? null : text.value.trim(), grow: grow.valueAsNumber, seed };
    const found = await work(app, "paint.painting", {}, async (signal, progress): Promise<Made> => {
      const draft = await panels.paint(picture, wish, signal, (step) => {
        if (step.total && step.total > 1) progress(step.done ?? 0, step.total);
      });
      return read(draft, signal);
    });
    if (!found) return;
    drop(picture.id);
    made.set(picture.id, found);
    app.setDraft(picture.id, found.draft);
    while (made.size > 4) drop(made.keys().next().value);
    app.changed();
  };

  /** Forgets what was painted. */
  const drop = (id: string | null | undefined = app.ui.image): void => {
    const old = id ? made.get(id) : undefined;
    if (!old || !id) return;
    made.delete(id);
    app.setDraft(id, null);
    if (stage.after === old.after) stage.setAfter(null, 0);
    old.after.close();
    if (!kept.has(old.draft.draft)) void panels.dropDraft(old.draft.draft).catch(() => undefined);
    app.changed();
  };

  const kept = new Set<string>(); // drafts that are images of the folder by now, which undo needs
  const save = async (): Promise<void> => {
    const { picture } = app;
    const here = current();
    if (!picture || !here) return;
    const { draft } = here.draft;
    const picked = await work(app, "paint.keeping", {}, () => panels.keep(draft));
    if (!picked) return;
    kept.add(draft);
    app.addPicture(picked);
    let id = picked.id;
    app.commit({ ...app.project }, "paint", picture.id, {
      undo: async () => {
        await app.saved(AbortSignal.timeout(10_000));
        await panels.takeBack(draft);
        app.leaveOut(id);
      },
      redo: async () => {
        const back = await panels.keep(draft);
        id = back.id;
        app.addPicture(back);
        await app.known(back);
      },
    });
    drop(picture.id);
    await app.open(id);
    app.notify(say("paint.kept", { name: picked.name }));
  };

  const look = async (): Promise<void> => {
    able = [];
    try {
      able = (await panels.painter()).tasks;
    } catch (error) {
      if (!(error instanceof Refused)) able = null; // ask again next time
      trouble = describe(error);
    }
    app.changed();
  };
  let trouble = "";

  app.listen(() => {
    const isOpen = app.ui.panel === "paint";
    const here = isOpen ? current() : null;
    const known = isOpen && !here && app.ui.image !== null ? app.drafts.get(app.ui.image) : undefined;
    if (known) void fetchAgain(app.ui.image!, known);
    const before = holding ? 1 : share.valueAsNumber / 100;
    stage.setAfter(here?.after ?? null, before);
    if (!isOpen) return;
    if (able === null) void look();
    const { picture } = app;
    if (picture) {
      const usual = Math.round(RIM * Math.max(picture.w, picture.h));
      grow.max = String(Math.max(20, 4 * usual));
      if (!grown) grow.value = String(usual);
    }
    growText.textContent = say("paint.grow", { size: grow.value });
    choices.forEach((button, i) => {
      button.setAttribute("aria-pressed", String(TASKS[i] === task));
      button.disabled = !able?.includes(TASKS[i]!);
      button.title = button.disabled && able?.length ? say("paint.unable") : "";
    });
    text.hidden = task === "remove";
    const count = app.selectedThings.filter((one) => one.counts).length;
    go.disabled = !count || !able?.includes(task) || app.ui.job?.what === "paint.painting";
    choose.hidden = here !== null;
    result.hidden = here === null;
    about.classList.toggle("card-trouble", able !== null && !able.length);
    about.textContent = here
      ? say("paint.look")
      : able !== null && !able.length && trouble
        ? trouble
        : count
          ? say(able && !able.includes("fill") ? "paint.selected_remove" : "paint.selected", { count })
          : say("paint.select");
  });
  return element;
}
