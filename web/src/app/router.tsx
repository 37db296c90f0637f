import { type DataRouter, type RouteObject, redirectDocument } from "react-router";
import { Failed } from "./failed";
import { Shell } from "./shell";

/** A page of its own chunk: its module's `default` is the page. */
function page(load: () => Promise<{ default: React.ComponentType }>) {
  return async () => ({ Component: (await load()).default });
}

const pages: RouteObject[] = [
  // One page for both, so that what was prepared stays while edits are looked at.
  { lazy: page(() => import("@/pages/editor")), children: [{ index: true }, { path: "jobs/:id" }] },
  { path: "compare", lazy: page(() => import("@/pages/compare")) },
  { path: "details", lazy: page(() => import("@/pages/details")) },
  { path: "math", lazy: page(() => import("@/pages/math")) },
  { path: "models", lazy: page(() => import("@/pages/models")) },
  { path: "checkpoint", lazy: page(() => import("@/pages/checkpoint")) },
  { path: "gallery", lazy: page(() => import("@/pages/gallery")) },
  { path: "credentials", lazy: page(() => import("@/pages/credentials")) },
  { path: "api", loader: () => redirectDocument("/docs/api/") }, // where it was before there was documentation
  { path: "*", lazy: page(() => import("@/pages/absent")) },
];

export const routes: RouteObject[] = [{ Component: Shell, children: [{ ErrorBoundary: Failed, children: pages }] }];

/** Until a router has loaded its first page. */
export function begun(router: DataRouter): Promise<void> {
  return new Promise((resolve) => {
    if (router.state.initialized) return resolve();
    const stop = router.subscribe(({ initialized }) => {
      if (!initialized) return;
      stop();
      resolve();
    });
  });
}
