import { expect, test } from "@playwright/test";
import { violations } from "./axe";
import { develop, drawn, ENDLESS, prepare, stopAll, until } from "./editing";
import { complaints, darken, LOOKS, lighten, overflow } from "./looks";

test.describe.configure({ timeout: 150_000 });
test.afterEach(({ request }) => stopAll(request));

for (const look of ["light", "phone"]) {
  test.describe(look, () => {
    test.use(LOOKS[look] ?? {});

    test("an edit leaves nobody out: at work, done, on its way, compared", async ({ page }) => {
      const heard = complaints(page);
      const faults = async () => {
        await page.waitForTimeout(400); // what fades in has come
        const found = await violations(page);
        if (look === "phone") return found;
        await darken(page);
        const dark = await violations(page, "dark");
        await lighten(page);
        return [...found, ...dark];
      };
      await prepare(page, "make it sunset", ENDLESS);
      await develop(page);
      await expect.poll(() => drawn(page), { timeout: 30_000 }).toBeGreaterThan(0);
      expect(await faults()).toEqual([]);
      await page.getByRole("button", { name: "Cancel", exact: true }).click();
      await until(page, "canceled");
      expect(await faults()).toEqual([]);

      await prepare(page, "make it sunset", 2);
      const id = await develop(page);
      await until(page, "succeeded");
      expect(await faults()).toEqual([]);
      await page.locator("article").getByText("Steps", { exact: true }).first().click();
      expect(await faults()).toEqual([]);
      await page.goto(`/compare?jobs=${id}`);
      await expect(page.getByAltText("The edit")).toBeVisible();
      expect(await faults()).toEqual([]);
      expect(await overflow(page)).toBe(0);
      expect(heard).toEqual([]);
    });
  });
}
