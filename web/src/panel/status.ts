/** The line below the image: what is happening, what went wrong, or what can be done. */

import { fill, h } from "../dom.ts";
import type { App } from "../store/app.ts";
import { type Key, say } from "../words/words.ts";

/** Work whose progress the line tells: reading the image, and what was asked for. */
export class Reading {
  since: number | null = null;

  constructor(readonly words: () => Key) {}
}

export function makeStatus(app: App, reading: Reading): HTMLElement {
  const text = h("span", { class: "status-text", role: "status" });
  const cancel = h("button", { type: "button", class: "text-button", onclick: () => app.ui.job?.cancel?.() }, `${say("hint.cancel")} (Esc)`);
  const element = h("div", { class: "status", hidden: true }, h("span", { class: "spinner", "aria-hidden": "true" }), text, cancel);
  const show = (): void => {
    const { job, notice } = app.ui;
    const since = job?.since ?? reading.since;
    const seconds = since === null ? "" : ((performance.now() - since) / 1000).toFixed(1);
    const working = job !== null || (reading.since !== null && !notice?.isError);
    element.classList.toggle("working", working);
    element.classList.toggle("error", !working && (notice?.isError ?? false));
    cancel.hidden = !job?.cancel;
    text.textContent = job
      ? say(job.what, { ...job.parts, seconds }) + (job.progress ? ` · ${job.progress.join(" / ")}` : "")
      : notice && (notice.isError || reading.since === null)
        ? notice.text
        : working
          ? say(reading.words(), { seconds })
          : say(hint(app, element.closest(".by-keyboard") !== null));
    element.hidden = app.ui.image === null && job === null && notice === null;
  };
  app.listen(show);
  setInterval(() => {
    if (app.ui.job || reading.since !== null) show();
  }, 100);
  return element;
}

function hint(app: App, byKeyboard: boolean): Key {
  const { tool } = app.ui;
  if (tool === "point" && byKeyboard) return app.active ? "hint.point_more_keys" : "hint.point_keys";
  if (tool === "point" && matchMedia("(hover: none)").matches) return app.active ? "hint.point_more_touch" : "hint.point_touch";
  if (app.active && tool === "point") return "hint.point_more";
  if (app.active && tool === "brush") return "hint.brush_more";
  return `hint.${tool}`;
}

/** What stands above everything when changes cannot be saved as they are. */
export function makeSaveTrouble(app: App): HTMLElement {
  const element = h("div", { class: "trouble", role: "alert", hidden: true });
  let shown = "";
  app.listen(() => {
    const state = app.saveState;
    const key = state.kind === "conflict" ? `conflict ${state.keys[0]}` : state.kind === "retrying" ? `retrying ${state.error}` : "";
    if (key === shown) return;
    shown = key;
    element.hidden = key === "";
    element.dataset["kind"] = state.kind;
    if (state.kind === "retrying") {
      fill(
        element,
        h("span", {}, say("save.retrying_long", { error: state.error })),
        h("button", { type: "button", class: "button", onclick: () => app.saver.now() }, say("save.retry")),
      );
    } else if (state.kind === "conflict") {
      const part = state.keys[0]!;
      const choice = (how: "theirs" | "mine" | "both"): HTMLElement =>
        h("button", { type: "button", class: "button", onclick: () => app.resolve(part, how) }, say(`save.${how}`));
      fill(
        element,
        h("span", {}, say("save.conflict_long", { name: app.conflictName(part) })),
        choice("both"), choice("mine"), choice("theirs"),
      );
    }
  });
  return element;
}
