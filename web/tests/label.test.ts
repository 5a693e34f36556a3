import assert from "node:assert/strict";
import { test } from "node:test";
import type { Picture } from "../src/api/api.ts";
import { Away, Client } from "../src/api/client.ts";
import { Clock } from "../src/label/clock.ts";
import { duration } from "../src/label/dashboard.ts";
import { LabelApi, Leased } from "../src/label/label_api.ts";
import * as runs from "../src/masks/runs.ts";
import { newThing } from "../src/store/project.ts";
import { Conflict, Saver } from "../src/store/saving.ts";

// -------------------------------------------------------------------------------- time

function clockAt(): { clock: Clock; wait: (ms: number) => void } {
  let now = 0;
  const clock = new Clock(() => now);
  clock.begin();
  return { clock, wait: (ms) => (now += ms) };
}

test("what is spent between two changes belongs to the masks of the later one", () => {
  const { clock, wait } = clockAt();
  wait(4000);
  clock.changed(["a"]);
  wait(6000);
  clock.changed(["a", "b"]);
  assert.deepEqual([...clock.take()], [["a", 7], ["b", 3]]);
  assert.deepEqual([...clock.take()], []); // given once
  wait(1000);
  assert.equal(clock.secondsOf("a"), 7);
  clock.touch();
  assert.equal(clock.secondsOf("a"), 8);
  assert.equal(clock.seconds, 11);
});

test("pauses are not counted", () => {
  const { clock, wait } = clockAt();
  wait(5000);
  clock.touch();
  wait(45_000);
  clock.touch();
  wait(2000);
  clock.changed(["a"]);
  assert.equal(clock.seconds, 7);
  assert.deepEqual([...clock.take()], [["a", 7]]);
  clock.begin();
  assert.equal(clock.seconds, 0);
});

test("durations are read as people write them", () => {
  assert.deepEqual([0, 12.4, 59.6, 3599, 3725].map(duration), ["0:00", "0:12", "1:00", "59:59", "1:02:05"]);
});

// ------------------------------------------------------------------------------ saving

