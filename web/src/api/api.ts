/** What the page needs of whoever keeps its images and masks: a server, or the browser itself. */

import type { Class, Project, Thing } from "../store/project.ts";

/** An image of the folder. */
export interface Picture {
  readonly id: string;
  readonly name: string;
  readonly w: number;
  readonly h: number;
  /** How many masks are stored for it. */
  readonly masks: number;
  readonly revision: number;
  /** Why it cannot be used; null if it can. */
  readonly error: string | null;
  /** Whether its file could not be kept yet, so that it is here as long as the page is open. */
  readonly isUnsaved?: boolean;
}

export interface FolderAnswer {
  /** Tells the folder from others of its name, where the browser keeps something of it. */
  readonly key?: string;
  readonly name: string;
  readonly pictures: readonly Picture[];
  readonly classes: readonly Class[];
  readonly classes_revision: number;
  readonly model: string;
  readonly words: readonly string[];
  /** Whether there is an example to begin with. */
  readonly example: boolean;
  /** Commands that there is no model for. */
  readonly lacks?: readonly string[];
}

/** The page's own state, for an export. */
export interface Live {
  readonly project: Project;
  /** Waits until everything is stored. */
  stored(): Promise<void>;
}

export interface Exported {
  readonly zip: Blob;
  /** How many masks had no place in a format. */
  readonly lost: number;
}

export interface Api {
  /** Files that may be chosen as images. */
  readonly accept: string;
  /** Files that may be chosen as masks. */
  readonly acceptMasks: string;
  folder(): Promise<FolderAnswer>;
  thumbnail(id: string, signal: AbortSignal): Promise<Blob>;
  image(id: string, signal: AbortSignal): Promise<Blob>;
  things(picture: Picture): Promise<{ revision: number; things: readonly Thing[] }>;
  /** Stores the things of an image over a revision; throws `Conflict` if there is another. */
  putThings(picture: Picture, things: readonly Thing[], revision: number): Promise<number>;
  putClasses(classes: readonly Class[], revision: number): Promise<number>;
  add(file: Blob, name: string): Promise<Picture>;
  /** Stores the files of images for which there was no room before. */
  putFiles(): Promise<void>;
  addExample(): Promise<Picture>;
  /** Removes an image with its masks, and gives what brings it back; null where that is not for the page to do. */
  readonly remove: ((id: string) => Promise<() => Promise<Picture>>) | null;
  /** Reads the masks that files hold: of the shown image, or of those that they name. */
  read(current: Picture, files: readonly File[], signal: AbortSignal): Promise<ReadonlyMap<string, readonly Thing[]>>;
  export(formats: readonly string[], pictures: readonly Picture[], live: Live, signal: AbortSignal): Promise<Exported>;
  /** Calls whenever another window has changed something, as far as that is heard of. */
  watch(changed: () => void): void;
}
