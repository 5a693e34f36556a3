/** Masks without any server: a worker of the page encodes images and answers prompts. */

import type { Answer, Prompt } from "../store/project.ts";
import type { Decoder, PredictOptions, Progress } from "./decoder.ts";
import { type Engine, EngineFailed } from "./engine.ts";
import { Recall } from "./recall.ts";
import { SecondWorker } from "./second.ts";

/** An image as the browser has it: RGBA, row by row, not premultiplied, orientation applied. */
export interface RawImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
}

export class LocalDecoder implements Decoder {
  private readonly ready = new Map<string, Promise<void>>();
  private readonly recall: Recall;
  private readonly second: SecondWorker | null;

  /**
   * @param engine The worker with the model's files, see `Engine.start`.
   * @param pixels Reads an image, once the worker has begun; it is asked again when the worker has let the image go, or
   *     has died.
   * @param decoding Starts a second worker for prompts; null: the first one answers them, too.
   */
  constructor(
    private readonly engine: Engine,
    private readonly pixels: (image: string) => Promise<RawImage>,
    decoding: (() => Promise<Engine>) | null = null,
  ) {
    engine.forgot = (image) => this.ready.delete(image);
    engine.failed = () => this.ready.clear();
    this.second = decoding && new SecondWorker(engine, decoding);
    this.recall = new Recall((image, prompt, options) => this.answer(image, prompt, options));
  }

  prepare(image: string): Promise<void> {
    return this.twice(() => this.embedded(image));
  }

  private embedded(image: string): Promise<void> {
    let making = this.ready.get(image);
    if (!making) {
      making = this.pixels(image).then((raw) => this.engine.embed(image, raw));
      making.then(
        () => this.second?.take(image),
        () => this.ready.get(image) === making && this.ready.delete(image), // not what another worker makes meanwhile
      );
      this.ready.set(image, making);
    }
    return making;
  }

  predict(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]> {
    return this.recall.predict(image, prompt, options);
  }

  private async answer(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]> {
    const answers = await this.second?.predict(image, prompt, options);
    if (answers) return answers;
    return this.onceReady(image, () => {
      void this.second?.take(image); // again, if the second one had to let it go
      return this.engine.predict(image, prompt, options);
    });
  }

  /** Asks the worker about an image, which is encoded again if it had to be let go. */
  private onceReady<Result>(image: string, ask: () => Promise<Result>): Promise<Result> {
    return this.twice(() => this.embedded(image).then(ask));
  }

  /** Does something again if the worker died meanwhile: there will be another one. */
  private async twice<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof EngineFailed)) throw error;
      return work();
    }
  }

  everything(image: string, signal: AbortSignal, progress: Progress): Promise<Answer[]> {
    return this.onceReady(image, () => this.engine.search("everything", image, "", signal, progress));
  }

  words(image: string, text: string, signal: AbortSignal): Promise<Answer[]> {
    return this.onceReady(image, () => this.engine.search("words", image, text, signal));
  }

  subject(image: string, signal: AbortSignal): Promise<Answer[]> {
    return this.onceReady(image, () => this.engine.search("subject", image, "", signal));
  }
}
