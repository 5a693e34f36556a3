/** The routes of the panels, whose answers tell how far they are, line by line. */

import { type Counts, toText } from "../masks/runs.ts";
import { say } from "../words/words.ts";
import { Away, type Client, Refused, isAbort } from "./client.ts";
import type { Picture } from "./api.ts";
import type { MaskRecord } from "./studio_api.ts";

/** How far work is. */
export interface Step {
  readonly step?: "loading" | "estimating" | "measuring" | "painting";
  readonly done?: number;
  readonly total?: number;
}

export interface MaskDepth {
  readonly median: number | null;
  readonly p10: number | null;
  readonly p90: number | null;
  readonly known: number;
  /** Place from near to far, 1 for the nearest. */
  readonly rank: number | null;
}

export interface DepthAnswer {
  /** Metres, or inverse depth that means nothing but an order: large is near. */
  readonly kind: "metric" | "relative";
  readonly source: string | null;
  readonly order: readonly number[];
  readonly occlusions: readonly { readonly front: number; readonly back: number }[];
  readonly near: number | null;
  readonly far: number | null;
  readonly masks: readonly MaskDepth[];
}

export type PaintTask = "remove" | "fill" | "replace";

export interface PaintWish {
  readonly masks: readonly Counts[];
  readonly task: PaintTask;
  readonly text: string | null;
  readonly grow: number;
  readonly seed: number;
}

/** A painted image that is not in the folder yet. */
export interface Draft {
  readonly draft: string;
  readonly name: string;
  readonly w: number;
  readonly h: number;
}

export interface Example {
  readonly picture: Picture;
  readonly counts: Counts;
  readonly name: string;
}

/** What was found in one image. */
export interface FoundIn extends Step {
  readonly picture?: string;
  readonly masks?: readonly MaskRecord[];
  readonly problem?: string;
}

interface Line<Result> extends FoundIn {
  readonly result?: Result;
  readonly error?: { readonly code: string; readonly message: string; readonly status: number };
}

const ROOT = "/v1/studio";

export class PanelsApi {
  constructor(private readonly client: Client) {}

  depth(picture: Picture, masks: readonly Counts[], signal: AbortSignal, tell: (step: Step) => void): Promise<DepthAnswer> {
    const json = { masks: masks.map((counts) => lengths(counts, picture)) };
    return this.lines<DepthAnswer>(`${ROOT}/pictures/${picture.id}/depth`, json, signal, tell);
  }

  depthMap(id: string, signal: AbortSignal): Promise<Blob> {
    return this.client.blob(`${ROOT}/pictures/${id}/depth`, { signal });
  }

  painter(): Promise<{ engine: string; tasks: readonly PaintTask[] }> {
    return this.client.json(`${ROOT}/painter`);
  }

  paint(picture: Picture, wish: PaintWish, signal: AbortSignal, tell: (step: Step) => void): Promise<Draft> {
    const json = { ...wish, masks: wish.masks.map((counts) => lengths(counts, picture)) };
    return this.lines<Draft>(`${ROOT}/pictures/${picture.id}/paint`, json, signal, tell);
  }

  draft(id: string, signal: AbortSignal): Promise<Blob> {
    return this.client.blob(`${ROOT}/drafts/${id}`, { signal });
  }

  async dropDraft(id: string): Promise<void> {
    await this.client.response(`${ROOT}/drafts/${id}`, { method: "DELETE" });
  }

  /** Puts a draft into the folder. */
  keep(id: string): Promise<Picture> {
    return this.client.json<Picture>(`${ROOT}/drafts/${id}/picture`, { method: "POST" });
  }

  /** Takes it out again, as long as nothing was made of it. */
  takeBack(id: string): Promise<{ id: string }> {
    return this.client.json(`${ROOT}/drafts/${id}/picture`, { method: "DELETE" });
  }

  elsewhere(
    examples: readonly Example[],
    signal: AbortSignal,
    tell: (found: FoundIn) => void,
  ): Promise<{ pictures: number; masks: number }> {
    const json = {
      examples: examples.map(({ picture, counts, name }) => ({ picture: picture.id, rle: lengths(counts, picture), name })),
    };
    return this.lines(`${ROOT}/elsewhere`, json, signal, tell);
  }

  private async lines<Result>(
    path: string,
    json: unknown,
    signal: AbortSignal,
    tell: (line: FoundIn) => void,
  ): Promise<Result> {
    const response = await this.client.response(path, { json, signal });
    for await (const text of linesOf(response)) {
      const line = JSON.parse(text) as Line<Result>;
      if (line.error) throw new Refused(line.error.status, line.error.code, line.error.message, line);
      if (line.result !== undefined) return line.result;
      tell(line);
    }
    throw new Away(say("error.away")); // cut off
  }
}

/** The lines of an answer, as they come. */
export async function* linesOf(response: Response): AsyncGenerator<string> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop()!;
      yield* parts.filter(Boolean);
    }
  } catch (error) {
    throw isAbort(error) ? error : new Away(say("error.away"));
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

function lengths(counts: Counts, picture: Picture): { size: [number, number]; counts: string } {
  return { size: [picture.h, picture.w], counts: toText(counts) };
}
