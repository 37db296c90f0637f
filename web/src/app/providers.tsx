import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { ApiError } from "@/shared/api/client";
import { resolveVariables, theme } from "./theme";

export function Providers({ children }: { children: ReactNode }) {
  const [queries] = useState(makeQueries);
  return (
    <MantineProvider theme={theme} cssVariablesResolver={resolveVariables} defaultColorScheme="auto">
      <QueryClientProvider client={queries}>{children}</QueryClientProvider>
    </MantineProvider>
  );
}

/** Reads are tried again for as long as the service is away; what it has refused goes to the page's error boundary. */
function makeQueries(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 30_000,
        retry: (_, error) => error instanceof ApiError && error.isAway,
        retryDelay: (count) => Math.min(500 * 2 ** count, 8_000),
        throwOnError: (_, query) => query.state.data === undefined,
      },
    },
  });
}
