import { expect, type Page, test } from "@playwright/test";

const ID = "00000000000000000000000001";

const JOB = {
  id: ID, object: "job", status: "running", status_text: "", model: "pix2pix-full", params: { prompt: "make it night", size: "512x512" },
  input: { width: 512, height: 512, sha256: "" }, output: null, frames: null, outputs: [], renders: [], queue: null, progress: null, error: null,
  warnings: [], cancellation: null, attempts: [], timing: {}, receipt: null, priority: "normal", deadline_seconds: 86400, metadata: {}, parent: null,
  urls: { self: "", events: "", cancel: "", output: "" }, created_at: "2026-01-01T00:00:00Z", started_at: new Date().toISOString(),
  finished_at: null, expires_at: null,
};

/** The service's answers for these jobs, and a stream that says what `window.say` is told. */
async function stub(page: Page, jobs: { id: string }[]): Promise<void> {
  await page.addInitScript(() => {
    const real = window.fetch;
    const encoder = new TextEncoder();
    let id = 0;
    window.fetch = (input, init) => {
      if (input !== "/v1/events") return real(input, init);
      const body = new ReadableStream({
        start(line) {
          window.say = (type, data) => line.enqueue(encoder.encode(`event: ${type}\nid: ${++id}-0\ndata: ${JSON.stringify(data)}\n\n`));
        },
      });
      return Promise.resolve(new Response(body));
    };
  });
  await page.route(/\/v1\/jobs\?/, (route) => {
    const wanted = route.request().url().includes("status=queued") ? [] : jobs;
    return route.fulfill({ json: { object: "list", data: wanted, has_more: false, next: null } });
  });
  await page.route(/\/v1\/jobs\/\w+$/, (route) => route.fulfill({ json: jobs.find(({ id }) => route.request().url().endsWith(id)) }));
  await page.route(/\/(input|thumbnail)\?/, (route) => route.fulfill({ path: "../examples/pagoda.jpg" }));
}

/** Open a page, and wait until it listens. */
async function open(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await page.waitForFunction(() => "say" in window);
}

test("sixty previews at 50 ms: it keeps moving, is never blank, and asks for one at a time", async ({ page }) => {
  let flying = 0;
  let most = 0;
  let asked = 0;
  await stub(page, [JOB]);
  await page.route(/\/preview\?/, async (route) => {
    asked++;
    most = Math.max(most, ++flying);
    await new Promise((resolve) => setTimeout(resolve, 80));
    flying--;
    await route.fulfill({ path: "../examples/dandelion.jpg" });
  });
  await open(page, `/jobs/${ID}`);
  await page.locator("article canvas").waitFor();
  const seen = await page.evaluate(async (job) => {
    const canvas = document.querySelector<HTMLCanvasElement>("article canvas") as HTMLCanvasElement;
    const blank = () => !canvas.getContext("2d")?.getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1).data[3];
    const drawings = new Set<string>();
    let blanks = 0;
    let over = false;
    const watch = () => {
      const drawn = canvas.dataset.drawn ?? "0";
      if (drawn !== "0" && blank()) blanks++;
      drawings.add(drawn);
      if (!over) requestAnimationFrame(watch);
    };
    watch();
    for (let step = 1; step <= 60; step++) {
      window.say("progress", { job, step, steps: 60 });
      window.say("preview", { job, step });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await new Promise((resolve) => setTimeout(resolve, 600));
    over = true;
    return { drawings: drawings.size - 1, blanks };
  }, ID);
  expect(most).toBe(1);
  expect(seen.blanks).toBe(0);
  expect(seen.drawings).toBeGreaterThanOrEqual(10);
  expect(asked).toBeLessThan(60);
  await expect(page.getByRole("progressbar")).toHaveAttribute("aria-valuenow", "60");
});

test.describe.configure({ timeout: 90_000 });

test("a hundred jobs at work on the list stay smooth", async ({ page }) => {
  const jobs = Array.from({ length: 100 }, (_, n) => ({ ...JOB, id: String(9999 - n).padStart(26, "0") }));
  await stub(page, jobs);
  await open(page, "/");
  await expect(page.locator("[data-job]")).toHaveCount(100);
  const frames = await page.evaluate(async (ids) => {
    const gaps: number[] = [];
    let last = performance.now();
    let over = false;
    const watch = (now: number) => {
      gaps.push(now - last);
      last = now;
      if (!over) requestAnimationFrame(watch);
    };
    requestAnimationFrame(watch);
    for (let round = 1; round <= 12; round++) {
      for (const job of ids) window.say("progress", { job, step: round, steps: 40 });
      await new Promise((resolve) => setTimeout(resolve, 250)); // four a second for each job: as often as the service tells
    }
    over = true;
    return gaps.sort((a, b) => a - b);
  }, jobs.map(({ id }) => id));
  const at = (share: number) => frames[Math.floor(frames.length * share)] ?? Number.POSITIVE_INFINITY;
  console.log(`frames: ${frames.length}, median ${at(0.5).toFixed(0)} ms, 95% ${at(0.95).toFixed(0)} ms, worst ${frames.at(-1)?.toFixed(0)} ms`);
  expect(at(0.5)).toBeLessThan(50);
  expect(at(0.95)).toBeLessThan(250);
  await expect(page.locator(`[data-job="${jobs[0]?.id}"]`)).toContainText("Step 12 of 40");
});

