import { describe, expect, it } from "vitest";
import { EventParser } from "./parser";

const TEXT = 'event: progress\nid: 7-0\ndata: {"job": "a", "step": 3}\n\n: still here\n\nevent: done\nid: 8-0\ndata: {"job":\ndata: "a"}\n\n';

describe("the text of an event stream", () => {
  it("is the same events wherever it was cut", () => {
    const whole = new EventParser().feed(TEXT);
    expect(whole).toEqual([
      { id: "7-0", type: "progress", data: { job: "a", step: 3 } },
      { id: "8-0", type: "done", data: { job: "a" } },
    ]);
    for (let cut = 1; cut < TEXT.length; cut++) {
      const parser = new EventParser();
      expect([...parser.feed(TEXT.slice(0, cut)), ...parser.feed(TEXT.slice(cut))]).toEqual(whole);
    }
  });

  it("may end its lines as Windows does", () => {
    expect(new EventParser().feed(TEXT.replaceAll("\n", "\r\n"))).toHaveLength(2);
  });

  it("tells nothing before an event is whole", () => {
    expect(new EventParser().feed("event: done\ndata: {}\n")).toEqual([]);
  });
});
