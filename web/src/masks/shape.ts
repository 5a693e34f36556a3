/** Changes of the shape of a mask: drawing, growing, smoothing, holes and pieces. */

import { type Bounds, type Counts, type Patch, bounds, decodePatch, emptyCounts, encodePatch } from "./runs.ts";

interface Place {
  x: number;
  y: number;
}

/** Fills what a stroke of a round brush covers: all pixels whose middle it passes over. */
export function stroke(path: readonly Place[], radius: number, h: number, w: number): Counts {
  const first = path[0];
  if (!first) return emptyCounts(h, w);
  const box: Bounds = {
    x0: Math.floor(Math.min(...path.map((p) => p.x)) - radius) - 1,
    y0: Math.floor(Math.min(...path.map((p) => p.y)) - radius) - 1,
    x1: Math.ceil(Math.max(...path.map((p) => p.x)) + radius) + 1,
    y1: Math.ceil(Math.max(...path.map((p) => p.y)) + radius) + 1,
  };
  const patch = blank(clip(box, h, w));
  if (path.length === 1) segment(patch, first, first, radius);
  for (let i = 1; i < path.length; i++) segment(patch, path[i - 1]!, path[i]!, radius);
  // A brush smaller than a pixel still paints the one that it is on.
  for (const { x, y } of path) set(patch, Math.floor(x), Math.floor(y));
  return encodePatch(patch, h, w);
}

function segment(patch: Patch, a: Place, b: Place, radius: number): void {
  const dx = b.x - a.x;
  const dy = b.y - a.y;
  const squared = dx * dx + dy * dy;
  const x0 = Math.max(patch.x0, Math.floor(Math.min(a.x, b.x) - radius));
  const x1 = Math.min(patch.x1, Math.ceil(Math.max(a.x, b.x) + radius));
  const y0 = Math.max(patch.y0, Math.floor(Math.min(a.y, b.y) - radius));
  const y1 = Math.min(patch.y1, Math.ceil(Math.max(a.y, b.y) + radius));
  for (let x = x0; x < x1; x++) {
    for (let y = y0; y < y1; y++) {
      const px = x + 0.5 - a.x;
      const py = y + 0.5 - a.y;
      const along = squared ? Math.min(1, Math.max(0, (px * dx + py * dy) / squared)) : 0;
      const gapX = px - along * dx;
      const gapY = py - along * dy;
      if (gapX * gapX + gapY * gapY <= radius * radius) set(patch, x, y);
    }
  }
}

/** Fills a polygon by the even-odd rule: all pixels whose middle is inside. */
export function polygon(corners: readonly Place[], h: number, w: number): Counts {
  if (corners.length < 3) return emptyCounts(h, w);
  const box: Bounds = {
    x0: Math.floor(Math.min(...corners.map((p) => p.x))),
    y0: Math.floor(Math.min(...corners.map((p) => p.y))),
    x1: Math.ceil(Math.max(...corners.map((p) => p.x))),
    y1: Math.ceil(Math.max(...corners.map((p) => p.y))),
  };
  const patch = blank(clip(box, h, w));
  for (let x = patch.x0; x < patch.x1; x++) {
    const middle = x + 0.5;
    const crossings: number[] = [];
    corners.forEach((a, i) => {
      const b = corners[(i + 1) % corners.length]!;
      if (a.x <= middle === b.x <= middle) return;
      crossings.push(a.y + ((middle - a.x) / (b.x - a.x)) * (b.y - a.y));
    });
    crossings.sort((p, q) => p - q);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const top = Math.max(patch.y0, Math.ceil(crossings[i]! - 0.5));
      const bottom = Math.min(patch.y1, Math.ceil(crossings[i + 1]! - 0.5));
      for (let y = top; y < bottom; y++) set(patch, x, y);
    }
  }
  return encodePatch(patch, h, w);
}

/** Lets a mask grow by so many pixels, or shrink if negative; the image's border is no edge. */
export function grow(counts: Counts, h: number, w: number, by: number): Counts {
  const box = bounds(counts, h);
  if (!box || !by) return counts;
  const radius = Math.abs(by);
  const margin = Math.ceil(radius) + 1;
  const patch = decodePatch(counts, h, wider(box, margin));
  const near = within(patch, by > 0 ? 1 : 0, radius, h, w);
  const pixels = patch.pixels.map((value, i) => (by > 0 ? value | near[i]! : value & (near[i]! ^ 1)));
  return encodePatch({ ...patch, pixels }, h, w);
}

/** Rounds off: what is narrower than about twice the radius goes, inside as outside. */
export function smoothed(counts: Counts, h: number, w: number, radius: number): Counts {
  const closed = grow(grow(counts, h, w, radius), h, w, -radius);
  const opened = grow(grow(closed, h, w, -radius), h, w, radius);
  return bounds(opened, h) ? opened : closed;
}

