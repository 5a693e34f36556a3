/** The images of the folder in a row; only those in sight have their thumbnails fetched. */

import { isAbort } from "../api/client.ts";
import { Rows, h } from "../dom.ts";
import { icon } from "../icons.ts";
import { confirmed } from "../panel/dialogs.ts";
import type { Picture } from "../api/api.ts";
import type { App } from "../store/app.ts";
import { candidatesOf } from "../store/project.ts";
import { say } from "../words/words.ts";

const AT_ONCE = 3; // requests for thumbnails

export function makeStrip(app: App): HTMLElement {
  const list = h("ul", { class: "strip-list" });
  const element = h("nav", { class: "strip", "aria-label": say("strip.label") }, list);
  const queue: (() => Promise<void>)[] = [];
  let running = 0;
  const next = (): void => {
    const task = running < AT_ONCE ? queue.pop() : undefined; // the last that came into sight first
    if (!task) return;
    running++;
    void task().finally(() => {
      running--;
      next();
    });
    next();
  };
  const tasks = new WeakMap<Element, () => Promise<void>>();
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const task = tasks.get(target);
        if (!isIntersecting || !task) continue;
        seen.unobserve(target);
        queue.push(task);
      }
      next();
    },
    { root: element, rootMargin: "0px 400px" },
  );

  const make = (picture: Picture): { element: HTMLElement; update: (value: Picture) => void } => {
    const image = h("img", { alt: "", class: "thumb", draggable: "false" });
    const badge = h("span", { class: "badge" });
    const found = h("span", { class: "badge found" });
    const button = h("button", { type: "button", class: "strip-button", onclick: () => void app.open(picture.id) }, image, badge, found);
    const drop = h(
      "button",
      { type: "button", class: "icon-button strip-remove", title: say("strip.remove", { name: picture.name }), "aria-label": say("strip.remove", { name: picture.name }), onclick: () => void remove(app, picture) },
      icon("close", 12),
    );
    const item = h("li", { class: "strip-item" }, button, app.api.remove && drop);
    image.style.aspectRatio = `${Math.min(2.2, Math.max(0.5, picture.w / picture.h || 1.5))}`;
    tasks.set(item, async () => {
      try {
        const blob = await app.api.thumbnail(picture.id, AbortSignal.timeout(30_000));
        const url = URL.createObjectURL(blob);
        image.src = url;
        image.onload = () => URL.revokeObjectURL(url);
      } catch (error) {
        if (!isAbort(error)) button.classList.add("broken");
      }
    });
    if (picture.error === null) seen.observe(item);
    else button.classList.add("broken");
    let wasCurrent = false;
    return {
      element: item,
      update: (value) => {
        const current = app.ui.image === value.id;
        const masks = app.masksOf(value);
        badge.textContent = masks ? String(masks) : "";
        badge.hidden = !masks;
        const candidates = candidatesOf(app.project, value.id).length;
        found.textContent = `? ${candidates}`;
        found.hidden = !candidates;
        button.title = value.name;
        const name = { name: value.name, count: masks, found: candidates };
        button.setAttribute("aria-label", say(candidates ? "strip.candidates" : "strip.image", name));
        button.toggleAttribute("aria-current", current);
        if (current && !wasCurrent) item.scrollIntoView({ block: "nearest", inline: "center", behavior: "smooth" });
        wasCurrent = current;
      },
    };
  };
  const rows = new Rows<Picture>(list, make);
  element.addEventListener(
    "wheel",
    (event) => {
      if (event.deltaX || event.shiftKey) return;
      element.scrollLeft += event.deltaY;
    },
    { passive: true },
  );
  app.listen(() => {
    rows.set(app.pictures, (one) => one.id);
    element.hidden = app.pictures.length < (app.api.remove ? 1 : 2);
  });
  return element;
}

async function remove(app: App, picture: Picture): Promise<void> {
  const count = app.masksOf(picture);
  const text = say(count ? "strip.remove_masks" : "strip.remove_image", { name: picture.name, count });
  if (!(await confirmed(say("strip.remove_title"), text, say("strip.remove_go")))) return;
  await app.removePicture(picture.id).catch((error: unknown) => app.fail(error));
}
