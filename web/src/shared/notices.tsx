import { Button, CloseButton, Text } from "@mantine/core";
import { create } from "zustand";
import classes from "./notices.module.css";

export type Notice = { id: number; text: string; isError: boolean; action?: { label: string; run: () => void } };

const useNotices = create<{ shown: Notice[] }>(() => ({ shown: [] }));
let count = 0;

/** Tell something beside the page for some seconds; returns what takes it away sooner. */
export function notify({ seconds = 8, ...told }: Omit<Notice, "id"> & { seconds?: number }): () => void {
  const notice = { ...told, id: ++count };
  const away = () => useNotices.setState(({ shown }) => ({ shown: shown.filter(({ id }) => id !== notice.id) }));
  useNotices.setState(({ shown }) => ({ shown: [...shown.slice(-2), notice] }));
  setTimeout(away, seconds * 1_000);
  return away;
}

/** Say that something which was asked for could not be done. */
export const complain = (what: string) => (error: Error) => void notify({ text: `${what} ${error.message}`, isError: true });

/** What is told at the moment; read aloud when it comes. */
export function Notices() {
  const { shown } = useNotices();
  return (
    <div className={classes.notices} role="region" aria-label="Notices" aria-live="polite">
      {shown.map((notice) => (
        <One key={notice.id} notice={notice} />
      ))}
    </div>
  );
}

function One({ notice: { id, text, isError, action } }: { notice: Notice }) {
  const close = () => useNotices.setState(({ shown }) => ({ shown: shown.filter((one) => one.id !== id) }));
  return (
    <div className={classes.notice} role={isError ? "alert" : undefined} data-error={isError || undefined}>
      <Text size="sm">{text}</Text>
      {action && (
        <Button
          variant="light"
          size="compact-sm"
          onClick={() => {
            action.run();
            close();
          }}
        >
          {action.label}
        </Button>
      )}
      <CloseButton size="sm" aria-label="Close this notice" onClick={close} />
    </div>
  );
}
