import { useQuery, useQueryClient } from "@tanstack/react-query";
import { clear } from "idb-keyval";
import { ApiError, type CallerView, readCaller, signIn, signOut } from "./client";
import { goOn } from "./session-ends";

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

/** Sign in with a key. What waited for it goes on, unless somebody else was signed in before: then all begins anew. */
export function useSignIn(): (key: string) => Promise<void> {
  const queries = useQueryClient();
  return async (key) => {
    const before = queries.getQueryData<CallerView | null>(KEY)?.tenant;
    await signIn({ headers: { Authorization: `Bearer ${key}` }, throwOnError: true });
    const { tenant } = (await readCaller({ throwOnError: true })).data;
    if (before && before !== tenant) return startAfresh();
    goOn();
    await queries.invalidateQueries();
  };
}

export async function endSession(): Promise<void> {
  await signOut({ throwOnError: true });
  await startAfresh();
}

/** Load the page anew, so that nothing is left, in memory or kept, for who comes next. */
async function startAfresh(): Promise<void> {
  await clear().catch(() => {});
  window.location.assign("/");
}
