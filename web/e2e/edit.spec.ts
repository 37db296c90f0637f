import { expect, type Page, test } from "@playwright/test";
import { violations } from "./axe";
import { changed, develop, drawn, ENDLESS, PHOTO, prepare, row, stopAll, until, visit } from "./editing";
import { complaints, darken, LOOKS, lighten, overflow } from "./looks";

test.describe.configure({ timeout: 150_000 });
test.afterEach(({ request }) => stopAll(request));

/** What leaves somebody out on a page as it is now; on a desktop in the dark, too. */
async function faults(page: Page, look: string): Promise<unknown[]> {
  await page.waitForFunction(() => !document.getAnimations().some((one) => one instanceof CSSTransition));
  const found = await violations(page);
  if (look === "phone") return found;
  await darken(page);
  const dark = await violations(page, "dark");
  await lighten(page);
  return [...found, ...dark];
}

const isInView = (page: Page, name: string) =>
  expect(page.getByRole("link", { name }).or(page.getByRole("button", { name, exact: true })).or(page.getByLabel(name)).first()).toBeInViewport({ ratio: 1 });

for (const look of ["light", "phone"]) {
  test.describe(look, () => {
    test.use({ ...LOOKS[look], permissions: ["clipboard-read", "clipboard-write"] });

    test("a first visit: a photo, a sentence, go; the result says what came out", async ({ page }) => {
      const heard = complaints(page);
      await visit(page, "/");
      await isInView(page, "What should change?");
      await expect(page.getByRole("slider")).toHaveCount(0);
      await expect(page.getByText("Model", { exact: true })).toBeHidden();
      await page.getByLabel("Choose a photo").setInputFiles(PHOTO);
      await expect(page.getByText("Photo 640 × 427 pixels, result of the same size")).toBeVisible();
      await isInView(page, "What should change?");

      await page.getByRole("button", { name: "Box" }).click();
      await page.getByRole("button", { name: /begin with one in the middle/ }).click();
      const box = page.getByRole("button", { name: /^Edited here/ });
      await box.press("ArrowLeft");
      await box.press("Shift+ArrowDown");
      await expect(box).toHaveAccessibleName("Edited here: 23% to 73% across, 25% to 77% down");
      expect(await faults(page, look)).toEqual([]);

      await page.getByLabel("What should change?").fill("turn it blue");
      const id = await develop(page);
      await until(page, "succeeded");
      await expect(page.locator("article")).toContainText("640 × 427 pixels, as the photo");
      expect([await changed(page, id, 0.5, 0.5), await changed(page, id, 0.95, 0.05)]).toEqual([true, false]);
      await isInView(page, "Download");
      await expect(page.getByText("Made with")).toBeHidden();
      const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download" }).click()]);
      expect(download.suggestedFilename()).toBe("pagoda-turn-it-blue.png");

      await page.getByText("This edit as a command").click();
      await expect(page.locator("article pre")).toContainText("-F prompt='turn it blue'");
      await page.getByText("Details of this edit").click();
      await expect(page.getByText("Made with")).toBeVisible();
      const strength = page.getByRole("slider", { name: "Strength of the edit" });
      await strength.press("Home");
      await expect(page.getByAltText("After: the edit")).toHaveCSS("opacity", "0");
      await strength.press("ArrowRight");
      const [rendered] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download at 1 %" }).click()]);
      expect(rendered.suggestedFilename()).toBe("pagoda-turn-it-blue-1-percent.png");
      await page.getByText("Other strengths of it").click();
      await expect(page.getByRole("link", { name: "1 %, PNG" })).toBeVisible();
      expect(await faults(page, look)).toEqual([]);
      await page.locator("article").getByText("Steps", { exact: true }).first().click();
      await page.getByRole("slider", { name: "Step", exact: true }).press("Home");
      await expect(page.getByRole("img", { name: "Noisy latent after step 1" })).toBeVisible();
      expect(await faults(page, look)).toEqual([]);

      await page.getByRole("button", { name: "Share" }).click();
      await expect(page.getByText("The link is copied.")).toBeVisible();
      expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(page.url());

      await page.getByRole("button", { name: "Go on from this" }).click();
      await expect(page.getByAltText("To be edited")).toHaveAttribute("src", new RegExp(`${id}/output`));
      await page.getByLabel("What should change?").fill("make it sepia");
      await develop(page);
      await expect(page.getByRole("navigation", { name: "The edits before this one" })).toContainText("turn it blue");
      await page.getByRole("link", { name: "turn it blue" }).first().click();
      await expect(page).toHaveURL(new RegExp(id));
      expect(await overflow(page)).toBe(0);
      expect(heard).toEqual([]);
    });
  });
}

