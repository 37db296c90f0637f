import "@mantine/core/styles.css";
import "./app/fonts.css";
import "./app/global.css";

import { watchForMissingParts } from "./app/stale";

watchForMissingParts();

/** The site's code, and that of its front page at the same time. */
function begin(): void {
  import("./app/site").catch(() => {
    const root = document.getElementById("root") as HTMLElement;
    root.textContent = "The rest of this page did not come. Please load it again.";
  });
  if (/^\/(jobs\/|$)/.test(location.pathname)) import("@/pages/editor");
}

// After the first paint, for which the prerendered page has all it needs; a hidden tab paints nothing.
if (document.hidden) begin();
else requestAnimationFrame(() => setTimeout(begin));
