import AxeBuilder from "@axe-core/playwright";
import { type APIRequestContext, expect, type Page, test } from "@playwright/test";
import { develop, prepare, row } from "../editing";

const ADMIN = { Authorization: `Bearer ${process.env.KEY}` };

/** A new key of a tenant. */
async function keyOf(tenant: string, request: APIRequestContext): Promise<string> {
  const made = await request.post("/v1/admin/keys", { headers: ADMIN, data: { tenant, scopes: ["read", "submit"], name: "a browser" } });
  expect(made.status()).toBe(201);
  return (await made.json()).key;
}

async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Sign in with a key that is valid, and be inside. */
async function enter(page: Page, key: string): Promise<void> {
  await signIn(page, key);
  await expect(page.getByRole("button", { name: "Sign out" })).toBeVisible();
}

test("a key opens the editor, is kept out of the page's reach, and the session ends when it is told to", async ({ page, context, request }) => {
  const key = await keyOf("studio", request);
  await page.goto("/");
  await expect(page.getByRole("heading", { name: "Come in" })).toBeVisible();
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);

  await signIn(page, "dk_000000000000_no-such-key");
  await expect(page.getByRole("form", { name: "Sign in" })).toContainText(/key/i);
  await expect(page.getByLabel("API key")).toHaveAttribute("aria-invalid", "true");

  await enter(page, key);
  await prepare(page, "make it sunset");
  const id = await develop(page);
  await expect(row(page, id)).toBeVisible();
  expect(await page.evaluate(() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage))).not.toContain(key);
  for (const cookie of await context.cookies()) {
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict" });
    expect(cookie.value).not.toContain(key);
  }

  await page.reload();
  await expect(row(page, id)).toBeVisible();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "Come in" })).toBeVisible();
  await page.goto(`/jobs/${id}`);
  await expect(page.getByRole("heading", { name: "Come in" })).toBeVisible();
});

test("another tenant's edits are nowhere to be seen, and the pages that explain need no key", async ({ page, request }) => {
  await page.goto("/");
  await enter(page, await keyOf("studio", request));
  await prepare(page, "make it night");
  const id = await develop(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await enter(page, await keyOf("press", request));
  await expect(page.getByLabel("Choose a photo")).toBeAttached();
  await expect(page.locator("[data-job]")).toHaveCount(0);
  await page.goto(`/jobs/${id}`);
  await expect(page.getByRole("heading", { name: "This edit is gone" })).toBeVisible();
  await page.goto("/");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "Come in" })).toBeVisible();
  await page.goto("/math");
  await expect(page.getByRole("heading", { level: 1 })).not.toHaveText("Come in");
});

test.describe.configure({ timeout: 120_000 });

test("a session that ends in mid-work asks for a key over the page, and all of it goes on", async ({ page, request, context }) => {
  const key = await keyOf("studio", request);
  await page.goto("/");
  await enter(page, key);
  await prepare(page, "make it vintage");
  await context.clearCookies(); // as when it expires
  await page.getByRole("button", { name: /^Develop/ }).click();
  const again = page.getByRole("dialog", { name: "Your session has ended" });
  await expect(again).toBeVisible();
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  await expect(page.getByLabel("What should change?")).toHaveValue("make it vintage");
  await signIn(page, key);
  await expect(again).toBeHidden();
  await page.waitForURL(/\/jobs\/\w+/); // what was sent goes on by itself
  await expect(row(page, page.url().split("/").pop() as string)).toBeVisible();

  await context.clearCookies();
  await expect(again).toBeVisible(); // the page asks by itself how the edit is doing
  await signIn(page, await keyOf("press", request)); // somebody else: nothing of the first is left
  await expect(page.getByLabel("What should change?")).toHaveValue("");
  await expect(page.locator("[data-job]")).toHaveCount(0);
});
