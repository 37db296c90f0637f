/**
 * Keeps what is shown as new as can be while addresses come faster than pictures: one request in flight, then the newest
 * address, the ones between never. A picture is handed on once it is decoded, so that nothing blank is ever shown.
 */
export class Latest<Picture> {
  private next: string | null = null;
  private busy = false;
  private ended = false;

  constructor(
    private readonly load: (url: string) => Promise<Picture>,
    private readonly show: (picture: Picture) => void,
  ) {}

  want(url: string): void {
    this.next = url;
    if (!this.busy) void this.work();
  }

  end(): void {
    this.ended = true;
  }

  private async work(): Promise<void> {
    this.busy = true;
    while (this.next && !this.ended) {
      const url = this.next;
      this.next = null;
      const picture = await this.load(url).catch(() => null); // it is gone or lost: the next one comes
      if (picture !== null && !this.ended) this.show(picture);
    }
    this.busy = false;
  }
}
