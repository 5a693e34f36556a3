/**
 * The server encodes an image, once; the page's worker decodes prompts about it.
 *
 * Whoever answers sooner answers: until the worker is ready, and wherever it cannot work or is too
 * slow, that is the server. Searches of whole images stay with the server.
 */

import type { Answer, Prompt } from "../store/project.ts";
import type { Decoder, PredictOptions } from "./decoder.ts";
import { type Engine, EngineFailed, type Files, startDecoding } from "./engine.ts";
import { Recall } from "./recall.ts";
import type { ServerDecoder } from "./server.ts";

/** Milliseconds of a decoding that nobody notices: no need to let the server do it. */
const UNNOTICED = 50;
const TRIALS = 4;
const FAULTS = 3; // in a row, after which the worker is not asked any more

export type Who = "server" | "worker";

export class SharedDecoder implements Decoder {
  /** Who decodes, and why; told whenever that changes. */
  who: Who = "server";
  private engine: Engine | null = null;
  private faults = 0;
  /** Images whose embedding the worker has, or will have. */
  private readonly sent = new Map<string, Promise<boolean>>();
  private readonly here = new Set<string>();
  private readonly recall: Recall;

  constructor(
    private readonly server: ServerDecoder,
    private readonly changed: (who: Who, why: string) => void = () => undefined,
  ) {
    this.recall = new Recall((image, prompt, options) => this.engine!.predict(image, prompt, options));
  }

  /**
   * Starts the worker, tries it on the first image that is ready, and lets it answer if it is quick.
   *
   * @param forced Whether the worker is to answer even if it is slower.
   */
  async begin(open: () => Engine, files: Files, forced = false): Promise<void> {
    try {
      const engine = await startDecoding(open(), files);
      engine.forgot = (image) => this.forget(image);
      this.engine = engine;
      engine.failed = (error) => this.fail(error);
      for (const image of this.wanted) void this.send(image);
      if (!forced) await this.measure();
      else this.say("worker", "asked for");
    } catch (error) {
      this.fail(error);
    }
  }

  private readonly wanted = new Set<string>();
  private first: ((image: string) => void) | null = null;

  async prepare(image: string): Promise<void> {
    await this.server.prepare(image);
    this.wanted.add(image);
    void this.send(image);
  }

  async predict(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]> {
    if (this.who === "worker" && this.here.has(image)) {
      try {
        const answers = await this.recall.predict(image, prompt, options);
        this.faults = 0;
        return answers;
      } catch (error) {
        // The server knows better, or says what is wrong.
        if (error instanceof EngineFailed || ++this.faults >= FAULTS) this.fail(error);
      }
    }
    return this.server.predict(image, prompt, options);
  }

  everything(image: string, signal: AbortSignal): Promise<Answer[]> {
    return this.server.everything(image, signal);
  }

  words(image: string, text: string, signal: AbortSignal): Promise<Answer[]> {
    return this.server.words(image, text, signal);
  }

  subject(image: string, signal: AbortSignal): Promise<Answer[]> {
    return this.server.subject(image, signal);
  }

  /** Gives the worker the embedding of an image that the server has encoded. */
  private send(image: string): Promise<boolean> {
    const engine = this.engine;
    if (!engine) return Promise.resolve(false);
    let sending = this.sent.get(image);
    if (!sending) {
      sending = this.server
        .embedding(image)
        .then((data) => engine.embedding(image, data))
        .then(() => {
          this.here.add(image);
          this.first?.(image);
          return true;
        })
        .catch((error: unknown) => {
          this.sent.delete(image);
          if (error instanceof EngineFailed) this.fail(error);
          return false;
        });
      this.sent.set(image, sending);
    }
    return sending;
  }

  private forget(image: string): void {
    this.sent.delete(image);
    this.here.delete(image);
    this.wanted.delete(image);
  }

  /** Lets both answer a few times, and takes the worker unless the server is sooner. */
  private async measure(): Promise<void> {
    const image = [...this.here][0] ?? (await new Promise<string>((resolve) => (this.first = resolve)));
    this.first = null;
    const prompt: Prompt = { points: [[0, 0, 1]], box: null, mask: null };
    const options: PredictOptions = { many: true, logits: null, keepLogits: false };
    const [worker, server] = [
      await quickest(() => this.engine!.predict(image, prompt, options)),
      await quickest(() => this.server.predict(image, prompt, options)),
    ];
    const why = `worker ${worker.toFixed(0)} ms, server ${server.toFixed(0)} ms`;
    this.say(worker <= Math.max(UNNOTICED, server) ? "worker" : "server", why);
  }

  private fail(error: unknown): void {
    if (this.engine) this.engine.failed = null; // closing it is no other failure
    this.engine?.close();
    this.engine = null;
    this.here.clear();
    this.sent.clear();
    this.say("server", error instanceof Error ? error.message : String(error));
  }

  private say(who: Who, why: string): void {
    this.who = who;
    this.changed(who, why);
  }
}

async function quickest(work: () => Promise<unknown>): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < TRIALS; i++) {
    const since = performance.now();
    await work();
    least = Math.min(least, performance.now() - since);
  }
  return least;
}
