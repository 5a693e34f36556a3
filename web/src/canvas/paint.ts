/** Masks and prompts over the image: filled softly, with thin outlines at the screen's resolution. */

import { type Bounds, type Counts, area, bounds } from "../masks/runs.ts";
import { type Ring, smooth, trace } from "../masks/outline.ts";
import type { Prompt, Thing } from "../store/project.ts";
import type { View } from "./view.ts";

type Context = CanvasRenderingContext2D;

/** By how finely it was traced; 0: along the edges of the pixels. */
const paths = new WeakMap<Counts, Map<number, Path2D>>();
const boxes = new WeakMap<Counts, Bounds>();
const STEPS_SEEN = 6; // screen pixels of a pixel, from which on outlines follow the pixels
const COARSEST = 64;

/**
 * The outline of a mask in pixels of the image, as exact as the screen shows it: of a mask of many
 * megapixels that is shown small, every so many pixels are looked at.
 */
export function pathOf(counts: Counts, h: number, scale: number): Path2D {
  let known = paths.get(counts);
  if (!known) paths.set(counts, (known = new Map()));
  const step = scale >= STEPS_SEEN ? 0 : Math.min(COARSEST, 2 ** Math.max(0, Math.floor(Math.log2(1 / scale))));
  let path = known.get(step);
  if (!path) {
    const rings = trace(counts, h, step || 1);
    path = pathOfRings(step ? rings.map((ring) => smooth(ring, 0.6, step)) : rings);
    known.set(step, path);
  }
  return path;
}

/** Whether any of a mask may be on the screen. */
export function isSeen(counts: Counts, h: number, seen: Bounds): boolean {
  const box = boxes.get(counts) ?? bounds(counts, h);
  if (!box) return false;
  boxes.set(counts, box);
  return box.x0 < seen.x1 && seen.x0 < box.x1 && box.y0 < seen.y1 && seen.y0 < box.y1;
}

function pathOfRings(rings: readonly Ring[]): Path2D {
  const path = new Path2D();
  for (const ring of rings) {
    path.moveTo(ring[0]!, ring[1]!);
    for (let i = 2; i < ring.length; i += 2) path.lineTo(ring[i]!, ring[i + 1]!);
    path.closePath();
  }
  return path;
}

export function toImageFrame(context: Context, view: View, ratio: number): void {
  const scale = view.scale * ratio;
  context.setTransform(scale, 0, 0, scale, view.x * ratio, view.y * ratio);
}

export interface Look {
  readonly color: string;
  readonly opacity: number;
  readonly emphasis: "none" | "hovered" | "selected";
}

export function paintMask(context: Context, counts: Counts, h: number, view: View, look: Look): void {
  const path = pathOf(counts, h, view.scale);
  const px = 1 / view.scale;
  context.lineJoin = "round";
  context.globalAlpha = look.emphasis === "hovered" ? Math.min(1, look.opacity + 0.2) : look.opacity;
  context.fillStyle = look.color;
  context.fill(path, "evenodd");
  context.globalAlpha = 1;
  if (look.emphasis === "selected") {
    line(context, path, "rgba(0, 0, 0, 0.6)", 4.5 * px);
    line(context, path, "#fff", 2.5 * px);
    context.setLineDash([5 * px, 5 * px]);
    line(context, path, look.color, 2.5 * px);
    context.setLineDash([]);
    return;
  }
  line(context, path, "rgba(0, 0, 0, 0.45)", (look.emphasis === "hovered" ? 4 : 2.6) * px);
  line(context, path, look.color, (look.emphasis === "hovered" ? 2.4 : 1.3) * px);
}

/** What was found and nobody has accepted yet; one of them is asked about. */
export function paintCandidate(context: Context, counts: Counts, h: number, view: View, asked: boolean): void {
  const path = pathOf(counts, h, view.scale);
  const px = 1 / view.scale;
  context.lineJoin = "round";
  context.globalAlpha = asked ? 0.45 : 0.16;
  context.fillStyle = "#f2c230";
  context.fill(path, "evenodd");
  context.globalAlpha = 1;
  line(context, path, "rgba(0, 0, 0, 0.65)", (asked ? 4.5 : 3) * px);
  context.setLineDash([7 * px, 4 * px]);
  line(context, path, "#f2c230", (asked ? 2.5 : 1.5) * px);
  context.setLineDash([]);
}

/** Between before and after. */
export function paintDivider(context: Context, x: number, h: number, view: View, ratio: number): void {
  toImageFrame(context, view, ratio);
  const path = new Path2D();
  path.moveTo(x, 0);
  path.lineTo(x, h);
  line(context, path, "rgba(0, 0, 0, 0.6)", 4 / view.scale);
  line(context, path, "#fff", 2 / view.scale);
}

