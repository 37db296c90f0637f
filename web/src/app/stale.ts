const RELOADED = "darkroom-reloaded";

let missing = false;

/** Notice when a part of the site does not come: after a new version was deployed, the old one's parts are gone. */
export function watchForMissingParts(): void {
  window.addEventListener("vite:preloadError", () => {
    missing = true;
  });
}

/** Load the page again if a part of it is missing, once for each address; tells whether it does. */
export function reloadIfStale(): boolean {
  if (!missing || sessionStorage.getItem(RELOADED) === location.href) return false;
  sessionStorage.setItem(RELOADED, location.href);
  location.reload();
  return true;
}
