import { type APIRequestContext, expect, type Locator, type Page } from "@playwright/test";
import { alive } from "./looks";

export const PHOTO = "../examples/pagoda.jpg";

/** A page once it answers: until then it is only shown, and a file that is given to it is lost. */
export async function visit(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await alive(page);
}

/** The editor with a photo in it, set to small pictures and so many steps. */
export async function prepare(page: Page, prompt: string, steps = 4): Promise<void> {
  await visit(page, "/");
  await page.getByLabel("Choose a photo").setInputFiles(PHOTO);
  await expect(page.getByAltText("To be edited")).toBeVisible();
  await settings(page, steps);
  await page.getByLabel("What should change?").fill(prompt);
}

export async function settings(page: Page, steps: number): Promise<void> {
  await page.getByText("256²").click();
  const field = page.getByRole("textbox", { name: "Steps" });
  await field.fill(String(steps));
  await field.blur();
}

/** Send what is prepared; returns the job's id, which is in the address. */
export async function develop(page: Page): Promise<string> {
  await page.getByRole("button", { name: /^Develop/ }).click();
  await page.waitForURL(/\/jobs\/\w+/);
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

/** So many steps that nothing here ends by itself while it is looked at. */
export const ENDLESS = 1000;