test("the list has search, filters and choosing several; what waits in a paused service says so", async ({ page }) => {
  const told = (n: number, change: object) => ({ ...JOB, id: String(n).padStart(26, "0"), ...change });
  const prompts = ["make it snowy", "blur it", "make it sepia", "make it night", "turn it blue", "make it vintage"];
  const over = { status: "canceled", cancellation: { step: 2, ms: 9 } };
  const jobs = [
    told(9, { status: "queued", params: { prompt: "make it foggy", size: "auto" }, queue: { position: 2, eta_seconds: 25 } }),
    told(8, { ...over, metadata: { group: "g" } }),
    told(7, { ...over, metadata: { group: "g" } }),
    ...prompts.map((prompt, n) => told(6 - n, { ...over, params: { prompt, size: "auto" } })),
  ];
  await stub(page, jobs);
  await page.route(/\/v1\/queue$/, (route) => route.fulfill({ json: { paused: true, queued: 1, running: 0 } }));
  let deleted = 0;
  await page.route(/\/v1\/jobs\/\w+$/, (route) => (route.request().method() === "DELETE" ? route.fulfill({ status: 204 }).then(() => void deleted++) : route.fallback()));
  await open(page, "/");
  const rows = page.locator("[data-job]");
  await expect(rows).toHaveCount(7); // and one for both of the comparison
  await expect(rows.first()).toContainText("Waiting: the service is paused");
  await page.getByText("At work").click();
  await expect(rows).toHaveCount(1);
  await page.getByText("All", { exact: true }).click();
  await page.getByLabel("Search the instructions").fill("BLU");
  await expect(rows).toHaveCount(2);

  await page.getByRole("button", { name: "Select" }).click();
  for (const box of await page.getByLabel("Choose this one").all()) await box.check();
  await page.getByRole("button", { name: "Delete 2" }).click();
  await expect(rows).toHaveCount(0);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(rows).toHaveCount(2);
  expect(deleted).toBe(0);
});

test("what the service will not do is told, and the edit stays: to cancel, to try again, to delete", async ({ page }) => {
  const over = { ...JOB, id: ID.replace(/1$/, "2"), status: "canceled", cancellation: { step: 2, ms: 9 } };
  await page.clock.install();
  await stub(page, [JOB, over]);
  const no = { status: 409, json: { title: "No", detail: "Not today." } };
  await page.route(/\/v1\/jobs\/\w+(\/(cancel|retry))?$/, (route) => (route.request().method() === "GET" ? route.fallback() : route.fulfill(no)));
  const told = page.getByRole("region", { name: "Notices" }).getByRole("alert");
  await open(page, `/jobs/${ID}`);
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await expect(told.last()).toHaveText("It could not be canceled: Not today.");
  await page.locator(`[data-job="${over.id}"]`).getByRole("link").click();
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(told.last()).toHaveText("It could not be tried again: Not today.");
  await page.getByRole("button", { name: "More to do with this edit" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await expect(page.locator(`[data-job="${over.id}"]`)).toHaveCount(0);
  await page.clock.fastForward(10_000);
  await expect(told.last()).toHaveText("Not deleted: Not today.");
  await expect(page.locator(`[data-job="${over.id}"]`)).toHaveCount(1);
});

test("keys of one letter can be switched off, and stay so", async ({ page }) => {
  await stub(page, [JOB]);
  await open(page, "/");
  await page.keyboard.press("j");
  await expect(page).toHaveURL(new RegExp(ID));
  await page.goto("/details");
  await page.getByRole("switch", { name: /^Keys of one character/ }).uncheck();
  await open(page, "/");
  await expect(page.locator("[data-job]")).toHaveCount(1);
  await page.keyboard.press("j");
  await page.keyboard.press("/");
  await expect(page).not.toHaveURL(/jobs/);
  await expect(page.getByLabel("What should change?")).not.toBeFocused();
});

declare global {
  interface Window {
    say: (type: string, data: object) => void;
  }
}
