import { Button, Checkbox, SegmentedControl, Text, TextInput, Title } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useQueryClient } from "@tanstack/react-query";
import { memo, useState } from "react";
import { jobOf } from "@/entities/job/cache";
import { useDoomed } from "@/entities/job/deletion";
import { isActive, isOver } from "@/entities/job/job";
import { usePending, useSeldom } from "@/entities/job/pending";
import { useJobActions, useJobList, usePlaces } from "@/entities/job/queries";
import { arrange, type Filter, matches } from "./arrange";
import { GroupRow } from "./group-row";
import { JobRow } from "./job-row";
import classes from "./jobs.module.css";

const Row = memo(JobRow);
const Group = memo(GroupRow);
const FEW = 6; // so few need no search

type Props = { current: string | null; onReuse: (id: string) => void };

/** All jobs of this service, newest first, as they are now. */
export function JobList({ current, onReuse }: Props) {
  const { ids, next, error, retry, loadOlder, loading } = useJobList();
  const [filter, setFilter] = useState<Filter>({ text: "", state: "all" });
  const [chosen, setChosen] = useState<ReadonlySet<string> | null>(null);
  const shown = useShown(filter);
  usePlaces();
  const choose = (few: string[], on: boolean) =>
    setChosen((before) => new Set(on ? [...(before ?? []), ...few] : [...(before ?? [])].filter((id) => !few.includes(id))));
  const isFull = (ids?.length ?? 0) > FEW;
  return (
    <section className={classes.jobs} aria-labelledby="jobs">
      <header>
        <Title order={2} size="h3" id="jobs">
          Contact sheet
        </Title>
        {chosen ? <Chosen ids={[...chosen]} onEnd={() => setChosen(null)} /> : <CancelAll />}
        {!chosen && isFull && (
          <Button variant="subtle" color="gray" size="compact-xs" onClick={() => setChosen(new Set())}>
            Select
          </Button>
        )}
      </header>
      {isFull && <Narrow filter={filter} onChange={setFilter} />}
      {error && (
        <Text size="sm" role="alert" className={classes.error}>
          The list cannot be had: {error.message}{" "}
          <Button variant="light" size="compact-xs" onClick={() => retry()}>
            Try again
          </Button>
        </Text>
      )}
      {ids?.length === 0 && (
        <Text size="sm" c="dimmed">
          Your edits come here. They run on by themselves: close this page and come back.
        </Text>
      )}
      {ids && ids.length > 0 && shown.length === 0 && (
        <Text size="sm" c="dimmed">
          None of these {ids.length} edits.
        </Text>
      )}
      {shown.map(({ day, rows }, index) => (
        <div key={`${day} ${index}`}>
          {(shown.length > 1 || day !== "Today") && <h3 className={classes.day}>{day}</h3>}
          <ol className={classes.rows}>
            {rows.map((row) => (
              <Choice key={row.kind === "job" ? row.id : row.group} ids={row.kind === "job" ? [row.id] : row.ids} chosen={chosen} onChoose={choose}>
                {row.kind === "job" ? <Row id={row.id} current={row.id === current} onReuse={onReuse} /> : <Group ids={row.ids.join(",")} />}
              </Choice>
            ))}
          </ol>
        </div>
      ))}
      {next && (
        <Button variant="default" size="xs" loading={loading} onClick={() => loadOlder(next)}>
          {filter.text ? "Search older ones" : "Older ones"}
        </Button>
      )}
    </section>
  );
}

/** The rows to be seen; they are found anew when the list changes and, where a state is asked for, when a job does. */
function useShown(filter: Filter) {
  const queries = useQueryClient();
  const doomed = useDoomed(({ ids }) => ids);
  const ids = useSeldom((jobs) => jobs.filter((job) => !doomed.has(job.id) && matches(job, filter)).map(({ id }) => id).join(" "));
  return arrange(ids.split(" ").flatMap((id) => jobOf(queries, id) ?? []));
}

function Narrow({ filter, onChange }: { filter: Filter; onChange: (filter: Filter) => void }) {
  return (
    <div className={classes.narrow}>
      <TextInput
        size="xs"
        type="search"
        aria-label="Search the instructions"
        placeholder="Search"
        leftSection={<IconSearch size={14} />}
        value={filter.text}
        onChange={(event) => onChange({ ...filter, text: event.currentTarget.value })}
      />
      <SegmentedControl
        size="xs"
        fullWidth
        aria-label="Which edits"
        data={[
          { value: "all", label: "All" },
          { value: "at work", label: "At work" },
          { value: "done", label: "Done" },
          { value: "not done", label: "Not done" },
        ]}
        value={filter.state}
        onChange={(state) => onChange({ ...filter, state: state as Filter["state"] })}
      />
    </div>
  );
}

type ChoiceProps = { ids: string[]; chosen: ReadonlySet<string> | null; onChoose: (ids: string[], on: boolean) => void; children: React.ReactNode };

/** A row, with a box to tick where several are being chosen. */
function Choice({ ids, chosen, onChoose, children }: ChoiceProps) {
  return (
    <li className={classes.choice}>
      {chosen && (
        <Checkbox
          size="xs"
          aria-label="Choose this one"
          checked={ids.every((id) => chosen.has(id))}
          onChange={(event) => onChoose(ids, event.currentTarget.checked)}
        />
      )}
      {children}
    </li>
  );
}

/** What can be done with several at once. */
function Chosen({ ids, onEnd }: { ids: string[]; onEnd: () => void }) {
  const queries = useQueryClient();
  const { cancel, remove } = useJobActions();
  const jobs = ids.flatMap((id) => jobOf(queries, id) ?? []);
  const [active, over] = [jobs.filter(isActive), jobs.filter(isOver)];
  const then = (act: () => void) => () => {
    act();
    onEnd();
  };
  return (
    <div className={classes.chosen} role="group" aria-label="With those that are chosen">
      {active.length > 0 && (
        <Button variant="default" size="compact-xs" onClick={then(() => active.forEach(({ id }) => cancel.mutate(id)))}>
          Cancel {active.length}
        </Button>
      )}
      <Button variant="default" size="compact-xs" disabled={!over.length} onClick={then(() => remove(...over.map(({ id }) => id)))}>
        Delete {over.length}
      </Button>
      <Button variant="subtle" color="gray" size="compact-xs" onClick={onEnd}>
        Done
      </Button>
    </div>
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
