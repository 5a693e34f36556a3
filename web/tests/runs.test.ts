import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as runs from "../src/masks/runs.ts";
import { smooth, trace } from "../src/masks/outline.ts";
import * as shape from "../src/masks/shape.ts";

/** Masks and what anymask.masks.rle says of them, written by tests/web/test_page_units.py. */
interface Golden {
  size: [number, number];
  rows: string[];
  counts: number[];
  text: string;
  area: number;
  box: number[];
}

const goldens = JSON.parse(readFileSync(process.env["GOLDENS"] ?? "tests/runs.json", "utf8")) as Golden[];

function columns(rows: readonly string[]): Uint8Array {
  const h = rows.length;
  const w = rows[0]?.length ?? 0;
  const pixels = new Uint8Array(h * w);
  rows.forEach((row, y) => [...row].forEach((one, x) => (pixels[x * h + y] = one === "#" ? 1 : 0)));
  return pixels;
}

function mask(...rows: string[]): runs.Counts {
  return runs.encode(columns(rows));
}

function rowsOf(counts: runs.Counts, h: number, w: number): string[] {
  const pixels = runs.decode(counts);
  return Array.from({ length: h }, (_, y) =>
    Array.from({ length: w }, (_, x) => (pixels[x * h + y] ? "#" : ".")).join(""),
  );
}

test("run lengths equal the library's", () => {
  assert.ok(goldens.length > 20);
  for (const golden of goldens) {
    const [h, w] = golden.size;
    const counts = runs.encode(columns(golden.rows));
    assert.deepEqual([...counts], golden.counts);
    assert.equal(runs.toText(counts), golden.text);
    assert.deepEqual([...runs.fromText(golden.text)], golden.counts);
    assert.deepEqual(rowsOf(counts, h, w), golden.rows);
    assert.equal(runs.area(counts), golden.area);
    const box = runs.bounds(counts, h);
    assert.deepEqual(box ? [box.x0, box.y0, box.x1 - 1, box.y1 - 1] : [0, 0, 0, 0], golden.box);
    const whole = { x0: -2, y0: -1, x1: w + 1, y1: h + 3 };
    assert.deepEqual([...runs.encodePatch(runs.decodePatch(counts, h, whole), h, w)], golden.counts);
  }
});

test("large runs survive the string", () => {
  const counts = Uint32Array.of(0, 4_000_000_000, 1, 7, 3_999_999_999, 2);
  assert.deepEqual(runs.fromText(runs.toText(counts)), counts);
});

test("damaged strings are refused", () => {
  for (const text of ["\x20", "é", "0A~", "oooooo"]) assert.throws(() => runs.fromText(text), /damaged/);
});

test("a pixel is found in a mask", () => {
  const counts = mask("..#", "###", "#..");
  const h = 3;
  const inside = (x: number, y: number): boolean => runs.contains(counts, h, x, y);
  assert.ok(inside(2, 0) && inside(0, 1) && inside(0, 2));
  assert.ok(!inside(0, 0) && !inside(2, 2) && !inside(-1, 1) && !inside(3, 1) && !inside(0, 3) && !inside(0, -1));
});

test("masks are combined", () => {
  const a = mask("##.", "##.");
  const b = mask(".##", "...");
  assert.deepEqual(rowsOf(runs.union(a, b), 2, 3), ["###", "##."]);
  assert.deepEqual(rowsOf(runs.intersect(a, b), 2, 3), [".#.", "..."]);
  assert.deepEqual(rowsOf(runs.subtract(a, b), 2, 3), ["#..", "##."]);
  assert.equal(runs.iou(a, b), 1 / 5);
  assert.ok(runs.same(runs.union(a, b), runs.union(b, a)));
  assert.throws(() => runs.union(a, mask("#")), /different/);
});

test("combinations of the goldens agree with pixels", () => {
  for (const a of goldens) {
    for (const b of goldens.filter((one) => one.size.join() === a.size.join())) {
      const [p, q] = [columns(a.rows), columns(b.rows)];
      const [x, y] = [runs.encode(p), runs.encode(q)];
      assert.deepEqual(runs.union(x, y), runs.encode(p.map((one, i) => one | q[i]!)));
      assert.deepEqual(runs.subtract(x, y), runs.encode(p.map((one, i) => one & (q[i]! ^ 1))));
    }
  }
});

test("outlines run along the edges of pixels", () => {
  assert.deepEqual(trace(mask("#"), 1).map((ring) => [...ring]), [[1, 0, 1, 1, 0, 1, 0, 0]]);
  assert.deepEqual(trace(runs.emptyCounts(2, 2), 2), []);
});

/** Twice the area of a ring: positive if it is clockwise as seen. */
function doubleArea(ring: ArrayLike<number>): number {
  let sum = 0;
  const n = ring.length / 2;
  for (let i = 0; i < n; i++) {
    const j = (i + 1) % n;
    sum += ring[2 * i]! * ring[2 * j + 1]! - ring[2 * j]! * ring[2 * i + 1]!;
  }
  return sum;
}

test("outlines enclose exactly the mask, holes counted backwards", () => {
  for (const golden of goldens) {
    const rings = trace(runs.encode(columns(golden.rows)), golden.size[0]);
    assert.equal(rings.reduce((sum, ring) => sum + doubleArea(ring), 0), 2 * golden.area);
  }
});

test("pixels that touch at a corner have an outline each", () => {
  assert.equal(trace(mask("#.", ".#"), 2).length, 2);
});

test("a hole has an outline of its own", () => {
  const rings = trace(mask("###", "#.#", "###"), 3);
  assert.deepEqual(rings.map((ring) => Math.sign(doubleArea(ring))), [1, -1]);
});

