/** The page as a widget of a notebook, by anywidget's contract: a module that renders into an element. */

import { open, prepare } from "./page.ts";
import { App } from "./store/app.ts";
import { Kernel, type WidgetModel } from "./widget/kernel.ts";
import { WidgetApi, WidgetDecoder } from "./widget/widget_api.ts";

declare const STUDIO_CSS: string; // put in when the page is built: a widget is one file

function render({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
  const host = document.createElement("div");
  host.style.height = `${Number(model.get("height")) || 560}px`;
  // Keys are the page's while it has the focus, not the notebook's, where X cuts cells.
  host.setAttribute("data-lm-suppress-shortcuts", "true");
  const shadow = host.attachShadow({ mode: "open" }); // so that neither's style changes the other's
  const style = document.createElement("style");
  style.textContent = STUDIO_CSS;
  const root = document.createElement("div");
  shadow.append(style, root);
  el.append(host);
  for (const name of ["keydown", "keyup", "keypress"]) host.addEventListener(name, (event) => event.stopPropagation());
  prepare(root);
  const theme = themeAround();
  if (theme) root.dataset["theme"] = theme;
  const kernel = new Kernel(model);
  const app = new App(new WidgetApi(kernel));
  app.decoder = new WidgetDecoder(kernel, (id) => app.pictureOf(id));
  open(app, undefined, { root, whole: false });
  // Whoever goes on to the next cell wants what is here.
  host.addEventListener("focusout", () => app.saver.now());
  return () => {
    app.saver.now();
    kernel.close();
    host.remove();
  };
}

/** What the notebook looks like, as JupyterLab and VS Code say it. */
function themeAround(): "light" | "dark" | null {
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  if (jpThemeLight !== undefined) return jpThemeLight === "true" ? "light" : "dark";
  if (vscodeThemeKind !== undefined) return vscodeThemeKind.includes("light") ? "light" : "dark";
  return null;
}

export default { render };
