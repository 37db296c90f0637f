import { expect, type Page, test } from "@playwright/test";
import { changed, develop, PHOTO, prepare, stopAll, until, visit } from "./editing";
import { complaints } from "./looks";

test.describe.configure({ timeout: 90_000 });
test.afterEach(({ request }) => stopAll(request));

/** A small picture, made in the page, as if it were pasted. */
async function paste(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(64, 48);
    const pen = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D;
    pen.fillStyle = "#7a9";
    pen.fillRect(0, 0, 64, 48);
    const data = new DataTransfer();
    data.items.add(new File([await canvas.convertToBlob()], "pasted.png", { type: "image/png" }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
  });
}

test("what is no photo is refused when it is chosen, one that is pasted is taken, and a reload keeps what was prepared", async ({ page }) => {
  const heard = complaints(page);
  await visit(page, "/?model=pix2pix-1&steps=5&size=256x256&resolution=own");
  await page.getByLabel("Choose a photo").setInputFiles({ name: "a.png", mimeType: "image/png", buffer: Buffer.from("no png") });
  await expect(page.getByRole("alert")).toHaveText("a.png is no JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF or BMP picture.");
  await paste(page);
  await expect(page.getByText("Photo 64 × 48 pixels")).toBeVisible();

  await page.getByRole("button", { name: "Crop" }).click();
  await page.getByRole("button", { name: /^Kept/ }).press("Shift+ArrowLeft");
  await page.getByRole("button", { name: /^Crop to/ }).click();
  await expect(page.getByText("Photo 50 × 38 pixels")).toBeVisible();
  await page.getByRole("button", { name: "Turn right" }).click();
  await expect(page.getByText("Photo 38 × 50 pixels")).toBeVisible();

  await page.getByRole("button", { name: "Brush" }).click();
  const area = (await page.locator("canvas[aria-label^='Nothing is marked']").boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
  await page.mouse.move(area.x + area.width / 3, area.y + area.height / 3);
  await page.mouse.down();
  await page.mouse.move(area.x + area.width / 2, area.y + area.height / 2, { steps: 4 });
  await page.mouse.up();
  await expect(page.locator("canvas[aria-label^='Marked']")).toBeVisible();
  await page.getByLabel("What should change?").fill("make it night, please");
  await page.waitForTimeout(600); // what was typed is kept a moment later

  await page.reload();
  await expect(page.getByText("Photo 38 × 50 pixels")).toBeVisible();
  await expect(page.getByLabel("What should change?")).toHaveValue("make it night, please");
  await expect(page.locator("canvas[aria-label^='Marked']")).toBeVisible();
  await page.getByRole("button", { name: /^Advanced/ }).click();
  await expect(page.getByRole("combobox", { name: "Model" })).toHaveValue("pix2pix-1");
  await expect(page.getByRole("textbox", { name: "Steps" })).toHaveValue("5");
  await expect(page.getByRole("textbox", { name: "Text CFG" })).toHaveCount(0);
  await expect(page.getByRole("list", { name: "What it is made of" })).toContainText("VAE library");

  const id = await develop(page);
  await until(page, "succeeded");
  expect([await changed(page, id, 0.42, 0.42), await changed(page, id, 0.95, 0.05)]).toEqual([true, false]);
  expect(heard).toEqual([]);
});

test("a second photo makes a batch, which is one row of the list", async ({ page }) => {
  await prepare(page, "make it sepia");
  await page.getByLabel("Add a photo").setInputFiles("../examples/mountains.jpg");
  await expect(page.getByRole("list", { name: "Photos" }).getByRole("listitem")).toHaveCount(2);
  await page.getByRole("button", { name: "Develop 2 photos" }).click();
  await expect(page.getByAltText("The edit")).toHaveCount(2, { timeout: 60_000 });
  await expect(page.getByRole("list", { name: "Edits" })).toContainText("mountains.jpg");
  await expect(page.getByRole("region", { name: "The comparison" })).toContainText(/2 edits in \d+ s altogether/);
  const comparison = page.url();
  await page.getByRole("navigation").getByRole("link", { name: "Editor" }).click();
  const group = page.locator("[data-group]").first();
  await expect(group).toContainText("2 edits, side by side");
  await group.getByRole("link").click();
  await expect(page).toHaveURL(new RegExp(`${[...new URL(comparison).searchParams.get("jobs")?.split(",") ?? []].sort().join("(,|%2C)")}$`));
});

test("addresses lead where they say: an edit with settings, a model, an edit that is gone", async ({ page }) => {
  await page.goto("/models");
  await page.getByRole("listitem").filter({ hasText: "pix2pix-full-no-ddim" }).getByRole("link", { name: "Edit with it" }).click();
  await page.getByRole("button", { name: /^Advanced/ }).click();
  await expect(page.getByRole("combobox", { name: "Model" })).toHaveValue("pix2pix-full-no-ddim");
  const photo = await page.locator("ul[aria-labelledby=examples] img").first().getAttribute("src");
  await page.goto(`/?photo=${photo}&prompt=make+it+night&seed=5&steps=12`);
  await expect(page.getByAltText("To be edited")).toBeVisible();
  await expect(page.getByLabel("What should change?")).toHaveValue("make it night");
  await page.getByRole("button", { name: /^Advanced/ }).click();
  await expect(page.getByRole("textbox", { name: "Seed" })).toHaveValue("5");
  await page.goto("/jobs/00000000000000000000000000");
  await expect(page.getByRole("heading", { name: "This edit is gone" })).toBeVisible();
});

test("errors are shown, and nothing is lost by them", async ({ page }) => {
  let answer: number | null = 503;
  const refuse = (path: RegExp) => page.route(path, (route) => (answer ? route.fulfill({ status: answer, json: { title: "No", detail: "Not today." } }) : route.fallback()));
  await refuse(/\/v1\/models/);
  await visit(page, "/");
  await expect(page.getByRole("button", { name: "Choose a photo" })).toBeVisible();
  await expect(page.getByLabel("What should change?")).toHaveCount(0);
  answer = null;
  await expect(page.getByLabel("What should change?")).toBeVisible(); // it was only away

  await page.getByLabel("Choose a photo").setInputFiles(PHOTO);
  await page.getByLabel("What should change?").fill("make it snowy");
  await refuse(/\/v1\/jobs$/);
  answer = 422;
  await page.getByRole("button", { name: /^Develop/ }).click();
  await expect(page.getByRole("alert")).toContainText("Not today.");
  await expect(page.getByLabel("What should change?")).toHaveValue("make it snowy");

  answer = 500;
  await page.goto("/details"); // which shows what the models tell
  await expect(page.getByRole("heading", { name: "The service refused" })).toBeVisible();
  await expect(page.getByRole("alert")).toHaveText("Not today.");
  await expect(page.getByRole("link", { name: "Darkroom, to the editor" })).toBeVisible();
  answer = null;
  await page.getByRole("button", { name: "Load it again" }).click();
  await expect(page.getByRole("heading", { name: "How to use it" })).toBeVisible();
});

test("after a new version a page loads itself again, once, and then says so", async ({ page }) => {
  await visit(page, "/");
  let loads = 0;
  page.on("load", () => loads++);
  await page.route(/\/assets\/gallery-/, (route) => route.fulfill({ status: 404, body: "" }));
  await page.getByRole("navigation").getByRole("link", { name: "Gallery" }).click();
  await expect(page.getByRole("heading", { name: "This page did not come" })).toBeVisible();
  expect(loads).toBe(1);
  await expect(page.getByRole("navigation").getByRole("link", { name: "Models" })).toBeVisible();
  await expect(page).toHaveURL(/gallery/);
});
