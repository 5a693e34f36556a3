/** What the pointer does with each tool. */

import type { Press } from "../canvas/gestures.ts";
import * as paint from "../canvas/paint.ts";
import { type Place, type View, isInside, pointAt } from "../canvas/view.ts";
import { type Counts, area, subtract, union } from "../masks/runs.ts";
import { polygon, stroke } from "../masks/shape.ts";
import type { App, ToolName } from "../store/app.ts";
import { addThings, newThing, thingAt } from "../store/project.ts";
import { say } from "../words/words.ts";
import type { Clicks } from "./clicks.ts";
import { reshape } from "./edits.ts";

/** What a tool is told; places are in pixels of the image. */
export interface Tool {
  readonly cursor: string;
  hover?(at: Place): void;
  press(at: Place, press: Press): void;
  drag?(at: Place, press: Press): void;
  release?(at: Place, press: Press): void;
  /** Drops what has begun; says whether there was something. */
  cancel?(): boolean;
  paint?(context: CanvasRenderingContext2D, view: View, pointer: Place | null): void;
}

export interface Bench {
  readonly app: App;
  readonly clicks: Clicks;
  readonly view: () => View;
  readonly repaint: () => void;
}

const NEAR = 4; // pixels of the screen that a preview may be off to be what a click keeps
const DRAGGED = 4; // pixels of the screen from which on a press is a drag

export function makeTools(bench: Bench): Record<ToolName, Tool> {
  const brush = new Brush(bench, false);
  return {
    point: new PointTool(bench),
    box: new BoxTool(bench),
    brush,
    eraser: new Brush(bench, true),
    lasso: new Lasso(bench),
    pick: new Pick(bench),
  };
}

/** Selects the mask at a place; Shift adds to what is selected, or takes it out again. */
export function pickAt({ app }: Bench, at: Place, add: boolean): void {
  const picture = app.picture;
  if (!picture) return;
  const visible = app.things.filter((thing) => !app.ui.hidden.has(thing.id));
  const thing = thingAt(visible, picture.h, at.x, at.y);
  const selected = new Set(add ? app.ui.selected : []);
  if (thing && selected.has(thing.id)) selected.delete(thing.id);
  else if (thing) selected.add(thing.id);
  app.show({ selected });
}

class PointTool implements Tool {
  readonly cursor = "crosshair";

  constructor(private readonly bench: Bench) {}

  hover(at: Place): void {
    const { app, clicks } = this.bench;
    const picture = app.picture;
    if (!picture || app.active || !isInside(at, picture)) clicks.clearPreview();
    else clicks.hover(pointAt(at, picture));
  }

  press(at: Place, press: Press): void {
    const { app } = this.bench;
    const label = (app.ui.sign === 1) !== press.away ? 1 : 0;
    app.whenLoaded(() => this.act(at, press, label)); // what is there decides which mask a click is about
  }

  private act(at: Place, press: Press, label: 0 | 1): void {
    const { app, clicks } = this.bench;
    const picture = app.picture;
    if (!picture || !isInside(at, picture)) return;
    if (press.ctrl) return pickAt(this.bench, at, false);
    let thing = press.shift ? null : app.active;
    if (!thing && label === 0) {
      thing = thingAt(app.things, picture.h, at.x, at.y);
      if (!thing) return app.notify(say("hint.select_first"));
      app.show({ selected: new Set([thing.id]) });
    }
    clicks.click([...pointAt(at, picture), label], thing, NEAR / this.bench.view().scale);
  }
}

class BoxTool implements Tool {
  readonly cursor = "crosshair";
  private from: Place | null = null;
  private to: Place | null = null;

  constructor(private readonly bench: Bench) {}

  press(at: Place, press: Press): void {
    if (press.ctrl) return pickAt(this.bench, at, false);
    this.from = at;
  }

  drag(at: Place): void {
    this.to = at;
    this.bench.repaint();
  }

  release(at: Place, press: Press): void {
    this.to = at;
    const box = this.box();
    const { app, clicks } = this.bench;
    const size = this.from ? Math.hypot(at.x - this.from.x, at.y - this.from.y) * this.bench.view().scale : 0;
    const from = this.from;
    this.cancel();
    if (box && size >= DRAGGED) clicks.box(box);
    // A click in passing means what it means with the point tool, to what is selected.
    else if (from && app.active && app.picture && isInside(at, app.picture)) {
      const label = (app.ui.sign === 1) !== press.away ? 1 : 0;
      clicks.click([...pointAt(at, app.picture), label], app.active, 0);
    }
  }

  cancel(): boolean {
    const had = this.from !== null;
    this.from = this.to = null;
    this.bench.repaint();
    return had;
  }

  paint(context: CanvasRenderingContext2D, view: View): void {
    const box = this.box();
    if (box) paint.paintBox(context, box, view);
  }

