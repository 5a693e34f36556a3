/** The large image with all that is drawn over it. */

import { describe, isAbort } from "../api/client.ts";
import { COLORS, type Thing, candidatesOf, colorOf } from "../store/project.ts";
import type { App } from "../store/app.ts";
import { type Clicks } from "../tools/clicks.ts";
import { type Bench, type Tool, makeTools } from "../tools/tools.ts";
import type { ToolName } from "../store/app.ts";
import { h } from "../dom.ts";
import { say } from "../words/words.ts";
import { type Press, listenToPointer } from "./gestures.ts";
import * as paint from "./paint.ts";
import { Picture } from "./picture.ts";
import * as views from "./view.ts";
import type { Bounds } from "../masks/runs.ts";

export class Stage {
  readonly element: HTMLElement;
  view: views.View = { scale: 1, x: 0, y: 0 };
  picture: Picture | null = null;
  /** Where the pointer is, in pixels of the image; of the mouse, or of the keyboard. */
  pointer: views.Place | null = null;
  /** What the image was made into, shown right of the part `before` of its width. */
  after: Picture | null = null;
  /** Called when zoom or pan have changed. */
  onView: () => void = () => {};
  /** Whether the space bar is held, which lets drags move the image. */
  holdsSpace = false;
  private byKeyboard = false;
  /** Where the mouse is on the screen; an image that comes under it is pointed at, too. */
  private mouse: views.Place | null = null;
  private couldPreview = false;
  private readonly back = h("canvas", { class: "stage-image", "aria-hidden": "true" });
  private readonly front = h("canvas", {
    class: "stage-masks",
    tabindex: "0",
    role: "application",
    id: "stage",
  });
  private readonly trouble = h("p", { class: "stage-trouble", role: "alert", hidden: true });
  private readonly tools: Record<ToolName, Tool>;
  private overlay: { bitmap: ImageBitmap; opacity: number } | null = null;
  private before = 0;
  private screen: views.Size = { w: 1, h: 1 };
  private image: string | null = null;
  private fitted = true;
  /** The frame in which it will be painted, unless that has been done before. */
  private frame: number | null = null;
  private staleImage = true;
  private abort = new AbortController();

  constructor(
    private readonly app: App,
    readonly clicks: Clicks,
  ) {
    this.element = h("div", { class: "stage" }, this.back, this.front, this.trouble);
    const bench: Bench = { app, clicks, view: () => this.view, repaint: () => this.repaint() };
    this.tools = makeTools(bench);
    new ResizeObserver(() => this.resize()).observe(this.element);
    this.listen();
    app.listen(() => this.update());
  }

  get tool(): Tool {
    return this.tools[this.app.ui.tool];
  }

  focus(): void {
    this.front.focus({ preventScroll: true });
  }

  // ------------------------------------------------------------------------------- image

  private update(): void {
    const { ui, picture } = this.app;
    if (ui.image !== this.image) void this.load();
    this.front.setAttribute("aria-label", say("canvas.label", { name: picture?.name ?? "" }));
    this.front.style.cursor = this.holdsSpace ? "grab" : this.tool.cursor;
    const canPreview = this.app.isLoaded && ui.tool === "point" && !this.app.active;
    if (!canPreview) this.clicks.clearPreview();
    else if (!this.couldPreview && this.pointer) this.tool.hover?.(this.pointer);
    this.couldPreview = canPreview;
    this.paintNow(); // everybody is told at the beginning of a frame: the next one would be late
  }

  private async load(): Promise<void> {
    const { picture } = this.app;
    this.image = this.app.ui.image;
    this.abort.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.tool.cancel?.();
    this.clicks.clearPreview();
    this.picture?.close();
    this.picture = null;
    this.trouble.hidden = true;
    this.staleImage = true;
    this.couldPreview = false;
    if (!picture) return;
    this.fit();
    this.pointer = this.mouse && this.at(this.mouse);
    try {
      if (picture.error !== null) throw new Error(picture.error);
      const file = await this.app.api.image(picture.id, signal);
      const read = await Picture.read(file, picture.w, picture.h, () => this.repaint(true));
      if (signal.aborted) return read.close();
      this.picture = read;
      this.repaint(true);
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      this.trouble.hidden = false;
      const reason = picture.error ?? describe(error);
      this.trouble.textContent = say("canvas.unreadable", { error: reason });
    }
  }

  /** Shows something over the whole image, such as its depth. */
  setOverlay(bitmap: ImageBitmap | null, opacity: number): void {
    if (bitmap === (this.overlay?.bitmap ?? null) && opacity === (this.overlay?.opacity ?? opacity)) return;
    this.overlay = bitmap && { bitmap, opacity };
    this.repaint(true);
  }