function saverOf(put: (part: readonly string[], revision: number, key: string) => Promise<number>): { saver: Saver<readonly string[]>; run: () => Promise<void> } {
  let due: (() => void) | null = null;
  const saver = new Saver<readonly string[]>({
    put: (key, part, revision) => put(part, revision, key),
    changed: () => undefined,
    describe: String,
    setTimer: (run) => (due = run),
    clearTimer: () => (due = null),
  });
  const run = async (): Promise<void> => {
    const now = due;
    due = null;
    now?.();
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  return { saver, run };
}

test("what had no answer is sent again as it was, before what came after it", async () => {
  const sent: [readonly string[], number][] = [];
  const { saver, run } = saverOf((part, revision) => {
    sent.push([part, revision]);
    return sent.length === 1 ? Promise.reject(new Away("gone")) : Promise.resolve(revision + 1);
  });
  saver.known("a", [], 0);
  const one = ["one"];
  const two = ["one", "two"];
  saver.set("a", one);
  await run();
  saver.set("a", two);
  await run();
  assert.deepEqual(sent, [[one, 0], [one, 0], [two, 1]]);
  assert.equal(saver.state.kind, "saved");
});

test("what was refused is not insisted on", async () => {
  const sent: (readonly string[])[] = [];
  const { saver, run } = saverOf((part) => {
    sent.push(part);
    return sent.length === 1 ? Promise.reject(new Error("no")) : Promise.resolve(1);
  });
  saver.known("a", [], 0);
  saver.set("a", ["bad"]);
  await run();
  saver.set("a", ["good"]);
  await run();
  assert.deepEqual(sent, [["bad"], ["good"]]);
});

test("what is refused keeps nothing else waiting", async () => {
  const sent: string[] = [];
  let isTaken = true;
  const { saver, run } = saverOf((_, revision, key) => {
    sent.push(key);
    return isTaken && key === "a" ? Promise.reject(new Leased("bob")) : Promise.resolve(revision + 1);
  });
  for (const key of ["a", "b"]) saver.known(key, [], 0);
  saver.set("a", ["mine"]);
  await run();
  saver.set("b", ["more"]);
  await run();
  assert.deepEqual(sent, ["a", "a", "b"]);
  assert.deepEqual([saver.isDirty("a"), saver.isDirty("b"), saver.state.kind], [true, false, "retrying"]);
  isTaken = false;
  await run(); // by itself
  assert.equal(saver.state.kind, "saved");
});

test("whoever does not answer is not asked for every part", async () => {
  const sent: string[] = [];
  const { saver, run } = saverOf((_, __, key) => {
    sent.push(key);
    return Promise.reject(new Away("gone"));
  });
  for (const key of ["a", "b"]) {
    saver.known(key, [], 0);
    saver.set(key, ["mine"]);
  }
  await run();
  assert.deepEqual(sent, ["a"]);
});

// ------------------------------------------------------------------------------- routes

const PICTURE: Picture = { id: "f".repeat(64), name: "a.png", w: 4, h: 4, masks: 0, revision: 0, error: null };
const square = runs.encode(Uint8Array.from({ length: 16 }, (_, i) => Number(i < 4)));

interface Sent {
  readonly path: string;
  readonly json: { token: string; revision: number; things: { thing: string; label_id: number | null; seconds: number | null; review: string }[] };
}

function apiOf(answer: (path: string) => [number, unknown]): { api: LabelApi; sent: Sent[] } {
  const sent: Sent[] = [];
  const send = (path: string, init: { body?: string }): Promise<Response> => {
    sent.push({ path, json: JSON.parse(init.body ?? "null") as Sent["json"] });
    const [status, body] = answer(path);
    return Promise.resolve(new Response(JSON.stringify(body), { status }));
  };
  const api = new LabelApi(new Client("", null, send as unknown as typeof fetch));
  api.person = "ada";
  return { api, sent };
}

test("a request is named once, and things keep their ids when the store numbers them", async () => {
  const { api, sent } = apiOf(() => [200, { revision: 1, ids: ["m7"] }]);
  api.seconds = () => new Map([["mine", 2.5]]);
  const things = [newThing({ id: "mine", counts: square, review: "accepted" })];
  await api.putThings(PICTURE, things, 0);
  await api.putThings(PICTURE, things, 0); // the same request
  await api.putThings(PICTURE, things, 1); // another one
  const [first, again, later] = sent.map((one) => one.json);
  assert.equal(first!.token, again!.token);
  assert.notEqual(first!.token, later!.token);
  assert.deepEqual(sent.map((one) => one.json.things[0]!.thing), ["mine", "m7", "m7"]);
  assert.equal(first!.things[0]!.seconds, 2.5);
  assert.equal(first!.things[0]!.review, "accepted");
  assert.equal(api.numberOf("mine"), 7);
  assert.equal(api.numberOf("other"), null);
});

test("conflicts and leases of others are told apart", async () => {
  const theirs = { revision: 3, things: [] };
  let body: unknown = { error: { code: "conflict", message: "newer" }, current: theirs };
  const { api } = apiOf(() => [409, body]);
  await assert.rejects(api.putThings(PICTURE, [], 0), (error) => error instanceof Conflict && error.revision === 3);
  body = { error: { code: "leased", message: "bob has it" }, person: "bob" };
  await assert.rejects(api.putThings(PICTURE, [], 0), (error) => error instanceof Leased && error.person === "bob");
  await assert.rejects(api.lease("a.png"), (error) => error instanceof Leased && error.person === "bob");
});

test("a class that somebody else renamed is told, and an old answer brings none back", async () => {
  let classes = [{ id: 1, name: "car", color: "#111111", masks: 0 }];
  const pictures: Picture[] = [];
  const { api } = apiOf((path) => [200, path.endsWith("classes") ? { classes } : { name: "p", model: "m", words: [], pictures, status: { classes } }]);
  const told: string[][] = [];
  api.renamed = (from, to) => told.push([from, to]);
  await api.folder();
  classes = [{ ...classes[0]!, name: "auto" }];
  await api.folder();
  assert.deepEqual(told, [["car", "auto"]]);
  const old = api.folder(); // asked before the next change, answered after it
  classes = [...classes, { id: 2, name: "dog", color: "#222222", masks: 0 }];
  await api.putClasses([{ name: "auto", color: "#111111" }, { name: "dog", color: "#222222" }]);
  classes = classes.slice(0, 1);
  await old;
  assert.deepEqual(api.status?.classes.map((one) => one.name), ["auto", "dog"]);
});
