/** Where the page is shown: in a window of its own, or as a part of somebody else's document. */
export interface Host {
  /** What holds everything. */
  readonly root: HTMLElement;
  /** Whether title, address, keys and language of the document are the page's. */
  readonly whole: boolean;
}

/** Gives the keys back to the image, as when a dialog or a field is left. */
export function focusStage(from: Element): void {
  (from.getRootNode() as Document | ShadowRoot).querySelector<HTMLElement>("#stage")?.focus();
}
