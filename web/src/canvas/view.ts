/** Where the image lies on the screen: zoom and pan. Screen lengths are CSS pixels of the canvas. */

import type { Bounds } from "../masks/runs.ts";

/** A place: of the image in the frame of boxes ((0, 0) is the corner of the first pixel), or of the screen. */
export interface Place {
  x: number;
  y: number;
}

export interface Size {
  w: number;
  h: number;
}

/** `screen = image * scale + (x, y)`. */
export interface View extends Place {
  scale: number;
}

const MARGIN = 16;
const BELOW = 50; // where the line of what is happening stands
const LARGEST = 64; // screen pixels of one of the image
const SMALLEST_SIDE = 48; // of the whole image on the screen

export function fit(image: Size, screen: Size): View {
  const room = { w: Math.max(1, screen.w - 2 * MARGIN), h: Math.max(1, screen.h - MARGIN - BELOW) };
  const scale = Math.min(room.w / image.w, room.h / image.h, 8);
  return { scale, x: (screen.w - image.w * scale) / 2, y: MARGIN + (room.h - image.h * scale) / 2 };
}

/** Moves by less than a pixel of the screen, so that at 100 % each pixel of the image is one of it. */
export function onPixels(view: View, ratio: number): View {
  const whole = (value: number): number => Math.round(value * ratio) / ratio;
  return { scale: view.scale, x: whole(view.x), y: whole(view.y) };
}

/** Zooms so that what is at a place of the screen stays there. */
export function zoomAt(view: View, factor: number, at: Place, image: Size, screen: Size): View {
  const smallest = Math.min(fit(image, screen).scale, SMALLEST_SIDE / Math.max(image.w, image.h));
  const scale = Math.min(LARGEST, Math.max(smallest, view.scale * factor));
  const change = scale / view.scale;
  const next = { scale, x: at.x - (at.x - view.x) * change, y: at.y - (at.y - view.y) * change };
  return keepInSight(next, image, screen);
}

export function pan(view: View, dx: number, dy: number, image: Size, screen: Size): View {
  return keepInSight({ ...view, x: view.x + dx, y: view.y + dy }, image, screen);
}

/** Moves as little as needed for a part of the image to stay on the screen. */
export function keepInSight(view: View, image: Size, screen: Size): View {
  const along = (at: number, length: number, room: number): number => {
    const part = Math.min(length, room, 80);
    return Math.min(room - part, Math.max(part - length, at));
  };
  return {
    scale: view.scale,
    x: along(view.x, image.w * view.scale, screen.w),
    y: along(view.y, image.h * view.scale, screen.h),
  };
}

/** Keeps what is in the middle there when the screen changes its size. */
export function resized(view: View, before: Size, after: Size, image: Size): View {
  const moved = { ...view, x: view.x + (after.w - before.w) / 2, y: view.y + (after.h - before.h) / 2 };
  return keepInSight(moved, image, after);
}

/** Shows a part of the image as large as fits, with some of its surroundings. */
export function zoomTo(part: Bounds, image: Size, screen: Size): View {
  const w = Math.max(1, part.x1 - part.x0) * 1.4;
  const h = Math.max(1, part.y1 - part.y0) * 1.4;
  const scale = Math.min(fit({ w, h }, screen).scale, LARGEST);
  const x = screen.w / 2 - ((part.x0 + part.x1) / 2) * scale;
  const y = screen.h / 2 - ((part.y0 + part.y1) / 2) * scale;
  return keepInSight({ scale, x, y }, image, screen);
}

export function toImage(view: View, at: Place): Place {
  return { x: (at.x - view.x) / view.scale, y: (at.y - view.y) / view.scale };
}

export function toScreen(view: View, at: Place): Place {
  return { x: at.x * view.scale + view.x, y: at.y * view.scale + view.y };
}

/** The part of the image that is on the screen, in whole pixels. */
export function visible(view: View, image: Size, screen: Size): Bounds {
  const a = toImage(view, { x: 0, y: 0 });
  const b = toImage(view, { x: screen.w, y: screen.h });
  return {
    x0: Math.max(0, Math.floor(a.x)),
    y0: Math.max(0, Math.floor(a.y)),
    x1: Math.min(image.w, Math.ceil(b.x)),
    y1: Math.min(image.h, Math.ceil(b.y)),
  };
}

/** A point as models have it, (0, 0) in the middle of the first pixel; tenths of pixels, inside. */
export function pointAt(at: Place, image: Size): [number, number] {
  const inside = (value: number, length: number): number =>
    Math.min(length - 1, Math.max(0, Math.round((value - 0.5) * 10) / 10));
  return [inside(at.x, image.w), inside(at.y, image.h)];
}

export function isInside(at: Place, image: Size): boolean {
  return at.x >= 0 && at.y >= 0 && at.x < image.w && at.y < image.h;
}
