/** A second worker that only decodes, beside the one that encodes: a click waits for no image, and for no threads. */

import type { Answer, Prompt } from "../store/project.ts";
import type { PredictOptions } from "./decoder.ts";
import type { Engine } from "./engine.ts";

export class SecondWorker {
  private engine: Engine | null = null;
  private opening: Promise<void> | null = null;
  private readonly here = new Set<string>();
  private readonly taking = new Set<string>();

  /**
   * @param first Has the embeddings.
   * @param open Starts the second worker; it may fail, such as where memory is short.
   */
  constructor(
    private readonly first: Engine,
    private readonly open: () => Promise<Engine>,
  ) {}

  /** Takes over an image that the first one has encoded; the second is opened for the first of them. */
  async take(image: string): Promise<void> {
    if (this.here.has(image) || this.taking.has(image)) return;
    this.taking.add(image);
    try {
      await (this.opening ??= this.begin());
      if (!this.engine) return;
      const features = await this.first.features(image);
      await this.engine.handed(image, features);
      this.here.add(image);
    } catch {
      // The first one answers; it will say what is wrong, if anything is.
    } finally {
      this.taking.delete(image);
    }
  }

  /** Answers; null while it does not have the image, or if it cannot: then the first one does. */
  async predict(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[] | null> {
    if (!this.engine || !this.here.has(image)) return null;
    return this.engine.predict(image, prompt, options).catch(() => null);
  }

  private async begin(): Promise<void> {
    const engine = await this.open();
    engine.forgot = (image) => void this.here.delete(image);
    engine.failed = () => {
      this.engine = null;
      this.here.clear();
    };
    this.engine = engine;
  }
}
