import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { EventStream } from "./event-stream";

type Sent = { last: string | null; controller: ReadableStreamDefaultController<Uint8Array>; signal: AbortSignal };

let connections: Sent[] = [];
let refuse = false;
let stop: () => void;
const told: string[] = [];
const states: string[] = [];

const say = (line: Sent | undefined, id: string) =>
  line?.controller.enqueue(new TextEncoder().encode(`event: progress\nid: ${id}\ndata: {}\n\n`));
const settle = () => vi.advanceTimersByTimeAsync(1);

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("window", new EventTarget());
  vi.stubGlobal("document", Object.assign(new EventTarget(), { hidden: false }));
  connections = [];
  told.length = states.length = 0;
  refuse = false;
  vi.stubGlobal("fetch", async (_: string, { headers, signal }: { headers: Record<string, string>; signal: AbortSignal }) => {
    if (refuse) return new Response(null, { status: 503 });
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        connections.push({ last: headers["Last-Event-ID"] ?? null, controller, signal });
        signal.addEventListener("abort", () => controller.error(new Error("aborted")));
      },
    });
    return new Response(body);
  });
  stop = new EventStream("/v1/events", {
    event: (event) => told.push(event.id),
    state: (state, resumed) => states.push(resumed ? `${state}, resumed` : state),
  }).start();
});

afterEach(() => {
  stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("the one stream of a tab", () => {
  it("goes on from the last event after a lost connection", async () => {
    await settle();
    say(connections[0], "5-0");
    await settle();
    connections[0]?.controller.close();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(connections.map(({ last }) => last)).toEqual([null, "5-0"]);
    say(connections[1], "6-0");
    await settle();
    expect(told).toEqual(["5-0", "6-0"]);
    expect(states).toEqual(["connecting", "live", "lost", "connecting", "live, resumed"]);
  });

  it("waits longer and longer while it is refused, and never gives up", async () => {
    await settle();
    refuse = true;
    connections[0]?.controller.close();
    await vi.advanceTimersByTimeAsync(60_000);
    const tries = states.filter((state) => state === "connecting").length;
    expect(tries).toBeGreaterThan(4);
    expect(tries).toBeLessThan(14);
    refuse = false;
    await vi.advanceTimersByTimeAsync(16_000);
    expect(states.at(-1)).toBe("live");
  });

  it("takes silence for a dead line", async () => {
    await settle();
    await vi.advanceTimersByTimeAsync(45_000);
    expect(connections[0]?.signal.aborted).toBe(true);
    expect(connections).toHaveLength(2);
  });

  it("tries at once when the network is back", async () => {
    await settle();
    refuse = true;
    connections[0]?.controller.close();
    await vi.advanceTimersByTimeAsync(30_000);
    refuse = false;
    window.dispatchEvent(new Event("online"));
    await settle();
    expect(states.at(-1)).toBe("live");
  });

  it("is lost as soon as the network is", async () => {
    await settle();
    window.dispatchEvent(new Event("offline"));
    expect(states.at(-1)).toBe("lost");
    window.dispatchEvent(new Event("online"));
    await settle();
    expect(states.at(-1)).toBe("live");
  });

  it("has one connection at a time", async () => {
    await settle();
    for (let n = 0; n < 5; n++) window.dispatchEvent(new Event("online"));
    await settle();
    expect(connections.filter(({ signal }) => !signal.aborted)).toHaveLength(1);
  });

  it("gives its connection back while the tab is hidden", async () => {
    await settle();
    Object.assign(document, { hidden: true });
    document.dispatchEvent(new Event("visibilitychange"));
    await vi.advanceTimersByTimeAsync(61_000);
    expect(connections.every(({ signal }) => signal.aborted)).toBe(true);
    Object.assign(document, { hidden: false });
    document.dispatchEvent(new Event("visibilitychange"));
    await settle();
    expect(states.at(-1)).toBe("live");
  });
});
