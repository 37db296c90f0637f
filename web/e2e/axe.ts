import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";

const STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const COLORS = ["color-contrast", "link-in-text-block"];

/**
 * What axe finds on a page: of each fault its name, and the elements that have it.
 *
 * In the dark a page has the elements that it has in the light, so there only colors are looked at. No page has frames:
 * axe need not gather them in a page of its own, nor write down all that is as it should be.
 */
export async function violations(page: Page, look = "light"): Promise<unknown[]> {
  const axe = new AxeBuilder({ page }).setLegacyMode().options({ resultTypes: ["violations"] }).exclude(".katex-html");
  const found = await (look === "dark" ? axe.withRules(COLORS) : axe.withTags(STANDARDS)).analyze();
  return found.violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]);
}
