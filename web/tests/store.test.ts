import assert from "node:assert/strict";
import { test } from "node:test";
import * as runs from "../src/masks/runs.ts";
import * as histories from "../src/store/history.ts";
import * as projects from "../src/store/project.ts";
import { Conflict, Saver } from "../src/store/saving.ts";
import { Latest } from "../src/decode/latest.ts";

const square = (x: number): runs.Counts => runs.encode(Uint8Array.from({ length: 16 }, (_, i) => Number(Math.floor(i / 4) === x)));
const answer = (x: number, score: number): projects.Answer => ({ counts: square(x), score, stability: null, label: null, logits: null });
const wide = (score: number): projects.Answer => ({ ...answer(0, score), counts: runs.union(square(0), square(1)) });

function withThing(): [projects.Project, projects.Thing] {
  const thing = projects.newThing({ counts: square(0), label: "cup" });
  return [projects.addThings(projects.addClass(projects.EMPTY, "cup"), "a", [thing]), thing];
}

test("things are added, changed and removed, and what is the same is shared", () => {
  const [project, thing] = withThing();
  const ids = new Set([thing.id]);
  assert.equal(projects.editThings(project, "a", ids, (one) => one), project);
  const renamed = projects.editThings(project, "a", ids, (one) => ({ ...one, label: null }));
  assert.equal(projects.thingsOf(renamed, "a")[0]!.label, null);
  assert.equal(renamed.classes, project.classes);
  assert.deepEqual(projects.thingsOf(projects.removeThings(project, "a", ids), "a"), []);
});

test("the smallest of several masks is meant", () => {
  const large = projects.newThing({ counts: runs.union(square(0), square(1)) });
  const small = projects.newThing({ counts: square(1) });
  assert.equal(projects.thingAt([small, large], 4, 1, 2), small);
  assert.equal(projects.thingAt([small, large], 4, 0.9, 2), large);
  assert.equal(projects.thingAt([small, large], 4, 3, 3), null);
});

test("whole, part and detail are chosen by size, auto by score", () => {
  const answers = projects.bySize([answer(0, 0.5), wide(0.7), { ...answer(2, 0.9), counts: runs.emptyCounts(4, 4) }]);
  assert.deepEqual(answers.map((one) => runs.area(one.counts)), [8, 4, 0]);
  assert.equal(projects.choose(answers, "whole"), answers[0]);
  assert.equal(projects.choose(answers, "part"), answers[1]);
  assert.equal(projects.choose(answers, "subpart"), answers[2]);
  assert.equal(projects.choose(answers, "auto"), answers[2]);
  assert.equal(projects.choose(answers.slice(0, 2), "subpart"), answers[1]);
  assert.equal(projects.choose([], "auto"), null);
  assert.equal(projects.choose([answers[0]!], "subpart"), answers[0]);
});

test("clicks go on from a mask that was drawn or imported", () => {
  const thing = projects.prompted(projects.newThing({ counts: square(0) }), [1, 2, 1]);
  assert.deepEqual(thing.prompt, { points: [[1, 2, 1]], box: null, mask: square(0) });
  assert.ok(thing.waiting);
  const more = projects.prompted(thing, [3, 3, 0]);
  assert.equal(more.prompt!.points.length, 2);
  assert.equal(projects.redrawn(more, square(1)).prompt, null);
});

test("classes are named, renamed, merged and removed with their things", () => {
  let [project] = withThing();
  project = projects.addClass(project, "dog");
  assert.notEqual(project.classes[0]!.color, project.classes[1]!.color);
  assert.equal(projects.addClass(project, "dog"), project);
  const renamed = projects.renameClass(project, "cup", "mug");
  assert.deepEqual(renamed.classes.map((one) => one.name), ["mug", "dog"]);
  assert.equal(projects.thingsOf(renamed, "a")[0]!.label, "mug");
  const merged = projects.renameClass(project, "cup", "dog");
  assert.deepEqual(merged.classes.map((one) => one.name), ["dog"]);
  const removed = projects.removeClass(project, "cup");
  assert.equal(projects.thingsOf(removed, "a")[0]!.label, null);
  assert.equal(projects.recolorClass(project, "dog", "#000000").classes[1]!.color, "#000000");
  assert.equal(projects.renameClass(project, "none", "x"), project);
});

