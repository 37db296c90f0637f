import { defineConfig, devices } from "@playwright/test";

/** Run by `./dev test` and `python -m web.screenshots`, which say where the service and the browser are. */
export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results",
  reporter: "line",
  workers: 1,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  use: {
    ...devices["Desktop Chrome"],
    baseURL: process.env.DARKROOM,
    launchOptions: { executablePath: process.env.CHROME_PATH },
    screenshot: "only-on-failure",
  },
});
