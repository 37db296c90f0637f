import { startTransition } from "react";
import { createRoot } from "react-dom/client";
import { createBrowserRouter, RouterProvider } from "react-router";
import { Providers } from "./providers";
import { begun, routes } from "./router";

const router = createBrowserRouter(routes);

// In a transition React lets the browser in between, and what was prerendered stands until all is there.
begun(router).then(() =>
  startTransition(() =>
    createRoot(document.getElementById("root") as HTMLElement).render(
      <Providers>
        <RouterProvider router={router} />
      </Providers>,
    ),
  ),
);
