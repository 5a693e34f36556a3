/** Depth: how far away the masks are, what lies in front of what, and the map over the image. */

import type { DepthAnswer, PanelsApi } from "../api/panels_api.ts";
import { Refused, describe, isAbort } from "../api/client.ts";
import type { Stage } from "../canvas/stage.ts";
import { fill, h } from "../dom.ts";
import type { App } from "../store/app.ts";
import { type Thing, colorOf } from "../store/project.ts";
import { work } from "../tools/searches.ts";
import { say } from "../words/words.ts";
import { makeCard } from "./card.ts";

const MOST = 100; // masks that are measured: as many as a list can be read of
const SETTLE_MS = 250; // after the last change of the masks

/** What is known of the depth of one image. */
interface Known {
  readonly image: string;
  /** The masks that were measured. */
  readonly things: readonly Thing[];
  readonly answer: DepthAnswer;
}

export function makeDepth(app: App, stage: Stage, panels: PanelsApi): HTMLElement {
  const about = h("p", { class: "card-about", role: "status" });
  const again = h("button", { type: "button", class: "button", onclick: () => { failed = null; follow(); } }, say("depth.measure"));
  const shown = h("input", { type: "checkbox", id: "depth-shown", checked: true, onchange: () => showMap() });
  const opacity = h("input", { type: "range", min: 0, max: 100, value: 80, id: "depth-opacity", "aria-label": say("depth.opacity"), title: say("depth.opacity"), oninput: () => showMap() });
  const near = h("span", {});
  const far = h("span", {});
  const legend = h("div", { class: "depth-legend" }, far, h("span", { class: "depth-ramp", "aria-hidden": "true" }), near);
  const list = h("ul", { class: "depth-list" });
  const order = h("p", { class: "card-about" });
  const map = h("div", { class: "card-row" }, shown, h("label", { for: "depth-shown" }, say("depth.show")), opacity);
  const element = makeCard(app, "depth", say("tool.depth"), about, again, map, legend, list, order);

  let known: Known | null = null;
  let failed: { image: string; text: string } | null = null;
  let measuring = false;
  let bitmap: { image: string; map: ImageBitmap } | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const measurable = (): readonly Thing[] => app.things.filter((one) => one.counts && !one.waiting).slice(0, MOST);
  const isCurrent = (): boolean => {
    const things = measurable();
    return known?.image === app.ui.image && known.things.length === things.length && things.every((one, i) => one.counts === known!.things[i]!.counts);
  };

  const measure = async (): Promise<void> => {
    const { picture } = app;
    if (!picture || !app.isLoaded || measuring) return;
    measuring = true;
    const things = measurable();
    const counts = things.map((one) => one.counts!);
    const first = known?.image !== picture.id;
    try {
      const ask = (signal: AbortSignal): Promise<DepthAnswer> => panels.depth(picture, counts, signal, () => undefined);
      if (first) {
        const found = await work(app, "depth.estimating", {}, async (signal) => {
          try {
            const answer = await ask(signal);
            const made = await createImageBitmap(await panels.depthMap(picture.id, signal));
            bitmap?.map.close();
            bitmap = { image: picture.id, map: made };
            return answer;
          } catch (error) {
            failed = { image: picture.id, text: isAbort(error) ? say("depth.cancelled") : why(error) };
            return null; // the card says it, where it can be read for long
          }
        });
        if (found) known = { image: picture.id, things, answer: found };
      } else {
        known = { image: picture.id, things, answer: await ask(AbortSignal.timeout(60_000)) };
      }
    } catch (error) {
      failed = { image: picture.id, text: describe(error) };
    } finally {
      measuring = false;
      app.changed();
    }
  };

  /** Measures again when the masks have changed. */
  const follow = (): void => {
    clearTimeout(timer);
    const needed = app.ui.panel === "depth" && app.isLoaded && !isCurrent() && failed?.image !== app.ui.image;
    if (needed && !measuring) timer = setTimeout(() => void measure(), known?.image === app.ui.image ? SETTLE_MS : 0);
  };

  const showMap = (): void => {
    const visible = app.ui.panel === "depth" && shown.checked && bitmap?.image === app.ui.image;
    stage.setOverlay(visible ? bitmap!.map : null, opacity.valueAsNumber / 100);
  };

  const row = (answer: DepthAnswer, things: readonly Thing[], i: number): HTMLElement => {
    const thing = things[i]!;
    const swatch = h("span", { class: "swatch" });
    swatch.style.background = colorOf(app.project, thing, app.things.findIndex((one) => one.id === thing.id));
    const one = answer.masks[i]!;
    const value = one.median === null ? say("depth.unknown") : metres(answer, one.median);
    const range = one.p10 === null || one.p90 === null ? "" : say("depth.range", { from: metres(answer, Math.min(one.p10, one.p90)), to: metres(answer, Math.max(one.p10, one.p90)) });
    const chosen = app.ui.selected.has(thing.id);
    return h(
      "li",
      {},
      h(
        "button",
        {
          type: "button", class: "mask-select", title: range, "aria-pressed": String(chosen),
          onclick: () => app.show({ selected: new Set([thing.id]) }),
        },
        swatch,
        h("span", { class: "mask-name" }, app.nameOf(thing)),
        h("span", { class: "depth-value" }, value),
      ),
    );
  };

  let drawn = "";
  app.listen(() => {
    showMap();
    if (app.ui.panel !== "depth") return;
    follow();
    const here = known?.image === app.ui.image ? known : null;
    const trouble = failed?.image === app.ui.image ? failed.text : null;
    again.hidden = !trouble;
    map.hidden = legend.hidden = !here;
    about.classList.toggle("card-trouble", trouble !== null);
    const names = app.things.map((one) => `${one.id}${one.label}`).join();
    const key = JSON.stringify([app.ui.image, trouble, [...app.ui.selected], names, measuring]) + (here ? here.things.length : "");
    if (key === drawn && here?.answer === lastAnswer) return;
    drawn = key;
    lastAnswer = here?.answer ?? null;
    if (!here) {
      about.textContent = trouble ?? (measuring ? say("depth.wait") : "");
      fill(list);
      order.textContent = "";
      return;
    }
    const { answer } = here;
    const things = here.things.filter((one) => app.things.some((now) => now.id === one.id)).length === here.things.length ? here.things : [];
    about.textContent = trouble ?? say(answer.kind === "metric" ? "depth.metric" : "depth.relative", { source: answer.source ?? "" });
    near.textContent = answer.near === null ? say("depth.near") : metres(answer, answer.near);
    far.textContent = answer.far === null ? say("depth.far") : metres(answer, answer.far);
    // What is selected alone, if something is; else all from near to far.
    const some = answer.order.filter((i) => things[i] && (!app.ui.selected.size || app.ui.selected.has(things[i].id)));
    fill(list, ...some.map((i) => row(answer, things, i)));
    const name = (i: number): string => app.nameOf(things[i]!);
    const hints = things.length ? answer.occlusions.filter(({ front, back }) => some.includes(front) || some.includes(back)).slice(0, 3) : [];
    order.textContent = !app.things.length
      ? say("depth.no_masks")
      : hints.map(({ front, back }) => say("depth.in_front", { front: name(front), back: name(back) })).join(" ");
  });
  let lastAnswer: DepthAnswer | null = null;
  return element;
}

/** What went wrong; where something is not installed, what to type. */
function why(error: unknown): string {
  const missing = error instanceof Refused && (error.code === "no_weights" || error.code === "not_installed");
  return missing ? say("depth.missing") : describe(error);
}

/** A depth as people read it: metres, or a bare number where it has no unit. */
export function metres(answer: Pick<DepthAnswer, "kind">, value: number): string {
  const digits = Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
  return answer.kind === "metric" ? `${digits} m` : digits;
}
