import { useCallback, useState } from "react";
import { newKey, type Order, useSubmit } from "./submit";

export type SendTogether = (orders: Omit<Order, "group">[], onAccepted: (ids: string[]) => void) => Promise<void>;

/** Send several edits that belong together, one after the other; which have been accepted is told each time. */
export function useSendTogether() {
  const { mutateAsync } = useSubmit();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const send = useCallback<SendTogether>(
    async (orders, onAccepted) => {
      setBusy(true);
      setProblem(null);
      const group = newKey();
      const ids: string[] = [];
      try {
        for (const order of orders) {
          ids.push((await mutateAsync({ ...order, group })).id);
          onAccepted([...ids]);
        }
      } catch (error) {
        setProblem(`${ids.length} of ${orders.length} were accepted. ${(error as Error).message}`);
      }
      setBusy(false);
    },
    [mutateAsync],
  );
  return { send, busy, problem };
}
