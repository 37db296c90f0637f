import { expect, test } from "@playwright/test";
import { develop, prepare, until } from "../editing";
import { complaints } from "../looks";
import { SENTENCES } from "./sentences";

test.describe.configure({ timeout: 600_000 });

test("each sentence gets an answer on the screen that is true", async ({ page, request }) => {
  expect(SENTENCES).toHaveLength(24);
  expect(Math.max(...SENTENCES.map(({ length }) => length))).toBeGreaterThanOrEqual(890);
  const heard = complaints(page);
  await prepare(page, "", 2);
  for (const sentence of SENTENCES) {
    await test.step(sentence.slice(0, 40), async () => {
      await page.getByLabel("What should change?").fill(sentence);
      const id = await develop(page);
      const article = page.locator("article");
      await expect(article.getByRole("heading", { level: 1 })).toHaveText(sentence);
      await until(page, "succeeded");
      const job = await (await request.get(`/v1/jobs/${id}`)).json();
      expect(job.params.prompt).toBe(sentence);
      const seconds = job.timing.total_ms / 1000;
      await expect(article.getByRole("status")).toHaveText(seconds < 1 ? "Done in under a second" : `Done in ${Math.round(seconds)} s`);
      await expect(article).toContainText(`${job.output.width} × ${job.output.height} pixels, as the photo`);
      expect([job.output.width, job.output.height]).toEqual([job.input.width, job.input.height]);
      await expect(article.getByRole("note")).toHaveText(job.warnings.map(({ detail }: { detail: string }) => detail));
      if (sentence.length > 800) await expect(article.getByRole("note")).toContainText("a kite in the sky");
    });
  }
  expect(heard).toEqual([]);
});