  /** Shows an image beside what it was before: left of a share of its width, that; right of it, this. */
  setAfter(after: Picture | null, before: number): void {
    if (after === this.after && before === this.before) return;
    this.after = after;
    this.before = before;
    this.repaint(true);
  }

  // -------------------------------------------------------------------------------- view

  private get size(): views.Size {
    const picture = this.app.picture;
    return { w: picture?.w ?? 1, h: picture?.h ?? 1 };
  }

  fit(): void {
    this.fitted = true;
    this.setView(views.fit(this.size, this.screen));
  }

  zoom(factor: number, at: views.Place = { x: this.screen.w / 2, y: this.screen.h / 2 }): void {
    this.fitted = false;
    this.setView(views.zoomAt(this.view, factor, at, this.size, this.screen));
  }

  /** Shows a pixel of the image as one of the screen. */
  zoomToPixels(): void {
    const at = this.pointer ? views.toScreen(this.view, this.pointer) : undefined;
    this.zoom(1 / (this.view.scale * (window.devicePixelRatio || 1)), at);
  }

  zoomTo(part: Bounds): void {
    this.fitted = false;
    this.setView(views.zoomTo(part, this.size, this.screen));
  }

  private move(dx: number, dy: number): void {
    this.fitted = false;
    this.setView(views.pan(this.view, dx, dy, this.size, this.screen));
  }

  private setView(view: views.View): void {
    this.view = views.onPixels(view, window.devicePixelRatio || 1);
    this.onView();
    this.repaint(true);
  }

  private resize(): void {
    const before = this.screen;
    this.screen = { w: this.element.clientWidth || 1, h: this.element.clientHeight || 1 };
    if (this.fitted) this.fit();
    else this.setView(views.resized(this.view, before, this.screen, this.size));
  }

  // ------------------------------------------------------------------------------ pointer

  private at(place: views.Place): views.Place {
    return views.toImage(this.view, place);
  }

  private listen(): void {
    const tell = (what: "press" | "drag" | "release", press: Press): void => {
      this.pointer = this.at(press);
      this.byKeyboard = false;
      this.tool[what]?.(this.pointer, press);
    };
    listenToPointer(this.front, {
      hover: (place) => {
        this.byKeyboard = false;
        this.mouse = place;
        this.point(this.at(place));
      },
      leave: () => {
        this.pointer = this.mouse = null;
        this.clicks.clearPreview();
        if (this.app.ui.hovered !== null) this.app.show({ hovered: null });
        this.repaint();
      },
      touch: (place) => {
        this.byKeyboard = false;
        this.tool.hover?.(this.at(place));
      },
      press: (press) => tell("press", press),
      drag: (press) => tell("drag", press),
      release: (press) => tell("release", press),
      cancel: () => void this.tool.cancel?.(),
      move: (dx, dy) => this.move(dx, dy),
      zoom: (factor, at) => this.zoom(factor, at),
      isMoving: () => this.holdsSpace,
    });
  }

  private point(at: views.Place): void {
    this.pointer = at;
    this.tool.hover?.(at);
    if (this.app.ui.tool === "brush" || this.app.ui.tool === "eraser" || this.byKeyboard) this.repaint();
  }

  /** Moves the pointer by pixels of the screen, for whoever works with the keyboard. */
  nudge(dx: number, dy: number): void {
    const { w, h: height } = this.size;
    const middle = this.at({ x: this.screen.w / 2, y: this.screen.h / 2 });
    const from = this.pointer ?? middle;
    this.byKeyboard = true;
    this.point({
      x: Math.min(w - 0.5, Math.max(0.5, from.x + dx / this.view.scale)),
      y: Math.min(height - 0.5, Math.max(0.5, from.y + dy / this.view.scale)),
    });
    this.keepPointerInSight();
  }

  /** Presses where the keyboard's pointer is; says whether it is anywhere. */
  pressHere(press: Omit<Press, "x" | "y">): boolean {
    if (!this.byKeyboard || !this.pointer) return false;
    const there = { ...views.toScreen(this.view, this.pointer), ...press };
    this.tool.press(this.pointer, there);
    this.tool.release?.(this.pointer, there);
    return true;
  }

  private keepPointerInSight(): void {
    const { x, y } = views.toScreen(this.view, this.pointer!);
    const off = (value: number, room: number): number => Math.min(0, value - 24) + Math.max(0, value + 24 - room);
    const dx = off(x, this.screen.w);
    const dy = off(y, this.screen.h);
    if (dx || dy) this.move(-dx, -dy);
  }

