import { Button, Text, Title } from "@mantine/core";
import { memo } from "react";
import { JobRow } from "./job-row";
import classes from "./jobs.module.css";
import { useJobActions, useJobList, usePlaces } from "./queries";
import { usePending } from "./pending";

const Row = memo(JobRow);

/** All jobs of this service, newest first, as they are now. */
export function JobList({ current, onReuse }: { current: string | null; onReuse: (id: string) => void }) {
  const { ids, next, error, loadOlder, loading } = useJobList();
  usePlaces();
  return (
    <section className={classes.jobs} aria-labelledby="jobs">
      <header>
        <Title order={2} size="h3" id="jobs">
          Contact sheet
        </Title>
        <CancelAll />
      </header>
      {error && !ids && <Text size="sm">The list cannot be had: {error.message}</Text>}
      {ids?.length === 0 && (
        <Text size="sm" c="dimmed">
          Your edits come here. They run on by themselves: close this page and come back.
        </Text>
      )}
      <ol className={classes.rows}>
        {ids?.map((id) => (
          <Row key={id} id={id} current={id === current} onReuse={onReuse} />
        ))}
      </ol>
      {next && (
        <Button variant="default" size="xs" loading={loading} onClick={() => loadOlder(next)}>
          Older ones
        </Button>
      )}
    </section>
  );
}

function CancelAll() {
  const waiting = usePending();
  const { cancel } = useJobActions();
  if (waiting.length < 2) return null;
  return (
    <Button variant="subtle" color="gray" size="compact-xs" onClick={() => waiting.forEach((id) => cancel.mutate(id))}>
      Cancel {waiting.length}
    </Button>
  );
}
