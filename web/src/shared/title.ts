import { useEffect } from "react";

/** Names the page in the browser's tab and history while it is there. */
export function useTitle(title: string): void {
  useEffect(() => {
    const before = document.title;
    document.title = `${title} · Darkroom`;
    return () => {
      document.title = before;
    };
  }, [title]);
}