test("outlines of what is shown small are traced coarsely, but never lose a mask", () => {
  const h = 400;
  const w = 500;
  const drawn = (covers: (x: number, y: number) => boolean): runs.Counts =>
    runs.encode(Uint8Array.from({ length: w * h }, (_, i) => Number(covers(Math.floor(i / h), i % h))));
  const inside = (x: number, y: number): boolean => Math.hypot(x + 0.5 - 240, y + 0.5 - 200) < 150;
  const disc = drawn(inside);
  const [exact] = trace(disc, h);
  for (const step of [2, 4, 8, 16]) {
    const [ring, ...others] = trace(disc, h, step);
    assert.equal(others.length, 0);
    assert.ok(ring!.length < (1.3 * exact!.length) / step, `${step}`);
    const rounded = smooth(ring!, 0.6, step);
    for (let i = 0; i < rounded.length; i += 2) {
      assert.ok(Math.abs(Math.hypot(rounded[i]! - 240, rounded[i + 1]! - 200) - 150) < 1.5 * step, `${step}`);
    }
  }
  const dot = drawn((x, y) => x === 3 && y === 5);
  assert.deepEqual(trace(dot, h, 64), trace(dot, h));
  const line = drawn((x, y) => x === 101 && y > 5);
  assert.deepEqual(trace(line, h, 16), trace(line, h));
  assert.deepEqual(trace(runs.emptyCounts(4, 4), 4, 8), []);
});

test("smooth outlines stay within a pixel and have fewer corners", () => {
  const h = 60;
  const disc = shape.stroke([{ x: 30, y: 30 }], 20, h, 60);
  const [ring] = trace(disc, h);
  const smoothed = smooth(ring!, 0.6);
  assert.ok(smoothed.length < ring!.length / 2);
  for (let i = 0; i < smoothed.length; i += 2) {
    const distance = Math.hypot(smoothed[i]! - 30, smoothed[i + 1]! - 30);
    assert.ok(Math.abs(distance - 20) < 1, `${distance}`);
  }
});

test("a brush covers the pixels whose middle it passes over", () => {
  assert.deepEqual(rowsOf(shape.stroke([{ x: 2.5, y: 1.5 }], 1, 3, 5), 3, 5), ["..#..", ".###.", "..#.."]);
  assert.deepEqual(rowsOf(shape.stroke([{ x: 0.5, y: 1.5 }, { x: 4.5, y: 1.5 }], 0.4, 3, 5), 3, 5), [".....", "#####", "....."]);
  assert.deepEqual(rowsOf(shape.stroke([{ x: 1.1, y: 0.1 }], 0.1, 1, 3), 1, 3), [".#."]);
  assert.equal(runs.area(shape.stroke([{ x: -50, y: -50 }], 3, 4, 4)), 0);
  assert.equal(runs.area(shape.stroke([], 3, 4, 4)), 0);
});

test("a lasso is filled, and cut off at the image's border", () => {
  const square = [{ x: 1, y: 1 }, { x: 3, y: 1 }, { x: 3, y: 3 }, { x: 1, y: 3 }];
  assert.deepEqual(rowsOf(shape.polygon(square, 4, 4), 4, 4), ["....", ".##.", ".##.", "...."]);
  const beyond = [{ x: -9, y: -9 }, { x: 99, y: -9 }, { x: 99, y: 99 }, { x: -9, y: 99 }];
  assert.equal(runs.area(shape.polygon(beyond, 3, 5)), 15);
  assert.equal(runs.area(shape.polygon(square.slice(0, 2), 4, 4)), 0);
});

test("masks grow and shrink by distance, not from the image's border", () => {
  const dot = mask(".....", ".....", "..#..", ".....", ".....");
  assert.deepEqual(rowsOf(shape.grow(dot, 5, 5, 1), 5, 5), [".....", "..#..", ".###.", "..#..", "....."]);
  assert.equal(runs.area(shape.grow(dot, 5, 5, 2)), 13);
  assert.deepEqual(shape.grow(shape.grow(dot, 5, 5, 2), 5, 5, -2), dot);
  const full = runs.encode(new Uint8Array(25).fill(1));
  assert.deepEqual(shape.grow(full, 5, 5, -1), full);
  assert.equal(runs.area(shape.grow(dot, 5, 5, -1)), 0);
  const empty = runs.emptyCounts(3, 3);
  assert.equal(shape.grow(empty, 3, 3, 1), empty);
});

test("smoothing takes away specks and fills cracks, and never all", () => {
  const h = 40;
  const disc = shape.stroke([{ x: 20, y: 20 }], 12, h, 40);
  const speck = runs.union(disc, shape.stroke([{ x: 2.5, y: 2.5 }], 0.5, h, 40));
  const crack = runs.subtract(speck, shape.stroke([{ x: 20.5, y: 0 }, { x: 20.5, y: 20 }], 0.5, h, 40));
  const smoothed = shape.smoothed(crack, h, 40, 2);
  assert.ok(runs.iou(smoothed, disc) > 0.97);
  assert.ok(!runs.contains(smoothed, h, 2, 2) && runs.contains(smoothed, h, 20, 15));
  const dot = mask("...", ".#.", "...");
  assert.equal(runs.area(shape.smoothed(dot, 3, 3, 2)) > 0, true);
});

test("holes are filled, bays are not", () => {
  assert.deepEqual(rowsOf(shape.fillHoles(mask("####", "#.##", "####", "#..#"), 4, 4), 4, 4), ["####", "####", "####", "#..#"]);
});

test("the largest piece stays; corners connect", () => {
  const counts = mask("#..##", "...##", "..#..");
  assert.deepEqual(rowsOf(shape.largestPiece(counts, 3, 5), 3, 5), ["...##", "...##", "..#.."]);
});
