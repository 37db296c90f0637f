import { type APIRequestContext, expect, type Locator, type Page } from "@playwright/test";
import { alive } from "./looks";

export const PHOTO = "../examples/pagoda.jpg";

/** A page once it answers: until then it is only shown, and a file that is given to it is lost. */
export async function visit(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await alive(page);
}

/** The editor with a photo in it and an instruction, set to small pictures and so many steps by its address. */
export async function prepare(page: Page, prompt: string, steps = 2): Promise<void> {
  await visit(page, `/?size=256x256&resolution=own&steps=${steps}`);
  await page.getByLabel("Choose a photo").or(page.getByLabel("Add a photo")).first().waitFor({ state: "attached" });
  if (await page.getByAltText("To be edited").count()) await page.getByRole("button", { name: "Another photo" }).click();
  await page.getByLabel("Choose a photo").setInputFiles(PHOTO);
  await expect(page.getByAltText("To be edited")).toBeVisible();
  await page.getByLabel("What should change?").fill(prompt);
}

/** Send what is prepared; returns the job's id, which is in the address. */
export async function develop(page: Page): Promise<string> {
  const before = page.url();
  await page.getByRole("button", { name: /^Develop/ }).click();
  await page.waitForURL((url) => url.href !== before && /\/jobs\/\w+/.test(url.pathname));
  return page.url().split("/").pop() as string;
}

/** The job that is looked at, once it is so. */
export async function until(page: Page, status: string): Promise<void> {
  await expect(page.locator(`article[data-status=${status}]`)).toBeVisible({ timeout: 90_000 });
}

export const row = (page: Page, id: string): Locator => page.locator(`[data-job="${id}"]`);

/** How many pictures the live preview has drawn. */
export async function drawn(page: Page): Promise<number> {
  return Number(await page.locator("article canvas").first().getAttribute("data-drawn"));
}

/** Stop whatever a test has left at work. */
export async function stopAll(request: APIRequestContext): Promise<void> {
  for (const status of ["queued", "running"]) {
    const { data } = await (await request.get(`/v1/jobs?limit=100&status=${status}`)).json();
    for (const { urls } of data) await request.post(urls.cancel);
  }
}

/** Whether the edit changed its photo at a place, which is told in shares of width and height. */
export async function changed(page: Page, id: string, x: number, y: number): Promise<boolean> {
  return page.evaluate(
    async ([id, x, y]) => {
      const color = async (which: string) => {
        const picture = await createImageBitmap(await (await fetch(`/v1/jobs/${id}/${which}?proxy=1`)).blob());
        const pen = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
        pen?.drawImage(picture, 0, 0);
        return [...(pen?.getImageData(Math.floor(x * picture.width), Math.floor(y * picture.height), 1, 1).data ?? [])].join();
      };
      return (await color("input")) !== (await color("output"));
    },
    [id, x, y] as const,
  );
}

/** So many steps that nothing here ends by itself while it is looked at. */
export const ENDLESS = 1000;