test("everything is undone and redone, to the start and back", () => {
  let history = histories.begin(projects.EMPTY);
  const seen = [history.present];
  for (let i = 0; i < 20; i++) {
    const next = projects.addThings(history.present, i % 2 ? "a" : "b", [projects.newThing({ counts: square(0) })]);
    history = histories.commit(history, next, "a", "point");
    seen.push(history.present);
  }
  for (let i = 20; i > 0; i--) {
    assert.equal(history.present, seen[i]);
    history = histories.undo(history);
  }
  assert.equal(history.present, seen[0]);
  assert.equal(histories.undo(history), history);
  for (let i = 0; i < 20; i++) history = histories.redo(history);
  assert.equal(history.present, seen[20]);
  assert.equal(histories.redo(history), history);
  assert.equal(histories.commit(history, history.present, "a", "point"), history);
});

test("a new change ends what could be redone", () => {
  let history = histories.commit(histories.begin(projects.EMPTY), projects.addClass(projects.EMPTY, "a"), null, "classes");
  history = histories.undo(history);
  history = histories.commit(history, projects.addClass(history.present, "b"), null, "classes");
  assert.equal(history.future.length, 0);
});

test("an answer reaches every version of the prompt that it answers, and no other", () => {
  const first = projects.newThing({ prompt: { points: [[1, 1, 1]], box: null, mask: null }, waiting: true });
  let history = histories.begin(projects.EMPTY);
  history = histories.commit(history, projects.addThings(history.present, "a", [first]), "a", "point");
  const ids = new Set([first.id]);
  history = histories.commit(history, projects.editThings(history.present, "a", ids, (one) => projects.prompted(one, [2, 2, 1])), "a", "point");
  history = histories.commit(history, projects.addClass(history.present, "cup"), null, "classes");
  history = histories.undo(history);
  const second = projects.thingsOf(history.present, "a")[0]!.prompt!;
  history = histories.settle(history, "a", first.id, second, (one) => projects.answered(one, [answer(1, 0.5)]));
  assert.deepEqual(projects.thingsOf(history.present, "a")[0]!.counts, square(1));
  assert.equal(projects.thingsOf(history.past[1]!.project, "a")[0]!.waiting, true); // the shorter prompt
  const redone = histories.redo(history);
  assert.equal(projects.thingsOf(redone.present, "a"), projects.thingsOf(history.present, "a")); // shared
  history = histories.settle(redone, "a", first.id, first.prompt!, (one) => projects.answered(one, [answer(0, 0.5)]));
  assert.deepEqual(projects.thingsOf(histories.undo(histories.undo(history)).present, "a")[0]!.counts, square(0));
});

test("what was stored is there in every version, once it is loaded", () => {
  let history = histories.commit(histories.begin(projects.EMPTY), projects.addClass(projects.EMPTY, "a"), null, "classes");
  const stored = [projects.newThing({ counts: square(0) })];
  history = histories.load(history, "a", stored);
  assert.equal(projects.thingsOf(histories.undo(history).present, "a"), stored);
  assert.equal(projects.thingsOf(histories.load(history, "a", []).present, "a"), stored);
});

// ----------------------------------------------------------------------------- saving

