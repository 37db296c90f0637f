import { create } from "zustand";

/** Whether the service has asked for a key; it may do so while a page is open, when a session ends or a key is revoked. */
export const useKeyWanted = create<{ wanted: boolean }>(() => ({ wanted: false }));

let waiting: (() => void)[] = [];

/** What is answered to somebody who is signed in: whoever asks waits until somebody is, and asks again. */
export async function insist(ask: () => Promise<Response>): Promise<Response> {
  for (;;) {
    const answer = await ask();
    if (answer.status !== 401) return answer;
    useKeyWanted.setState({ wanted: true });
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
}

/** Somebody has signed in: all who wait go on. */
export function goOn(): void {
  useKeyWanted.setState({ wanted: false });
  const all = waiting;
  waiting = [];
  for (const resolve of all) resolve();
}
