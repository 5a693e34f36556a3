/** Work for which only the newest request counts: one runs, one waits, those in between are dropped. */
export class Latest<Request, Result> {
  private running = false;
  private waiting: { request: Request } | null = null;
  private epoch = 0;

  constructor(
    private readonly work: (request: Request) => Promise<Result>,
    private readonly done: (request: Request, result: Result) => void,
    private readonly failed: (request: Request, error: unknown) => void,
  ) {}

  ask(request: Request): void {
    this.waiting = { request };
    if (!this.running) void this.next();
  }

  /** Forgets what waits, and what comes of what runs. */
  drop(): void {
    this.waiting = null;
    this.epoch++;
  }

  private async next(): Promise<void> {
    this.running = true;
    while (this.waiting) {
      const { request } = this.waiting;
      this.waiting = null;
      const epoch = this.epoch;
      try {
        const result = await this.work(request);
        if (epoch === this.epoch) this.done(request, result);
      } catch (error) {
        if (epoch === this.epoch) this.failed(request, error);
      }
    }
    this.running = false;
  }
}
