/** A part of a page of docs/: what stands under one heading of the second level. */
export type Section = { title: string; id: string; body: string };

/** A page of docs/ as its sections; what stands before the first has the page's title and no id. */
export function sections(page: string): Section[] {
  const [head = "", ...rest] = page.split(/^## /m);
  const [title = "", ...lead] = head.replace(/^# /, "").split("\n");
  return [{ title, id: "", body: lead.join("\n").trim() }, ...rest.map(section)];
}

function section(text: string): Section {
  const [title = "", ...body] = text.split("\n");
  return { title, id: slug(title), body: body.join("\n").trim() };
}

/** A title as part of an address. */
export function slug(title: string): string {
  return title.toLowerCase().replaceAll(/[^\p{L}\p{N} -]/gu, "").trim().replaceAll(" ", "-");
}

/** Formulas between double dollars on lines of their own, where the parser takes them for displayed ones. */
export function displayed(text: string): string {
  return text.replaceAll(/\$\$([^$]+)\$\$/g, (_, formula: string) => `\n$$\n${formula.trim()}\n$$\n`);
}
