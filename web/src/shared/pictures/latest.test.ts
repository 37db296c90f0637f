import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Latest } from "./latest";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("a preview whose address changes faster than pictures come", () => {
  it("keeps moving, with one request in flight, and ends with the newest", async () => {
    let flying = 0;
    let most = 0;
    const shown: string[] = [];
    const load = async (url: string) => {
      most = Math.max(most, ++flying);
      await new Promise((resolve) => setTimeout(resolve, 120));
      flying--;
      return url;
    };
    const latest = new Latest(load, (url) => shown.push(url));
    for (let step = 1; step <= 60; step++) {
      latest.want(`/preview?step=${step}`);
      await vi.advanceTimersByTimeAsync(50);
    }
    await vi.runAllTimersAsync();
    expect(most).toBe(1);
    expect(shown.length).toBeGreaterThanOrEqual(20);
    expect(shown.at(-1)).toBe("/preview?step=60");
    const steps = shown.map((url) => Number(url.split("=")[1]));
    expect(steps).toEqual([...steps].sort((a, b) => a - b));
  });

  it("goes on after a picture that could not be had", async () => {
    const shown: string[] = [];
    const load = async (url: string) => {
      if (url === "gone") throw new Error("404");
      return url;
    };
    const latest = new Latest(load, (url) => shown.push(url));
    latest.want("gone");
    await vi.runAllTimersAsync();
    latest.want("next");
    await vi.runAllTimersAsync();
    expect(shown).toEqual(["next"]);
  });

  it("shows nothing more once it has ended", async () => {
    const shown: string[] = [];
    const latest = new Latest(async (url: string) => url, (url) => shown.push(url));
    latest.want("late");
    latest.end();
    await vi.runAllTimersAsync();
    expect(shown).toEqual([]);
  });
});