class Clock {
  timers: { run: () => void; at: number; id: number }[] = [];
  now = 0;
  private ids = 0;
  set = (run: () => void, ms: number): number => {
    this.timers.push({ run, at: this.now + ms, id: ++this.ids });
    return this.ids;
  };
  clear = (id: unknown): void => {
    this.timers = this.timers.filter((one) => one.id !== id);
  };
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      const next = this.timers.filter((one) => one.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.now = next.at;
      this.clear(next.id);
      next.run();
      await settled();
    }
    this.now = end;
    await settled();
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function store(): { saver: Saver<string>; clock: Clock; kept: Map<string, [string, number]>; fail: { with: Error | null }; puts: string[] } {
  const clock = new Clock();
  const kept = new Map<string, [string, number]>();
  const fail = { with: null as Error | null };
  const puts: string[] = [];
  const saver = new Saver<string>({
    put: async (key, part, revision) => {
      puts.push(part);
      if (fail.with) throw fail.with;
      const [theirs, current] = kept.get(key) ?? ["", 0];
      if (current !== revision) throw new Conflict(theirs, current);
      kept.set(key, [part, revision + 1]);
      return revision + 1;
    },
    changed: () => undefined,
    describe: (error) => (error as Error).message,
    setTimer: clock.set,
    clearTimer: clock.clear,
  });
  saver.known("a", "", 0);
  return { saver, clock, kept, fail, puts };
}

test("a change is saved within a second, several quick ones at once", async () => {
  const { saver, clock, kept, puts } = store();
  saver.set("a", "1");
  saver.set("a", "2");
  assert.deepEqual(saver.state, { kind: "saving" });
  assert.ok(saver.isDirty());
  await clock.pass(1000);
  assert.deepEqual(kept.get("a"), ["2", 1]);
  assert.deepEqual(puts, ["2"]);
  assert.deepEqual(saver.state, { kind: "saved" });
  saver.set("a", "3");
  await clock.pass(1000);
  assert.deepEqual(kept.get("a"), ["3", 2]);
});

test("steady changes do not put off saving", async () => {
  const { saver, clock, kept } = store();
  for (let i = 0; i < 9; i++) {
    saver.set("a", `${i}`);
    await clock.pass(100);
  }
  assert.ok((kept.get("a")?.[1] ?? 0) >= 2);
});

test("a server that fails is asked again and again, and nothing is lost", async () => {
  const { saver, clock, kept, fail, puts } = store();
  fail.with = new Error("the disk is full");
  saver.set("a", "1");
  await clock.pass(10_000);
  assert.ok(puts.length >= 3 && puts.length < 8);
  assert.deepEqual(saver.state, { kind: "retrying", error: "the disk is full", seconds: 8 });
  saver.set("a", "2");
  fail.with = null;
  saver.now();
  await clock.pass(0);
  assert.deepEqual(kept.get("a"), ["2", 1]);
  assert.deepEqual(saver.state, { kind: "saved" });
});

test("a change of another window is seen, and either goes", async () => {
  const { saver, clock, kept } = store();
  kept.set("a", ["theirs", 5]);
  saver.set("a", "mine");
  await clock.pass(1000);
  assert.deepEqual(saver.state, { kind: "conflict", keys: ["a"] });
  assert.equal(saver.conflict("a")!.theirs, "theirs");
  assert.deepEqual(kept.get("a"), ["theirs", 5]);
  saver.resolve("a", "both");
  await clock.pass(1000);
  assert.deepEqual(kept.get("a"), ["both", 6]);
  assert.deepEqual(saver.state, { kind: "saved" });
});

test("a conflict of one part does not stop the others", async () => {
  const { saver, clock, kept } = store();
  saver.known("b", "", 0);
  kept.set("a", ["theirs", 5]);
  saver.set("a", "mine");
  saver.set("b", "1");
  await clock.pass(1000);
  assert.deepEqual(kept.get("b"), ["1", 1]);
});

// ----------------------------------------------------------------------------- latest

test("of many requests one runs, the newest waits, and the rest are dropped", async () => {
  const started: number[] = [];
  const done: number[] = [];
  const release: (() => void)[] = [];
  const latest = new Latest<number, number>(
    (request) => {
      started.push(request);
      return new Promise((resolve) => release.push(() => resolve(request)));
    },
    (request) => done.push(request),
    () => assert.fail(),
  );
  for (const request of [1, 2, 3, 4]) latest.ask(request);
  assert.deepEqual(started, [1]);
  release.shift()!();
  await settled();
  assert.deepEqual([started, done], [[1, 4], [1]]);
  latest.ask(5);
  latest.drop();
  release.shift()!();
  await settled();
  assert.deepEqual([started, done], [[1, 4], [1]]); // dropped: neither told nor begun
  latest.ask(6);
  release.shift()!();
  await settled();
  assert.deepEqual(done, [1, 6]);
});

test("what fails does not stop what comes after", async () => {
  const failed: number[] = [];
  const latest = new Latest<number, number>(
    (request) => (request === 1 ? Promise.reject(new Error("no")) : Promise.resolve(request)),
    () => undefined,
    (request) => failed.push(request),
  );
  latest.ask(1);
  await settled();
  latest.ask(2);
  await settled();
  assert.deepEqual(failed, [1]);
});

test("a mask without a class does not look as if it had one", () => {
  const project = { ...projects.EMPTY, classes: [{ name: "cup", color: projects.COLORS[1]! }] };
  const thing = projects.newThing({ label: null });
  for (let place = 0; place < projects.COLORS.length; place++) assert.notEqual(projects.colorOf(project, thing, place), projects.COLORS[1]);
  assert.equal(projects.colorOf(project, projects.newThing({ label: "cup" }), 0), projects.COLORS[1]);
  const all = { ...projects.EMPTY, classes: projects.COLORS.map((color) => ({ name: color, color })) };
  assert.equal(projects.colorOf(all, thing, 0), projects.COLORS[0]);
});
