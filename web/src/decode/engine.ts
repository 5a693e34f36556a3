/** The worker that computes, as the page sees it: requests go in, answers come out, in any order. */

import { Refused } from "../api/client.ts";
import type { Answer, Prompt } from "../store/project.ts";
import { say } from "../words/words.ts";
import type { PredictOptions, Progress } from "./decoder.ts";
import type { RawImage } from "./local.ts";
import type { Size, Transform } from "../worker/frame.ts";

/** Where the model's files are: `model.json`, and what that names. */
export interface Files {
  readonly base: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Of a worker that only decodes: its steps are so short that waking a second thread for each costs more than it brings. */
export const DECODING_THREADS = 1;

export type Search = "everything" | "words" | "subject";

/** What the page asks of the worker. */
export type Request =
  | { readonly kind: "start"; readonly files: Files; readonly runtime: string; readonly threads: number; readonly roles: readonly string[] }
  | { readonly kind: "embed"; readonly image: string; readonly raw: RawImage }
  | { readonly kind: "embedding"; readonly image: string; readonly data: ArrayBuffer }
  | { readonly kind: "features"; readonly image: string }
  | { readonly kind: "handed"; readonly image: string; readonly features: Features }
  | { readonly kind: "predict"; readonly image: string; readonly prompt: Prompt; readonly options: PredictOptions }
  | { readonly kind: "search"; readonly search: Search; readonly image: string; readonly text: string }
  | { readonly kind: "cancel"; readonly request: number };

/** What a decoder reads of an image, on its way from one worker to another. */
export interface Features {
  readonly way: Transform;
  readonly low: Size;
  readonly maps: readonly { readonly name: string; readonly dims: readonly number[]; readonly data: Float32Array }[];
}

export type Message = Request & { readonly id: number };

/** What the worker says; `forgot` names images whose embeddings had to go. */
export interface Reply {
  readonly id: number;
  readonly error?: string;
  /** Words that are not known, where that is what is wrong. */
  readonly unknown?: readonly string[];
  readonly answers?: Answer[];
  readonly forgot?: readonly string[];
  readonly features?: Features;
  /** How many steps of a search are done, and of how many; the answer is still to come. */
  readonly progress?: readonly [number, number];
  /** Milliseconds that the worker computed. */
  readonly took?: number;
}

interface Waiting {
  readonly progress: Progress | undefined;
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

/** The worker cannot go on: it could not start, or has died. */
export class EngineFailed extends Error {}

export class Engine {
  /** Told of each image whose embedding the worker let go. */
  forgot: (image: string) => void = () => undefined;
  /** Milliseconds that the worker took for its latest answer, without the way there and back. */
  took = 0;
  private readonly waiting = new Map<number, Waiting>();
  private made = 0;
  private failure: EngineFailed | null = null;
  /** Told when the worker cannot go on, also while nobody waits for it. */
  failed: ((error: EngineFailed) => void) | null = null;

  private worker: Worker;

  /** @param make Makes a worker: now, and another one to `start` after that has died. */
  constructor(private readonly make: () => Worker) {
    this.worker = this.hire();
  }

  /** Makes a worker of the page's own script, which lies beside it. */
  static open(): Engine {
    return new Engine(() => new Worker(new URL("worker.js", import.meta.url), { type: "module" }));
  }

  get isDead(): boolean {
    return this.failure !== null;
  }

  /**
   * Loads the runtime and the model, in a new worker if the one before is dead.
   *
   * @param roles What is needed: "decoder" alone where another encodes; also "encoder". What else
   *     searches need is fetched when they are asked for.
   * @param threads How many compute; see `DECODING_THREADS` for a decoder that is alone.
   */
  async start(files: Files, roles: readonly string[], threads = usualThreads()): Promise<void> {
    if (this.failure) {
      this.failure = null;
      this.worker = this.hire();
    }
    const here = new URL("./", import.meta.url).href;
    const base = new URL(files.base, document.baseURI).href;
    await this.ask({ kind: "start", files: { ...files, base }, runtime: here, threads, roles });
  }

  /** Encodes an image. */
  async embed(image: string, raw: RawImage): Promise<void> {
    await this.ask({ kind: "embed", image, raw }, [raw.data.buffer as ArrayBuffer]);
  }

  /** Takes over what a server encoded. */
  async embedding(image: string, data: ArrayBuffer): Promise<void> {
    await this.ask({ kind: "embedding", image, data }, [data]);
  }

  /** Copies what a decoder reads of an image that was encoded here. */
  async features(image: string): Promise<Features> {
    return (await this.ask({ kind: "features", image })).features!;
  }

  /** Takes over what another worker encoded. */
  async handed(image: string, features: Features): Promise<void> {
    await this.ask({ kind: "handed", image, features }, features.maps.map(({ data }) => data.buffer as ArrayBuffer));
  }

  async predict(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]> {
    return (await this.ask({ kind: "predict", image, prompt, options })).answers ?? [];
  }

  async search(search: Search, image: string, text: string, signal: AbortSignal, progress?: Progress): Promise<Answer[]> {
    signal.throwIfAborted();
    const request = this.made;
    const cancel = (): void => this.post({ kind: "cancel", request, id: -1 });
    signal.addEventListener("abort", cancel, { once: true });
    try {
      const reply = await this.ask({ kind: "search", search, image, text }, [], progress);
      signal.throwIfAborted();
      return reply.answers ?? [];
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  close(): void {
    this.fail("the worker was closed");
  }

  private hire(): Worker {
    const worker = this.make();
    worker.onmessage = (event: MessageEvent<Reply>) => this.take(event.data);
    worker.onerror = (event) => this.fail(event.message || "the worker could not be started");
    worker.onmessageerror = () => this.fail("the worker's answer could not be read");
    return worker;
  }

  private ask(request: Request, transfer: Transferable[] = [], progress?: Progress): Promise<Reply> {
    if (this.failure) return Promise.reject(this.failure);
    const id = this.made++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, progress });
      this.post({ ...request, id }, transfer);
    });
  }

  private post(message: Message, transfer: Transferable[] = []): void {
    if (!this.failure) this.worker.postMessage(message, transfer);
  }

  private take(reply: Reply): void {
    for (const image of reply.forgot ?? []) this.forgot(image);
    const waiting = this.waiting.get(reply.id);
    if (reply.progress) return waiting?.progress?.(...reply.progress);
    this.waiting.delete(reply.id);
    this.took = reply.took ?? this.took;
    if (reply.unknown) waiting?.reject(unknownWords(reply.unknown));
    else if (reply.error !== undefined) waiting?.reject(new Error(reply.error));
    else waiting?.resolve(reply);
  }

  private fail(reason: string): void {
    this.failure ??= new EngineFailed(reason);
    this.worker.onerror = null; // a second error of it, on its way already, is none of the next worker's
    this.worker.terminate();
    for (const { reject } of this.waiting.values()) reject(this.failure);
    this.waiting.clear();
    this.failed?.(this.failure);
  }
}

/** Starts a worker that only decodes, and ends it if that fails. */
export async function startDecoding(engine: Engine, files: Files): Promise<Engine> {
  try {
    await engine.start(files, ["decoder"], DECODING_THREADS);
  } catch (error) {
    engine.close();
    throw error;
  }
  return engine;
}

function unknownWords(words: readonly string[]): Refused {
  const message = words.length ? say("error.words", { words: words.join(", ") }) : say("error.no_words");
  return new Refused(422, "unknown_words", message, null);
}

/** Threads need memory that is shared, which only isolated pages get; more than four gain little. */
export function usualThreads(): number {
  return globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
}