/** What a click would keep. */
export function paintPreview(context: Context, counts: Counts, h: number, view: View, color: string): void {
  const path = pathOf(counts, h, view.scale);
  const px = 1 / view.scale;
  context.lineJoin = "round";
  context.globalAlpha = 0.28;
  context.fillStyle = color;
  context.fill(path, "evenodd");
  context.globalAlpha = 1;
  line(context, path, "rgba(0, 0, 0, 0.5)", 3.2 * px);
  line(context, path, "#fff", 1.6 * px);
}

function line(context: Context, path: Path2D, color: string, width: number): void {
  context.strokeStyle = color;
  context.lineWidth = width;
  context.stroke(path);
}

/** Larger ones first, so that small ones can be seen. */
export function inPaintingOrder(things: readonly Thing[]): Thing[] {
  const sized = things.filter((thing) => thing.counts).map((thing) => [area(thing.counts!), thing] as const);
  return sized.sort(([a], [b]) => b - a).map(([, thing]) => thing);
}

/** Clicks as dots with a sign, and the box. */
export function paintPrompt(context: Context, prompt: Prompt, view: View): void {
  const px = 1 / view.scale;
  if (prompt.box) paintBox(context, prompt.box, view);
  for (const [x, y, label] of prompt.points) {
    context.beginPath();
    context.arc(x + 0.5, y + 0.5, 6.5 * px, 0, 2 * Math.PI);
    context.fillStyle = label ? "#12a150" : "#e5383b";
    context.fill();
    context.strokeStyle = "#fff";
    context.lineWidth = 1.6 * px;
    context.stroke();
    context.beginPath();
    context.moveTo(x + 0.5 - 3 * px, y + 0.5);
    context.lineTo(x + 0.5 + 3 * px, y + 0.5);
    if (label) {
      context.moveTo(x + 0.5, y + 0.5 - 3 * px);
      context.lineTo(x + 0.5, y + 0.5 + 3 * px);
    }
    context.stroke();
  }
}

export function paintBox(context: Context, box: readonly [number, number, number, number], view: View): void {
  const px = 1 / view.scale;
  const [x0, y0, x1, y1] = box;
  const path = new Path2D();
  path.rect(x0, y0, x1 - x0, y1 - y0);
  line(context, path, "rgba(0, 0, 0, 0.55)", 3.5 * px);
  context.setLineDash([6 * px, 4 * px]);
  line(context, path, "#fff", 1.5 * px);
  context.setLineDash([]);
}

/** A line that is being drawn by hand. */
export function paintTrail(
  context: Context,
  trail: readonly { x: number; y: number }[],
  view: View,
  closed: boolean,
): void {
  const px = 1 / view.scale;
  const path = new Path2D();
  trail.forEach(({ x, y }, i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
  if (closed) {
    context.globalAlpha = 0.2;
    context.fillStyle = "#fff";
    context.fill(path, "evenodd");
    context.globalAlpha = 1;
  }
  line(context, path, "rgba(0, 0, 0, 0.55)", 3.5 * px);
  line(context, path, "#fff", 1.5 * px);
}

/** The stroke of a brush, and the brush itself. */
export function paintStroke(
  context: Context,
  trail: readonly { x: number; y: number }[],
  radius: number,
  color: string,
): void {
  const path = new Path2D();
  trail.forEach(({ x, y }, i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
  if (trail.length === 1) path.lineTo(trail[0]!.x + 1e-3, trail[0]!.y);
  context.lineCap = "round";
  context.lineJoin = "round";
  context.globalAlpha = 0.5;
  line(context, path, color, 2 * radius);
  context.globalAlpha = 1;
}

export function paintBrush(context: Context, at: { x: number; y: number }, radius: number, view: View): void {
  const px = 1 / view.scale;
  const path = new Path2D();
  path.arc(at.x, at.y, radius, 0, 2 * Math.PI);
  line(context, path, "rgba(0, 0, 0, 0.6)", 3 * px);
  line(context, path, "#fff", 1.3 * px);
}

/** The pointer of whoever works with the keyboard. */
export function paintCrosshair(context: Context, at: { x: number; y: number }, view: View, sign: 0 | 1): void {
  const px = 1 / view.scale;
  const path = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
    path.moveTo(at.x + 5 * dx * px, at.y + 5 * dy * px);
    path.lineTo(at.x + 16 * dx * px, at.y + 16 * dy * px);
  }
  line(context, path, "rgba(0, 0, 0, 0.7)", 4 * px);
  line(context, path, sign ? "#5ee39b" : "#ff8f8f", 2 * px);
}
