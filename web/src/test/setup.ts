import { cleanup } from "@testing-library/react";
import { afterEach } from "vitest";

afterEach(cleanup);

// What jsdom lacks and Mantine asks for.
const nothing = () => {};
const listeners = { addEventListener: nothing, removeEventListener: nothing, addListener: nothing, removeListener: nothing };
Object.defineProperty(window, "matchMedia", { value: (media: string) => ({ matches: false, media, ...listeners }) });
Object.defineProperty(document, "fonts", { value: { ready: Promise.resolve(), ...listeners } });
window.ResizeObserver = class {
  observe() {}
  unobserve() {}
  disconnect() {}
};
