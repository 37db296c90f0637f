import { describe, expect, it } from "vitest";
import { job, progress } from "@/test/jobs";
import { aspect, secondsLeft, sentence, thumbnailUrl } from "./job";

const START = "2026-01-01T00:00:00Z";
const after = (seconds: number) => Date.parse(START) + seconds * 1000;

describe("what a job says of itself", () => {
  it("tells how many are ahead and how long that may take", () => {
    expect(sentence(job({ queue: { position: 3, eta_seconds: 25 } }))).toBe("3 ahead, about 25 s left");
  });

  it("estimates a running job from how fast it came so far", () => {
    const running = job({ status: "running", started_at: START, progress: progress(5, 20) });
    expect(secondsLeft(running, after(10))).toBeCloseTo(30);
    expect(sentence(running, after(10))).toBe("Step 5 of 20, about 30 s left");
  });

  it("says where a canceled job stopped and why a failed one failed", () => {
    expect(sentence(job({ status: "canceled", cancellation: { step: 4, ms: 80 } }))).toBe("Canceled at step 4");
    expect(sentence(job({ status: "failed", error: { type: "", title: "The job took too long", detail: "" } }))).toBe(
      "The job took too long",
    );
  });
});

describe("the box of a picture", () => {
  it("has the edit's own shape before there is an edit", () => {
    expect(aspect(job())).toBeCloseTo(4 / 3);
    expect(aspect(job({ input: { width: 400, height: 900, sha256: "" } }))).toBeCloseTo(400 / 900);
    expect(aspect(job({ params: { size: "512x512" } }))).toBe(1);
  });

  it("never takes the photo's thumbnail for the edit's", () => {
    const done = job({ output: { url: "", expires_at: START, content_type: "image/png", width: 1, height: 1, bytes: 1, sha256: "" } });
    expect(thumbnailUrl(job())).not.toBe(thumbnailUrl(done));
  });
});
