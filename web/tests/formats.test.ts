import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, toBytes, toText } from "../src/formats/bytes.ts";
import { freeNames, imageNumber, labelMap, readSegmentation, withoutSuffix } from "../src/formats/fields.ts";
import { look, readMasks } from "../src/formats/import.ts";
import { isHole, fillPolygon, joinRings } from "../src/formats/polygon.ts";
import { VOC_PALETTE, readMap, writeMap } from "../src/formats/png.ts";
import { Classes, readNames, readYolo, writeSetFile, writeYolo } from "../src/formats/yolo.ts";
import { ZipWriter, unzip } from "../src/formats/zip.ts";
import { isWhole, kindOf, sizeOf } from "../src/local/images.ts";
import { trace } from "../src/masks/outline.ts";
import * as runs from "../src/masks/runs.ts";
import { newThing } from "../src/store/project.ts";

/** A mask with a hole, an island in it, and pixels that touch at corners alone. */
const ROWS = [
  "..########.#",
  "..########..",
  "..##....##..",
  "..##.##.##..",
  "..##.##.##.#",
  "..##....##..",
  "..########..",
  "#..........#",
  ".#........#.",
];
const H = ROWS.length;
const W = ROWS[0]!.length;
const MASK = runs.encode(Array.from({ length: W * H }, (_, i) => (ROWS[i % H]![Math.floor(i / H)] === "#" ? 1 : 0)));

test("what is traced and joined fills to the same mask", () => {
  const rings = trace(MASK, H);
  assert.equal(rings.filter(isHole).length, 1);
  assert.deepEqual(fillPolygon(joinRings(rings), H, W), MASK);
});

test("of many rings none is lost, and no call is too deep", () => {
  const h = 200;
  const dots = runs.encode(Array.from({ length: h * h }, (_, i) => ((i % h) % 2 && Math.floor(i / h) % 2 ? 1 : 0)));
  assert.deepEqual(fillPolygon(joinRings(trace(dots, h)), h, h), dots);
});

test("polygons outside the image are cut, far ones refused", () => {
  assert.deepEqual([...fillPolygon([-3, -3, 2, -3, 2, 9, -3, 9], 2, 3)], [0, 4, 2]);
  assert.deepEqual([...fillPolygon([0, 0, 0, 0, 0, 0], 2, 3)], [6]);
  assert.throws(() => fillPolygon([0, 0, 1e9, 0, 1e9, 2], 2, 3), /near the image/);
  assert.throws(() => fillPolygon([0, 0, NaN, 0, 1, 2], 2, 3), /near the image/);
});

test("segmentations as programs write them", () => {
  const square = [0, 4, 2];
  for (const one of [[[0, 0, 2, 0, 2, 2, 0, 2]], [0, 0, 2, 0, 2, 2, 0, 2], [[0, 0], [2, 0], [2, 2], [0, 2]], { size: [2, 3], counts: square }, { size: [2, 3], counts: runs.toText(Uint32Array.from(square)) }, [{ size: [2, 3], counts: square }, [0, 0]]]) {
    assert.deepEqual([...readSegmentation(one, 2, 3)], square, JSON.stringify(one));
  }
  assert.deepEqual([...readSegmentation([], 2, 3)], [6]);
  assert.throws(() => readSegmentation({ size: [3, 3], counts: [9] }, 2, 3), /of an image of 3 x 2/);
  assert.throws(() => readSegmentation("mask", 2, 3), /polygons or run lengths/);
  assert.throws(() => readSegmentation([[0, 0, 1, 0, "x", 1]], 2, 3), /expected a number/);
});

