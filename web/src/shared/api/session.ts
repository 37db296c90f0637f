import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ApiError, type CallerView, readCaller, signIn, signOut } from "./client";

const KEY = ["session"];

/** Who is signed in: null when a key is needed and none was given, undefined while that is not known. */
export function useSession(): CallerView | null | undefined {
  return useQuery({ queryKey: KEY, queryFn: read, staleTime: Number.POSITIVE_INFINITY }).data;
}

async function read(): Promise<CallerView | null> {
  try {
    return (await readCaller({ throwOnError: true })).data;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

export function useSignIn(): (key: string) => Promise<void> {
  const queries = useQueryClient();
  return async (key) => {
    await signIn({ headers: { Authorization: `Bearer ${key}` }, throwOnError: true });
    await queries.resetQueries();
  };
}

/** End the session, and start the page afresh, so that nothing of it is left in memory for who comes next. */
export async function endSession(): Promise<void> {
  await signOut({ throwOnError: true });
  window.location.assign("/");
}
