import AxeBuilder from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { develop, drawn, ENDLESS, prepare, stopAll, until } from "./editing";
import { complaints, LOOKS } from "./looks";

test.describe.configure({ timeout: 150_000 });
test.afterEach(({ request }) => stopAll(request));

async function violations(page: Page): Promise<unknown[]> {
  await page.waitForTimeout(400); // what fades in has come
  const found = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]).analyze();
  return found.violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]);
}

for (const [look, options] of Object.entries(LOOKS)) {
  test.describe(look, () => {
    test.use(options);

    test("an edit leaves nobody out: at work, done, on its way, compared", async ({ page }) => {
      const heard = complaints(page);
      await prepare(page, "make it sunset", ENDLESS);
      await develop(page);
      await expect.poll(() => drawn(page), { timeout: 30_000 }).toBeGreaterThan(0);
      expect(await violations(page)).toEqual([]);
      await page.getByRole("button", { name: "Cancel", exact: true }).click();
      await until(page, "canceled");
      expect(await violations(page)).toEqual([]);

      await page.goto("/");
      await prepare(page, "make it sunset", 2);
      const id = await develop(page);
      await until(page, "succeeded");
      expect(await violations(page)).toEqual([]);
      await page.locator("article").getByText("Steps", { exact: true }).first().click();
      expect(await violations(page)).toEqual([]);
      await page.goto(`/compare?jobs=${id}`);
      await expect(page.getByAltText("The edit")).toBeVisible();
      expect(await violations(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)).toBe(0);
      expect(heard).toEqual([]);
    });
  });
}
