/** The page's worker: encodes images and answers prompts, one after the other. */

import type { Message, Reply, Request } from "../decode/engine.ts";
import type { Answer, Point, Prompt } from "../store/project.ts";
import { type Embedding, encode, handOver, handed, received } from "./embedding.ts";
import { Model } from "./model.ts";
import { type Ask, everything, gridSide } from "./everything.ts";
import { ask as decoded, enlargerOf, predict } from "./predict.ts";
import { look, thingBoxes } from "./ssd.ts";
import { subject } from "./subject.ts";
import { labelsOf, lookFor, phrasesOf, words } from "./words.ts";

const KEPT = 4; // embeddings, some 5 MB each

class Desk {
  private model: Promise<Model> | null = null;
  private readonly embeddings = new Map<string, Embedding>();
  private readonly cancelled = new Set<number>();
  private isWarm = false;

  async answer(id: number, request: Request): Promise<Omit<Reply, "id">> {
    switch (request.kind) {
      case "start":
        this.model = Model.load(request.files, request.runtime, request.threads);
        // One after the other: the runtime cannot open two graphs at once.
        for (const role of request.roles) await (await this.model).open(role);
        return {};
      case "embed":
        return { forgot: this.keep(request.image, await encode(await this.model!, request.raw)) };
      case "embedding":
        return { forgot: this.keep(request.image, received(await this.model!, request.data)) };
      case "features":
        return { features: await handOver(await this.model!, this.find(request.image)) };
      case "handed":
        return { forgot: this.keep(request.image, handed(request.features)) };
      case "predict":
        return { answers: await predict(await this.model!, this.find(request.image), request.prompt, request.options) };
      case "search":
        return { answers: await this.search(id, request) };
      case "cancel":
        this.cancelled.add(request.request);
        return {};
    }
  }

  /** Looks through a whole image; between two steps, whoever clicks goes first. */
  private async search(id: number, { search, image, text }: Request & { kind: "search" }): Promise<Answer[]> {
    const model = await this.model!;
    const embedding = this.find(image);
    const { rgb, way } = embedding;
    if (!rgb) throw new Error("only an image that was encoded here can be searched");
    const pause = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve)); // what has come meanwhile is heard
      if (this.cancelled.delete(id)) throw new DOMException("cancelled", "AbortError");
    };
    const ask: Ask = async (prompts) => {
      await pause();
      return inTurn(() => decoded(model, embedding, prompts));
    };
    const seen = () => inTurn(() => look(model, rgb, way.original));
    if (search === "subject") return subject(model, embedding, rgb, ask, inTurn);
    if (search === "words") {
      const { vocabulary } = model.about;
      if (!vocabulary) throw new Error("no words are known here");
      const phrases = phrasesOf(text, vocabulary);
      const unknown = phrases.filter((phrase) => !labelsOf(phrase, vocabulary).length);
      if (unknown.length || !phrases.length) throw new UnknownWords(unknown);
      return words(model, embedding, lookFor(phrases, await seen(), vocabulary), ask);
    }
    const limit = model.has("detector") ? model.about.variant.generate.thing_boxes : 0;
    const side = gridSide(model.about.variant.generate.points_per_side, model.threads);
    const progress = (done: number, total: number): void => self.postMessage({ id, progress: [done, total] } satisfies Reply);
    return everything(model, embedding, side, limit ? thingBoxes(await seen(), limit) : [], { ask, pause, progress });
  }

  /** Decodes a few times while nobody waits: the first runs of each form of prompt compile, and take memory. */
  private async warmUp(embedding: Embedding): Promise<void> {
    this.isWarm = true;
    const model = await this.model!;
    const middle: Point = [Math.floor(embedding.way.original[1] / 2), Math.floor(embedding.way.original[0] / 2), 1];
    const click: Prompt = { points: [middle], box: null, mask: null };
    const forms = [click, click, { ...click, points: [middle, middle] }];
    for (const prompt of forms) {
      await new Promise((resolve) => setTimeout(resolve)); // whoever clicks goes first
      const many = prompt.points.length === 1;
      await inTurn(() => predict(model, embedding, prompt, { many, logits: null, keepLogits: false })).catch(() => undefined);
    }
  }

  private find(image: string): Embedding {
    const found = this.embeddings.get(image);
    if (!found) throw new Error("the image has to be read again");
    this.embeddings.delete(image);
    this.embeddings.set(image, found); // the latest to be used
    return found;
  }

  /** Keeps an embedding; names those that had to go for it. */
  private keep(image: string, embedding: Embedding): string[] {
    enlargerOf(embedding); // which takes a moment that no click should wait for
    if (!this.isWarm) void this.warmUp(embedding);
    this.embeddings.delete(image);
    this.embeddings.set(image, embedding);
    const gone = [...this.embeddings.keys()].slice(0, -KEPT);
    for (const one of gone) this.embeddings.delete(one);
    return gone;
  }
}

/** Words that the detector does not know. */
class UnknownWords extends Error {
  constructor(readonly unknown: readonly string[]) {
    super(`unknown words: ${unknown.join(", ")}`);
  }
}

const desk = new Desk();
let last: Promise<unknown> = Promise.resolve();

/** Does work once all before it is done: the runtime computes one thing at a time. */
function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
  const done = last.then(work);
  last = done.catch(() => undefined);
  return done;
}

async function reply({ id, ...request }: Message): Promise<void> {
  const since = performance.now();
  let said: Reply;
  try {
    said = { id, ...(await desk.answer(id, request as Request)), took: performance.now() - since };
  } catch (error) {
    said = { id, error: error instanceof Error ? error.message : String(error) };
    if (error instanceof UnknownWords) said = { ...said, unknown: error.unknown };
  }
  if (id < 0) return;
  const buffers = (said.answers ?? []).flatMap(({ counts, logits }) => [
    counts.buffer,
    ...(logits && typeof logits.data !== "string" ? [logits.data.buffer] : []),
  ]);
  buffers.push(...(said.features?.maps ?? []).map(({ data }) => data.buffer));
  self.postMessage(said, { transfer: buffers as ArrayBuffer[] });
}

self.onmessage = ({ data }: MessageEvent<Message>): void => {
  // A search takes its turns step by step; to be told to stop cannot wait for one.
  if (data.kind === "cancel" || data.kind === "search") void reply(data);
  else void inTurn(() => reply(data));
};