test("numbers in a PNG come back, in 8 and 16 bits, with palette and text", async () => {
  for (const most of [255, 65535]) {
    const values = Array.from({ length: 35 }, (_, i) => (i * 7919) % (most + 1));
    const pixels = most > 255 ? Uint16Array.from(values) : Uint8Array.from(values);
    const map = await readMap(await writeMap({ w: 7, h: 5, pixels }, { anymask: "grün 面具" }, most === 255));
    assert.deepEqual([map.w, map.h, [...map.pixels]], [7, 5, [...pixels]]);
    assert.equal(map.texts.get("anymask"), "grün 面具");
    assert.equal(map.isVoc, most === 255);
  }
  assert.deepEqual([...VOC_PALETTE.subarray(765)], [224, 224, 192]);
  const png = await writeMap({ w: 7, h: 5, pixels: new Uint8Array(35) });
  await assert.rejects(readMap(png.slice(0, -14)), /cut off/);
});

test("files in a zip come back; damage is seen", async () => {
  const zip = new ZipWriter(new Date(2026, 11, 1));
  const long = "mask ".repeat(5000);
  await zip.add("a/面具.txt", long);
  await zip.add("b.png", toBytes("not packed"));
  const data = new Uint8Array(await zip.finish().arrayBuffer());
  assert.ok(data.length < 1000);
  const found = await unzip(data, () => true);
  assert.deepEqual(found.map((one) => [one.name, toText(one.data)]), [["a/面具.txt", long], ["b.png", "not packed"]]);
  assert.equal(crc32(toBytes("123456789")), 0xcbf43926);
  await assert.rejects(unzip(data.slice(0, 60), () => true), /cut off/);
});

test("YOLO keeps masks to the pixel; names survive quotes", () => {
  const classes = new Classes(['a "b": #c', "no"]);
  const thing = newThing({ counts: MASK, label: null });
  const text = writeYolo({ name: "a.jpg", w: W, h: H, things: [thing, newThing({ counts: MASK, label: "no" })] }, classes);
  const names = readNames(writeSetFile(classes), true);
  assert.deepEqual(names, ['a "b": #c', "no", null]);
  const read = readYolo(text, names, H, W);
  assert.deepEqual(read.map((one) => one.label), [null, "no"]);
  for (const one of read) assert.deepEqual(one.counts, MASK);
});

test("names as programs write them into data.yaml", () => {
  assert.deepEqual(readNames("nc: 2\nnames: ['cat', \"dog\"]\n", true), ["cat", "dog"]);
  assert.deepEqual(readNames("names: {0: cat, 2: 'big dog'}\n", true), ["cat", "1", "big dog"]);
  assert.deepEqual(readNames("path: x\nnames:\n- cat\n- 'it''s'\nnc: 2\n", true), ["cat", "it's"]);
  assert.deepEqual(readNames("names:\n  0: cat # one\n  1: dog\nval: x\n", true), ["cat", "dog"]);
  assert.deepEqual(readNames("cat\ndog\n", false), ["cat", "dog"]);
});

test("damaged rows say in which line", () => {
  assert.throws(() => readYolo("0 0.1 0.1 0.5 0.5 0.9 x", [], H, W), /line 1, got “x”/);
  assert.throws(() => readYolo("\n0 10 10 500 500 10 20", [], H, W), /line 2, got 10/);
  const [box] = readYolo("3 0.5 0.5 0.5 0.5", [], 4, 8);
  assert.deepEqual([box!.label, box!.meta], ["3", { bbox: [2, 1, 4, 2] }]);
});

test("names of images", () => {
  assert.deepEqual(freeNames(["a.jpg", "a.png", "sub/a.jpg", "A.png"]), ["a", "a.png", "sub/a", "A.png-2"].map((name, i) => (i === 3 ? "A-2" : name)));
  assert.equal(withoutSuffix("sub.d/.hidden"), "sub.d/.hidden");
  assert.deepEqual(["sa_223750.jpg", "a.jpg", "x/0007.png"].map(imageNumber), [223750, 1, 7]);
});

test("of masks that overlap the smaller one is on top, of equal ones the first", () => {
  const whole = Uint32Array.of(0, 6);
  const part = Uint32Array.of(0, 2, 4);
  assert.deepEqual([...labelMap([whole, part, part], 2, 3)], [2, 2, 1, 1, 1, 1]);
});

