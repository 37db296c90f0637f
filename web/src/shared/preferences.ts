import { create } from "zustand";
import { persist } from "zustand/middleware";

/** What this browser is to remember of how somebody works. */
export const usePreferences = create<{ letterKeys: boolean }>()(
  persist((): { letterKeys: boolean } => ({ letterKeys: true }), { name: "darkroom-preferences" }),
);
