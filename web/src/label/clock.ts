/**
 * Time that somebody works: on an image, and on each mask. Pauses do not count, and what is spent
 * between two changes belongs to what the later one changes.
 */

const PAUSE_MS = 30_000; // without a sign of life: whoever is away that long does something else

export class Clock {
  private last: number;
  private image = 0;
  private since = 0; // since the last change of a mask
  private readonly unsaved = new Map<string, number>();
  private readonly all = new Map<string, number>();

  constructor(private readonly now: () => number) {
    this.last = now();
  }

  /** Begins with an image. */
  begin(): void {
    this.last = this.now();
    this.image = this.since = 0;
    this.unsaved.clear();
    this.all.clear();
  }

  /** Hears that somebody is there. */
  touch(): void {
    const now = this.now();
    const spent = now - this.last;
    this.last = now;
    if (spent > PAUSE_MS) return;
    this.image += spent;
    this.since += spent;
  }

  /** Hears which masks a change has changed. */
  changed(ids: readonly string[]): void {
    this.touch();
    for (const id of ids) {
      const share = this.since / ids.length;
      this.unsaved.set(id, (this.unsaved.get(id) ?? 0) + share);
      this.all.set(id, (this.all.get(id) ?? 0) + share);
    }
    if (ids.length) this.since = 0;
  }

  /** Seconds on the image. */
  get seconds(): number {
    return this.image / 1000;
  }

  /** Seconds on a mask so far, with those since its last change. */
  secondsOf(id: string): number {
    return ((this.all.get(id) ?? 0) + this.since) / 1000;
  }

  /** Gives the seconds on each mask that were not given before. */
  take(): ReadonlyMap<string, number> {
    const taken = new Map([...this.unsaved].map(([id, ms]) => [id, Math.round(ms) / 1000]));
    this.unsaved.clear();
    return taken;
  }
}
