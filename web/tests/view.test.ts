import assert from "node:assert/strict";
import { test } from "node:test";
import * as views from "../src/canvas/view.ts";

const image = { w: 6000, h: 4000 };
const screen = { w: 960, h: 660 };

test("an image fits into the screen, in the middle", () => {
  const view = views.fit(image, screen);
  assert.ok(image.w * view.scale <= screen.w && image.h * view.scale <= screen.h);
  assert.equal(view.x * 2 + image.w * view.scale, screen.w);
  assert.equal(views.fit({ w: 2, h: 2 }, screen).scale, 8); // tiny ones are not blown up without end
});

test("what is under the pointer stays there when zooming", () => {
  let view = views.fit(image, screen);
  const at = { x: 300, y: 200 };
  const before = views.toImage(view, at);
  view = views.zoomAt(view, 3, at, image, screen);
  const after = views.toImage(view, at);
  assert.ok(Math.hypot(before.x - after.x, before.y - after.y) < 1e-6);
  const back = views.toScreen(view, after);
  assert.ok(Math.hypot(back.x - at.x, back.y - at.y) < 1e-6);
});

test("zoom has limits", () => {
  const view = views.fit(image, screen);
  assert.equal(views.zoomAt(view, 1e9, { x: 0, y: 0 }, image, screen).scale, 64);
  const small = views.zoomAt(view, 1e-9, { x: 0, y: 0 }, image, screen);
  assert.ok(small.scale * image.w >= 48 - 1e-9);
});

test("a part of the image always stays in sight", () => {
  const view = views.fit(image, screen);
  for (const [dx, dy] of [[1e6, 0], [-1e6, 0], [0, 1e6], [0, -1e6]] as const) {
    const moved = views.pan(view, dx, dy, image, screen);
    const seen = views.visible(moved, image, screen);
    assert.ok(seen.x1 > seen.x0 && seen.y1 > seen.y0);
  }
});

test("the middle stays when the screen changes", () => {
  const view = views.zoomAt(views.fit(image, screen), 4, { x: 480, y: 330 }, image, screen);
  const after = { w: 700, h: 500 };
  const moved = views.resized(view, screen, after, image);
  const a = views.toImage(view, { x: screen.w / 2, y: screen.h / 2 });
  const b = views.toImage(moved, { x: after.w / 2, y: after.h / 2 });
  assert.ok(Math.hypot(a.x - b.x, a.y - b.y) < 1e-6);
});

test("a part is shown with its surroundings", () => {
  const part = { x0: 1000, y0: 1000, x1: 1200, y1: 1100 };
  const seen = views.visible(views.zoomTo(part, image, screen), image, screen);
  assert.ok(seen.x0 < part.x0 && seen.y0 < part.y0 && seen.x1 > part.x1 && seen.y1 > part.y1);
});

test("points name the middles of pixels and stay inside", () => {
  assert.deepEqual(views.pointAt({ x: 10.5, y: 20.5 }, image), [10, 20]);
  assert.deepEqual(views.pointAt({ x: 0, y: 4000 }, image), [0, 3999]);
  assert.deepEqual(views.pointAt({ x: 10.26, y: 3.33 }, image), [9.8, 2.8]);
  assert.ok(views.isInside({ x: 0, y: 0 }, image) && !views.isInside({ x: 6000, y: 1 }, image));
});