test("files of masks are told by what is in them; for which image, by names", async () => {
  const coco = { images: [{ id: "7", file_name: "x/a.jpg", width: W, height: H }, { id: 8, file_name: "b.jpg", width: W, height: H }], annotations: [{ id: 1, image_id: 7, category_id: 3, segmentation: { size: [H, W], counts: runs.toText(MASK) } }], categories: [{ id: 3, name: "cup" }] };
  const file = (name: string, content: unknown) => ({ name, data: toBytes(typeof content === "string" ? content : JSON.stringify(content)) });
  const given = await look([file("instances.json", coco), file("notes.json", { no: "masks" }), file("bad.json", "{")]);
  assert.equal(given.strange.length, 2);
  assert.match(given.strange[0]!.message, /“notes.json” holds no masks/);
  assert.match(given.strange[1]!.message, /“bad.json” cannot be read/);
  const [thing] = await readMasks(given, { name: "a.jpg", w: W, h: H }, false);
  assert.deepEqual([thing!.label, thing!.counts], ["cup", MASK]);
  assert.deepEqual(await readMasks(given, { name: "b.jpg", w: W, h: H }, false), []);
  await assert.rejects(readMasks(given, { name: "c.jpg", w: W, h: H }, true), /masks of other images \(x\/a.jpg, b.jpg\)/);
  await assert.rejects(readMasks(given, { name: "a.jpg", w: W, h: 1 }, true), /choose the file of this image/);
});

test("images are told by their content, and those that are cut off", async () => {
  const png = await writeMap({ w: 2, h: 2, pixels: new Uint8Array(4) });
  assert.equal(kindOf(png), "image/png");
  assert.ok(isWhole(png, "image/png"));
  assert.ok(!isWhole(png.slice(0, -5), "image/png"));
  const inner = [0xff, 0xd8, 0xff, 0xd9]; // a small image within the header
  const jpeg = Uint8Array.of(0xff, 0xd8, 0xff, 0xe1, 0, 2 + inner.length, ...inner, 0xff, 0xda, 0, 3, 1, 9, 9, 0xff, 0xd9, 0);
  assert.equal(kindOf(jpeg), "image/jpeg");
  assert.ok(isWhole(jpeg, "image/jpeg"));
  assert.ok(!isWhole(jpeg.slice(0, -3), "image/jpeg"));
  assert.equal(kindOf(toBytes("<svg xmlns='...'/>")), null);
  assert.deepEqual(sizeOf(png, "image/png"), [2, 2]);
  assert.equal(sizeOf(jpeg, "image/jpeg"), null);
  const [, , first, second, ...rest] = jpeg;
  const frame = [0xff, 0xc4, 0, 3, 7, 0xff, 0xc2, 0, 11, 8, 1, 0, 2, 3, 1, 1, 17, 0];
  assert.deepEqual(sizeOf(Uint8Array.of(0xff, 0xd8, ...frame, first!, second!, ...rest), "image/jpeg"), [515, 256]);
  // The first bytes of files of 7 x 3, most of which Pillow wrote.
  for (const text of [
    "R0lGODdhBwADAIEAAAkJCQAAAAAAAAAAACwAAAAA",
    "Qk1+AAAAAAAAADYAAAAoAAAABwAAAAMAAAABABgA",
    "Qk1kAAAAAAAAABoAAAAMAAAABwADAAEAGAAAAAAA", // a header of OS/2
    "UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoHAAMA",
    "UklGRh4AAABXRUJQVlA4TBEAAAAvBoAAAAfQhCY0",
    "UklGRmIAAABXRUJQVlA4WAoAAAAYAAAABgAAAgAA",
  ]) {
    const begin = new Uint8Array(Buffer.from(text, "base64"));
    assert.deepEqual(sizeOf(begin, kindOf(begin)!), [7, 3]);
    assert.equal(sizeOf(begin.slice(0, 6), kindOf(begin)!), null);
  }
});
