/** Elements of the page, made in one line each. */

type Attributes = Readonly<Record<string, string | number | boolean | null | undefined | ((event: never) => void)>>;
type Child = Node | string | null | undefined | false;

/** Makes an element: functions become listeners ("onclick"), true and false set or leave out. */
export function h<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  setAttributes(element, attributes);
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

export function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value as unknown as EventListener);
    } else if (value === false || value === null || value === undefined) {
      element.removeAttribute(name);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

/** Replaces what an element holds. */
export function fill(element: Element, ...children: readonly Child[]): void {
  element.replaceChildren(...children.filter((child): child is Node | string => Boolean(child)));
}

/**
 * Makes a list of elements agree with values: those of known keys stay, with their focus.
 *
 * Each element is made once by `make` and told its value by the function that `make` gives.
 */
export class Rows<Value> {
  private readonly known = new Map<string, { element: HTMLElement; update: (value: Value, at: number) => void }>();

  constructor(
    private readonly parent: HTMLElement,
    private readonly make: (value: Value) => { element: HTMLElement; update: (value: Value, at: number) => void },
  ) {}

  set(values: readonly Value[], keyOf: (value: Value) => string): void {
    const wanted = new Set(values.map(keyOf));
    for (const [key, row] of this.known) {
      if (wanted.has(key)) continue;
      row.element.remove();
      this.known.delete(key);
    }
    values.forEach((value, at) => {
      const key = keyOf(value);
      let row = this.known.get(key);
      if (!row) {
        row = this.make(value);
        this.known.set(key, row);
      }
      const there = this.parent.children[at];
      if (there !== row.element) this.parent.insertBefore(row.element, there ?? null);
      row.update(value, at);
    });
  }

  clear(): void {
    this.set([], () => "");
  }
}
