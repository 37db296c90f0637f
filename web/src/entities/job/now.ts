import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
let now = Date.now();
let clock: ReturnType<typeof setInterval> | undefined;

/** The time, told every second to all who want it at once. */
export function useNow(wanted: boolean): number {
  return useSyncExternalStore(wanted ? subscribe : never, () => now);
}

function subscribe(listener: () => void): () => void {
  if (!clock) now = Date.now();
  listeners.add(listener);
  clock ??= setInterval(tick, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size) return;
    clearInterval(clock);
    clock = undefined;
  };
}

function tick(): void {
  now = Date.now();
  for (const listener of listeners) listener();
}

const never = () => () => {};
