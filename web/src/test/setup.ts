import { cleanup } from "@testing-library/react";
import { afterEach } from "vitest";

afterEach(cleanup);

// What jsdom lacks, and Mantine and the pages to be read ask for.
const nothing = () => {};
const listeners = { addEventListener: nothing, removeEventListener: nothing, addListener: nothing, removeListener: nothing };
Object.defineProperty(window, "matchMedia", { value: (media: string) => ({ matches: false, media, ...listeners }) });
Object.defineProperty(document, "fonts", { value: { ready: Promise.resolve(), load: async () => [], ...listeners } });
class Observer {
  observe() {}
  unobserve() {}
  disconnect() {}
}
Object.assign(window, { ResizeObserver: Observer, IntersectionObserver: Observer });
