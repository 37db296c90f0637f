import { type Page, test } from "@playwright/test";
import { develop, ENDLESS, prepare, until } from "../editing";
import { LOOKS, PAGES, settled } from "../looks";

const OUT = process.env.OUT as string;

/** Down to the end and back, so that what waits until it is seen is there. */
async function walk(page: Page): Promise<void> {
  await page.evaluate(async () => {
    for (let y = 0; y < document.body.scrollHeight; y += window.innerHeight) {
      window.scrollTo(0, y);
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    window.scrollTo(0, 0);
  });
}

for (const [look, options] of Object.entries(LOOKS)) {
  test.describe(look, () => {
    test.use(options);
    const shoot = async (page: Page, name: string) => {
      await page.waitForTimeout(600); // what fades in has come
      await page.screenshot({ path: `${OUT}/${name}-${look}.png`, fullPage: true, animations: "disabled" });
    };

    for (const path of PAGES) {
      test(`the page at ${path}`, async ({ page }) => {
        await page.goto(path);
        await settled(page);
        await walk(page);
        await shoot(page, path.replaceAll("/", "") || "editor");
      });
    }

    test("an edit: prepared, developing, done, on its way, compared", async ({ page }) => {
      await prepare(page, "make it look like night", ENDLESS);
      await shoot(page, "prepared");
      await develop(page);
      await page.locator("article canvas[data-drawn]:not([data-drawn='0'])").first().waitFor();
      await shoot(page, "developing");
      await page.getByRole("button", { name: "Cancel", exact: true }).click();
      await until(page, "canceled");
      await page.goto("/");
      await prepare(page, "make it look like night", 12);
      const id = await develop(page);
      await until(page, "succeeded");
      await shoot(page, "done");
      await page.locator("article").getByText("Steps", { exact: true }).first().click();
      await page.getByRole("slider", { name: "Step", exact: true }).waitFor();
      await shoot(page, "steps");
      await page.goto(`/compare?jobs=${id}`);
      await page.getByAltText("The edit").waitFor();
      await shoot(page, "grid");
    });
  });
}
