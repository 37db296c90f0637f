import AxeBuilder from "@axe-core/playwright";
import { expect, test } from "@playwright/test";
import { complaints, LOOKS, PAGES, settled } from "./looks";

const STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

for (const [look, options] of Object.entries(LOOKS)) {
  test.describe(look, () => {
    test.use(options);
    for (const path of PAGES) {
      test(`${path} stands still, fits, and leaves nobody out`, async ({ page }) => {
        const heard = complaints(page);
        await page.addInitScript(watchShifts);
        await page.goto(path);
        await settled(page);
        expect(await page.evaluate(() => window.shifted), "layout shift").toBeLessThanOrEqual(0.05);
        expect(await page.evaluate(overflow), "wider than the screen by").toBeLessThanOrEqual(0);
        const { violations } = await new AxeBuilder({ page }).withTags(STANDARDS).exclude(".katex-html").analyze();
        expect(violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)])).toEqual([]);
        expect(heard).toEqual([]);
      });
    }
  });
}

test("the API can be clicked through at /docs, with nothing from elsewhere", async ({ page, baseURL }) => {
  const heard = complaints(page);
  const elsewhere: string[] = [];
  page.on("request", (request) => request.url().startsWith(`${baseURL}/`) || elsewhere.push(request.url()));
  await page.goto("/docs");
  await expect(page.getByText("Submit a job")).toBeVisible();
  expect(elsewhere.filter((url) => !url.startsWith("data:"))).toEqual([]);
  expect(heard).toEqual([]);
});

declare global {
  interface Window {
    shifted: number;
  }
}

function watchShifts() {
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as (PerformanceEntry & { value: number })[]) window.shifted += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
}

const overflow = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;
