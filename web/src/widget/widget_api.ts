/** One image of a notebook: the kernel keeps it with its masks, and finds them. */

import type { Api, Exported, FolderAnswer, Picture } from "../api/api.ts";
import { Refused } from "../api/client.ts";
import { type MaskRecord, type ThingRecord, answerOf, promptWords, recordOf, thingOf } from "../api/studio_api.ts";
import type { Decoder, PredictOptions } from "../decode/decoder.ts";
import { type Answer, type Class, EMPTY, type Prompt, type Thing, withClassesOf } from "../store/project.ts";
import { Conflict } from "../store/saving.ts";
import type { Kernel } from "./kernel.ts";

interface ThingsAnswer {
  readonly revision: number;
  readonly things: readonly ThingRecord[];
}

export class WidgetApi implements Api {
  readonly accept = "";
  readonly acceptMasks = "";
  readonly remove = null;

  constructor(private readonly kernel: Kernel) {}

  async folder(): Promise<FolderAnswer> {
    const { result } = await this.kernel.ask<FolderAnswer>("folder");
    if (result.classes.length) return result;
    const { result: known } = await this.kernel.ask<ThingsAnswer>("things");
    return { ...result, classes: withClassesOf(EMPTY, known.things.map(thingOf)).classes };
  }

  thumbnail(id: string, signal: AbortSignal): Promise<Blob> {
    return this.image(id, signal);
  }

  async image(_: string, signal: AbortSignal): Promise<Blob> {
    const { result, buffers } = await this.kernel.ask<{ media: string }>("image", {}, signal);
    return new Blob(buffers as DataView<ArrayBuffer>[], { type: result.media });
  }

  async things(): Promise<{ revision: number; things: readonly Thing[] }> {
    const { result } = await this.kernel.ask<ThingsAnswer>("things");
    return { revision: result.revision, things: result.things.map(thingOf) };
  }

  async putThings(picture: Picture, things: readonly Thing[], revision: number): Promise<number> {
    const records = things.filter((thing) => thing.counts).map((thing) => recordOf(thing, picture));
    try {
      return (await this.kernel.ask<{ revision: number }>("put_things", { revision, things: records })).result.revision;
    } catch (error) {
      const theirs = current<ThingsAnswer>(error);
      throw theirs ? new Conflict(theirs.things.map(thingOf), theirs.revision) : error;
    }
  }

  async putClasses(classes: readonly Class[], revision: number): Promise<number> {
    try {
      return (await this.kernel.ask<{ revision: number }>("put_classes", { revision, classes })).result.revision;
    } catch (error) {
      const theirs = current<{ classes: readonly Class[]; revision: number }>(error);
      throw theirs ? new Conflict(theirs.classes, theirs.revision) : error;
    }
  }

  add(): Promise<Picture> {
    return Promise.reject(new Error("a notebook's widget has one image"));
  }

  putFiles(): Promise<void> {
    return Promise.resolve();
  }

  addExample(): Promise<Picture> {
    return this.add();
  }

  read(): Promise<ReadonlyMap<string, readonly Thing[]>> {
    return Promise.resolve(new Map());
  }

  export(): Promise<Exported> {
    return Promise.reject(new Error("in a notebook, masks are saved by the next cell"));
  }

  watch(): void {
    // Other views of the same widget are seen when something is saved.
  }
}

export class WidgetDecoder implements Decoder {
  constructor(
    private readonly kernel: Kernel,
    private readonly picture: (id: string) => Picture,
  ) {}

  async prepare(): Promise<void> {
    await this.kernel.ask("prepare");
  }

  predict(image: string, prompt: Prompt, options: PredictOptions): Promise<Answer[]> {
    const { h, w } = this.picture(image);
    const words = promptWords(options.logits ? { ...prompt, mask: null } : prompt, [h, w]);
    const logits = options.logits ? { mask_logits: options.logits } : {};
    return this.ask("predict", { prompt: { ...words, ...logits }, multimask: options.many, logits: options.keepLogits });
  }

  everything(_: string, signal: AbortSignal): Promise<Answer[]> {
    return this.ask("everything", {}, signal);
  }

  words(_: string, text: string, signal: AbortSignal): Promise<Answer[]> {
    return this.ask("words", { text }, signal);
  }

  subject(_: string, signal: AbortSignal): Promise<Answer[]> {
    return this.ask("subject", {}, signal);
  }

  private async ask(what: string, words: Record<string, unknown>, signal?: AbortSignal): Promise<Answer[]> {
    const { result } = await this.kernel.ask<{ masks: readonly MaskRecord[] }>(what, words, signal);
    return result.masks.map(answerOf);
  }
}

function current<Theirs>(error: unknown): Theirs | null {
  if (!(error instanceof Refused) || error.status !== 409) return null;
  return (error.body as { current?: Theirs } | null)?.current ?? null;
}
