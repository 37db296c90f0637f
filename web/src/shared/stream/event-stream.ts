import { createParser } from "eventsource-parser";
import { insist } from "@/shared/api/session-ends";

/** One server-sent event; `id` is where to go on from. */
export type ServerEvent = { id: string; type: string; data: unknown };


export type Connection = "connecting" | "live" | "lost";

export type Listener = {
  event: (event: ServerEvent) => void;
  /** `resumed` tells that nothing was missed since the connection before. */
  state: (connection: Connection, resumed: boolean) => void;
};

const SILENCE_MS = 40_000; // the service says something every 15 s
const LONGEST_PAUSE_MS = 15_000;
const HIDDEN_MS = 60_000; // a browser has six connections to a site for all its tabs: a hidden tab gives its own back

/**
 * One event stream, followed over lost connections, sleep and hidden tabs, from the last event that was seen.
 *
 * Not the browser's EventSource: that one cannot be told where to go on from, nor notices a dead line.
 */
export class EventStream {
  private last = "";
  private attempt = 0;
  private line: AbortController | null = null;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private hide: ReturnType<typeof setTimeout> | undefined;
  private heardAt = 0;

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
  ) {}

  /** Follow until the returned function is called. */
  start(): () => void {
    const wake = () => this.wake();
    const cut = () => this.cut();
    const look = () => (document.hidden ? this.hidden() : this.wake());
    window.addEventListener("online", wake);
    window.addEventListener("offline", cut);
    window.addEventListener("pageshow", wake);
    document.addEventListener("visibilitychange", look);
    this.connect();
    return () => {
      window.removeEventListener("online", wake);
      window.removeEventListener("offline", cut);
      window.removeEventListener("pageshow", wake);
      document.removeEventListener("visibilitychange", look);
      clearTimeout(this.hide);
      this.hangUp();
    };
  }

  private hidden(): void {
    clearTimeout(this.hide);
    this.hide = setTimeout(() => this.hangUp(), HIDDEN_MS);
  }

  /** The browser says that there is no network: no need to wait for the silence. */
  private cut(): void {
    this.hangUp();
    this.listener.state("lost", false);
  }

  private wake(): void {
    clearTimeout(this.hide);
    const asleep = Date.now() - this.heardAt > SILENCE_MS;
    if (!this.line || asleep) {
      this.hangUp();
      this.attempt = 0;
      this.connect();
    }
  }

  private hangUp(): void {
    clearTimeout(this.retry);
    clearTimeout(this.silence);
    this.line?.abort();
    this.line = null;
  }

  private async connect(): Promise<void> {
    const line = new AbortController();
    this.line = line;
    this.listener.state("connecting", false);
    try {
      await this.read(line);
    } catch {
      // lost, refused or silent: all the same, it is tried again
    }
    if (this.line === line) this.again();
  }

  private async read(line: AbortController): Promise<void> {
    this.heard(line);
    const headers: HeadersInit = this.last ? { "Last-Event-ID": this.last } : {};
    const answer = await insist(() => fetch(this.url, { headers, signal: line.signal, cache: "no-store" }));
    if (!answer.ok || !answer.body) throw new Error(`refused: ${answer.status}`);
    this.listener.state("live", this.last !== "");
    this.attempt = 0;
    const parser = createParser({
      onEvent: ({ id = "", event = "message", data }) => this.tell({ id, type: event, data: JSON.parse(data) }),
    });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      this.heard(line);
      parser.feed(part.value);
    }
  }

  private tell(event: ServerEvent): void {
    this.last = event.id || this.last;
    this.listener.event(event);
  }

  private heard(line: AbortController): void {
    this.heardAt = Date.now();
    clearTimeout(this.silence);
    this.silence = setTimeout(() => line.abort(), SILENCE_MS);
  }

  private again(): void {
    this.hangUp();
    this.listener.state("lost", false);
    const pause = Math.min(LONGEST_PAUSE_MS, 500 * 2 ** this.attempt++) * (0.5 + Math.random() / 2);
    this.retry = setTimeout(() => this.connect(), pause);
  }
}
