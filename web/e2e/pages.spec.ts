import { expect, type Page, test } from "@playwright/test";
import { violations } from "./axe";
import { alive, complaints, darken, LOOKS, lighten, overflow, PAGES, settled } from "./looks";

/**
 * The dark look is looked at where the light one is: the elements are the same, and the page need not come twice. One
 * browser's page goes through all of the site, as a visitor does, so that what pages share comes once.
 */
for (const look of ["light", "phone"]) {
  test.describe(look, () => {
    let page: Page;
    let heard: string[] = [];
    test.beforeAll(async ({ browser }) => {
      page = await (await browser.newContext(LOOKS[look])).newPage();
      heard = complaints(page);
      await page.addInitScript(watchShifts);
    });
    test.afterAll(() => page.context().close());

    for (const path of PAGES) {
      test(`${path} stands still, fits, begins at the same edge, and leaves nobody out`, async () => {
        heard.length = 0;
        await page.goto(path);
        await settled(page);
        expect(await page.evaluate(() => window.shifted), "layout shift").toBeLessThanOrEqual(0.05);
        expect(await overflow(page), "wider than the screen by").toBeLessThanOrEqual(0);
        if (!["/", "/no/such/page"].includes(path)) expect(await edges(page), "the title's left edge from the header's").toBe(0);
        if (look === "phone") await page.evaluate(boxFormulas);
        expect(await violations(page)).toEqual([]);
        if (look === "light") {
          await page.evaluate(boxFormulas);
          await darken(page);
          expect(await violations(page, "dark")).toEqual([]);
          await lighten(page);
        }
        expect(heard).toEqual([]);
      });
    }
  });
}
test.describe("dark", () => {
  test.use(LOOKS.dark ?? {});

  test("a page is dark from its first paint", async ({ page }) => {
    await page.route("**/assets/site-*.js", (route) => route.abort());
    await page.goto("/");
    await expect(page.locator("html")).toHaveAttribute("data-mantine-color-scheme", "dark");
  });
});

test.describe("before the site's code has come", () => {
  test.use({ javaScriptEnabled: false });

  test("the front page is shown, and answers nothing yet", async ({ page }) => {
    await page.goto("/");
    await expect(page.getByText("Say it, and watch")).toBeVisible();
    await expect(page.locator("#root > [inert]")).toBeVisible();
  });

  test("every other page has its frame", async ({ page }) => {
    await page.goto("/math");
    await expect(page.getByText("Darkroom", { exact: true })).toBeVisible();
    await expect(page.getByText("Say it, and watch")).toHaveCount(0);
  });
});

test("the site takes the place of what was prerendered without a move", async ({ page }) => {
  const title = page.getByText("Say it, and watch");
  let before: unknown;
  await page.route("**/assets/site-*.js", async (route) => {
    await page.evaluate(() => document.fonts.ready);
    before = await title.boundingBox();
    await route.continue();
  });
  await page.goto("/");
  await alive(page);
  expect(before).toEqual(await title.boundingBox());
});

test("a page whose code does not come says so", async ({ page }) => {
  await page.route("**/assets/site-*.js", (route) => route.abort());
  await page.goto("/");
  await expect(page.getByText("Please load it again")).toBeVisible();
  await expect(page.locator("[inert]")).toHaveCount(0);
});

test("a picture that is chosen is read, and says that it says nothing", async ({ page }) => {
  await page.goto("/credentials");
  await alive(page);
  await page.getByLabel("Choose a picture").setInputFiles("../examples/mountains.jpg");
  await expect(page.getByText("This picture carries no content credentials.")).toBeVisible();
});

test("the API can be tried at /docs/try/, with nothing from elsewhere", async ({ page, baseURL }) => {
  const heard = complaints(page);
  const elsewhere: string[] = [];
  page.on("request", (request) => request.url().startsWith(`${baseURL}/`) || elsewhere.push(request.url()));
  await page.goto("/docs/try/");
  await expect(page.getByText("Submit a job")).toBeVisible();
  expect(elsewhere.filter((url) => !url.startsWith("data:"))).toEqual([]);
  expect(heard).toEqual([]);
});

test("the documentation is searched, follows the light of the site, and loads nothing from elsewhere", async ({ page, baseURL }) => {
  const heard = complaints(page);
  const elsewhere: string[] = [];
  page.on("request", (request) => request.url().startsWith(`${baseURL}/`) || elsewhere.push(request.url()));
  await page.goto("/");
  await page.evaluate(() => localStorage.setItem("mantine-color-scheme-value", "dark"));
  await page.goto("/docs/");
  await expect(page.locator("body")).toHaveAttribute("data-md-color-scheme", "slate");
  await page.getByRole("textbox", { name: "Search" }).fill("idempotency");
  await expect(page.locator(".md-search-result__item").first()).toBeVisible();
  expect(elsewhere).toEqual([]);
  expect(heard).toEqual([]);
});

declare global {
  interface Window {
    shifted: number;
  }
}

/** How far the page's title begins from where the header does, in pixels. */
async function edges(page: Page): Promise<number> {
  return page.evaluate(() => {
    const left = (selector: string) => document.querySelector(selector)?.getBoundingClientRect().left ?? Number.NaN;
    return Math.round(left("main h1") - left("header a"));
  });
}

function watchShifts() {
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as (PerformanceEntry & { value: number })[]) window.shifted += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
}

/**
 * In place of each formula a box of its size. What formulas are made of is the same in every look, and is looked at in
 * one; they have nine tenths of a page's elements, and take nine tenths of the time.
 */
function boxFormulas() {
  for (const formula of document.querySelectorAll<HTMLElement>(".katex")) {
    const { width, height } = formula.getBoundingClientRect();
    Object.assign(formula.style, { display: "inline-block", width: `${width}px`, height: `${height}px`, overflow: "hidden" });
    formula.textContent = "x";
  }
}
