/** Writes into the built pages what a visitor sees until the site's code has come: `node prerender.js FOLDER`. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { prerenderToNodeStream } from "react-dom/static";
import { createMemoryRouter, type RouteObject, RouterProvider } from "react-router";
import type { Manifest } from "vite";
import { Providers } from "./providers";
import { begun, routes } from "./router";
import { Shell } from "./shell";

const [folder = ""] = process.argv.slice(2);
const page = readFileSync(join(folder, "index.html"), "utf8");
const manifest: Manifest = JSON.parse(readFileSync(join(folder, ".vite/manifest.json"), "utf8"));

const SITE = "src/app/site.tsx";
const EDITOR = "src/pages/editor/index.tsx";
const ROOT = '<div id="root">';
const FRAME: RouteObject[] = [{ Component: Shell, children: [{ path: "*", element: null }] }];

/** The site at its front page, as HTML that React replaces; inert, because nothing answers a click before. */
async function render(pages: RouteObject[]): Promise<string> {
  const router = createMemoryRouter(pages);
  await begun(router);
  const problems: unknown[] = [];
  const { prelude } = await prerenderToNodeStream(
    <div inert>
      <Providers>
        <RouterProvider router={router} />
      </Providers>
    </div>,
    { onError: (problem) => void problems.push(problem), progressiveChunkSize: Number.POSITIVE_INFINITY },
  );
  if (problems.length) throw problems[0]; // React would leave it to the browser
  return (await text(prelude)).replaceAll(/<script.*?<\/script>/gs, ""); // the router's, which the policy forbids
}

/** The style sheets of a part of the site and of all that it imports. */
function styles(part: string, seen: Set<string>): string[] {
  const chunk = manifest[part];
  if (!chunk || chunk.isEntry || seen.has(part)) return [];
  seen.add(part);
  return [...(chunk.css ?? []), ...(chunk.imports ?? []).flatMap((name) => styles(name, seen))];
}

/** A built page as it is sent: with its first view, and with the styles of the parts that are seen in it. */
async function complete(page: string, pages: RouteObject[], parts: string[]): Promise<string> {
  const seen = new Set<string>();
  const links = parts.flatMap((part) => styles(part, seen)).map((file) => `<link rel="stylesheet" crossorigin href="/${file}">`);
  const view = await render(pages);
  return page
    .replace("</head>", `${links.map((link) => `  ${link}\n  `).join("")}</head>`)
    .replace(ROOT, (root) => root + view);
}

writeFileSync(join(folder, "index.html"), await complete(page, routes, [SITE, EDITOR]));
writeFileSync(join(folder, "frame.html"), await complete(page, FRAME, [SITE]));
