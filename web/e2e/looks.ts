import { type BrowserContextOptions, devices, type Page } from "@playwright/test";

/** Every page of the site, each as people come to it. */
export const PAGES = ["/", "/compare", "/gallery", "/models", "/checkpoint", "/math", "/details", "/credentials", "/no/such/page"];

const { defaultBrowserType: _, ...phone } = devices["Pixel 7"];

/** The lights and screens in which every page has to be good. */
export const LOOKS: Record<string, BrowserContextOptions> = {
  light: { colorScheme: "light", viewport: { width: 1440, height: 900 } },
  dark: { colorScheme: "dark", viewport: { width: 1440, height: 900 } },
  phone: { ...phone, colorScheme: "light" },
};

/** What the browser complains of on a page from now on: errors in its console, exceptions, what its policy refused. */
export function complaints(page: Page): string[] {
  const heard: string[] = [];
  page.on("console", (message) => message.type() === "error" && heard.push(message.text()));
  page.on("pageerror", (error) => heard.push(String(error)));
  return heard;
}

/** Until the site's code has taken the place of what was prerendered. */
export async function alive(page: Page): Promise<void> {
  await page.locator("#root > [inert]").waitFor({ state: "detached" });
}

/** Until nothing more comes and everything that is to be seen has come. */
export async function settled(page: Page): Promise<void> {
  await alive(page);
  await page.getByRole("heading", { level: 1 }).first().waitFor();
  await page.evaluate(() => document.fonts.ready);
  await page.waitForFunction(() => [...document.images].every((image) => image.complete || image.loading === "lazy"));
}

/** The page as it is now, in the dark: the system's wish changes, and what fades has faded. */
export async function darken(page: Page): Promise<void> {
  await page.emulateMedia({ colorScheme: "dark" });
  await page.locator("html[data-mantine-color-scheme=dark]").waitFor();
  await page.waitForFunction(() => !document.getAnimations().some((one) => one instanceof CSSTransition));
}

/** The same page in the light again. */
export async function lighten(page: Page): Promise<void> {
  await page.emulateMedia({ colorScheme: "light" });
  await page.locator("html[data-mantine-color-scheme=light]").waitFor();
}

/** By how much a page is wider than the screen. */
export async function overflow(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