  // ----------------------------------------------------------------------------- painting

  repaint(image = false): void {
    this.staleImage ||= image;
    this.frame ??= requestAnimationFrame(() => this.paintNow());
  }

  private paintNow(): void {
    if (this.frame !== null) cancelAnimationFrame(this.frame);
    this.frame = null;
    this.paint();
  }

  private prepared(canvas: HTMLCanvasElement, ratio: number): CanvasRenderingContext2D {
    const w = Math.round(this.screen.w * ratio);
    const height = Math.round(this.screen.h * ratio);
    if (canvas.width !== w || canvas.height !== height) {
      canvas.width = w;
      canvas.height = height;
    }
    const context = canvas.getContext("2d")!;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, w, height);
    return context;
  }

  private paint(): void {
    const ratio = window.devicePixelRatio || 1;
    if (this.staleImage) {
      this.staleImage = false;
      const context = this.prepared(this.back, ratio);
      this.picture?.draw(context, this.view, ratio);
      if (this.picture) this.paintOver(context, ratio);
    }
    const context = this.prepared(this.front, ratio);
    if (!this.app.picture || !this.picture) return;
    paint.toImageFrame(context, this.view, ratio);
    if (!this.app.ui.peeking && !this.after) this.paintThings(context);
    if (!this.after && !this.app.ui.peeking) this.paintCandidates(context);
    if (!this.after) this.paintTools(context);
  }

  private paintOver(context: CanvasRenderingContext2D, ratio: number): void {
    const { w, h: height } = this.size;
    if (this.overlay) {
      paint.toImageFrame(context, this.view, ratio);
      context.globalAlpha = this.overlay.opacity;
      context.imageSmoothingEnabled = true;
      context.drawImage(this.overlay.bitmap, 0, 0, w, height);
      context.globalAlpha = 1;
    }
    if (!this.after) return;
    const from = this.before * w;
    context.save();
    paint.toImageFrame(context, this.view, ratio);
    context.beginPath();
    context.rect(from, 0, w - from, height);
    context.clip();
    this.after.draw(context, this.view, ratio);
    context.restore();
    if (from > 0 && from < w) paint.paintDivider(context, from, height, this.view, ratio);
  }

  private paintThings(context: CanvasRenderingContext2D): void {
    const { ui, things, project } = this.app;
    const places = new Map(things.map((thing, i) => [thing, i]));
    const isShown = (thing: Thing): boolean => !ui.hidden.has(thing.id) && (thing.review !== "rejected" || ui.selected.has(thing.id));
    const shown = paint.inPaintingOrder(things.filter(isShown));
    const rank = (id: string): number => (ui.selected.has(id) ? 2 : ui.hovered === id ? 1 : 0);
    shown.sort((a, b) => rank(a.id) - rank(b.id)); // stable: by size within a rank
    const seen = views.visible(this.view, this.size, this.screen);
    for (const thing of shown) {
      if (!paint.isSeen(thing.counts!, this.size.h, seen)) continue;
      const emphasis = (["none", "hovered", "selected"] as const)[rank(thing.id)]!;
      const color = colorOf(project, thing, places.get(thing)!);
      paint.paintMask(context, thing.counts!, this.size.h, this.view, { color, opacity: ui.opacity, emphasis });
    }
  }

  private paintCandidates(context: CanvasRenderingContext2D): void {
    const { ui, project } = this.app;
    const some = ui.image === null ? [] : candidatesOf(project, ui.image);
    const [first, ...others] = some;
    for (const one of others) paint.paintCandidate(context, one.counts!, this.size.h, this.view, false);
    if (first) paint.paintCandidate(context, first.counts!, this.size.h, this.view, true);
    if (ui.earlier) paint.paintCandidate(context, ui.earlier, this.size.h, this.view, true);
  }

  private paintTools(context: CanvasRenderingContext2D): void {
    const { ui, active, project } = this.app;
    const preview = this.clicks.shown;
    if (preview && !ui.peeking) {
      const known = project.classes.find((one) => one.name === ui.label);
      paint.paintPreview(context, preview.counts, this.size.h, this.view, known?.color ?? COLORS[0]);
    }
    if (active?.prompt && ui.tool !== "brush" && ui.tool !== "eraser") {
      paint.paintPrompt(context, active.prompt, this.view);
    }
    this.tool.paint?.(context, this.view, this.pointer);
    if (this.byKeyboard && this.pointer) paint.paintCrosshair(context, this.pointer, this.view, ui.sign);
  }
}
