/** What a page may have beside its usual parts, such as the queue of a label project. */

import type { Command, Desk } from "./tools/commands.ts";

export interface Room {
  commands(desk: Desk): readonly Command[];
  /** Stands below the bar. */
  bar(desk: Desk): HTMLElement;
  overImage(desk: Desk): readonly HTMLElement[];
  /** Stands in the panel on the right. */
  beside(desk: Desk): readonly HTMLElement[];
  /** Opens the first image, if it is known the one that the address names. */
  begin(wanted: string | null): Promise<void>;
}