test.describe("at work", () => {
  test.use(LOOKS.light ?? {});

  test("an edit is seen step by step, outlives a reload and a lost connection, and Escape stops it", async ({ page, context }) => {
    const heard = complaints(page);
    await prepare(page, "make it sunset", ENDLESS);
    const id = await develop(page);
    await expect.poll(() => drawn(page), { timeout: 30_000 }).toBeGreaterThan(1);
    await page.getByText("Both", { exact: true }).click();
    await expect(page.getByRole("img", { name: "The latent with its noise" })).toHaveAttribute("data-drawn", /[1-9]/);
    expect(await faults(page, "light")).toEqual([]);
    expect(heard).toEqual([]);

    await page.reload();
    await expect.poll(() => drawn(page), { timeout: 30_000 }).toBeGreaterThan(0);
    await context.setOffline(true);
    await expect(page.getByText("Reconnecting")).toBeVisible({ timeout: 20_000 });
    const step = await page.getByRole("progressbar").getAttribute("aria-valuenow");
    await context.setOffline(false);
    await expect(page.getByText("Reconnecting")).toBeHidden();
    await expect.poll(() => page.getByRole("progressbar").getAttribute("aria-valuenow")).not.toBe(step);

    await page.keyboard.press("Escape");
    await until(page, "canceled");
    const told = page.locator("article [role=status]");
    await expect(told).toHaveText(/^Canceled at step \d+$/);
    const badge = await page.getByRole("progressbar").getAttribute("aria-valuenow");
    expect(await told.innerText()).toBe(`Canceled at step ${badge}`);
    expect(await faults(page, "light")).toEqual([]);
    await page.getByRole("button", { name: "Try again" }).click();
    await expect(page.locator("article")).not.toHaveAttribute("data-status", "canceled");
    await expect(row(page, id)).toBeVisible();
  });
});

test("two tabs show the same truth, and a deletion can be thought better of", async ({ page, context }) => {
  const other = await context.newPage();
  await other.goto("/");
  await prepare(page, "turn it blue", ENDLESS);
  const id = await develop(page);
  await expect(row(other, id)).toContainText(/Step \d+ of 1000/, { timeout: 20_000 });
  await row(other, id).getByRole("button", { name: "Cancel “turn it blue”" }).click();
  await until(page, "canceled");
  await expect(row(other, id)).toContainText("Canceled at step");

  const remove = async () => {
    await page.getByRole("button", { name: "More to do with this edit" }).click();
    await page.getByRole("menuitem", { name: "Delete" }).click();
    await expect(row(page, id)).toHaveCount(0);
  };
  await remove();
  await page.getByRole("button", { name: "Undo" }).click();
  await row(page, id).getByRole("link").click();
  await remove();
  await expect(row(other, id)).toHaveCount(1);
  await page.goto("/math"); // leaving the page does not undo it
  await expect(row(other, id)).toHaveCount(0);
});

test("four variations are one job, each to be looked at and taken", async ({ page }) => {
  await prepare(page, "make it snowy");
  const first = await develop(page);
  await until(page, "succeeded");
  await page.getByRole("button", { name: "More to do with this edit" }).click();
  await page.getByRole("menuitem", { name: "Four variations" }).click();
  await expect(page).not.toHaveURL(new RegExp(first));
  const seeds = page.getByRole("list", { name: "Variations" }).getByRole("img");
  await expect(seeds).toHaveCount(4, { timeout: 60_000 });
  await seeds.nth(2).click();
  await expect(page.getByAltText("After: the edit")).toHaveAttribute("src", /outputs\/2\?/);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download" }).click()]);
  expect(download.suggestedFilename()).toBe("pagoda-make-it-snowy-no-3.png");
});

test("it can all be done by keyboard", async ({ page }) => {
  await prepare(page, "", 2);
  await page.getByLabel("What should change?").blur();
  await page.keyboard.press("/");
  await page.keyboard.type("make it vintage");
  await page.keyboard.press("Enter");
  await until(page, "succeeded");
  const first = page.url();
  const handle = page.getByRole("slider").first();
  const before = Number(await handle.getAttribute("aria-valuenow"));
  await handle.press("ArrowRight");
  await expect.poll(async () => Number(await handle.getAttribute("aria-valuenow"))).toBeGreaterThan(before);
  await handle.blur();
  await page.keyboard.press("/");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("blur it");
  await page.keyboard.press("ControlOrMeta+Enter");
  await expect(page.getByRole("heading", { name: "blur it" })).toBeVisible();
  await page.keyboard.press("Alt+ArrowUp");
  await page.keyboard.press("Alt+ArrowUp");
  await expect(page.getByLabel("What should change?")).toHaveValue("make it vintage");
  await page.getByLabel("What should change?").blur();
  await page.keyboard.press("j");
  await expect(page).toHaveURL(first);
});