  private box(): [number, number, number, number] | null {
    const picture = this.bench.app.picture;
    if (!this.from || !this.to || !picture) return null;
    const x = (value: number): number => Math.round(Math.min(picture.w, Math.max(0, value)) * 10) / 10;
    const y = (value: number): number => Math.round(Math.min(picture.h, Math.max(0, value)) * 10) / 10;
    const [x0, x1] = [x(Math.min(this.from.x, this.to.x)), x(Math.max(this.from.x, this.to.x))];
    const [y0, y1] = [y(Math.min(this.from.y, this.to.y)), y(Math.max(this.from.y, this.to.y))];
    return x1 > x0 && y1 > y0 ? [x0, y0, x1, y1] : null;
  }
}

/** Paints into what is selected, or a new mask; the eraser takes away. */
class Brush implements Tool {
  readonly cursor = "none";
  private trail: Place[] = [];
  private away = false;

  constructor(
    private readonly bench: Bench,
    private readonly erases: boolean,
  ) {}

  hover(): void {
    this.bench.repaint();
  }

  press(at: Place, press: Press): void {
    const { app } = this.bench;
    if (press.ctrl) return pickAt(this.bench, at, false);
    this.away = this.erases !== press.away;
    if (this.away && !app.ui.selected.size) return app.notify(say("hint.select_first"));
    this.trail = [at];
    this.bench.repaint();
  }

  drag(at: Place): void {
    if (!this.trail.length) return;
    this.trail.push(at);
    this.bench.repaint();
  }

  release(): void {
    const { app } = this.bench;
    const picture = app.picture;
    const { trail, away } = this;
    this.trail = [];
    this.bench.repaint();
    if (!trail.length || !picture) return;
    const drawn = stroke(trail, this.radius, picture.h, picture.w);
    if (area(drawn)) app.whenLoaded(() => this.keep(drawn, picture.id, away));
  }

  private keep(drawn: Counts, image: string, away: boolean): void {
    const { app } = this.bench;
    if (away) {
      reshape(app, app.ui.selected, "eraser", (counts) => subtract(counts, drawn));
    } else if (app.active) {
      reshape(app, app.ui.selected, "brush", (counts) => union(counts, drawn));
    } else {
      const thing = newThing({ counts: drawn, label: app.ui.label });
      app.commit(addThings(app.project, image, [thing]), "brush");
      app.show({ selected: new Set([thing.id]) });
    }
  }

  cancel(): boolean {
    const had = this.trail.length > 0;
    this.trail = [];
    this.bench.repaint();
    return had;
  }

  paint(context: CanvasRenderingContext2D, view: View, pointer: Place | null): void {
    if (this.trail.length) paint.paintStroke(context, this.trail, this.radius, this.away ? "#e5383b" : "#12a150");
    const at = this.trail.at(-1) ?? pointer;
    if (at) paint.paintBrush(context, at, this.radius, view);
  }

  private get radius(): number {
    return this.bench.app.ui.brush / 2 / this.bench.view().scale;
  }
}

/** A rough mask, which the model makes exact. */
class Lasso implements Tool {
  readonly cursor = "crosshair";
  private trail: Place[] = [];

  constructor(private readonly bench: Bench) {}

  press(at: Place, press: Press): void {
    if (press.ctrl) return pickAt(this.bench, at, false);
    this.trail = [at];
  }

  drag(at: Place): void {
    this.trail.push(at);
    this.bench.repaint();
  }

  release(): void {
    const { app, clicks } = this.bench;
    const picture = app.picture;
    const trail = this.trail;
    this.cancel();
    if (!picture || trail.length < 3) return;
    const rough = polygon(trail, picture.h, picture.w);
    if (area(rough)) app.whenLoaded(() => clicks.begin({ points: [], box: null, mask: rough }, [], "lasso"));
  }

  cancel(): boolean {
    const had = this.trail.length > 0;
    this.trail = [];
    this.bench.repaint();
    return had;
  }

  paint(context: CanvasRenderingContext2D, view: View): void {
    if (this.trail.length > 1) paint.paintTrail(context, this.trail, view, true);
  }
}

class Pick implements Tool {
  readonly cursor = "default";

  constructor(private readonly bench: Bench) {}

  hover(at: Place): void {
    const { app } = this.bench;
    const picture = app.picture;
    if (!picture) return;
    const visible = app.things.filter((thing) => !app.ui.hidden.has(thing.id));
    const hovered = thingAt(visible, picture.h, at.x, at.y)?.id ?? null;
    if (hovered !== app.ui.hovered) app.show({ hovered });
  }

  press(at: Place, press: Press): void {
    pickAt(this.bench, at, press.shift || press.ctrl);
  }
}