/** Fills all holes: what is not connected, by edges, with the outside. */
export function fillHoles(counts: Counts, h: number, w: number): Counts {
  const box = bounds(counts, h);
  if (!box) return counts;
  const patch = decodePatch(counts, h, wider(box, 1));
  const outside = flood(patch, 0, 0, 0);
  return encodePatch({ ...patch, pixels: outside.map((value) => value ^ 1) }, h, w);
}

/** Keeps the largest piece; pixels that touch at an edge or a corner are one. */
export function largestPiece(counts: Counts, h: number, w: number): Counts {
  const box = bounds(counts, h);
  if (!box) return counts;
  const patch = decodePatch(counts, h, wider(box, 1));
  const seen = new Uint8Array(patch.pixels.length);
  let best: Int32Array = new Int32Array(0);
  for (let i = 0; i < seen.length; i++) {
    if (!patch.pixels[i] || seen[i]) continue;
    const piece = pieceAt(patch, i, seen);
    if (piece.length > best.length) best = piece;
  }
  const pixels = new Uint8Array(seen.length);
  for (const i of best) pixels[i] = 1;
  return encodePatch({ ...patch, pixels }, h, w);
}

// ---------------------------------------------------------------------------- patches

function blank(box: Bounds): Patch {
  return { ...box, pixels: new Uint8Array(Math.max(0, box.x1 - box.x0) * Math.max(0, box.y1 - box.y0)) };
}

function clip(box: Bounds, h: number, w: number): Bounds {
  const inside = (value: number, most: number): number => Math.min(most, Math.max(0, value));
  return { x0: inside(box.x0, w), y0: inside(box.y0, h), x1: inside(box.x1, w), y1: inside(box.y1, h) };
}

function wider(box: Bounds, by: number): Bounds {
  return { x0: box.x0 - by, y0: box.y0 - by, x1: box.x1 + by, y1: box.y1 + by };
}

function set(patch: Patch, x: number, y: number): void {
  if (x < patch.x0 || y < patch.y0 || x >= patch.x1 || y >= patch.y1) return;
  patch.pixels[(x - patch.x0) * (patch.y1 - patch.y0) + (y - patch.y0)] = 1;
}

/**
 * Which pixels have one of a value within a distance of theirs.
 *
 * Columns first, then the distances across: exact Euclidean distance in two passes. What lies
 * outside of the image has no value, so masks do not shrink from its border.
 */
function within(patch: Patch, value: 0 | 1, radius: number, h: number, w: number): Uint8Array {
  const height = patch.y1 - patch.y0;
  const width = patch.x1 - patch.x0;
  const far = radius + 1;
  const vertical = new Float32Array(patch.pixels.length).fill(far);
  const counts = (x: number, y: number): boolean => x >= 0 && y >= 0 && x < w && y < h;
  for (let x = 0; x < width; x++) {
    for (const step of [1, -1]) {
      let distance = far;
      for (let k = 0; k < height; k++) {
        const y = step > 0 ? k : height - 1 - k;
        const i = x * height + y;
        const hit = patch.pixels[i] === value && counts(x + patch.x0, y + patch.y0);
        distance = hit ? 0 : Math.min(far, distance + 1);
        vertical[i] = Math.min(vertical[i]!, distance);
      }
    }
  }
  const near = new Uint8Array(patch.pixels.length);
  const reach = Math.floor(radius);
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      for (let other = Math.max(0, x - reach); other <= Math.min(width - 1, x + reach); other++) {
        const gap = vertical[other * height + y]!;
        if (gap * gap + (other - x) ** 2 > radius * radius) continue;
        near[x * height + y] = 1;
        break;
      }
    }
  }
  return near;
}

/** The pixels of a value that are connected by edges with a place, as a mask of the patch. */
function flood(patch: Patch, startX: number, startY: number, value: number): Uint8Array {
  const height = patch.y1 - patch.y0;
  const width = patch.x1 - patch.x0;
  const found = new Uint8Array(patch.pixels.length);
  const stack = [startX * height + startY];
  found[stack[0]!] = 1;
  for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
    const x = Math.floor(i / height);
    const y = i - x * height;
    const visit = (inside: boolean, next: number): void => {
      if (!inside || found[next] || patch.pixels[next] !== value) return;
      found[next] = 1;
      stack.push(next);
    };
    visit(x > 0, i - height);
    visit(x < width - 1, i + height);
    visit(y > 0, i - 1);
    visit(y < height - 1, i + 1);
  }
  return found;
}

function pieceAt(patch: Patch, start: number, seen: Uint8Array): Int32Array {
  const height = patch.y1 - patch.y0;
  const piece = [start];
  seen[start] = 1;
  for (let at = 0; at < piece.length; at++) {
    const i = piece[at]!;
    // The patch has an empty border, so that neighbours are never on its other side.
    for (const next of [i - 1, i + 1, i - height, i + height, i - height - 1, i - height + 1, i + height - 1, i + height + 1]) {
      if (!patch.pixels[next] || seen[next]) continue;
      seen[next] = 1;
      piece.push(next);
    }
  }
  return Int32Array.from(piece);
}
