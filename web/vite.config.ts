import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const target = process.env.DARKROOM ?? "http://127.0.0.1:8000";
const api = { target, changeOrigin: false }; // it takes changes from pages of its own name only
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** KaTeX names each font in three formats; every browser that runs this site takes the first. */
const oneFontFormat: Plugin = {
  name: "one-font-format",
  enforce: "pre",
  transform: (code, id) =>
    id.endsWith("katex.min.css") ? code.replaceAll(/,url\([^)]*\) format\("(woff|truetype)"\)/g, "") : undefined,
};

export default defineConfig({
  plugins: [react(), oneFontFormat],
  resolve: { alias: { "@": here("./src"), "@docs": here("../docs"), "@examples": here("../examples") } },
  build: {
    manifest: true, // by which the tests weigh what a page loads
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1500,
    rolldownOptions: { input: [here("./index.html"), here("./docs/try/index.html")] }, // the site, and the page to try the API
  },
  server: { proxy: { "/v1": api, "/openapi.json": api }, fs: { allow: [".."] } },
  test: {
    projects: [
      { extends: true, test: { name: "logic", environment: "node", include: ["src/**/*.test.ts"] } },
      { extends: true, test: { name: "components", environment: "jsdom", setupFiles: "src/test/setup.ts", include: ["src/**/*.test.tsx"] } },
    ],
  },
});
