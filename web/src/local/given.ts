/** What came with the page: what its model is, and images with masks and classes to begin with. */

import { readSa1b } from "../formats/sa1b.ts";
import type { Json } from "../formats/fields.ts";
import { Problem } from "../problem.ts";
import type { Class, Thing } from "../store/project.ts";
import { say } from "../words/words.ts";

/** An image beside the page; `anymask studio --static` writes the list. */
export interface GivenPicture {
  readonly id: string;
  readonly name: string;
  readonly w: number;
  readonly h: number;
  /** Paths of the files, from the page on. */
  readonly file: string;
  readonly thumbnail: string;
  /** Path of the masks that there were, in SA-1B's layout, and how many; null if none. */
  readonly things: string | null;
  readonly masks: number;
}

export interface Given {
  readonly name: string;
  readonly pictures: readonly GivenPicture[];
  readonly classes: readonly Class[];
  readonly model: string;
  /** That the model understands. */
  readonly words: readonly string[];
  /** Commands that it can do nothing for. */
  readonly lacks: readonly string[];
}

export async function fetchGiven(): Promise<Given> {
  return (await (await got("images.json", null)).json()) as Given;
}

export async function fetchBlob(path: string, signal: AbortSignal): Promise<Blob> {
  return (await got(path, signal)).blob();
}

export async function fetchThings(picture: GivenPicture): Promise<readonly Thing[]> {
  if (picture.things === null) return [];
  const document = (await (await got(picture.things, null)).json()) as Json;
  return readSa1b(document, picture.h, picture.w).map((thing) => {
    const { studio_thing: id, ...meta } = thing.meta;
    return { ...thing, ...(typeof id === "string" ? { id } : {}), meta };
  });
}

async function got(path: string, signal: AbortSignal | null): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(say("error.offline"));
  }
  if (!response.ok) throw new Problem(say("error.offline"));
  return response;
}
